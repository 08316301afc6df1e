import { describe, expect, test } from 'vitest';
import { FRAME_MAX_BYTES, MESSAGE_MAX_LENGTH, PAGE_SIZE, REF_MAX_LENGTH } from '../../src/config.ts';
import { decodeClientFrame } from '../../src/protocol/client-frames.ts';
import { utf8Bytes } from '../../src/protocol/text.ts';

const decode = (frame: object) => decodeClientFrame(JSON.stringify(frame));
/** Decodes a frame, one value of which is spelled as JSON.stringify would not. */
const decodeWith = (frame: object, key: string, json: string) =>
  decodeClientFrame(JSON.stringify({ ...frame, [key]: '<json>' }).replace('"<json>"', () => json));

const SEND = { type: 'send', ref: 'r1', text: 'Hello' };
const EDIT = { type: 'edit', ref: 'r1', n: 1, text: 'Hello' };
const DELETE = { type: 'delete', ref: 'r1', n: 1 };
const REACT = { type: 'react', ref: 'r1', n: 1, emoji: '👍', on: true };
const HISTORY = { type: 'history', ref: 'r1', limit: PAGE_SIZE };
const SYNC = { type: 'sync', ref: 'r1', after: 0 };
const MARK = { type: 'mark', read: 1, delivered: 2 };
const TYPING = { type: 'typing', on: true };
const LARGEST = Number.MAX_SAFE_INTEGER;

/** So many emoji in JSON, as long as they can be spelled. */
const escaped = (count: number) => `"${String.raw`\ud83d\ude00`.repeat(count)}"`;

describe('a frame is accepted with exactly its fields', () => {
  test.each([
    ['send', SEND],
    ['send, in answer to a message', { ...SEND, reply_to: 1 }],
    ['send, in answer to none', { ...SEND, reply_to: null }],
    ['edit', EDIT],
    ['delete', DELETE],
    ['react, to add it', REACT],
    ['react, to take it back', { ...REACT, on: false }],
    ['history', HISTORY],
    ['history before', { ...HISTORY, before: 1 }],
    ['history after', { ...HISTORY, after: 0 }],
    ['history around', { ...HISTORY, around: 1 }],
    ['history of one', { ...HISTORY, limit: 1 }],
    ['sync', SYNC],
    ['mark', MARK],
    ['mark read', { type: 'mark', read: 0 }],
    ['mark delivered', { type: 'mark', delivered: 0 }],
    ['typing', TYPING],
    ['typing no more', { type: 'typing', on: false }],
    ['the largest numbers', { ...REACT, n: LARGEST }],
    ['the largest cursor', { ...SYNC, after: LARGEST }],
    ['the largest marks', { type: 'mark', read: LARGEST, delivered: LARGEST }],
  ])('%s', (_, frame) => {
    expect(decode(frame)).toStrictEqual({ frame });
    expect(decode({ ...frame, unknown: 1, N: 2, message: 'x', user_id: null })).toStrictEqual({ frame });
  });

  test('history of as many as a page has, unless it asks for fewer', () => {
    expect(decode({ type: 'history', ref: 'r1' })).toStrictEqual({ frame: HISTORY });
  });

  test('react with the canonical spelling of its emoji', () => {
    expect(decode({ ...REACT, emoji: '\u2764' }).frame).toStrictEqual({ ...REACT, emoji: '\u2764\ufe0f' });
  });

  test('a frame that names a key twice: the last one counts', () => {
    const frame = '{"type":"edit","type":"send","ref":"r1","text":"a","text":"Hello"}';
    expect(decodeClientFrame(frame)).toStrictEqual({ frame: SEND });
  });

  test('numbers however JSON spells them', () => {
    for (const json of ['1.0', '1e0', '0.1E1', '10e-1']) {
      expect(decodeWith(DELETE, 'n', json)).toStrictEqual({ frame: DELETE });
    }
  });

  test('texts however JSON escapes them', () => {
    expect(decodeWith(SEND, 'text', String.raw`"\u0048\ud83d\ude00\/\n"`).frame).toMatchObject({ text: 'H😀/\n' });
  });

  test.each([
    ['as many characters as a message may have', 'x'.repeat(MESSAGE_MAX_LENGTH)],
    ['as many emoji as a message may have', '😀'.repeat(MESSAGE_MAX_LENGTH)],
    ['NUL', 'a\0b'],
    ['white space around it, which stays', '  Hello\n'],
  ])('text: %s', (_, text) => {
    expect(decode({ ...SEND, text }).frame).toStrictEqual({ ...SEND, text });
    expect(decode({ ...EDIT, text }).frame).toStrictEqual({ ...EDIT, text });
  });

  test.each([
    ['a character', 'x'],
    ['a space', ' '],
    ['NUL', '\0'],
    ['as many characters as it may have', 'x'.repeat(REF_MAX_LENGTH)],
    ['as many emoji as it may have', '😀'.repeat(REF_MAX_LENGTH)],
    ['the name of something that every object has', '__proto__'],
  ])('ref: %s', (_, ref) => {
    expect(decode({ ...DELETE, ref })).toStrictEqual({ frame: { ...DELETE, ref } });
  });

  test('the longest text and the longest ref, every character escaped, within the bytes that a frame may have', () => {
    const frame = `{"type":"edit","ref":${escaped(REF_MAX_LENGTH)},"n":${LARGEST},"text":${escaped(MESSAGE_MAX_LENGTH)}}`;
    expect(utf8Bytes(frame)).toBeLessThanOrEqual(FRAME_MAX_BYTES);
    expect(decodeClientFrame(frame).frame).toMatchObject({ type: 'edit', text: '😀'.repeat(MESSAGE_MAX_LENGTH) });
  });
});

