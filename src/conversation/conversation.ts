import { DurableObject } from 'cloudflare:workers';
import { FEED_ALARM_MS, FULL_RETRY_MS } from '../config.ts';
import { listMembers, type ConversationVersion } from '../directory/conversations.ts';
import { directory } from '../directory/database.ts';
import { log, logError } from '../log.ts';
import { Alarm } from '../objects/alarm.ts';
import { readAttachment, refusalResponse, type Cursor } from '../objects/connection.ts';
import type { EndedSession } from '../objects/ended-sessions.ts';
import type { Feed } from '../objects/feed.ts';
import { Gate } from '../objects/gate.ts';
import { closeQuietly, Sockets } from '../objects/sockets.ts';
import { CLOSE } from '../protocol/close-codes.ts';
import { encodeFrame, type Answer, type ServerFrameOf } from '../protocol/server-frames.ts';
import { CHAT_V1 } from '../protocol/versions.ts';
import { settings } from '../settings.ts';
import { Chat, type CatchUp } from './chat.ts';
import { readConnect, type Connect } from './connection.ts';
import type { Mark, Request as ChatRequest } from './rules.ts';

/** A message as the original's history shows it. `created_at` is in milliseconds since 1970. */
export type HistoryMessage = {
  n: number;
  text: string;
  created_at: number;
  sender: { user_id: string; first_name: string; last_name: string };
};

/** A page of the original's history, newest first. `next` is where the next one begins, if there may be one. */
export type HistoryPage = { messages: HistoryMessage[]; next?: number | undefined };

/** What an object is told when something changed in the directory. */
export type ConversationNotice = { ended_sessions: EndedSession[] };

/**
 * One conversation: its sockets and, in {@link Chat}, what its members do and hear. The only writer of its messages.
 *
 * Whoever calls it proves by the directory's version of the conversation that the directory knows the id; until then
 * the object touches no storage. Between reading storage and the last send of a frame nothing is awaited, so frames
 * take effect one after the other, and the runtime holds what is sent until what is stored is durable.
 */
