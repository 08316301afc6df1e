import { env } from 'cloudflare:workers';
import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  deletePaidThrottles,
  forgive,
  requireAll,
  take,
  Throttled,
  type Rate,
  type Throttle,
  giveBack,
  isNoted,
  note,
} from '../../src/auth/throttle.ts';
import { EXPIRED_ROWS_PER_PORTION } from '../../src/config.ts';
import { directory } from '../../src/directory/database.ts';
import { throttles } from '../../src/directory/schema.ts';
import { countQueries } from '../helpers/d1.ts';

const db = directory(env.DB);
const START = 1_800_000_000_000;
const MINUTE = 60_000;

/** Something of somebody whom no other test knows. */
const throttle = (rate: Rate, what = 'test', whose: string = crypto.randomUUID()): Throttle => ({ what, whose, rate });

/** What so many attempts at one time are answered, one after the other. */
async function takeAll(of: Throttle, count: number, now: number): Promise<number[]> {
  const waits: number[] = [];
  for (let i = 0; i < count; i += 1) waits.push(await take(db, of, now));
  return waits;
}

const zeros = (count: number) => Array.from({ length: count }, () => 0);

const RATES: Rate[] = [
  { limit: 5, periodMs: 5 * MINUTE },
  { limit: 1, periodMs: MINUTE },
  { limit: 7, periodMs: 300_000 },
  { limit: 24, periodMs: 24 * 60 * MINUTE },
  { limit: 3, periodMs: 1000 },
  { limit: 10, periodMs: 3 },
];

beforeEach(async () => {
  await db.delete(throttles);
});

describe.each(RATES)('of $limit in $periodMs ms', (rate) => {
  const cost = Math.max(1, Math.floor(rate.periodMs / rate.limit));

  it('exactly as many pass at once; the next one is told when it passes', async () => {
    const of = throttle(rate);
    expect(await takeAll(of, rate.limit, START)).toEqual(zeros(rate.limit));
    expect(await take(db, of, START)).toBe(cost);
  });

  it('the next one passes at exactly that time, and not a millisecond earlier', async () => {
    const of = throttle(rate);
    await takeAll(of, rate.limit, START);
    const wait = await take(db, of, START);
    // Of less than 2 ms nothing is left to wait for but this one.
    expect(await take(db, of, START + wait - 1)).toBe(1);
    expect(await take(db, of, START + wait)).toBe(0);
    expect(await take(db, of, START + wait)).toBe(cost);
  });

  it('they come back evenly', async () => {
    const of = throttle(rate);
    await takeAll(of, rate.limit, START);
    for (let back = 1; back <= 3; back += 1) {
      expect(await takeAll(of, 2, START + back * cost)).toEqual([0, cost]);
    }
  });

  it('all of them are back after the period, and never more than that', async () => {
    for (const later of [rate.limit * cost, 100 * rate.limit * cost]) {
      const of = throttle(rate);
      await takeAll(of, rate.limit, START);
      expect(await takeAll(of, rate.limit + 1, START + later)).toEqual([...zeros(rate.limit), cost]);
    }
  });
});

it('of 50 at the same time exactly as many pass as may', async () => {
  const of = throttle({ limit: 5, periodMs: 5 * MINUTE });
  const waits = await Promise.all(Array.from({ length: 50 }, () => take(db, of, START)));
  expect(waits.filter((wait) => wait === 0)).toHaveLength(5);
  expect(waits.filter((wait) => wait > 0)).toEqual(Array.from({ length: 45 }, () => MINUTE));
});

it('one that passes costs one statement, and one that is refused two', async () => {
  const of = throttle({ limit: 1, periodMs: MINUTE });
  expect(await countQueries(() => take(db, of, START))).toBe(1);
  expect(await countQueries(() => take(db, of, START))).toBe(2);
});

it('what is refused is not counted: who keeps trying does not wait longer', async () => {
  const of = throttle({ limit: 2, periodMs: 2 * MINUTE });
  await takeAll(of, 2, START);
  expect(await takeAll(of, 20, START + 10_000)).toEqual(Array.from({ length: 20 }, () => 50_000));
  expect(await take(db, of, START + MINUTE)).toBe(0);
});

describe('a clock that goes back', () => {
  it('lets nobody have more than before', async () => {
    const of = throttle({ limit: 3, periodMs: 3 * MINUTE });
    await takeAll(of, 3, START);
    expect(await take(db, of, START - 10_000)).toBe(MINUTE + 10_000);
    expect(await take(db, of, START)).toBe(MINUTE);
  });

  it('keeps nobody out for longer than what they had used', async () => {
    const of = throttle({ limit: 3, periodMs: 3 * MINUTE });
    await take(db, of, START);
    expect(await takeAll(of, 2, START - MINUTE)).toEqual([0, MINUTE]);
  });
});

describe('whose it is', () => {
  const rate = { limit: 1, periodMs: MINUTE };

  it('is told apart, and so is what it is', async () => {
    const first = throttle(rate, 'login', 'ana@example.org');
    expect(await takeAll(first, 2, START)).toEqual([0, MINUTE]);
    expect(await take(db, throttle(rate, 'login', 'mia@example.org'), START)).toBe(0);
    expect(await take(db, throttle(rate, 'mail', 'ana@example.org'), START)).toBe(0);
  });

  it('is stored as a hash only, with nothing else that tells of them', async () => {
    await take(db, throttle(rate, 'login', 'ana@example.org'), START);
    expect(await db.select().from(throttles)).toEqual([
      // SHA-256 of the address.
      { key: expect.stringMatching(/^login:[0-9a-f]{64}$/), paid_at: START + MINUTE },
    ]);
  });
});

