import { TYPING_INTERVAL_MS } from '../config.ts';

/** Who types, so that nobody begins more often than others would notice. */
export class Typing {
  readonly #users = new Map<string, { on: boolean; since: number }>();

  /**
   * Someone begins or stops to type.
   * @returns whether others should hear of it; or the milliseconds after which they may
   */
  set(userId: string, on: boolean, now: number): { tell: boolean; wait?: never } | { tell?: never; wait: number } {
    const known = this.#users.get(userId);
    if (!on) {
      const tell = known?.on === true;
      if (known) known.on = false;
      return { tell };
    }
    // A clock that was set back makes nobody wait longer.
    const wait = known && known.since <= now ? known.since + TYPING_INTERVAL_MS - now : 0;
    if (wait > 0) return { wait };
    this.#users.set(userId, { on, since: now });
    return { tell: true };
  }
}
