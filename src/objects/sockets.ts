import { PRESENCE_INTERVAL_MS } from '../config.ts';
import { logError } from '../log.ts';
import { CLOSE, type CloseCode } from '../protocol/close-codes.ts';
import { readAttachment, tags, type Attachment, type NewAttachment } from './connection.ts';

/** A socket that was not closed from this side, and what it remembers. */
export type OpenSocket = { readonly socket: WebSocket; readonly attachment: Attachment };

/** The sockets of one object. Sending and closing never throw: a socket may be gone, and nobody left to tell. */
export class Sockets {
  readonly #ctx: DurableObjectState;
  /** When a frame last came from a socket. Forgotten in a sleep, but for what {@link heard} keeps. */
  readonly #framesAt = new WeakMap<WebSocket, number>();

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
  }

  /** Opens a socket in answer to an upgrade. */
  accept(socket: WebSocket, attachment: NewAttachment, sessionId: string): void {
    const flavour = attachment.protocol === 'chat.v1' ? [tags.chatV1] : [];
    this.#ctx.acceptWebSocket(socket, [tags.user(attachment.user_id), tags.session(sessionId), ...flavour]);
    socket.serializeAttachment(attachment);
  }

  /** Those that are open; undecodable ones are closed, so that their clients come back. */
  open(tag?: string): OpenSocket[] {
    return this.#ctx.getWebSockets(tag).flatMap((socket) => {
      if (socket.readyState !== WebSocket.OPEN) return [];
      const attachment = readAttachment(socket);
      if (!attachment) this.close(socket, CLOSE.unauthenticated, 'Connect again.');
      return attachment && attachment.closing === undefined ? [{ socket, attachment }] : [];
    });
  }

  /** Those that speak chat.v1. */
  chatV1(): WebSocket[] {
    return this.#ctx.getWebSockets(tags.chatV1);
  }

  /** Whether a user has a chat.v1 socket. */
  hears(userId: string): boolean {
    return this.open(tags.user(userId)).some(({ attachment }) => attachment.protocol === 'chat.v1');
  }

  /** Those that speak the original's plain frames. */
  plain(): WebSocket[] {
    const chatV1 = new Set(this.chatV1());
    return this.#ctx.getWebSockets().filter((socket) => !chatV1.has(socket));
  }

  /** Sends a frame to the chat.v1 sockets of everyone but one user. */
  tellOthers(userId: string, frame: string): void {
    const own = new Set(this.#ctx.getWebSockets(tags.user(userId)));
    for (const socket of this.chatV1()) if (!own.has(socket)) this.send(socket, frame);
  }

  /** Notes that a frame has come: a sign of life. Now and then in a way that outlives a sleep. */
  heard({ socket, attachment }: OpenSocket, now: number): void {
    this.#framesAt.set(socket, now);
    if (now - attachment.heard_at < PRESENCE_INTERVAL_MS) return;
    socket.serializeAttachment({ ...attachment, heard_at: now } satisfies Attachment);
  }

  /** Notes on a user's sockets, in a way that outlives a sleep, whether the others believe them to have gone. */
  setAway(userId: string, away: boolean): void {
    for (const { socket, attachment } of this.open(tags.user(userId))) {
      if (attachment.away !== away) socket.serializeAttachment({ ...attachment, away } satisfies Attachment);
    }
  }

  /** When a socket gave its last sign of life, in milliseconds since 1970: a frame, a `ping`, or its opening. */
  lastHeard({ socket, attachment }: OpenSocket): number {
    const ping = this.#ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
    return Math.max(attachment.heard_at, ping, this.#framesAt.get(socket) ?? 0);
  }

  send(socket: WebSocket, frame: string): void {
    if (socket.readyState !== WebSocket.OPEN) return;
    try {
      socket.send(frame);
    } catch (error) {
      logError('send_failed', error);
    }
  }

  /** Closes a socket from this side, and remembers it: frames that are on their way arrive all the same. */
  close(socket: WebSocket, code: CloseCode, reason: string): void {
    const attachment = readAttachment(socket);
    if (attachment?.closing !== undefined && attachment.closing !== CLOSE.normal) return;
    if (attachment) socket.serializeAttachment({ ...attachment, closing: code } satisfies Attachment);
    closeQuietly(socket, code, reason);
  }
}

/** Closes a socket that may be closed already. */
export function closeQuietly(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    // It is closed already.
  }
}
