import { eq, inArray, lte, sql } from 'drizzle-orm';
import { EXPIRED_ROWS_PER_PORTION } from '../config.ts';
import type { Directory } from '../directory/database.ts';
import { throttles } from '../directory/schema.ts';
import { sha256Hex } from './digest.ts';

/** So many at once, and as many again in every `periodMs` milliseconds, evenly. */
export type Rate = { readonly limit: number; readonly periodMs: number };

/** A fact about somebody, by its kind and by whose it is, of which only a hash is stored. */
export type Note = { readonly what: string; readonly whose: string };

/** What is throttled, and how much of it there may be. */
export type Throttle = Note & { readonly rate: Rate };

/** Somebody has done too much of something. Nothing was done; the same request passes after a while. */
export class Throttled extends Error {
  override readonly name = 'Throttled';
  constructor(
    /** Milliseconds, from 1 on. */
    readonly retryAfterMs: number,
  ) {
    super(`Throttled for ${retryAfterMs} ms.`);
  }
}

/**
 * Counts one more of something, exactly: of any number of requests at the same time no more pass than may. It is the
 * generic cell rate algorithm (GCRA, ITU-T I.371): each row holds the time at which everything so far will be paid for,
 * and one statement moves it on unless it lies too far ahead. `now` is in milliseconds since 1970.
 * @returns 0, or, if it was refused and nothing was counted, the milliseconds after which it passes
 */
export async function take(db: Directory, throttle: Throttle, now: number): Promise<number> {
  const key = keyOf(throttle);
  const cost = costOf(throttle.rate);
  const credit = cost * throttle.rate.limit;
  const paidAt = sql`max(${throttles.paid_at}, ${now}) + ${cost}`;
  const passed = await db
    .insert(throttles)
    .values({ key, paid_at: now + cost })
    .onConflictDoUpdate({
      target: throttles.key,
      set: { paid_at: paidAt },
      setWhere: sql`${paidAt} - ${now} <= ${credit}`,
    })
    .returning({ key: throttles.key });
  if (passed.length === 1) return 0;
  const row = await db.select({ paid_at: throttles.paid_at }).from(throttles).where(eq(throttles.key, key)).get();
  return Math.max(1, (row?.paid_at ?? now) + cost - credit - now);
}

/** Counts one more of each, in turn. @throws Throttled for the first that is too much; those before it stay counted */
export async function requireAll(db: Directory, wanted: readonly Throttle[], now: number): Promise<void> {
  for (const throttle of wanted) {
    const wait = await take(db, throttle, now);
    if (wait > 0) throw new Throttled(wait);
  }
}

/** Takes back what {@link requireAll} has counted: it was not what the limits are for. */
export async function giveBack(db: Directory, counted: readonly Throttle[]): Promise<void> {
  for (const throttle of counted) {
    await db
      .update(throttles)
      .set({ paid_at: sql`${throttles.paid_at} - ${costOf(throttle.rate)}` })
      .where(eq(throttles.key, keyOf(throttle)));
  }
}

/** Forgets what was counted: whoever proved their password did not guess. */
export async function forgive(db: Directory, wanted: readonly Throttle[]): Promise<void> {
  await db.delete(throttles).where(inArray(throttles.key, wanted.map(keyOf)));
}

/** Notes something until a time in milliseconds since 1970: in the same table, and as little a statement of who it is. */
export async function note(db: Directory, it: Note, until: number): Promise<void> {
  await db
    .insert(throttles)
    .values({ key: keyOf(it), paid_at: until })
    .onConflictDoUpdate({ target: throttles.key, set: { paid_at: until } });
}

/** Whether something is noted. */
export async function isNoted(db: Directory, it: Note, now: number): Promise<boolean> {
  const row = await db
    .select({ paid_at: throttles.paid_at })
    .from(throttles)
    .where(eq(throttles.key, keyOf(it)))
    .get();
  return row !== undefined && row.paid_at > now;
}

/** Deletes rows that say nothing any more, at most EXPIRED_ROWS_PER_PORTION. @returns how many */
export async function deletePaidThrottles(db: Directory, now: number): Promise<number> {
  const { meta } = await db
    .delete(throttles)
    .where(
      inArray(
        throttles.key,
        db
          .select({ key: throttles.key })
          .from(throttles)
          .where(lte(throttles.paid_at, now))
          .limit(EXPIRED_ROWS_PER_PORTION),
      ),
    );
  return meta.changes;
}

/** Milliseconds that one costs. */
function costOf({ limit, periodMs }: Rate): number {
  return Math.max(1, Math.floor(periodMs / limit));
}

function keyOf({ what, whose }: Note): string {
  return `${what}:${sha256Hex(whose)}`;
}
