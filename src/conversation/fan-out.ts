import { CHANGES_INTERVAL_MS } from '../config.ts';
import { encodeFrame } from '../protocol/server-frames.ts';
import type { Sockets } from './sockets.ts';
import type { ConversationStore } from './store.ts';

/**
 * Tells all chat.v1 sockets what has changed. A lone change goes out at once; what comes close behind it waits for the
 * next `changes`, by a timer that is far too short to keep the object from sleeping. It reads what has changed from the
 * log, as `sync` does, so however changes are gathered, a `changes` is complete; and should the timer never fire, the
 * next one begins behind the clients' cursors, and they ask.
 */
export class FanOut {
  readonly #store: ConversationStore;
  readonly #sockets: Sockets;
  readonly #failed: (error: unknown) => void;
  /** The last change that the sockets were told of. After waking up: the last change there is. */
  #sent: number;
  #sentAt = 0;
  #timer: { id: ReturnType<typeof setTimeout>; at: number } | undefined;

  /** @param failed is told of an error in the timer, which has nobody else to tell */
  constructor(store: ConversationStore, sockets: Sockets, failed: (error: unknown) => void) {
    this.#store = store;
    this.#sockets = sockets;
    this.#failed = failed;
    this.#sent = store.rev;
  }

  /**
   * Tells what has changed: now, if the sockets were told nothing in the last `interval` milliseconds, otherwise as
   * soon as those have passed.
   */
  soon(now: number, interval: number = CHANGES_INTERVAL_MS): void {
    if (this.#store.rev === this.#sent) return;
    const at = this.#sentAt + interval;
    if (at <= now || now < this.#sentAt) return this.flush(now);
    if (this.#timer && this.#timer.at <= at) return;
    this.#cancel();
    this.#timer = { id: setTimeout(() => this.#onTimer(), at - now), at };
  }

  /** Tells what has changed, in as many frames as it takes. */
  flush(now: number): void {
    this.#cancel();
    const sockets = this.#sockets.chatV1();
    if (sockets.length === 0) {
      this.#sent = this.#store.rev;
      return;
    }
    this.#sentAt = now;
    while (this.#sent < this.#store.rev) {
      const changes = this.#store.changesSince(this.#sent);
      const frame = encodeFrame({ type: 'changes', ...changes });
      for (const socket of sockets) this.#sockets.send(socket, frame);
      this.#sent = changes.rev;
    }
  }

  #onTimer(): void {
    this.#timer = undefined;
    try {
      this.flush(Date.now());
    } catch (error) {
      this.#failed(error);
    }
  }

  #cancel(): void {
    if (this.#timer) clearTimeout(this.#timer.id);
    this.#timer = undefined;
  }
}
