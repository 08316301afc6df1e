// The data file itself: the package's entry point unpacks this list and another one at every start of an isolate, which
// takes twice the memory.
import commonPasswords from '@zxcvbn-ts/language-common/src/passwords.json';

let lookup: ReadonlySet<string> | undefined;

/**
 * Whether `password` is one of the 49,233 most common ones, however it is capitalised and with or without white space
 * around it (Django's CommonPasswordValidator). Passwords shorter than the minimum are on the list too.
 */
export function isCommonPassword(password: string): boolean {
  // Most isolates never register anybody.
  lookup ??= new Set(commonPasswords);
  return lookup.has(password.toLowerCase().trim());
}
