import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  MESSAGE_MAX_LENGTH,
  NAME_MAX_LENGTH,
  REACTION_KINDS_MAX,
  REACTIONS_MAX,
  REF_MAX_LENGTH,
} from '../../src/config.ts';
import { bytesOfMember, bytesOfMessage } from '../../src/conversation/page.ts';
import { takeWithin } from '../../src/objects/take-within.ts';
import type { MemberRow, MessageRow } from '../../src/protocol/rows.ts';
import { utf8Bytes } from '../../src/protocol/text.ts';
import { EMOJI } from '../helpers/emoji.ts';

const LARGEST = Number.MAX_SAFE_INTEGER;
/** What a row takes in a list: its JSON and a comma. */
const bytesInFrame = (row: object) => utf8Bytes(JSON.stringify(row)) + 1;

const texts = (maxLength: number) =>
  fc.oneof(
    fc.string({ unit: 'binary', maxLength }),
    fc.string({ unit: 'grapheme-ascii', maxLength, size: 'max' }),
    fc
      .tuple(fc.constantFrom('x', '"', '\\', '\0', '\n', 'é', '€', '😀'), fc.nat({ max: maxLength }))
      .map(([it, count]) => it.repeat(count)),
  );
const numbers = fc.oneof(fc.nat(), fc.constant(LARGEST));
const nullable = <T>(values: fc.Arbitrary<T>) => fc.option(values);

const messages: fc.Arbitrary<MessageRow> = fc.record({
  n: numbers,
  rev: numbers,
  id: fc.uuid(),
  sender_id: fc.uuid(),
  ref: nullable(texts(REF_MAX_LENGTH)),
  text: nullable(texts(MESSAGE_MAX_LENGTH)),
  reply_to: nullable(numbers),
  created_at: numbers,
  edited_at: nullable(numbers),
  deleted_at: nullable(numbers),
  reactions: fc.uniqueArray(
    fc.record({
      emoji: fc.constantFrom<string>(...EMOJI),
      user_ids: fc.array(fc.uuid(), { minLength: 1, maxLength: 30 }),
    }),
    { maxLength: REACTION_KINDS_MAX, selector: ({ emoji }) => emoji },
  ),
});
const members: fc.Arbitrary<MemberRow> = fc.record({
  user_id: fc.uuid(),
  rev: numbers,
  first_name: texts(NAME_MAX_LENGTH),
  last_name: texts(NAME_MAX_LENGTH),
  role: fc.constant('member'),
  read: numbers,
  delivered: numbers,
  left_at: nullable(numbers),
});

/** A message with nothing in it but the largest of everything. */
const largest: MessageRow = {
  n: LARGEST,
  rev: LARGEST,
  id: crypto.randomUUID(),
  sender_id: crypto.randomUUID(),
  ref: '\0'.repeat(REF_MAX_LENGTH),
  text: '\0'.repeat(MESSAGE_MAX_LENGTH),
  reply_to: LARGEST,
  created_at: LARGEST,
  edited_at: LARGEST,
  deleted_at: LARGEST,
  reactions: [],
};
const longestEmoji = EMOJI.toSorted((a, b) => utf8Bytes(b) - utf8Bytes(a))[0] ?? '';
const users = (count: number) => Array.from({ length: count }, () => crypto.randomUUID());

