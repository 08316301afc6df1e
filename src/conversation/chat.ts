import {
  CHANGES_INTERVAL_MS,
  FRAME_MAX_BYTES,
  MARKS_INTERVAL_MS,
  MESSAGE_MAX_LENGTH,
  PAGE_SIZE,
  PING_INTERVAL_MS,
  PRESENCE_INTERVAL_MS,
  RATE_PAGE_TOKENS,
  RATE_REFUSALS_MAX,
  TYPING_LIFETIME_MS,
  TYPING_REPEAT_MS,
} from '../config.ts';
import { logError } from '../log.ts';
import type { Attachment, Cursor } from '../objects/connection.ts';
import { FanOut } from '../objects/fan-out.ts';
import type { Feed } from '../objects/feed.ts';
import { frameTokens, RateLimit, requestTokens } from '../objects/rate-limit.ts';
import type { Sockets } from '../objects/sockets.ts';
import { decodeClientFrame, type ClientFrame } from '../protocol/client-frames.ts';
import { CLOSE } from '../protocol/close-codes.ts';
import { decodePlainFrame, encodePlainMessage, INVALID_RECIPIENT, type PlainMessage } from '../protocol/plain.ts';
import { encodeFrame, errorFrame, type Answer, type ServerFrameOf } from '../protocol/server-frames.ts';
import { jsonBytes, utf8Bytes } from '../protocol/text.ts';
import { settings } from '../settings.ts';
import { Feeds, type FeedContext } from './feeds.ts';
import { Presence } from './presence.ts';
import { answer, appendMessage, canResume, mark, whyNotAvailable, type Mark, type Request } from './rules.ts';
import { ConversationStore, type Changes } from './store.ts';
import { Typing } from './typing.ts';

/** What a client lacks: since its cursor, or, if that is no good, what someone sees who has nothing yet. */
export type CatchUp =
  | ({ epoch: number; resumed: true } & Changes)
  | ({ epoch: number; resumed: false } & Pick<Changes, 'rev' | 'messages' | 'members'>);

/**
 * What the members of a conversation do and hear, whichever way they are connected. Lives as long as its object is
 * awake. Every method runs from reading the store to the last send without waiting for anything.
 */
export class Chat {
  readonly store: ConversationStore;
  readonly presence: Presence;
  readonly feeds: Feeds;
  readonly #id: string;
  readonly #sockets: Sockets;
  readonly #fanOut: FanOut;
  readonly #rateLimit = new RateLimit();
  readonly #typing = new Typing();

  constructor(id: string, storage: DurableObjectStorage, sockets: Sockets, inboxes: FeedContext) {
    this.#id = id;
    this.#sockets = sockets;
    const store = new ConversationStore(storage);
    this.store = store;
    this.presence = new Presence(store, sockets);
    this.feeds = new Feeds(id, store, inboxes);
    const log = {
      get rev() {
        return store.rev;
      },
      frameSince: (rev: number) => {
        const changes = store.changesSince(rev);
        return { frame: encodeFrame({ type: 'changes', ...changes }), rev: changes.rev };
      },
    };
    this.#fanOut = new FanOut(log, sockets, (error) => logError('fan_out_failed', error, { conversation_id: id }));
  }

  /** Whether a user may connect once more; returns 0, or the milliseconds to wait. A welcome is as large as a page. */
  admit(userId: string, now: number): number {
    return this.#take(userId, RATE_PAGE_TOKENS, now);
  }

  /** The first frame of a chat.v1 socket. */
  welcome(userId: string, cursor: Cursor | undefined): ServerFrameOf<'welcome'> {
    const resumed = canResume(this.store, cursor, settings.resumeRows);
    return {
      type: 'welcome',
      conversation: this.#id,
      me: userId,
      epoch: this.store.epoch,
      rev: this.store.rev,
      limits: {
        text_max_length: MESSAGE_MAX_LENGTH,
        frame_max_bytes: FRAME_MAX_BYTES,
        page_max_rows: PAGE_SIZE,
        resume_rows: settings.resumeRows,
        ping_interval_ms: PING_INTERVAL_MS,
        typing_interval_ms: TYPING_REPEAT_MS,
        typing_lifetime_ms: TYPING_LIFETIME_MS,
      },
      ...this.presence.now(userId),
      resumed,
      ...(!resumed && { snapshot: this.store.snapshot() }),
    };
  }

