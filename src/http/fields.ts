import * as v from 'valibot';
import type { JsonSchema } from '@valibot/to-json-schema';
import { isEmailAddress } from '../auth/email-address.ts';
import {
  EMAIL_MAX_LENGTH,
  MESSAGE_MAX_LENGTH,
  NAME_MAX_LENGTH,
  PASSWORD_MAX_BYTES,
  PASSWORD_MAX_LENGTH,
  SEARCH_MAX_LENGTH,
} from '../config.ts';
import { searchKey } from '../directory/search-keys.ts';
import { codePoints, messageProblem, utf8Bytes } from '../protocol/text.ts';
import { parseUuid } from '../protocol/uuid.ts';

/** Django REST Framework's words for a field that is not there. */
export const REQUIRED = 'This field is required.';
/** The original's words for two passwords that should be the same. */
export const PASSWORDS_DIFFER = "Password fields didn't match.";
const BLANK = 'This field may not be blank.';
/** Django's words for an address that has an account. */
export const EMAIL_TAKEN = ['user account with this email already exists.'];

type TextRules = {
  /** Code points. */
  maxLength?: number;
  /** Whether white space around the text is cut off. Passwords are taken as typed. */
  trim?: boolean;
  /** Further rules, each with its message. */
  rules?: readonly (readonly [holds: (text: string) => boolean, message: string])[];
  /** What the API's description says beyond "string". */
  describe?: JsonSchema;
};

/**
 * A text field with the rules and messages of Django REST Framework's CharField: numbers count as text, anything else
 * is "Not a valid string.", and what is not blank is told everything that is wrong with it at once.
 */
export function textField({ maxLength, trim = true, rules = [], describe = {} }: TextRules = {}) {
  return v.pipe(
    v.union([v.string(), v.number()], (issue) =>
      issue.input === null ? 'This field may not be null.' : 'Not a valid string.',
    ),
    v.metadata({ minLength: 1, ...(maxLength && { maxLength }), ...describe }),
    v.rawTransform<string | number, string>(({ dataset, addIssue, NEVER }) => {
      const typed = String(dataset.value);
      if (typeof dataset.value === 'number' && !isExact(dataset.value)) {
        addIssue({ message: 'Not a valid string.' });
        return NEVER;
      }
      const text = trim ? strip(typed) : typed;
      const wrong = [
        ...problems(text, maxLength),
        ...rules.filter(([holds]) => !holds(text)).map(([, message]) => message),
      ];
      if (strip(text) === '') wrong.splice(0, wrong.length, BLANK);
      for (const message of wrong) addIssue({ message });
      return wrong.length > 0 ? NEVER : text;
    }),
  );
}

/** Whether JSON's number is still what was sent: beyond 2^53 digits are lost, and the largest became Infinity. */
function isExact(value: number): boolean {
  return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
}

