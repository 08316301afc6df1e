import { vi } from 'vitest';

/** A day: far enough that no alarm which is set by a clock that is ahead by it goes off by itself. */
export const DAY_MS = 24 * 60 * 60_000;

/** Stops the clock, a day ahead, until mocks are restored. It moves only by what this returns. Timers go on. */
export function stopClock(): { now: number } {
  const clock = { now: Date.now() + DAY_MS };
  vi.spyOn(Date, 'now').mockImplementation(() => clock.now);
  return clock;
}