  /** What a member lacks who has everything up to `cursor`, or nothing. */
  catchUp(userId: string, cursor: Cursor | undefined, now: number): CatchUp | ServerFrameOf<'error'> {
    const wait = this.#take(userId, requestTokens('sync', 0), now);
    if (wait > 0) return tooFast(undefined, wait);
    const { epoch, rev } = this.store;
    if (cursor && canResume(this.store, cursor, settings.resumeRows)) {
      return { epoch, resumed: true, ...this.store.changesSince(cursor.after) };
    }
    return { epoch, resumed: false, rev, ...this.store.snapshot() };
  }

  /** Does what a member asks for without a socket. @returns what a socket would be answered, if it would */
  request(userId: string, frame: Request | Mark, now: number): Answer | undefined {
    const wait = this.#take(userId, this.#tokensOf(frame, 'text' in frame ? jsonBytes(frame.text) : 0), now);
    if (wait > 0) return tooFast('ref' in frame ? frame.ref : undefined, wait);
    const { rev } = this.store;
    const reply = this.#perform(userId, frame, now);
    this.#tell(userId, frame, rev, now);
    return reply;
  }

  /** Moves a member's marks, as their inbox tells. @returns how the conversation stands for them then, or a refusal */
  mark(userId: string, frame: Mark, now: number): Feed | ServerFrameOf<'error'> {
    const refusal = this.request(userId, frame, now);
    return refusal?.type === 'error' ? refusal : this.store.feed(userId);
  }

  /** A text frame of a bearable size, from a member's socket. */
  frame(socket: WebSocket, attachment: Attachment, text: string, now: number): void {
    const { user_id, protocol } = attachment;
    const isNews = !this.presence.isOnline(user_id) || now - this.presence.lookedAt >= PRESENCE_INTERVAL_MS;
    if (isNews) this.presence.update(now);
    if (protocol === 'chat.v1') this.#chatFrame(socket, user_id, text, now);
    else this.#plainFrame(socket, user_id, text, now);
  }

  /** Tells who came and went, and whose name or membership has changed. */
  membersChanged(now: number): void {
    this.presence.update(now);
    this.#fanOut.soon(now);
    this.feeds.soon(now);
  }

