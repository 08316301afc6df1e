import { CLOSING_SOCKETS_MAX, FRAME_MAX_BYTES } from '../config.ts';
import { CLOSE } from '../protocol/close-codes.ts';
import { exceedsBytes } from '../protocol/text.ts';
import { settings } from '../settings.ts';
import { tags, type Attachment } from './connection.ts';
import type { OpenSocket, Sockets } from './sockets.ts';

/** Which sockets an object lets in, which frames it listens to, and which sockets have had their time. */
export class Gate {
  readonly #ctx: DurableObjectState;
  readonly #sockets: Sockets;
  /** When the next open socket's token expires; undefined after waking up, until it is looked for. */
  #nextExpiry: number | undefined;

  constructor(ctx: DurableObjectState, sockets: Sockets) {
    this.#ctx = ctx;
    this.#sockets = sockets;
  }

  /** When the next open socket's token expires, in milliseconds since 1970; Infinity without one. */
  get nextExpiry(): number {
    this.#nextExpiry ??= Math.min(Infinity, ...this.#sockets.open().map(({ attachment }) => attachment.expires_at));
    return this.#nextExpiry;
  }

  /** Takes note of a socket that is opened. */
  opened({ expires_at }: Pick<Attachment, 'expires_at'>): void {
    this.#nextExpiry = Math.min(this.nextExpiry, expires_at);
  }

  /** Whether a frame is to be listened to. If it is not, its socket is closed, or was before. */
  passes({ socket, attachment }: OpenSocket, frame: string | ArrayBuffer, now: number): frame is string {
    // Frames behind a message to oneself still count, as in the original; behind any other close they do not.
    if (attachment.closing !== undefined && attachment.closing !== CLOSE.normal) return false;
    if (attachment.expires_at <= now) return this.#close(socket, CLOSE.unauthenticated, 'The token has expired.');
    if (typeof frame !== 'string') {
      return this.#close(socket, CLOSE.unsupportedData, 'Only text frames are understood.');
    }
    if (exceedsBytes(frame, FRAME_MAX_BYTES)) {
      return this.#close(socket, CLOSE.tooLarge, `A frame may have at most ${FRAME_MAX_BYTES} bytes.`);
    }
    return true;
  }

  /**
   * Makes room for one more socket of a user: if they have too many, the longest silent one is closed for it.
   * @param most open sockets of everybody
   * @returns false if there is none
   */
  makeRoom(userId: string, most: number): boolean {
    const own = this.#sockets.open(tags.user(userId));
    // A closed socket stays until its client answers: one who never does could fill the object with them.
    if (this.#ctx.getWebSockets(tags.user(userId)).length - own.length >= CLOSING_SOCKETS_MAX) return false;
    const silent = own.toSorted((a, b) => this.#sockets.lastHeard(a) - this.#sockets.lastHeard(b));
    const surplus = silent.slice(0, Math.max(0, own.length + 1 - settings.socketsPerUser));
    if (this.#sockets.open().length - surplus.length >= most) return false;
    for (const { socket } of surplus) {
      this.#sockets.close(socket, CLOSE.replaced, 'You have opened too many sockets here. A newer one replaces this.');
    }
    return true;
  }

  /** Closes the sockets whose token has expired. */
  closeExpired(now: number): void {
    this.#nextExpiry = undefined;
    for (const { socket, attachment } of this.#sockets.open()) {
      if (attachment.expires_at <= now) this.#sockets.close(socket, CLOSE.unauthenticated, 'The token has expired.');
    }
  }

  /** Closes the sockets of a session that has ended. */
  closeSession(sessionId: string): void {
    // Those too that are closing after a message to oneself: their frames still count.
    for (const socket of this.#ctx.getWebSockets(tags.session(sessionId))) {
      this.#sockets.close(socket, CLOSE.sessionEnded, 'The session has ended.');
    }
  }

  #close(...close: Parameters<Sockets['close']>): false {
    this.#sockets.close(...close);
    return false;
  }
}
