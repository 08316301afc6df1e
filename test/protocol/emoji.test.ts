import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseEmoji } from '../../src/protocol/emoji.ts';
import { EMOJI } from '../helpers/emoji.ts';

const withoutPresentation = (text: string) => text.replaceAll('\ufe0f', '');

describe('an emoji', () => {
  test.each(EMOJI)('is itself: %s', (emoji) => {
    expect(parseEmoji(emoji)).toBe(emoji);
  });

  test.each([
    ['a heart', '\u2764'],
    ['a pointing hand', '\u261d'],
    ['two exclamation marks', '\u203c'],
    ['a copyright sign', '\u00a9'],
    ['a telephone', '\u260e'],
    ['a spade', '\u2660'],
    ['an arrow', '\u2194'],
    ['a chess pawn', '\u265f'],
  ])('that is text unless it is said to be coloured is coloured: %s', (_, plain) => {
    expect(parseEmoji(plain)).toBe(`${plain}\ufe0f`);
  });

  test.each(EMOJI)('is the same however often it is said to be coloured: %s', (emoji) => {
    expect(parseEmoji(withoutPresentation(emoji))).toBe(emoji);
    expect(parseEmoji(emoji.replaceAll('\ufe0f', '\ufe0f\ufe0f'))).toBe(emoji);
  });

  test.each([
    ['a heart on fire', '\u2764\u200d🔥', '\u2764\ufe0f\u200d🔥'],
    ['an eye in a bubble', '👁\u200d🗨', '👁\ufe0f\u200d🗨\ufe0f'],
    ['a keycap', '1\u20e3', '1\ufe0f\u20e3'],
    ['a man who detects', '🕵\ufe0f\u200d\u2642', '🕵\ufe0f\u200d\u2642\ufe0f'],
    ['a smile said to be coloured', '😀\ufe0f', '😀'],
    ['a dark hand said to be coloured', '\u261d\ufe0f🏿', '\u261d🏿'],
  ])('that a keyboard spells in its own way is spelled canonically: %s', (_, spelled, canonical) => {
    expect(parseEmoji(spelled)).toBe(canonical);
  });
});

describe('what is not one emoji', () => {
  test.each([
    ['nothing', ''],
    ['a letter', 'a'],
    ['a word', 'thumbs up'],
    ['a name', ':thumbsup:'],
    ['a digit', '1'],
    ['a digit said to be coloured', '1\ufe0f'],
    ['a number sign', '#'],
    ['an asterisk', '*'],
    ['a keycap without its key', '\u20e3'],
    ['two emoji', '😀😀'],
    ['two emoji that are joined although nobody knows them so', '😀\u200d😀'],
    ['an emoji and a letter', '😀a'],
    ['an emoji and a space', '😀 '],
    ['a line break and an emoji', '\n😀'],
    ['an emoji and a line break', '😀\n'],
    ['an emoji and NUL', '😀\0'],
    ['an emoji said to be text', '❤\ufe0e'],
    ['half a flag', '🇩'],
    ['a flag of no country', '🇩🇩'],
    ['a flag and a half', '🇩🇪🇩'],
    ['two skin tones', '👍🏽🏽'],
    ['a skin tone on what has no skin', '🚗🏽'],
    ['a family with a dangling joiner', '👨\u200d👩\u200d'],
    ['a joiner', '\u200d'],
    ['a variation selector', '\ufe0f'],
    ['the first half of a surrogate pair', '\ud83d'],
    ['the second half of a surrogate pair', '\ude00'],
    ['an emoji and half of another', '😀\ud83d'],
    ['a smile of ASCII', ':-)'],
    ['a Chinese character', '笑'],
    ['a combining mark', '\u0301'],
    ['a private character', '\ue001'],
    ['very many emoji', '😀'.repeat(10_000)],
  ])('is refused: %s', (_, text) => {
    expect(parseEmoji(text)).toBeUndefined();
  });
});

const parts = fc.constantFrom(
  ...EMOJI,
  '\ufe0f',
  '\ufe0e',
  '\u200d',
  '\u20e3',
  '\u2764',
  '🏽',
  '🇩',
  '1',
  'a',
  '\ud83d',
);
const nearlyEmoji = fc.oneof(
  fc.array(parts, { maxLength: 5 }).map((texts) => texts.join('')),
  fc.string({ unit: 'binary', maxLength: 3 }),
  fc.string({ unit: 'grapheme', maxLength: 2 }),
);

test('the canonical spelling is canonical itself', () => {
  fc.assert(
    fc.property(nearlyEmoji, (text) => {
      const canonical = parseEmoji(text);
      expect(canonical === undefined || parseEmoji(canonical) === canonical).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test('an emoji has one spelling, wherever its writer put variation selectors', () => {
  fc.assert(
    fc.property(fc.constantFrom(...EMOJI), fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }), (emoji, kept) => {
      const plain = Array.from(withoutPresentation(emoji));
      const spelled = plain.map((character, i) => (kept[i] ? `${character}\ufe0f` : character)).join('');
      expect([undefined, emoji]).toContain(parseEmoji(spelled));
    }),
    { numRuns: 2000 },
  );
});
