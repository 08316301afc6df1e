import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseUuid } from '../../src/protocol/uuid.ts';

const CANONICAL = '0b5f6c1e-9d3a-4c7b-8e21-5a4f3d2c1b0a';

test.each([
  ['the canonical one', CANONICAL],
  ['upper case', CANONICAL.toUpperCase()],
  ['mixed case', '0B5f6C1e-9D3a-4c7B-8E21-5a4F3d2C1b0A'],
  ['no dashes', CANONICAL.replaceAll('-', '')],
  ['upper case without dashes', CANONICAL.replaceAll('-', '').toUpperCase()],
])('a spelling that names the same thing: %s', (_, text) => {
  expect(parseUuid(text)).toBe(CANONICAL);
});

test.each([
  ['the empty text', ''],
  ['a word', 'lobby'],
  ['a digit too few', CANONICAL.slice(1)],
  ['a digit too many', `${CANONICAL}0`],
  ['a digit that is none', CANONICAL.replace('0', 'g')],
  ['a full-width digit', CANONICAL.replace('0', '０')],
  ['only some of the dashes', CANONICAL.replace('-', '')],
  ['dashes elsewhere', '0b5f-6c1e9d3a-4c7b-8e21-5a4f3d2c1b0a'],
  ['braces', `{${CANONICAL}}`],
  ['a URN', `urn:uuid:${CANONICAL}`],
  ['a space before it', ` ${CANONICAL}`],
  ['a space behind it', `${CANONICAL} `],
  ['a line break behind it', `${CANONICAL}\n`],
  ['a second line', `${CANONICAL}\n${CANONICAL}`],
])('not a UUID: %s', (_, text) => {
  expect(parseUuid(text)).toBeUndefined();
});

test('every UUID is its own canonical spelling, and so are all its spellings', () => {
  fc.assert(
    fc.property(fc.uuid(), (uuid) => {
      for (const text of [uuid, uuid.toUpperCase(), uuid.replaceAll('-', '')]) expect(parseUuid(text)).toBe(uuid);
    }),
  );
});

const isCanonical = (text: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
const digit = fc.constantFrom(...Array.from('0123456789abcdefABCDEF-'));
const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: digit, minLength: 30, maxLength: 38 }),
  fc.uuid().map((uuid) => uuid.toUpperCase()),
);

test('whatever the text, the answer is a canonical UUID or nothing', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const uuid = parseUuid(text);
      const digits = text.replaceAll('-', '').toLowerCase();
      expect(uuid === undefined || (isCanonical(uuid) && uuid.replaceAll('-', '') === digits)).toBe(true);
    }),
  );
});
