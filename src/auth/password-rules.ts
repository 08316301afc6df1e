import { PASSWORD_MIN_LENGTH } from '../config.ts';
import { codePoints } from '../protocol/text.ts';
import { isCommonPassword } from './common-passwords.ts';

/** The owner's details that a password must not resemble. */
export type PasswordOwner = { readonly first_name: string; readonly last_name: string; readonly email: string };

const MAX_SIMILARITY = 0.7;
const ATTRIBUTES = [
  ['first_name', 'first name'],
  ['last_name', 'last name'],
  ['email', 'email'],
] as const;

/**
 * Everything that is wrong with a new password of `person`, in words to show them; empty if nothing is. The rules, their
 * order and the words are those of Django's four password validators (django.contrib.auth.password_validation, 4.2).
 */
export function passwordProblems(password: string, person: PasswordOwner): string[] {
  const problems: string[] = [];
  const resembled = resembledAttribute(password, person);
  if (resembled !== undefined) problems.push(`The password is too similar to the ${resembled}.`);
  if (codePoints(password) < PASSWORD_MIN_LENGTH) {
    problems.push(`This password is too short. It must contain at least ${PASSWORD_MIN_LENGTH} characters.`);
  }
  if (isCommonPassword(password)) problems.push('This password is too common.');
  if (/^\p{Nd}+$/u.test(password)) problems.push('This password is entirely numeric.');
  return problems;
}

/** The name of the first attribute that the password is too similar to, as a whole or in one of its words. */
function resembledAttribute(password: string, person: PasswordOwner): string | undefined {
  const typed = Array.from(password.toLowerCase());
  for (const [attribute, name] of ATTRIBUTES) {
    const value = person[attribute].toLowerCase();
    // Python's \W+: everything but letters, numbers and the underscore.
    const candidates = [...value.split(/[^\p{L}\p{N}_]+/u), value];
    if (candidates.some((candidate) => similarity(typed, Array.from(candidate)) >= MAX_SIMILARITY)) return name;
  }
  return undefined;
}

/**
 * How much of two texts is the same characters, in any order: from 0, nothing, to 1, all of both (Python's
 * difflib.SequenceMatcher.quick_ratio).
 */
function similarity(a: string[], b: string[]): number {
  const left = new Map<string, number>();
  for (const character of b) left.set(character, (left.get(character) ?? 0) + 1);
  let common = 0;
  for (const character of a) {
    const count = left.get(character) ?? 0;
    if (count > 0) {
      common += 1;
      left.set(character, count - 1);
    }
  }
  return (2 * common) / (a.length + b.length);
}
