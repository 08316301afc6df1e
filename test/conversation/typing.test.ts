import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TYPING_INTERVAL_MS } from '../../src/config.ts';
import { Typing } from '../../src/conversation/typing.ts';

const NOW = 1_763_900_000_000;

describe('who types', () => {
  test('is told', () => {
    expect(new Typing().set('john', true, NOW)).toEqual({ tell: true });
  });

  test('is told again after the interval, and not before', () => {
    const typing = new Typing();
    typing.set('john', true, NOW);
    expect(typing.set('john', true, NOW)).toEqual({ wait: TYPING_INTERVAL_MS });
    expect(typing.set('john', true, NOW + TYPING_INTERVAL_MS - 1)).toEqual({ wait: 1 });
    expect(typing.set('john', true, NOW + TYPING_INTERVAL_MS)).toEqual({ tell: true });
    expect(typing.set('john', true, NOW + TYPING_INTERVAL_MS)).toEqual({ wait: TYPING_INTERVAL_MS });
  });

  test('and stops is told once', () => {
    const typing = new Typing();
    typing.set('john', true, NOW);
    expect(typing.set('john', false, NOW + 1)).toEqual({ tell: true });
    expect(typing.set('john', false, NOW + 2)).toEqual({ tell: false });
  });

  test('and never began need not be told', () => {
    expect(new Typing().set('john', false, NOW)).toEqual({ tell: false });
  });

  test('may not begin more often by stopping in between', () => {
    const typing = new Typing();
    typing.set('john', true, NOW);
    typing.set('john', false, NOW + 1);
    expect(typing.set('john', true, NOW + 2)).toEqual({ wait: TYPING_INTERVAL_MS - 2 });
    expect(typing.set('john', false, NOW + 3)).toEqual({ tell: false });
  });

  test('waits for nobody else', () => {
    const typing = new Typing();
    typing.set('john', true, NOW);
    expect(typing.set('ray', true, NOW)).toEqual({ tell: true });
    typing.set('ray', false, NOW);
    expect(typing.set('john', false, NOW)).toEqual({ tell: true });
  });
});

type Step = { on: boolean; passed: number };
const steps = (passed: fc.Arbitrary<number>) =>
  fc.array(fc.record({ on: fc.boolean(), passed }), { minLength: 1, maxLength: 50 });
const forwards = fc.oneof(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 2 * TYPING_INTERVAL_MS }));
const bothWays = fc.oneof(forwards, fc.integer({ min: -10_000, max: 10_000 }), fc.constantFrom(-3_600_000, 3_600_000));

function replay(sequence: Step[]) {
  const typing = new Typing();
  let now = NOW;
  const told = sequence.map(({ on, passed }) => {
    now += passed;
    return { on, now, ...typing.set('john', on, now) };
  });
  return { typing, told, now };
}

describe('over any sequence of beginnings and ends', () => {
  test('two beginnings that are told are as far apart as they should be', () => {
    fc.assert(
      fc.property(steps(forwards), (sequence) => {
        const beginnings = replay(sequence).told.filter(({ on, tell }) => on && tell);
        const gaps = beginnings.slice(1).map(({ now }, i) => now - (beginnings[i]?.now ?? 0));
        expect(Math.min(TYPING_INTERVAL_MS, ...gaps)).toBe(TYPING_INTERVAL_MS);
      }),
      { numRuns: 1000 },
    );
  });

  test('an end is told if and only if the last that was told is a beginning', () => {
    fc.assert(
      fc.property(steps(bothWays), (sequence) => {
        const { told } = replay(sequence);
        const ends = told.flatMap(({ on, tell }, i) => {
          const isShown = told.slice(0, i).findLast((earlier) => earlier.tell)?.on ?? false;
          return on ? [] : [{ tell, isShown }];
        });
        expect(ends).toEqual(ends.map(({ isShown }) => ({ tell: isShown, isShown })));
      }),
      { numRuns: 1000 },
    );
  });

  test('who must wait, waits no longer than the interval, whatever the clock does, and is told then', () => {
    fc.assert(
      fc.property(steps(bothWays), (sequence) => {
        const { typing, told, now } = replay(sequence);
        const wait = told.at(-1)?.wait;
        fc.pre(wait !== undefined);
        expect(wait).toBeGreaterThan(0);
        expect(wait).toBeLessThanOrEqual(TYPING_INTERVAL_MS);
        expect(typing.set('john', true, now + wait)).toEqual({ tell: true });
      }),
      { numRuns: 1000 },
    );
  });
});
