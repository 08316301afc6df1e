import { RATE_FRAME_BYTES, RATE_PAGE_TOKENS } from '../config.ts';

/** In thousandths of a token, which are whole: fractions of tokens would not add up to the wait that was told. */
type Bucket = { thousandths: number; filledAt: number; refusals: number };

/**
 * A token bucket for each user of one object, however many sockets they have. All are full again after the object
 * has slept, which it does only when nobody has said anything for some ten seconds.
 */
export class RateLimit {
  readonly #buckets = new Map<string, Bucket>();

  /**
   * Takes tokens from a user's bucket, if there are enough.
   * @returns 0, or the milliseconds after which there will be enough
   */
  take(userId: string, tokens: number, now: number, rate: { burst: number; perSecond: number }): number {
    const bucket = this.#buckets.get(userId) ?? { thousandths: rate.burst * 1000, filledAt: now, refusals: 0 };
    this.#buckets.set(userId, bucket);
    const passed = Math.max(0, now - bucket.filledAt);
    bucket.thousandths = Math.min(rate.burst * 1000, bucket.thousandths + passed * rate.perSecond);
    bucket.filledAt = now;
    if (bucket.thousandths === rate.burst * 1000) bucket.refusals = 0;
    // What costs more than the bucket holds would never pass.
    const lacking = Math.min(tokens, rate.burst) * 1000 - bucket.thousandths;
    if (lacking > 0) {
      bucket.refusals += 1;
      return Math.ceil(lacking / rate.perSecond);
    }
    bucket.thousandths -= tokens * 1000;
    bucket.refusals = Math.max(0, bucket.refusals - 1);
    return 0;
  }

  /** How much more often a user was refused than not, since their bucket was last full. */
  refusals(userId: string): number {
    return this.#buckets.get(userId)?.refusals ?? 0;
  }
}

/** What a frame of so many bytes costs: it travels to every socket. */
export function frameTokens(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / RATE_FRAME_BYTES));
}

/** What a frame of chat.v1 costs. A page is much larger than what asks for it. */
export function requestTokens(type: string | undefined, bytes: number): number {
  return Math.max(frameTokens(bytes), PAGES.has(type ?? '') ? RATE_PAGE_TOKENS : 0);
}

/** Frames that ask for a page. */
const PAGES: ReadonlySet<string> = new Set(['history', 'sync', 'list']);
