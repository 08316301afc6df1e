import { CHANGES_INTERVAL_MS, FAN_OUT_RETRY_MS } from '../config.ts';
import type { Sockets } from './sockets.ts';

/** What has changed: rows, of which each change has taken the next rev. */
export type ChangeLog = {
  /** The last change. */
  readonly rev: number;
  /** The frame that tells of what has changed since a rev, and up to which rev it does. */
  frameSince(rev: number): { readonly frame: string; readonly rev: number };
};

/**
 * Tells all chat.v1 sockets what has changed. A lone change goes out at once; what comes close behind it waits for the
 * next `changes`, by a timer too short to keep the object from sleeping. It reads what has changed from the
 * log, as `sync` does, so however changes are gathered, a `changes` is complete; and should the timer never fire, the
 * next one begins beyond the clients' cursors, and they ask.
 */
export class FanOut {
  readonly #log: ChangeLog;
  readonly #sockets: Sockets;
  readonly #failed: (error: unknown) => void;
  /** The last change that the sockets were told of. After waking up: the last change there is. */
  #sent: number;
  #sentAt = 0;
  #timer: { id: ReturnType<typeof setTimeout>; at: number } | undefined;

  /** @param failed is told of an error, which concerns nobody who is waiting */
  constructor(log: ChangeLog, sockets: Sockets, failed: (error: unknown) => void) {
    this.#log = log;
    this.#sockets = sockets;
    this.#failed = failed;
    this.#sent = log.rev;
  }

  /**
   * Tells what has changed: now, if the sockets were told nothing in the last `interval` milliseconds, otherwise as
   * soon as those have passed. Never fails: what has changed is stored, and is told later if it cannot be told now.
   */
  soon(now: number, interval: number = CHANGES_INTERVAL_MS): void {
    if (this.#log.rev === this.#sent) return;
    const at = this.#sentAt + interval;
    if (at <= now || now < this.#sentAt) this.#flush(now);
    else this.#flushAt(at, now);
  }

  #flush(now: number): void {
    this.#cancel();
    try {
      this.#tellAll(now);
    } catch (error) {
      this.#failed(error);
      this.#flushAt(now + FAN_OUT_RETRY_MS, now);
    }
  }

  /** Tells what has changed, in as many frames as it takes. */
  #tellAll(now: number): void {
    const sockets = this.#sockets.chatV1();
    if (sockets.length === 0) {
      this.#sent = this.#log.rev;
      return;
    }
    this.#sentAt = now;
    while (this.#sent < this.#log.rev) {
      const { frame, rev } = this.#log.frameSince(this.#sent);
      for (const socket of sockets) this.#sockets.send(socket, frame);
      this.#sent = rev;
    }
  }

  /** Sets the timer, unless it is set for an earlier time. */
  #flushAt(at: number, now: number): void {
    if (this.#timer && this.#timer.at <= at) return;
    this.#cancel();
    this.#timer = { id: setTimeout(() => this.#flush(Date.now()), at - now), at };
  }

  #cancel(): void {
    if (this.#timer) clearTimeout(this.#timer.id);
    this.#timer = undefined;
  }
}
