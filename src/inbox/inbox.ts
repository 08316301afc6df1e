import { DurableObject } from 'cloudflare:workers';
import {
  FEED_TIMEOUT_MS,
  FRAME_MAX_BYTES,
  FULL_RETRY_MS,
  PAGE_SIZE,
  PINS_MAX,
  PRESENCE_CHECK_MS,
  PING_INTERVAL_MS,
  PRESENCE_INTERVAL_MS,
  RATE_PAGE_TOKENS,
  RATE_REFUSALS_MAX,
  TYPING_LIFETIME_MS,
  UNREAD_MAX,
} from '../config.ts';
import { findInbox, type InboxState } from '../directory/access.ts';
import { withoutBlock } from '../directory/blocks.ts';
import { directory } from '../directory/database.ts';
import { inTime } from '../in-time.ts';
import { log, logError } from '../log.ts';
import { Alarm } from '../objects/alarm.ts';
import { readAttachment, refusalResponse, type Cursor } from '../objects/connection.ts';
import type { EndedSession } from '../objects/ended-sessions.ts';
import { FanOut } from '../objects/fan-out.ts';
import type { Feed, FeedReceipt } from '../objects/feed.ts';
import { Gate } from '../objects/gate.ts';
import { RateLimit, requestTokens } from '../objects/rate-limit.ts';
import { closeQuietly, Sockets } from '../objects/sockets.ts';
import { CLOSE } from '../protocol/close-codes.ts';
import {
  decodeInboxClientFrame,
  encodeInboxFrame,
  type InboxClientFrame,
  type InboxClientFrameOf,
  type InboxRow,
  type InboxServerFrame,
  type InboxServerFrameOf,
  type UnreadTotal,
} from '../protocol/inbox-frames.ts';
import { errorFrame } from '../protocol/server-frames.ts';
import { utf8Bytes } from '../protocol/text.ts';
import { CHAT_V1 } from '../protocol/versions.ts';
import { settings } from '../settings.ts';
import { readInboxConnect, type InboxConnect } from './connection.ts';
import { InboxPresence, type ContactState } from './presence.ts';
import { InboxStore, type ListRange } from './store.ts';

/** What an inbox is told when something changed in the directory. */
export type InboxNotice = { ended_sessions: EndedSession[]; user_changed: boolean };

/** A page of an inbox. */
export type InboxList = {
  epoch: number;
  rev: number;
  conversations: InboxRow[];
  next: string | null;
  total: UnreadTotal;
};

/** What is to be set of a conversation, or how far its user has read and received. */
export type InboxSetting = Omit<InboxClientFrameOf<'set'>, 'type' | 'ref' | 'conversation'>;
type Marks = Pick<InboxClientFrameOf<'mark'>, 'read' | 'delivered'>;
type Refusal = InboxServerFrameOf<'error'>;

/** What is awake in an inbox. */
type Awake = { readonly store: InboxStore; readonly presence: InboxPresence; readonly fanOut: FanOut };

/**
 * The inbox of one user, whose id it is named by: how each of their conversations stands, and the sockets that follow it.
 * Conversations tell it their present state, whole, so nothing is counted here. Only the Worker and other objects call it,
 * for users that the directory knows.
 */