describe('several at once', () => {
  const [few, many] = [
    { limit: 2, periodMs: 2 * MINUTE },
    { limit: 3, periodMs: 3 * 60 * MINUTE },
  ];

  it('pass if each of them does', async () => {
    await expect(requireAll(db, [throttle(few), throttle(many)], START)).resolves.toBeUndefined();
  });

  it('are refused with the time of the first that is too much; those before it stay counted', async () => {
    const [first, second] = [throttle(many), throttle(few)];
    await takeAll(second, 2, START);
    const error = await requireAll(db, [first, second], START).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Throttled);
    expect(error).toMatchObject({ retryAfterMs: MINUTE });
    expect(await takeAll(first, 3, START)).toEqual([0, 0, 60 * MINUTE]);
  });

  it('of which the first is too much leave the others as they were', async () => {
    const [first, second] = [throttle(few), throttle(many)];
    await takeAll(first, 2, START);
    await expect(requireAll(db, [first, second], START)).rejects.toThrow(Throttled);
    expect(await takeAll(second, 4, START)).toEqual([0, 0, 0, 60 * MINUTE]);
  });
});

it('what is forgiven counts no more, and nothing else is forgiven', async () => {
  const rate = { limit: 1, periodMs: MINUTE };
  const [forgiven, other] = [throttle(rate), throttle(rate)];
  for (const of of [forgiven, other]) await take(db, of, START);
  await forgive(db, [forgiven, throttle(rate)]);
  expect(await takeAll(forgiven, 2, START)).toEqual([0, MINUTE]);
  expect(await take(db, other, START)).toBe(MINUTE);
});

it('what is given back counts no more, and nothing else is given back', async () => {
  const rate = { limit: 2, periodMs: 2 * MINUTE };
  const [given, other] = [throttle(rate), throttle(rate)];
  for (const one of [given, other]) await takeAll(one, 2, START);
  await giveBack(db, [given]);
  expect(await takeAll(given, 2, START)).toEqual([0, MINUTE]);
  expect(await take(db, other, START)).toBe(MINUTE);
});

it('what is noted is so until its time, under a hash only', async () => {
  const known = { what: 'known_network', whose: `${crypto.randomUUID()}@example.org` };
  expect(await isNoted(db, known, START)).toBe(false);
  await note(db, known, START + MINUTE);
  await note(db, known, START + 2 * MINUTE);
  expect(await isNoted(db, known, START + 2 * MINUTE - 1)).toBe(true);
  expect(await isNoted(db, known, START + 2 * MINUTE)).toBe(false);
  expect(await isNoted(db, { ...known, what: 'other' }, START)).toBe(false);
  expect(JSON.stringify(await db.select().from(throttles))).not.toContain('example.org');
});

describe('the cleanup', () => {
  it('deletes only what says nothing: whoever has paid for everything', async () => {
    const rate = { limit: 2, periodMs: 2 * MINUTE };
    const [paid, owing] = [throttle(rate), throttle(rate)];
    await take(db, paid, START - MINUTE);
    await takeAll(owing, 2, START - MINUTE);
    await deletePaidThrottles(db, START - 1);
    expect(await db.$count(throttles)).toBe(2);
    await deletePaidThrottles(db, START);
    expect(await db.$count(throttles)).toBe(1);
    expect(await takeAll(owing, 2, START)).toEqual([0, MINUTE]);
    expect(await takeAll(paid, 3, START)).toEqual([0, 0, MINUTE]);
  });

  it('leaves to the next portion what is too much for one, and says how much it took', async () => {
    await env.DB.prepare(
      `INSERT INTO throttles (key, paid_at)
       WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT 'test:' || i, 1 FROM n`,
    )
      .bind(EXPIRED_ROWS_PER_PORTION + 5)
      .run();
    expect(await deletePaidThrottles(db, START)).toBe(EXPIRED_ROWS_PER_PORTION);
    expect(await db.$count(throttles)).toBe(5);
    expect(await deletePaidThrottles(db, START)).toBe(5);
    expect(await db.$count(throttles)).toBe(0);
  });
});

/** A bucket of time: it fills by a millisecond in each, and everything that passes takes its cost out of it. */
class Bucket {
  readonly #cost: number;
  readonly #size: number;
  #level: number;
  #at = 0;

  constructor({ limit, periodMs }: Rate) {
    this.#cost = Math.max(1, Math.floor(periodMs / limit));
    this.#size = this.#cost * limit;
    this.#level = this.#size;
  }

  take(now: number): number {
    this.#level = Math.min(this.#size, this.#level + now - this.#at);
    this.#at = now;
    if (this.#level < this.#cost) return this.#cost - this.#level;
    this.#level -= this.#cost;
    return 0;
  }
}

it('lets pass what a bucket lets pass, whatever comes and whenever, with the cleanup at any moment', async () => {
  const steps = fc.array(
    fc.record({
      after: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 40_000 })),
      clean: fc.boolean(),
    }),
    { minLength: 1, maxLength: 25 },
  );
  const rates = fc.record({ limit: fc.integer({ min: 1, max: 12 }), periodMs: fc.integer({ min: 1, max: 20_000 }) });
  await fc.assert(
    fc.asyncProperty(rates, steps, async (rate, attempts) => {
      const [of, bucket] = [throttle(rate), new Bucket(rate)];
      let now = START;
      for (const { after, clean } of attempts) {
        now += after;
        if (clean) await deletePaidThrottles(db, now);
        expect(await take(db, of, now)).toBe(bucket.take(now));
      }
    }),
    { numRuns: 60 },
  );
}, 60_000);