  #chatFrame(socket: WebSocket, userId: string, text: string, now: number): void {
    const { frame, problem } = decodeClientFrame(text);
    const wait = this.#take(userId, this.#tokensOf(frame, utf8Bytes(text)), now);
    const ref = problem ? problem.ref : 'ref' in frame ? frame.ref : undefined;
    if (wait > 0) return this.#refuse(socket, userId, encodeFrame(tooFast(ref, wait)));
    if (problem) return this.#sockets.send(socket, encodeFrame(errorFrame(problem.code, problem.message, { ref })));
    const { rev } = this.store;
    const reply = frame.type === 'typing' ? this.#setTyping(userId, frame.on, now) : this.#perform(userId, frame, now);
    if (reply) this.#sockets.send(socket, encodeFrame(reply));
    if (frame.type !== 'typing') this.#tell(userId, frame, rev, now);
  }

  #plainFrame(socket: WebSocket, userId: string, text: string, now: number): void {
    const wait = this.#take(userId, frameTokens(utf8Bytes(text)), now);
    if (wait > 0) return this.#refuse(socket, userId, `Error: ${tooFast(undefined, wait).message}`);
    const frame = decodePlainFrame(text, userId, this.#peerOf(userId));
    switch (frame.kind) {
      case 'invalid':
        return this.#sockets.send(socket, frame.error);
      case 'to_self':
        this.#sockets.send(socket, INVALID_RECIPIENT);
        return this.#sockets.close(socket, CLOSE.normal, INVALID_RECIPIENT);
      case 'message': {
        const reason = whyNotAvailable(this.store, userId);
        if (reason !== undefined) return this.#sockets.send(socket, `Error: ${reason}`);
        const message = { sender_id: userId, ref: null, text: frame.message, now };
        this.store.transaction(() => appendMessage(this.store, message));
        this.#tellPlain(frame);
        this.#fanOut.soon(now);
        return this.feeds.soon(now);
      }
    }
  }

  /** Does what a frame asks for. What it changes is told afterwards, by {@link #tell}. */
  #perform(userId: string, frame: Request | Mark, now: number): Answer | undefined {
    if (frame.type !== 'mark') return answer(this.store, userId, frame, now);
    this.store.transaction(() => mark(this.store, userId, frame));
    return undefined;
  }

  /** Tells every socket what a frame has changed since `rev`, if anything: it may be refused, repeated or a question. */
  #tell(userId: string, frame: Request | Mark, rev: number, now: number): void {
    if (this.store.rev === rev) return;
    if (frame.type === 'send') {
      this.#tellPlain({ message: frame.text, recipient_id: this.#peerOf(userId) ?? userId });
    }
    this.#fanOut.soon(now, frame.type === 'mark' ? MARKS_INTERVAL_MS : CHANGES_INTERVAL_MS);
    this.feeds.soon(now);
  }

  /** Tells the plain sockets of a message. */
  #tellPlain(message: PlainMessage): void {
    const sockets = this.#sockets.plain();
    if (sockets.length === 0) return;
    const frame = encodePlainMessage(message);
    for (const socket of sockets) this.#sockets.send(socket, frame);
  }

  #setTyping(userId: string, on: boolean, now: number): ServerFrameOf<'error'> | undefined {
    const { tell, wait } = this.#typing.set(userId, on, now);
    if (wait !== undefined) return tooFast(undefined, wait);
    if (tell && !this.store.isBlocked) {
      this.#sockets.tellOthers(userId, encodeFrame({ type: 'typing', user_id: userId, on }));
      this.feeds.typing(userId, on, this.#elsewhere(userId), now);
    }
    return undefined;
  }

  /** The members but one who have no chat.v1 socket here. */
  #elsewhere(userId: string): string[] {
    const others = this.store.allMembers().filter((it) => it.user_id !== userId && it.left_at === null);
    return others.flatMap(({ user_id }) => (this.#sockets.hears(user_id) ? [] : [user_id]));
  }

  /** The other member, as long as they are one. */
  #peerOf(userId: string): string | undefined {
    return this.store.allMembers().find((it) => it.user_id !== userId && it.left_at === null)?.user_id;
  }

  /** Answers a frame for which its sender lacks tokens. Who does not listen is closed in the end. */
  #refuse(socket: WebSocket, userId: string, frame: string): void {
    this.#sockets.send(socket, frame);
    if (this.#rateLimit.refusals(userId) <= RATE_REFUSALS_MAX) return;
    this.#sockets.close(socket, CLOSE.tooManyRequests, 'You were told to wait. Connect again later.');
  }

  /** What a frame of so many bytes costs. A reaction is small, but the message that it is on goes to every socket. */
  #tokensOf(frame: ClientFrame | undefined, bytes: number): number {
    const message = frame?.type === 'react' ? this.store.message(frame.n) : undefined;
    return requestTokens(frame?.type, bytes + jsonBytes(message?.text ?? ''));
  }

  /** Takes tokens from a user's bucket; returns 0, or the milliseconds to wait. */
  #take(userId: string, tokens: number, now: number): number {
    return this.#rateLimit.take(userId, tokens, now, { burst: settings.rateBurst, perSecond: settings.ratePerSecond });
  }
}

/** The refusal of a frame for which its sender lacks tokens. */
function tooFast(ref: string | undefined, wait: number): ServerFrameOf<'error'> {
  return errorFrame('rate_limited', `You are too fast. Try again in ${wait} ms.`, { ref, retry_after_ms: wait });
}