describe('the size of a row', () => {
  test('of a message is never less than it takes in a frame', () => {
    fc.assert(
      fc.property(messages, (row) => {
        expect(bytesOfMessage(row)).toEqual({ rev: row.rev, bytes: expect.any(Number) });
        expect(bytesOfMessage(row).bytes).toBeGreaterThanOrEqual(bytesInFrame(row));
      }),
      { numRuns: 500 },
    );
  }, 30_000);

  test('of a member is never less than it takes in a frame', () => {
    fc.assert(
      fc.property(members, (row) => {
        expect(bytesOfMember(row)).toEqual({ rev: row.rev, bytes: expect.any(Number) });
        expect(bytesOfMember(row).bytes).toBeGreaterThanOrEqual(bytesInFrame(row));
      }),
      { numRuns: 500 },
    );
  }, 30_000);

  test.each([
    ['nothing but what it must have', { ...largest, ref: null, text: null }],
    ['the longest text and ref', largest],
    [
      'the longest text of emoji',
      { ...largest, ref: '😀'.repeat(REF_MAX_LENGTH), text: '😀'.repeat(MESSAGE_MAX_LENGTH) },
    ],
    ['reactions of everyone', { ...largest, reactions: [{ emoji: longestEmoji, user_ids: users(REACTIONS_MAX) }] }],
    [
      'reactions of many kinds, one of each',
      {
        ...largest,
        reactions: Array.from({ length: REACTION_KINDS_MAX }, () => ({ emoji: longestEmoji, user_ids: users(1) })),
      },
    ],
    [
      'as many reactions of as many kinds as there may be',
      {
        ...largest,
        reactions: Array.from({ length: REACTION_KINDS_MAX }, () => ({
          emoji: longestEmoji,
          user_ids: users(REACTIONS_MAX / REACTION_KINDS_MAX),
        })),
      },
    ],
  ])('of a message with the largest numbers is never less: %s', (_, row) => {
    expect(bytesOfMessage(row).bytes).toBeGreaterThanOrEqual(bytesInFrame(row));
  });

  test.each(['x', '"', '\0', '€', '😀'])(
    'of a member with the largest numbers and the longest names is never less: %j',
    (character) => {
      const name = character.repeat(NAME_MAX_LENGTH);
      const row = {
        user_id: crypto.randomUUID(),
        rev: LARGEST,
        first_name: name,
        last_name: name,
        role: 'member',
        read: LARGEST,
        delivered: LARGEST,
        left_at: LARGEST,
      };
      expect(bytesOfMember(row).bytes).toBeGreaterThanOrEqual(bytesInFrame(row));
    },
  );

  test('of a long message is not much more than it takes, so that pages are full', () => {
    const row = { ...largest, ref: crypto.randomUUID(), text: 'x'.repeat(MESSAGE_MAX_LENGTH) };
    const reactions = [{ emoji: '👍', user_ids: users(100) }];
    for (const full of [row, { ...row, reactions }])
      expect(bytesOfMessage(full).bytes).toBeLessThan(1.1 * bytesInFrame(full));
  });
});

const sized = (...sizes: number[]) => sizes.map((bytes) => ({ bytes }));

describe('what fits', () => {
  test('is the first rows, up to the limit of rows', () => {
    expect(takeWithin(sized(1, 2, 3), 2, 100)).toEqual(sized(1, 2));
  });

  test('is the first rows, up to the limit of bytes, which they may reach', () => {
    expect(takeWithin(sized(1, 2, 3), 10, 6)).toEqual(sized(1, 2, 3));
    expect(takeWithin(sized(1, 2, 3), 10, 5)).toEqual(sized(1, 2));
  });

  test('ends with the first row that does not fit, though a later one would: nothing is left out in between', () => {
    expect(takeWithin(sized(1, 100, 1), 10, 50)).toEqual(sized(1));
  });

  test('is the first row in any case', () => {
    expect(takeWithin(sized(100, 1), 10, 50)).toEqual(sized(100));
  });

  test('is nothing of nothing', () => {
    expect(takeWithin([], 10, 50)).toEqual([]);
  });

  test('is always as many rows from the start as both limits allow', () => {
    const rows = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 50 }) }), { maxLength: 20 });
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 200 }), (all, limit, maxBytes) => {
        const taken = takeWithin(all, limit, maxBytes);
        const size = (count: number) => all.slice(0, count).reduce((sum, { bytes }) => sum + bytes, 0);
        expect(taken).toEqual(all.slice(0, taken.length));
        expect(taken.length <= limit && (taken.length <= 1 || size(taken.length) <= maxBytes)).toBe(true);
        const isMost = taken.length === Math.min(limit, all.length) || size(taken.length + 1) > maxBytes;
        expect(isMost && (taken.length > 0 || all.length === 0)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