export class Conversation extends DurableObject<Env> {
  readonly #sockets: Sockets;
  readonly #gate: Gate;
  readonly #alarm: Alarm;
  #chat: Chat | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sockets = new Sockets(ctx);
    this.#gate = new Gate(ctx, this.#sockets);
    this.#alarm = new Alarm(ctx.storage);
    // Answered by the runtime, without waking the object.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('ping', 'pong'));
  }

  // What the Worker asks for

  /** Opens a socket for the member that {@link connectRequest} names. */
  override async fetch(request: Request): Promise<Response> {
    const connect = readConnect(request);
    if (!connect || connect.conversation_id !== this.#id)
      return new Response('Only the Worker connects.', { status: 400 });
    const chat = await this.#upToDate(connect);
    const { store } = chat;
    await this.#alarm.set(Math.min(connect.expires_at, this.#gate.nextExpiry));
    // From here to the open socket nothing is awaited: what is told in between is known here.
    if (store.endedSessions.has(connect.session_id)) return refusalResponse({ reason: 'session_ended' });
    if (!store.member(connect.user_id)) return refusalResponse({ reason: 'not_a_member' });
    const now = Date.now();
    const wait = chat.admit(connect.user_id, now);
    if (wait > 0) return refusalResponse({ reason: 'rate_limited', retry_after_ms: wait });
    // Before any socket goes or comes: one that replaces another is no departure, and its first frame is the welcome.
    chat.presence.update(now);
    if (!this.#gate.makeRoom(connect.user_id, settings.socketsPerConversation)) {
      return refusalResponse({ reason: 'conversation_full', retry_after_ms: FULL_RETRY_MS });
    }
    return this.#accept(chat, connect, now);
  }

  /**
   * Does what a member asks for over HTTP, by the same rules as a frame.
   * @param known what the directory says of the conversation
   * @returns what a socket would be answered, null for a frame that is not answered; undefined if they are no member
   */
  async request(
    known: ConversationVersion,
    userId: string,
    frame: ChatRequest | Mark,
  ): Promise<Answer | null | undefined> {
    const chat = await this.#upToDate(known);
    if (!chat.store.member(userId)) return undefined;
    const now = Date.now();
    if (this.#gate.nextExpiry <= now) this.#closeExpired(now);
    return chat.request(userId, frame, now) ?? null;
  }

  /**
   * Moves the marks of a member, as their inbox tells, which has been told of this conversation and so proves that the
   * directory knows it.
   * @returns how the conversation stands for them then, or a refusal; undefined if they are no member
   */
  async mark(userId: string, frame: Mark): Promise<Feed | ServerFrameOf<'error'> | undefined> {
    const chat = this.#wake();
    if (!chat.store.member(userId)) return undefined;
    return chat.mark(userId, frame, Date.now());
  }

  /** What a member lacks who has everything up to `cursor`, or nothing. @returns as {@link request} */
  async catchUp(
    known: ConversationVersion,
    userId: string,
    cursor: Cursor | undefined,
  ): Promise<CatchUp | ServerFrameOf<'error'> | undefined> {
    const chat = await this.#upToDate(known);
    return chat.store.member(userId) && chat.catchUp(userId, cursor, Date.now());
  }

  /**
   * Messages older than `before`, newest first, for a member: the original's history.
   * @param known what the directory says of the conversation, so that names are as new as that
   * @returns undefined if the reader is not a member (any more)
   */
  async history(
    known: ConversationVersion,
    readerId: string,
    page: { before?: number | undefined; limit: number },
  ): Promise<HistoryPage | undefined> {
    const { store } = await this.#upToDate(known);
    if (!store.member(readerId)) return undefined;
    const names = new Map(store.allMembers().map((member) => [member.user_id, member]));
    const { messages, next } = store.history(page);
    return {
      messages: messages.map(({ n, text, created_at, sender_id }) => {
        const { first_name = '', last_name = '' } = names.get(sender_id) ?? {};
        return { n, text: text ?? '', created_at, sender: { user_id: sender_id, first_name, last_name } };
      }),
      next,
    };
  }

  /**
   * Catches up with the directory: sockets of members who left and of sessions that ended are closed. Being told the
   * same thing again changes nothing.
   */
  async notify(known: ConversationVersion, { ended_sessions }: ConversationNotice): Promise<void> {
    // Sessions first: they need nothing from the directory, which may fail.
    const now = Date.now();
    this.#wake().store.endedSessions.end(ended_sessions, this.#gate, now);
    this.#updatePresence(now);
    await this.#upToDate(known);
  }

  /** Shows that the object can be reached. Touches no storage, so it may be called for any id. */
  ping(): 'pong' {
    return 'pong';
  }

  // What sockets do

  override webSocketMessage(socket: WebSocket, frame: string | ArrayBuffer): void {
    const attachment = readAttachment(socket);
    try {
      if (!attachment) return this.#sockets.close(socket, CLOSE.unauthenticated, 'Connect again.');
      const now = Date.now();
      if (!this.#gate.passes({ socket, attachment }, frame, now)) return;
      const chat = this.#wake();
      if (!chat.store.member(attachment.user_id))
        return this.#sockets.close(socket, CLOSE.forbidden, 'You are not a member of this conversation.');
      this.#sockets.heard({ socket, attachment }, now);
      // The alarm closes sockets in time; should it be late, nobody hears what they may not hear any more.
      if (this.#gate.nextExpiry <= now) this.#closeExpired(now);
      chat.frame(socket, attachment, frame, now);
    } catch (error) {
      logError('frame_failed', error, { conversation_id: this.#id, user_id: attachment?.user_id });
      this.#sockets.close(socket, CLOSE.internalError, 'The server failed. Connect again and look at the history.');
    }
  }

  override webSocketClose(socket: WebSocket, code: number, _reason: string, wasClean: boolean): void {
    log('socket_closed', { conversation_id: this.#id, user_id: userOf(socket), code, was_clean: wasClean });
    // The runtime does not answer a close by itself, and not every code that arrives may be sent back.
    closeQuietly(socket, CLOSE.normal, '');
    this.#updatePresence(Date.now(), socket);
  }

  override webSocketError(socket: WebSocket, error: unknown): void {
    logError('socket_failed', error, { conversation_id: this.#id, user_id: userOf(socket) });
    this.#updatePresence(Date.now(), socket);
  }

  /** Closes the sockets whose token has expired, and feeds the inboxes that lack something. */
  override async alarm(): Promise<void> {
    this.#alarm.fired();
    const now = Date.now();
    this.#closeExpired(now);
    this.#feed(now);
    await this.#alarm.set(this.#gate.nextExpiry);
  }

  get #id(): string {
    return this.ctx.id.name ?? '';
  }

  /** What the members do and hear, read from the store when the object has woken up. */
  #wake(): Chat {
    if (this.#chat) return this.#chat;
    this.#chat = new Chat(this.#id, this.ctx.storage, this.#sockets, {
      inboxOf: (userId) => this.env.INBOXES.getByName(userId),
      waitUntil: (work) => this.ctx.waitUntil(work),
      wakeAt: (time) => this.#wakeAt(time),
    });
    // What the one before had not told.
    this.#feed(Date.now());
    return this.#chat;
  }

  /** Feeds the inboxes that lack something. Nothing depends on it at once, so it never fails. */
  #feed(now: number): void {
    try {
      this.#wake().feeds.soon(now);
    } catch (error) {
      logError('feeds_failed', error, { conversation_id: this.#id });
      this.#wakeAt(now + FEED_ALARM_MS);
    }
  }

  /** Sets the alarm for a time, or for something earlier that is due. */
  #wakeAt(time: number): void {
    this.#alarm
      .set(Math.min(time, this.#gate.nextExpiry))
      .catch((error: unknown) => logError('alarm_failed', error, { conversation_id: this.#id }));
  }

  /** The same, with the members as the directory has them at `known` or later. */
  async #upToDate(known: ConversationVersion): Promise<Chat> {
    const chat = this.#wake();
    const { store } = chat;
    if (!store.isBehind(known)) return chat;
    const list = await listMembers(directory(this.env.DB), this.#id);
    if (!list) throw new Error('The directory does not know the conversation any more.');
    const { epoch, isBlocked } = store;
    const hidden = new Set(store.allMembers().flatMap((it) => (store.hidesPresence(it.user_id) ? [it.user_id] : [])));
    store.applyMembers(list);
    for (const { socket, attachment } of this.#sockets.open()) {
      if (!store.member(attachment.user_id)) {
        this.#sockets.close(socket, CLOSE.forbidden, 'You are not a member of this conversation any more.');
      } else if (store.epoch !== epoch && attachment.protocol === 'chat.v1') {
        this.#sockets.close(socket, CLOSE.restarted, 'The history was replaced. Connect again.');
      }
    }
    for (const { user_id } of store.allMembers()) {
      if (store.hidesPresence(user_id) !== hidden.has(user_id)) chat.presence.visibilityChanged(user_id, Date.now());
    }
    if (store.isBlocked && !isBlocked) chat.feeds.hidePresence();
    chat.membersChanged(Date.now());
    return chat;
  }

  /** Closes the sockets whose token has expired. */
  #closeExpired(now: number): void {
    // Also before: who is not known to be here cannot be told to have gone.
    this.#updatePresence(now);
    this.#gate.closeExpired(now);
    this.#updatePresence(now);
  }

  #accept(chat: Chat, connect: Connect, now: number): Response {
    const { user_id, session_id, expires_at, request_id, protocol } = connect;
    const { 0: client, 1: socket } = new WebSocketPair();
    this.#sockets.accept(socket, { user_id, expires_at, protocol, heard_at: now }, session_id);
    log('socket_opened', { conversation_id: this.#id, user_id, request_id, protocol });
    this.#gate.opened(connect);
    chat.presence.update(now);
    if (protocol === 'plain') return new Response(null, { status: 101, webSocket: client });
    try {
      this.#sockets.send(socket, encodeFrame(chat.welcome(user_id, connect.cursor)));
    } catch (error) {
      this.#sockets.close(socket, CLOSE.internalError, 'The server failed. Connect again.');
      throw error;
    }
    return new Response(null, { status: 101, webSocket: client, headers: { 'Sec-WebSocket-Protocol': CHAT_V1 } });
  }

  /** Tells who came and went. Nothing depends on it, so it never fails. @param closed a socket that counts no more */
  #updatePresence(now: number, closed?: WebSocket): void {
    try {
      this.#wake().presence.update(now, closed);
    } catch (error) {
      logError('presence_failed', error, { conversation_id: this.#id });
    }
  }
}

function userOf(socket: WebSocket): string | undefined {
  return readAttachment(socket)?.user_id;
}