export class Inbox extends DurableObject<Env> {
  readonly #sockets: Sockets;
  readonly #gate: Gate;
  readonly #alarm: Alarm;
  readonly #rateLimit = new RateLimit();
  #awake: Awake | undefined;
  #presenceLookedAt = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sockets = new Sockets(ctx);
    this.#gate = new Gate(ctx, this.#sockets);
    this.#alarm = new Alarm(ctx.storage);
    // Answered by the runtime, without waking the object.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('ping', 'pong'));
  }

  // What the Worker asks for

  /** Opens a socket for the user, as `inboxConnectRequest` has it. */
  override async fetch(request: Request): Promise<Response> {
    const connect = readInboxConnect(request);
    if (!connect || connect.user_id !== this.#userId) return new Response('Only the Worker connects.', { status: 400 });
    const { store } = this.#upToDate(connect);
    const now = Date.now();
    await this.#alarm.set(Math.min(connect.expires_at, this.#gate.nextExpiry, now + PRESENCE_CHECK_MS));
    // From here to the open socket nothing is awaited: what is told in between is known here.
    if (store.isClosed) return refusalResponse({ reason: 'account_closed' });
    if (store.endedSessions.has(connect.session_id)) return refusalResponse({ reason: 'session_ended' });
    const wait = this.#take(RATE_PAGE_TOKENS, now);
    if (wait > 0) return refusalResponse({ reason: 'rate_limited', retry_after_ms: wait });
    if (!this.#gate.makeRoom(this.#userId, Infinity)) {
      return refusalResponse({ reason: 'rate_limited', retry_after_ms: FULL_RETRY_MS });
    }
    return this.#accept(connect, now);
  }

  /** A page of conversations, or why not. @returns undefined if the account is closed */
  async list(state: InboxState, range: ListRange): Promise<InboxList | Refusal | undefined> {
    const { store } = this.#upToDate(state);
    if (store.isClosed) return undefined;
    const now = Date.now();
    const wait = this.#take(RATE_PAGE_TOKENS, now);
    if (wait > 0) return tooFast(undefined, wait);
    return { epoch: store.epoch, rev: store.rev, ...store.list(range), total: store.total(now) };
  }

  /** Changes how a conversation stands. @returns how it stands then, or why not */
  async set(state: InboxState, conversationId: string, setting: InboxSetting): Promise<InboxRow | Refusal> {
    this.#upToDate(state);
    const now = Date.now();
    const wait = this.#take(1, now);
    if (wait > 0) return tooFast(undefined, wait);
    const refusal = await this.#set(conversationId, setting);
    return refusal ?? this.#wake().store.row(conversationId) ?? unknown();
  }

  /** Takes note of what changed in the directory. Being told the same thing again changes nothing. */
  async notify({ ended_sessions, user_changed }: InboxNotice): Promise<void> {
    const now = Date.now();
    const { store } = this.#wake();
    if (!store.isClosed) store.endedSessions.end(ended_sessions, this.#gate, now);
    this.#updatePresence(now);
    if (!user_changed) return;
    const state = await findInbox(directory(this.env.DB), this.#userId);
    if (state) this.#upToDate(state);
    else this.#close();
  }

  // What other objects tell

  /** A conversation tells how it stands for the user. */
  async feed(conversationId: string, feed: Feed): Promise<FeedReceipt> {
    const { store, fanOut, presence } = this.#wake();
    if (store.apply(conversationId, feed)) {
      fanOut.soon(Date.now());
      if (feed.row?.peer) presence.meet(feed.row.peer.user_id);
    }
    return { listening: this.#isListening };
  }

  /** Somebody types in a conversation. */
  async typing(conversationId: string, userId: string, on: boolean): Promise<FeedReceipt> {
    const isListening = this.#isListening;
    if (isListening && this.#wake().store.row(conversationId)) {
      this.#tell({ type: 'typing', conversation: conversationId, user_id: userId, on });
    }
    return { listening: isListening };
  }

  /** The inbox of somebody whom the user talks to tells how they are. @returns how the user is */
  async presence(contactId: string, state: ContactState): Promise<ContactState> {
    const { presence } = this.#wake();
    this.#updatePresence(Date.now());
    presence.hear(contactId, state);
    return presence.state;
  }

  /** The user and somebody else may not see any more whether the other is here. */
  async hidePresence(contactId: string): Promise<void> {
    this.#wake().presence.hear(contactId, { online: false, last_seen: null, listening: false });
  }

  // What sockets do

  override async webSocketMessage(socket: WebSocket, frame: string | ArrayBuffer): Promise<void> {
    const attachment = readAttachment(socket);
    try {
      if (!attachment) return this.#sockets.close(socket, CLOSE.unauthenticated, 'Connect again.');
      const now = Date.now();
      if (!this.#gate.passes({ socket, attachment }, frame, now)) return;
      this.#sockets.heard({ socket, attachment }, now);
      // The alarm closes sockets in time; should it be late, nobody hears what they may not hear any more.
      if (this.#gate.nextExpiry <= now) this.#gate.closeExpired(now);
      const isNews = !this.#wake().presence.isOnline || now - this.#presenceLookedAt >= PRESENCE_INTERVAL_MS;
      if (isNews) this.#updatePresence(now);
      await this.#frame(socket, frame, now);
    } catch (error) {
      logError('frame_failed', error, { user_id: this.#userId });
      this.#sockets.close(socket, CLOSE.internalError, 'The server failed. Connect again.');
    }
  }

  override webSocketClose(socket: WebSocket, code: number, _reason: string, wasClean: boolean): void {
    log('inbox_closed', { user_id: this.#userId, code, was_clean: wasClean });
    // The runtime does not answer a close by itself, and not every code that arrives may be sent back.
    closeQuietly(socket, CLOSE.normal, '');
    this.#updatePresence(Date.now(), socket);
  }

  override webSocketError(socket: WebSocket, error: unknown): void {
    logError('socket_failed', error, { user_id: this.#userId });
    this.#updatePresence(Date.now(), socket);
  }

  /** Closes the sockets whose token has expired, and looks whether the user has gone without a word. */
  override async alarm(): Promise<void> {
    this.#alarm.fired();
    const now = Date.now();
    this.#gate.closeExpired(now);
    this.#updatePresence(now);
    await this.#alarm.set(Math.min(this.#gate.nextExpiry, this.#wake().presence.checkAt(now)));
  }

  get #userId(): string {
    return this.ctx.id.name ?? '';
  }

  get #isListening(): boolean {
    return this.#sockets.open().length > 0;
  }

  #wake(): Awake {
    if (this.#awake) return this.#awake;
    const store = new InboxStore(this.ctx.storage);
    const changes = {
      get rev() {
        return store.rev;
      },
      frameSince: (after: number) => {
        const since = store.changesSince(after, Date.now());
        return { frame: encodeInboxFrame({ type: 'changes', ...since }), rev: since.rev };
      },
    };
    this.#awake = {
      store,
      presence: new InboxPresence(store, this.#sockets, {
        userId: this.#userId,
        allowed: async (userIds) => withoutBlock(directory(this.env.DB), this.#userId, userIds),
        tell: async (contactId, state) => this.env.INBOXES.getByName(contactId).presence(this.#userId, state),
        waitUntil: (work) => this.ctx.waitUntil(work),
      }),
      fanOut: new FanOut(changes, this.#sockets, (error) =>
        logError('fan_out_failed', error, { user_id: this.#userId }),
      ),
    };
    return this.#awake;
  }

  /** The same, knowing what the directory says. */
  #upToDate(state: InboxState): Awake {
    const awake = this.#wake();
    const { store, presence } = awake;
    const { epoch, showsPresence } = store;
    store.setState(state);
    if (store.epoch !== epoch && epoch !== 0)
      this.#closeAll(CLOSE.restarted, 'The history was replaced. Connect again.');
    if (store.showsPresence !== showsPresence) presence.visibilityChanged();
    return awake;
  }

  /** The account is gone. */
  #close(): void {
    this.#closeAll(CLOSE.sessionEnded, 'The account was deleted.');
    const now = Date.now();
    this.#updatePresence(now);
    this.#wake().store.close(now);
  }

  #closeAll(code: typeof CLOSE.restarted | typeof CLOSE.sessionEnded, reason: string): void {
    for (const { socket } of this.#sockets.open()) this.#sockets.close(socket, code, reason);
  }

  #accept({ session_id, expires_at, request_id, cursor }: InboxConnect, now: number): Response {
    const { 0: client, 1: socket } = new WebSocketPair();
    const user_id = this.#userId;
    this.#sockets.accept(socket, { user_id, expires_at, protocol: 'chat.v1', heard_at: now }, session_id);
    log('inbox_opened', { user_id, request_id });
    this.#gate.opened({ expires_at });
    this.#updatePresence(now);
    try {
      this.#sockets.send(socket, encodeInboxFrame(this.#welcome(cursor, now)));
    } catch (error) {
      this.#sockets.close(socket, CLOSE.internalError, 'The server failed. Connect again.');
      throw error;
    }
    return new Response(null, { status: 101, webSocket: client, headers: { 'Sec-WebSocket-Protocol': CHAT_V1 } });
  }

  #welcome(cursor: Cursor | undefined, now: number): InboxServerFrameOf<'welcome'> {
    const { store } = this.#wake();
    const resumed =
      cursor?.epoch === store.epoch &&
      cursor.after <= store.rev &&
      !store.hasMoreChanges(cursor.after, settings.resumeRows);
    return {
      type: 'welcome',
      me: this.#userId,
      epoch: store.epoch,
      rev: store.rev,
      limits: {
        frame_max_bytes: FRAME_MAX_BYTES,
        page_max_rows: PAGE_SIZE,
        resume_rows: settings.resumeRows,
        unread_max: UNREAD_MAX,
        pins_max: PINS_MAX,
        ping_interval_ms: PING_INTERVAL_MS,
        typing_lifetime_ms: TYPING_LIFETIME_MS,
      },
      total: store.total(now),
      presence: store.contacts(),
      resumed,
      ...(!resumed && { snapshot: store.snapshot() }),
    };
  }

  async #frame(socket: WebSocket, text: string, now: number): Promise<void> {
    const { frame, problem } = decodeInboxClientFrame(text);
    const ref = problem ? problem.ref : 'ref' in frame ? frame.ref : undefined;
    const wait = this.#take(requestTokens(frame?.type, utf8Bytes(text)), now);
    if (wait > 0) {
      this.#sockets.send(socket, encodeInboxFrame(tooFast(ref, wait)));
      if (this.#rateLimit.refusals(this.#userId) > RATE_REFUSALS_MAX) {
        this.#sockets.close(socket, CLOSE.tooManyRequests, 'You were told to wait. Connect again later.');
      }
      return;
    }
    const answer = problem ? errorFrame(problem.code, problem.message, { ref }) : await this.#answer(frame, now);
    if (answer) this.#sockets.send(socket, encodeInboxFrame(answer));
  }

  /** Does what a frame asks for. */
  async #answer(frame: InboxClientFrame, now: number): Promise<InboxServerFrame | undefined> {
    const { store } = this.#wake();
    switch (frame.type) {
      case 'sync': {
        const { ref, after } = frame;
        if (after <= store.rev) return { type: 'changes', ref, ...store.changesSince(after, now) };
        const message = `"after" is ahead of this inbox, whose last change is ${store.rev}.`;
        return errorFrame('unknown_cursor', `${message} Connect again without a cursor.`, { ref });
      }
      case 'list':
        return { type: 'page', ref: frame.ref, epoch: store.epoch, rev: store.rev, ...store.list(frame) };
      case 'set': {
        const { ref, conversation } = frame;
        const refusal = await this.#set(conversation, frame);
        if (refusal) return { ...refusal, ref };
        return { type: 'ok', ref, rev: store.row(conversation)?.rev ?? store.rev };
      }
      case 'mark':
        return this.#mark(frame.conversation, frame);
    }
  }

  /** Changes how a conversation stands, or nothing. @returns why not, if so */
  async #set(conversationId: string, setting: InboxSetting): Promise<Refusal | undefined> {
    const { store, fanOut } = this.#wake();
    const reason = store.whyNot(conversationId, setting);
    if (reason === 'no_such_conversation') return unknown();
    if (reason === 'too_many_pins') {
      return errorFrame(reason, `You have pinned ${PINS_MAX} conversations. Unpin one first.`);
    }
    const row = store.row(conversationId);
    if (setting.unread === false && row && row.read < row.n) {
      const refusal = await this.#mark(conversationId, { read: row.n });
      if (refusal) return refusal;
    }
    store.set(conversationId, setting);
    fanOut.soon(Date.now());
    return undefined;
  }

  /** Tells a conversation how far the user has read and received, and takes over how it stands then. */
  async #mark(conversationId: string, marks: Marks): Promise<Refusal | undefined> {
    const { store, fanOut } = this.#wake();
    const before = store.row(conversationId);
    if (!before) return unknown();
    try {
      const conversation = this.env.CONVERSATIONS.getByName(conversationId);
      const call = async () => conversation.mark(this.#userId, { type: 'mark', ...marks });
      const answer = await inTime(call(), FEED_TIMEOUT_MS, 'The conversation does not answer.');
      if (!answer) return unknown();
      if ('type' in answer) return answer;
      store.apply(conversationId, answer);
    } catch (error) {
      logError('mark_failed', error, { conversation_id: conversationId, user_id: this.#userId });
      const later = { retry_after_ms: 1000 };
      return errorFrame('unavailable', 'The conversation could not be reached. Try again.', later);
    }
    if ((marks.read ?? 0) >= before.n) store.set(conversationId, { unread: false });
    fanOut.soon(Date.now());
    return undefined;
  }

  #tell(frame: InboxServerFrame): void {
    const text = encodeInboxFrame(frame);
    for (const socket of this.#sockets.chatV1()) this.#sockets.send(socket, text);
  }

  /** Tells those who want to know whether the user is here. Nothing depends on it, so it never fails. */
  #updatePresence(now: number, closed?: WebSocket): void {
    this.#presenceLookedAt = now;
    try {
      const { store, presence } = this.#wake();
      if (!store.isClosed) presence.update(now, closed);
    } catch (error) {
      logError('presence_failed', error, { user_id: this.#userId });
    }
  }

  /** Takes tokens from the user's bucket; returns 0, or the milliseconds to wait. */
  #take(tokens: number, now: number): number {
    const rate = { burst: settings.rateBurst, perSecond: settings.ratePerSecond };
    return this.#rateLimit.take(this.#userId, tokens, now, rate);
  }
}

function unknown(): Refusal {
  return errorFrame('no_such_conversation', 'Your inbox has no such conversation.');
}

/** The refusal of a frame for which its sender lacks tokens. */
function tooFast(ref: string | undefined, wait: number): Refusal {
  return errorFrame('rate_limited', `You are too fast. Try again in ${wait} ms.`, { ref, retry_after_ms: wait });
}
