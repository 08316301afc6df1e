import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RATE_FRAME_BYTES, RATE_PAGE_TOKENS } from '../../src/config.ts';
import { frameTokens, RateLimit, requestTokens } from '../../src/objects/rate-limit.ts';

const NOW = 1_763_900_000_000;
const RATE = { burst: 10, perSecond: 2 };

/** Takes one token so often at one time, and says what came of it. */
const takeOften = (limit: RateLimit, times: number, now: number) =>
  Array.from({ length: times }, () => limit.take('john', 1, now, RATE));

describe('the rate limit of a user', () => {
  test('lets a burst pass and says how long to wait for more', () => {
    const limit = new RateLimit();
    expect(takeOften(limit, 11, NOW)).toEqual([...Array<number>(10).fill(0), 500]);
  });

  test('gives tokens back with time', () => {
    const limit = new RateLimit();
    takeOften(limit, 10, NOW);
    expect(takeOften(limit, 3, NOW + 1000)).toEqual([0, 0, 500]);
  });

  test('gives parts of tokens back too', () => {
    const limit = new RateLimit();
    takeOften(limit, 10, NOW);
    expect([NOW + 250, NOW + 499, NOW + 500].map((now) => limit.take('john', 1, now, RATE))).toEqual([250, 1, 0]);
  });

  test('never gives back more than the burst', () => {
    const limit = new RateLimit();
    takeOften(limit, 10, NOW);
    expect(takeOften(limit, 11, NOW + 1e9)).toEqual([...Array<number>(10).fill(0), 500]);
  });

  test('takes nothing for what it refuses', () => {
    const limit = new RateLimit();
    takeOften(limit, 10, NOW);
    for (let i = 0; i < 100; i += 1) limit.take('john', 5, NOW, RATE);
    expect(limit.take('john', 1, NOW + 500, RATE)).toBe(0);
  });

  test('refuses what is dear and lets pass what is cheap', () => {
    const limit = new RateLimit();
    takeOften(limit, 6, NOW);
    expect(limit.take('john', 5, NOW, RATE)).toBe(500);
    expect(limit.take('john', 4, NOW, RATE)).toBe(0);
  });

  test('is that of one user, whatever others do', () => {
    const limit = new RateLimit();
    takeOften(limit, 11, NOW);
    expect(limit.take('ray', 10, NOW, RATE)).toBe(0);
    expect(limit.refusals('ray')).toBe(0);
  });

  test('lets pass what costs more than a full bucket, once it is full, and has it paid for afterwards', () => {
    const limit = new RateLimit();
    takeOften(limit, 1, NOW);
    expect(limit.take('john', 30, NOW, RATE)).toBe(500);
    expect(limit.take('john', 30, NOW + 500, RATE)).toBe(0);
    expect(limit.take('john', 1, NOW + 500, RATE)).toBe(10_500);
    expect(limit.take('john', 1, NOW + 11_000, RATE)).toBe(0);
  });

  test('goes on giving tokens after the clock was set back', () => {
    const limit = new RateLimit();
    takeOften(limit, 10, NOW);
    expect(limit.take('john', 1, NOW - 3_600_000, RATE)).toBe(500);
    expect(limit.take('john', 1, NOW - 3_600_000 + 500, RATE)).toBe(0);
  });
});

describe('the wait', () => {
  test('is exact at every rate and for every cost, also where a millisecond gives back no exact fraction', () => {
    const cases = Array.from({ length: 100 }, (_, i) => i + 1).flatMap((perSecond) =>
      Array.from({ length: 64 }, (_, i) => ({ perSecond, burst: i + 1 })),
    );
    const inexact = cases.filter((rate) => {
      const limit = new RateLimit();
      limit.take('john', rate.burst, NOW, rate);
      const wait = limit.take('john', rate.burst, NOW, rate);
      const isSooner = limit.take('john', rate.burst, NOW + wait - 1, rate) === 0;
      return isSooner || limit.take('john', rate.burst, NOW + wait, rate) !== 0;
    });
    expect(inexact).toEqual([]);
  });

  test('is never none for what lacks less than a millisecond gives: who asks in each gets no more than the rate', () => {
    const rates = Array.from({ length: 100 }, (_, i) => ({ perSecond: i + 1, burst: 1 }));
    const granted = rates.map((rate) => {
      const limit = new RateLimit();
      const asked = Array.from({ length: 1000 }, (_, i) => limit.take('john', 1, NOW + i, rate));
      return asked.filter((wait) => wait === 0).length;
    });
    for (const [i, { perSecond }] of rates.entries()) expect(granted[i]).toBeLessThanOrEqual(1 + perSecond);
  });
});

describe('refusals', () => {
  test('are counted', () => {
    const limit = new RateLimit();
    expect(limit.refusals('john')).toBe(0);
    takeOften(limit, 10, NOW);
    expect(limit.refusals('john')).toBe(0);
    takeOften(limit, 3, NOW);
    expect(limit.refusals('john')).toBe(3);
  });

  test('are made good by what passes, one by one: who sends on regardless gains nothing by what slips through', () => {
    const limit = new RateLimit();
    takeOften(limit, 13, NOW);
    takeOften(limit, 1, NOW + 500);
    expect(limit.refusals('john')).toBe(2);
    takeOften(limit, 5, NOW + 1000);
    expect(limit.refusals('john')).toBe(5);
  });

  test('are forgotten when the bucket is full again', () => {
    const limit = new RateLimit();
    takeOften(limit, 110, NOW);
    expect(limit.refusals('john')).toBe(100);
    takeOften(limit, 1, NOW + 4999);
    expect(limit.refusals('john')).toBe(99);
    takeOften(limit, 1, NOW + 4999 + 501);
    expect(limit.refusals('john')).toBe(0);
  });

  test('are never fewer than none', () => {
    const limit = new RateLimit();
    takeOften(limit, 12, NOW);
    for (let i = 1; i <= 5; i += 1) takeOften(limit, 1, NOW + i * 500);
    expect(limit.refusals('john')).toBe(0);
    takeOften(limit, 1, NOW + 2500);
    expect(limit.refusals('john')).toBe(1);
  });
});

