/** Milliseconds: the bound of the first wait, which doubles with each attempt. */
const FIRST_MS = 1000;
/** Milliseconds: where it stops to grow. */
const LONGEST_MS = 60_000;

/**
 * How long to wait before another attempt, in milliseconds: with full jitter, so that clients which lost their server
 * together do not come back together.
 * @param attempt 0 for the first
 * @param random from 0 to 1
 */
export function backoff(attempt: number, random: number): number {
  return random * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 30));
}