const bad = (message: string) => ({ problem: { code: 'bad_frame', message, ref: 'r1' } });
const invalid = (message: string) => ({ problem: { code: 'invalid_text', message, ref: 'r1' } });
const badWithoutRef = (message: string) => ({ problem: { code: 'bad_frame', message } });

/** Whole-number fields: of which frame, and the least that they may be. */
const NUMBERS = [
  ['reply_to', SEND, 1],
  ['n', EDIT, 1],
  ['n', DELETE, 1],
  ['n', REACT, 1],
  ['before', HISTORY, 1],
  ['after', HISTORY, 0],
  ['around', HISTORY, 1],
  ['limit', HISTORY, 1],
  ['after', SYNC, 0],
] as const;

describe('a number is refused', () => {
  const notNumbers = ['"1"', 'true', '[1]', '{"n":1}', '1.5', '-1', '9007199254740992', '1e400', '-1e400'];

  test.each(NUMBERS)('that is none, or out of range: %s of %j', (key, frame, least) => {
    const tooSmall = String(least - 1);
    const isNullable = key === 'reply_to';
    for (const json of [...notNumbers, tooSmall, ...(isNullable ? [] : ['null'])]) {
      expect(decodeWith(frame, key, json)).toStrictEqual(bad(`"${key}" is not a whole number of at least ${least}.`));
    }
    expect(decodeWith(frame, key, String(least)).frame).toMatchObject({ [key]: least });
  });

  test.each(['read', 'delivered'])('that is none, or out of range: %s of mark', (key) => {
    for (const json of [...notNumbers, 'null']) {
      expect(decodeWith(MARK, key, json)).toStrictEqual(badWithoutRef(`"${key}" is not a whole number of at least 0.`));
    }
  });

  test('that asks for more messages than a page has', () => {
    expect(decode({ ...HISTORY, limit: PAGE_SIZE }).frame).toMatchObject({ limit: PAGE_SIZE });
    for (const limit of [PAGE_SIZE + 1, LARGEST]) {
      expect(decode({ ...HISTORY, limit })).toStrictEqual(bad('"limit" is more than 100.'));
    }
  });
});

describe('a field that is missing is named', () => {
  test.each([
    ['text', SEND],
    ['n', EDIT],
    ['text', EDIT],
    ['n', DELETE],
    ['n', REACT],
    ['emoji', REACT],
    ['on', REACT],
    ['after', SYNC],
  ])('%s of %j', (key, frame) => {
    expect(decode({ ...frame, [key]: undefined })).toStrictEqual(bad(`The frame has no "${key}".`));
  });

  test.each([SEND, EDIT, DELETE, REACT, HISTORY, SYNC])('ref of %j', (frame) => {
    expect(decode({ ...frame, ref: undefined })).toStrictEqual(badWithoutRef('The frame has no "ref".'));
  });

  test('on of typing', () => {
    expect(decode({ type: 'typing' })).toStrictEqual(badWithoutRef('The frame has no "on".'));
  });

  test('mark without either of its marks', () => {
    expect(decode({ type: 'mark' })).toStrictEqual(badWithoutRef('The frame has neither "read" nor "delivered".'));
    expect(decode({ type: 'mark', ref: 'r1' })).toStrictEqual(bad('The frame has neither "read" nor "delivered".'));
  });
});

