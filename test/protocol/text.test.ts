import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MESSAGE_MAX_LENGTH } from '../../src/config.ts';
import { codePoints, exceedsBytes, jsonBytes, messageProblem, utf8Bytes } from '../../src/protocol/text.ts';

const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 50 });
/** Any string of JavaScript, halves of surrogate pairs included. */
const anyText = fc.oneof(
  units.map((codes) => String.fromCharCode(...codes)),
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom('\ud83d', '\ude00', '"', '\\', '\0', '\n', '\u007f', 'é', '\u2028', '\uffff', 'a'),
  }),
);

const escape = (text: string) => JSON.stringify(text).replace(/[^ -~]/g, (it) => `U+${it.charCodeAt(0).toString(16)}`);

describe('jsonBytes', () => {
  test('is never less than what the text takes as JSON', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(jsonBytes(text)).toBeGreaterThanOrEqual(utf8Bytes(JSON.stringify(text)));
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['each character of the first plane', Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code))],
    [
      'each half of a pair between two letters',
      Array.from({ length: 0x800 }, (_, i) => `a${String.fromCharCode(0xd800 + i)}b`),
    ],
    ['the second half before the first', ['\ude00\ud83d']],
  ])('is never less than what the text takes as JSON: %s', (_, texts) => {
    const tooFew = texts.find((text) => jsonBytes(text) < utf8Bytes(JSON.stringify(text)));
    expect(tooFew && escape(tooFew)).toBeUndefined();
  });

  test('is exact for printable ASCII', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme-ascii' }), (text) => {
        expect(jsonBytes(text)).toBe(JSON.stringify(text).length);
      }),
    );
  });

  test('is at most half as much again for well-formed text without control characters', () => {
    const letters = fc.string({ unit: 'binary' }).map((text) => text.replace(/\p{Cc}/gu, ''));
    fc.assert(
      fc.property(letters, (text) => {
        expect(jsonBytes(text)).toBeLessThanOrEqual(1.5 * utf8Bytes(JSON.stringify(text)));
      }),
    );
  });
});

describe('exceedsBytes', () => {
  test('says whether the text has more bytes of UTF-8 than the limit', () => {
    fc.assert(
      fc.property(anyText, fc.integer({ min: 0, max: 200 }), (text, limit) => {
        expect(exceedsBytes(text, limit)).toBe(utf8Bytes(text) > limit);
      }),
      { numRuns: 2000 },
    );
  });

  test.each(['a', 'é', '€', '😀', '\ud800'])('is exact at the limit: %j', (character) => {
    const text = character.repeat(10);
    const bytes = utf8Bytes(text);
    expect([bytes - 1, bytes, bytes + 1].map((limit) => exceedsBytes(text, limit))).toEqual([true, false, false]);
  });
});

test('characters are counted as code points', () => {
  expect(['', 'a', 'é', '😀', 'e\u0301', '👨‍👩‍👧‍👦', '\ud800', '\ude00\ud83d'].map(codePoints)).toEqual([
    0, 1, 1, 1, 2, 7, 1, 2,
  ]);
});

describe('a message', () => {
  test.each([
    ['a letter', 'a'],
    ['spaces around a letter', ' a\n'],
    ['NUL', '\0'],
    ['a character of no width, which is not white space', '\u200b'],
    ['as many characters as allowed', 'x'.repeat(MESSAGE_MAX_LENGTH)],
    ['as many emoji as allowed', '😀'.repeat(MESSAGE_MAX_LENGTH)],
  ])('may be %s', (_, text) => {
    expect(messageProblem(text)).toBeUndefined();
  });

  test.each([
    ['nothing', '', 'is blank.'],
    ['white space', ' \t\r\n\u00a0\u2003\u3000\ufeff', 'is blank.'],
    ['too much white space', ' '.repeat(MESSAGE_MAX_LENGTH + 1), 'is blank.'],
    ['a first half of a pair', 'a\ud800', 'contains half of a surrogate pair.'],
    ['a second half of a pair', '\udc00a', 'contains half of a surrogate pair.'],
    ['the halves of a pair in the wrong order', '\ude00\ud83d', 'contains half of a surrogate pair.'],
    ['a character more than allowed', 'x'.repeat(MESSAGE_MAX_LENGTH + 1), 'is longer than 4000 characters.'],
    ['an emoji more than allowed', '😀'.repeat(MESSAGE_MAX_LENGTH + 1), 'is longer than 4000 characters.'],
    [
      'a letter after as many emoji as allowed',
      `${'😀'.repeat(MESSAGE_MAX_LENGTH)}a`,
      'is longer than 4000 characters.',
    ],
  ])('may not be %s', (_, text, problem) => {
    expect(messageProblem(text)).toBe(problem);
  });
});
