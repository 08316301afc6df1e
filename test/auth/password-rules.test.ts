import { describe, expect, it } from 'vitest';
import { passwordProblems } from '../../src/auth/password-rules.ts';

const JAQUELINE = { first_name: 'Jaqueline', last_name: 'Featherstone', email: 'jf.1987@example.com' };

const TOO_SHORT = 'This password is too short. It must contain at least 8 characters.';
const TOO_COMMON = 'This password is too common.';
const NUMERIC = 'This password is entirely numeric.';
const LIKE_FIRST_NAME = 'The password is too similar to the first name.';
const LIKE_LAST_NAME = 'The password is too similar to the last name.';
const LIKE_EMAIL = 'The password is too similar to the email.';

describe('a good password', () => {
  it.each(['password321', 'xK3#a9qZ', '  secretpw12  ', 'pässwörd-ключ-🔑', 'correct horse battery staple'])(
    'has no problems: %j',
    (password) => expect(passwordProblems(password, JAQUELINE)).toEqual([]),
  );
});

describe('a short password', () => {
  it('has less than 8 characters', () => {
    expect(passwordProblems('xK3#a9q', JAQUELINE)).toEqual([TOO_SHORT]);
    expect(passwordProblems('xK3#a9qZ', JAQUELINE)).toEqual([]);
  });

  it('is counted in code points, not in UTF-16 units', () => {
    expect(passwordProblems('🔑🔒🔓🗝🚪🏠🏡', JAQUELINE)).toEqual([TOO_SHORT]);
    expect(passwordProblems('🔑🔒🔓🗝🚪🏠🏡🧱', JAQUELINE)).toEqual([]);
  });

  it('counts the white space around it', () => {
    expect(passwordProblems(' xK3#a9 ', JAQUELINE)).toEqual([]);
  });
});

describe('a common password', () => {
  it.each(['password1', 'PASSWORD', 'QwertyUiop', ' football1 ', 'trustno1\n'])(
    'is refused however it is capitalised or padded: %j',
    (password) => expect(passwordProblems(password, JAQUELINE)).toEqual([TOO_COMMON]),
  );

  it('is told that it is short too', () => {
    expect(passwordProblems('qwerty', JAQUELINE)).toEqual([TOO_SHORT, TOO_COMMON]);
  });
});

describe('a numeric password', () => {
  it('is refused', () => {
    expect(passwordProblems('8305716294', JAQUELINE)).toEqual([NUMERIC]);
  });

  it('is refused in the digits of any script', () => {
    expect(passwordProblems('٣٤٥٦٧٨٩٠١', JAQUELINE)).toEqual([NUMERIC]);
  });

  it('has nothing but digits', () => {
    expect(passwordProblems('8305716294.', JAQUELINE)).toEqual([]);
  });
});

describe('a password like its owner', () => {
  it.each([
    ['the first name', 'Jaqueline', LIKE_FIRST_NAME],
    ['the last name', 'featherstone', LIKE_LAST_NAME],
    ['the whole address', 'jf.1987@example.com', LIKE_EMAIL],
    ['a word of the address', 'example!', LIKE_EMAIL],
    ['the characters of a name in another order', 'enotsrehtaef', LIKE_LAST_NAME],
    ['the name and a digit or two', 'Featherstone42', LIKE_LAST_NAME],
  ])('is refused: %s', (_, password, message) => {
    expect(passwordProblems(password, JAQUELINE)).toEqual([message]);
  });

  it('shares 70 percent of the characters of both', () => {
    const person = { ...JAQUELINE, last_name: 'abcdefgh' };
    // 2 * 7 / (12 + 8) = 0.7, and 2 * 7 / (13 + 8) = 0.67.
    expect(passwordProblems('abcdefg12345', person)).toEqual([LIKE_LAST_NAME]);
    expect(passwordProblems('abcdefg123456', person)).toEqual([]);
  });

  it('counts a character as often as both have it', () => {
    // 2 * 4 / (12 + 8) = 0.4, although every character of the password is in the name.
    expect(passwordProblems('aaaabbbbaaaa', { ...JAQUELINE, last_name: 'aabbcccc' })).toEqual([]);
  });

  it('is compared without regard to case, in code points', () => {
    expect(passwordProblems('ÉLODIE🔑Ø', { ...JAQUELINE, first_name: 'élodie🔑ø' })).toEqual([LIKE_FIRST_NAME]);
  });

  it.each(['de-la-featherstone', 'de la.featherstone', "o'featherstone"])('is compared with each word: %s', (name) =>
    expect(passwordProblems('featherstone', { ...JAQUELINE, last_name: name })).toEqual([LIKE_LAST_NAME]),
  );

  it('takes letters of every script and the underscore as parts of a word', () => {
    expect(passwordProblems('фёдорович', { ...JAQUELINE, last_name: 'Достоевский фёдорович' })).toEqual([
      LIKE_LAST_NAME,
    ]);
    expect(passwordProblems('featherstone', { ...JAQUELINE, last_name: 'maria_josefina_featherstone' })).toEqual([]);
  });

  it('is told the first likeness only, in the order first name, last name, email', () => {
    const person = { first_name: 'featherstone', last_name: 'featherstone', email: 'featherstone@example.com' };
    expect(passwordProblems('featherstone', person)).toEqual([LIKE_FIRST_NAME]);
    expect(passwordProblems('featherstone', { ...person, first_name: 'J' })).toEqual([LIKE_LAST_NAME]);
    expect(passwordProblems('featherstone', { ...person, first_name: 'J', last_name: 'F' })).toEqual([LIKE_EMAIL]);
  });

  it('may be long and hold a short name', () => {
    expect(passwordProblems('jane'.repeat(10), { ...JAQUELINE, first_name: 'Jane' })).toEqual([]);
  });

  it('is compared with nothing where a name is empty', () => {
    expect(passwordProblems('xK3#a9qZ', { first_name: '', last_name: '', email: '' })).toEqual([]);
  });
});

describe('several problems', () => {
  it('are told together, in the order similar, short, common, numeric', () => {
    expect(passwordProblems('12345', { ...JAQUELINE, first_name: '12345' })).toEqual([
      LIKE_FIRST_NAME,
      TOO_SHORT,
      TOO_COMMON,
      NUMERIC,
    ]);
  });
});

describe('hostile input', () => {
  it('is answered: the longest password, names and address of nothing but one-letter words', () => {
    const person = { first_name: 'a '.repeat(50), last_name: 'b-'.repeat(50), email: `${'c.'.repeat(95)}c@d.com` };
    expect(passwordProblems('x-'.repeat(64), person)).toEqual([]);
    expect(passwordProblems('9'.repeat(128), person)).toEqual([NUMERIC]);
  });
});