/** Cuts off white space as Python does, for which U+FEFF is none, but U+001C to U+001F and U+0085 are. */
function strip(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && isSpace(text.charCodeAt(start))) start += 1;
  while (start < end && isSpace(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isSpace(code: number): boolean {
  if (code === 0xfeff) return false;
  return (code >= 0x1c && code <= 0x1f) || code === 0x85 || String.fromCharCode(code).trim() === '';
}

function problems(text: string, maxLength: number | undefined): string[] {
  const found: string[] = [];
  if (maxLength !== undefined && codePoints(text) > maxLength) {
    found.push(`Ensure this field has no more than ${maxLength} characters.`);
  }
  if (text.includes('\0')) found.push('Null characters are not allowed.');
  const surrogate = /\p{Surrogate}/u.exec(text)?.[0];
  if (surrogate !== undefined) {
    found.push(`Surrogate characters are not allowed: U+${surrogate.charCodeAt(0).toString(16).toUpperCase()}.`);
  }
  return found;
}

/** A query parameter that is a whole number between two others. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER) {
  return v.pipe(
    v.string(),
    v.regex(/^\d+$/, 'A valid integer is required.'),
    v.rawTransform<string, number>(({ dataset, addIssue, NEVER }) => {
      const number = Number(dataset.value);
      if (Number.isSafeInteger(number)) return number;
      addIssue({ message: 'A valid integer is required.' });
      return NEVER;
    }),
    v.minValue(least, `Ensure this value is greater than or equal to ${least}.`),
    v.maxValue(most, `Ensure this value is less than or equal to ${most}.`),
  );
}

/** A whole number in a body: as JSON's number, or, from a form, as its digits. */
export function wholeNumberField(least: number) {
  return v.pipe(
    v.union([v.number(), v.string()], 'A valid integer is required.'),
    v.rawTransform<number | string, number>(({ dataset, addIssue, NEVER }) => {
      const result = v.safeParse(wholeNumber(least), String(dataset.value));
      if (result.success) return result.output;
      addIssue({ message: result.issues[0].message });
      return NEVER;
    }),
  );
}

const NOT_A_BOOLEAN = 'Must be a valid boolean.';

/** A query parameter that is true or false. */
export const booleanParameter = v.pipe(
  v.picklist(['true', 'false'], NOT_A_BOOLEAN),
  v.transform((text) => text === 'true'),
);

/** Something in a body that is true or false: as JSON's value, or, from a form, as its name. */
export const booleanField = v.pipe(
  v.union([v.boolean(), v.picklist(['true', 'false'])], ({ input }) =>
    input === null ? 'This field may not be null.' : NOT_A_BOOLEAN,
  ),
  v.transform((value) => value === true || value === 'true'),
);

/** The text of a message, as typed: the rules of a frame's text. */
export const messageField = v.pipe(
  v.string('Not a valid string.'),
  v.rawCheck(({ dataset, addIssue }) => {
    const problem = dataset.typed ? messageProblem(dataset.value) : undefined;
    if (problem !== undefined) addIssue({ message: `This field ${problem}` });
  }),
  v.metadata({ minLength: 1, maxLength: MESSAGE_MAX_LENGTH }),
);

/** A query parameter that is an id, in any spelling. */
export const uuidParameter = v.pipe(
  v.string(),
  v.metadata({ format: 'uuid' }),
  v.rawTransform<string, string>(({ dataset, addIssue, NEVER }) => {
    const id = parseUuid(dataset.value);
    if (id !== undefined) return id;
    addIssue({ message: `“${dataset.value}” is not a valid UUID.` });
    return NEVER;
  }),
);

/** A first or last name. */
export const nameField = textField({ maxLength: NAME_MAX_LENGTH });

/** A query parameter that is a text to search users for. */
export const searchParameter = textField({
  maxLength: SEARCH_MAX_LENGTH,
  // Some characters are white space to a search and not to Python.
  rules: [[(text) => searchKey(text) !== '', BLANK]],
});

/** One of some words, with Django REST Framework's messages for anything else. */
export function choiceField<const Choices extends readonly string[]>(choices: Choices) {
  return v.picklist(choices, ({ input }) => {
    if (input === null) return 'This field may not be null.';
    return `"${typeof input === 'string' ? input : JSON.stringify(input)}" is not a valid choice.`;
  });
}

/** An e-mail address to register, lower-cased. */
export const emailField = v.pipe(
  textField({
    maxLength: EMAIL_MAX_LENGTH,
    rules: [[isEmailAddress, 'Enter a valid email address.']],
    describe: { format: 'email' },
  }),
  v.transform((email) => email.toLowerCase()),
);

/** A password, as typed, short enough to be hashed. */
export const passwordField = textField({
  maxLength: PASSWORD_MAX_LENGTH,
  trim: false,
  rules: [
    [
      (password) => utf8Bytes(password.normalize('NFC')) <= PASSWORD_MAX_BYTES,
      `Ensure this field has no more than ${PASSWORD_MAX_BYTES} bytes.`,
    ],
  ],
  describe: { format: 'password' },
});
