import { describe, expect, it } from 'vitest';
import {
  emailChangedLetter,
  passwordChangedLetter,
  passwordResetLetter,
  verificationLetter,
} from '../../src/mail/letters.ts';

const LINK = 'https://chat.example.org/reset-password/?token=a.b-c_d.e';

const LETTERS = [
  {
    name: 'passwordResetLetter',
    letter: passwordResetLetter(LINK),
    link: true,
    todo: /Choose one here within an hour/,
  },
  {
    name: 'verificationLetter',
    letter: verificationLetter(LINK),
    link: true,
    todo: /confirm it here within three days/,
  },
  {
    name: 'passwordChangedLetter',
    letter: passwordChangedLetter(),
    link: false,
    todo: /ask for a new password at once/,
  },
  { name: 'emailChangedLetter', letter: emailChangedLetter(), link: false, todo: /write to whoever runs this service/ },
];

describe.each(LETTERS)('$name', ({ letter: { subject, text }, link, todo }) => {
  it('has a subject of one line that says what it is about', () => {
    expect(subject).toMatch(/^[A-Z][A-Za-z -]{5,60}$/);
  });

  it('is plain text that ends with one line break', () => {
    expect(text).toMatch(/[^\n]\n$/);
    expect(text).not.toMatch(/[<>&]|\r|\t/);
  });

  it('says what to do, and what if it was not they who did it', () => {
    expect(text).toMatch(todo);
    expect(text).toMatch(/If it was not you/);
  });

  it('has its link, if it is one with a link, on a line of its own, and no other', () => {
    expect(text.split('\n').filter((line) => line === LINK)).toHaveLength(link ? 1 : 0);
    expect(text.match(/https?:/g) ?? []).toHaveLength(link ? 1 : 0);
  });

  it('names no address and nobody', () => {
    expect(text.replace(LINK, '')).not.toMatch(/@|undefined|null/);
  });
});
