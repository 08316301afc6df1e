import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { takeWithin } from '../../src/objects/take-within.ts';

const rows = (...bytes: number[]) => bytes.map((it) => ({ bytes: it }));
const bytesOf = (taken: readonly { bytes: number }[]) => taken.reduce((sum, { bytes }) => sum + bytes, 0);

test.each([
  ['all that fit', rows(3, 3, 3), 5, 9, 3],
  ['no more than the limit', rows(3, 3, 3), 2, 9, 2],
  ['no more bytes than the limit', rows(3, 3, 3), 5, 8, 2],
  ['the first, however large it is', rows(99, 1), 5, 8, 1],
  ['nothing behind one that does not fit', rows(3, 99, 1), 5, 8, 1],
  ['none of none', [], 5, 8, 0],
])('takes %s', (_, all, limit, maxBytes, count) => {
  expect(takeWithin(all, limit, maxBytes)).toEqual(all.slice(0, count));
});

test('takes as many rows from the start as both limits allow, and not one less', () => {
  const row = fc.record({ bytes: fc.nat({ max: 100 }) });
  fc.assert(
    fc.property(fc.array(row), fc.integer({ min: 1, max: 12 }), fc.nat({ max: 500 }), (all, limit, maxBytes) => {
      const taken = takeWithin(all, limit, maxBytes);
      expect(taken).toEqual(all.slice(0, taken.length));
      expect(taken.length).toBeLessThanOrEqual(limit);
      expect(taken.length <= 1 || bytesOf(taken) <= maxBytes).toBe(true);
      const isAll = taken.length === Math.min(limit, all.length);
      // One more would not have fitted, and the first is taken whatever its size.
      const isFull = taken.length > 0 && bytesOf(all.slice(0, taken.length + 1)) > maxBytes;
      expect(isAll || isFull).toBe(true);
    }),
  );
});