const rates = fc.record({ burst: fc.integer({ min: 1, max: 2000 }), perSecond: fc.integer({ min: 1, max: 100 }) });
type Rate = { burst: number; perSecond: number };
type Take = { passed: number; tokens: number };

/** Takes, with the milliseconds that pass before each: sometimes none, sometimes fewer than none. */
const takes = (passed: fc.Arbitrary<number>) =>
  fc.array(fc.record({ passed, tokens: fc.integer({ min: 1, max: 70 }) }), { minLength: 1, maxLength: 60 });
const forwardsOnly = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 5000 }));
const bothWays = fc.oneof(forwardsOnly, fc.integer({ min: -5000, max: 5000 }), fc.constantFrom(-3_600_000, 3_600_000));

/** Does all takes, and returns when, what was granted, and how long to wait for the last one. */
function replay(limit: RateLimit, sequence: readonly Take[], rate: Rate) {
  let [now, forwards, wait] = [NOW, 0, 0];
  const results = sequence.map(({ passed, tokens }) => {
    now += passed;
    forwards += Math.max(0, passed);
    const cost = Math.min(tokens, rate.burst);
    wait = limit.take('john', cost, now, rate);
    return { forwards, granted: wait === 0 ? cost : 0 };
  });
  return { now, wait, results };
}

/** How many tokens were granted beyond what may be, in the part of the results where that is most. */
function surplus(results: { forwards: number; granted: number }[], rate: Rate): number {
  const inPart = (start: number) => {
    let total = 0;
    return results.slice(start).map((result) => {
      total += result.granted;
      return total - rate.burst - ((result.forwards - (results[start]?.forwards ?? 0)) / 1000) * rate.perSecond;
    });
  };
  return Math.max(...results.flatMap((_, start) => inPart(start)));
}

/** After how many milliseconds someone passes who asks every `step` milliseconds, and at `wait`. */
function passesAfter(wait: number, step: number, ask: (later: number) => number): number {
  for (let later = step; later < wait; later += step) if (ask(later) === 0) return later;
  return ask(wait) === 0 ? wait : Infinity;
}

describe('over any sequence of takes and times', () => {
  test('no more is granted than the burst and what the passed time gives back, in every part of it', () => {
    fc.assert(
      fc.property(takes(bothWays), rates, (sequence, rate) => {
        const { results } = replay(new RateLimit(), sequence, rate);
        expect(surplus(results, rate)).toBeLessThan(1e-6);
      }),
      { numRuns: 1000 },
    );
  }, 30_000);

  test('what is refused passes after the wait that it was told, and not two milliseconds earlier', () => {
    fc.assert(
      fc.property(takes(bothWays), rates, (sequence, rate) => {
        const { wait } = replay(new RateLimit(), sequence, rate);
        fc.pre(wait > 0);
        const { tokens = 1 } = sequence.at(-1) ?? {};
        const after = (passed: number) => replay(new RateLimit(), [...sequence, { passed, tokens }], rate).wait;
        expect(Number.isSafeInteger(wait)).toBe(true);
        const isSooner = wait > 2 && after(wait - 2) === 0;
        expect({ wait, more: after(wait), isSooner }).toEqual({ wait, more: 0, isSooner: false });
      }),
      { numRuns: 500 },
    );
  }, 30_000);

  test('what is refused passes after the wait, also if its sender asks again and again meanwhile', () => {
    fc.assert(
      fc.property(takes(forwardsOnly), rates, fc.integer({ min: 1, max: 40 }), (sequence, rate, step) => {
        const limit = new RateLimit();
        const { now, wait } = replay(limit, sequence, rate);
        fc.pre(wait > 0);
        const tokens = Math.min(sequence.at(-1)?.tokens ?? 1, rate.burst);
        const time = passesAfter(wait, step, (later) => limit.take('john', tokens, now + later, rate));
        expect([wait - 1, wait]).toContain(time);
      }),
      { numRuns: 500 },
    );
  }, 30_000);
});

describe('what a frame costs', () => {
  test.each([
    [0, 1],
    [1, 1],
    [RATE_FRAME_BYTES, 1],
    [RATE_FRAME_BYTES + 1, 2],
    [64 * RATE_FRAME_BYTES, 64],
  ])('a frame of %i bytes: %i', (bytes, tokens) => {
    expect(frameTokens(bytes)).toBe(tokens);
    for (const type of ['send', 'edit', 'delete', 'react', 'mark', 'typing', undefined]) {
      expect(requestTokens(type, bytes)).toBe(tokens);
    }
  });

  test.each(['history', 'sync'])('a page is dearer than what asks for it: %s', (type) => {
    expect(requestTokens(type, 50)).toBe(RATE_PAGE_TOKENS);
    expect(RATE_PAGE_TOKENS).toBeGreaterThan(1);
  });

  test.each(['history', 'sync'])('a large frame costs no less for asking for a page: %s', (type) => {
    expect(requestTokens(type, 64 * RATE_FRAME_BYTES)).toBeGreaterThanOrEqual(64);
  });
});