describe('a ref is refused, and not repeated', () => {
  const wrongLength = '"ref" does not have 1 to 64 characters of Unicode.';
  test.each([
    ['null', null, '"ref" is not a string.'],
    ['a number', 1, '"ref" is not a string.'],
    ['a list', ['r1'], '"ref" is not a string.'],
    ['nothing', '', wrongLength],
    ['a character too many', 'x'.repeat(REF_MAX_LENGTH + 1), wrongLength],
    ['an emoji too many', '😀'.repeat(REF_MAX_LENGTH + 1), wrongLength],
    ['a letter and as many emoji as it may have', `x${'😀'.repeat(REF_MAX_LENGTH)}`, wrongLength],
    ['as much as a frame can have', 'x'.repeat(60_000), wrongLength],
    ['half of a surrogate pair', 'a\ud800', wrongLength],
  ])('%s', (_, ref, message) => {
    for (const frame of [SEND, EDIT, DELETE, REACT, HISTORY, SYNC]) {
      expect(decode({ ...frame, ref })).toStrictEqual(badWithoutRef(message));
    }
  });

  test('also of a frame that has another fault, or needs none', () => {
    for (const ref of [null, 1, '', 'x'.repeat(REF_MAX_LENGTH + 1), '\udc00', ['r1']]) {
      for (const frame of [{ type: 'typing' }, { type: 'mark' }, { type: 'unknown' }, {}]) {
        expect(decode({ ...frame, ref }).problem).not.toHaveProperty('ref');
      }
    }
  });

  test('a frame that is not answered may have any: it is ignored', () => {
    for (const ref of ['r1', '', null, '\ud800']) expect(decode({ ...TYPING, ref })).toStrictEqual({ frame: TYPING });
  });
});

describe('a text is refused', () => {
  test.each([
    ['null', null, bad('"text" is not a string.')],
    ['a number', 5, bad('"text" is not a string.')],
    ['a list', ['Hello'], bad('"text" is not a string.')],
    ['an object', { text: 'Hello' }, bad('"text" is not a string.')],
    ['nothing', '', invalid('"text" is blank.')],
    ['white space', ' \n\u3000\ufeff', invalid('"text" is blank.')],
    ['half of a surrogate pair', 'a\ud800b', invalid('"text" contains half of a surrogate pair.')],
    ['a character too many', 'x'.repeat(4001), invalid('"text" is longer than 4000 characters.')],
    ['an emoji too many', '😀'.repeat(4001), invalid('"text" is longer than 4000 characters.')],
  ])('%s', (_, text, problem) => {
    for (const frame of [SEND, EDIT]) expect(decode({ ...frame, text })).toStrictEqual(problem);
  });
});

describe('other fields are refused', () => {
  test.each([
    ['a word', 'thumbs up', '"emoji" is not an emoji.'],
    ['nothing', '', '"emoji" is not an emoji.'],
    ['two', '👍👍', '"emoji" is not an emoji.'],
    ['half of a surrogate pair', '\ud83d', '"emoji" is not an emoji.'],
    ['null', null, '"emoji" is not a string.'],
    ['a list', ['👍'], '"emoji" is not a string.'],
  ])('emoji: %s', (_, emoji, message) => {
    expect(decode({ ...REACT, emoji })).toStrictEqual(bad(message));
  });

  test.each([null, 'true', 0, 1, [], {}])('on: %j', (on) => {
    expect(decode({ ...REACT, on })).toStrictEqual(bad('"on" is neither true nor false.'));
    expect(decode({ ...TYPING, on })).toStrictEqual(badWithoutRef('"on" is neither true nor false.'));
  });

  test.each([
    { before: 2, after: 1 },
    { before: 1, around: 1 },
    { after: 0, around: 1 },
    { before: 1, after: 1, around: 1 },
  ])('more than one place of history: %j', (places) => {
    expect(decode({ ...HISTORY, ...places })).toStrictEqual(
      bad('Only one of "before", "after" and "around" may be given.'),
    );
  });
});
