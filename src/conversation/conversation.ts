import { DurableObject } from 'cloudflare:workers';
import { CLOSING_SOCKETS_MAX, FRAME_MAX_BYTES, FULL_RETRY_MS } from '../config.ts';
import { listMembers, type ConversationVersion } from '../directory/conversations.ts';
import { directory } from '../directory/database.ts';
import { log, logError } from '../log.ts';
import { CLOSE } from '../protocol/close-codes.ts';
import { encodeFrame, type Answer, type ServerFrameOf } from '../protocol/server-frames.ts';
import { exceedsBytes } from '../protocol/text.ts';
import { CHAT_V1 } from '../protocol/versions.ts';
import { settings } from '../settings.ts';
import { Chat, type CatchUp } from './chat.ts';
import { readAttachment, readConnect, refusalResponse, tags, type Connect, type Cursor } from './connection.ts';
import type { Mark, Request as ChatRequest } from './rules.ts';
import { closeQuietly, Sockets } from './sockets.ts';

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
export type ConversationNotice = { ended_sessions: { session_id: string; remember_until: number }[] };

/**
 * One conversation: its sockets and, in {@link Chat}, what its members do and hear. The only writer of its messages.
 *
 * Whoever calls it proves by the directory's version of the conversation that the directory knows the id; until then
 * the object touches no storage. Between reading storage and the last send of a frame nothing is awaited, so frames
 * take effect one after the other, and the runtime holds what is sent until what is stored is durable.
 */
export class Conversation extends DurableObject<Env> {
  readonly #sockets: Sockets;
  #chat: Chat | undefined;
  /** When the next open socket's token expires. Not known after waking up, until it is looked for. */
  #nextExpiry = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sockets = new Sockets(ctx);
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
    await this.#wakeAt(connect.expires_at);
    // From here to the open socket nothing is awaited: what is told in between is known here.
    if (store.isSessionEnded(connect.session_id)) return refusalResponse({ reason: 'session_ended' });
    if (!store.member(connect.user_id)) return refusalResponse({ reason: 'not_a_member' });
    const now = Date.now();
    const wait = chat.admit(connect.user_id, now);
    if (wait > 0) return refusalResponse({ reason: 'rate_limited', retry_after_ms: wait });
    // Before any socket goes or comes: one that replaces another is no departure, and its first frame is the welcome.
    chat.presence.update(now);
    if (!this.#makeRoom(connect.user_id)) {
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
    if (this.#nextExpiry <= now) this.#closeExpired(now);
    return chat.request(userId, frame, now) ?? null;
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
    const { store } = this.#wake();
    const now = Date.now();
    store.forgetEndedSessions(now);
    for (const { session_id, remember_until } of ended_sessions) {
      if (remember_until > now) store.rememberEndedSession(session_id, remember_until);
      // Those too that are closing after a message to oneself: their frames still count.
      for (const socket of this.ctx.getWebSockets(tags.session(session_id))) {
        this.#sockets.close(socket, CLOSE.sessionEnded, 'The session has ended.');
      }
    }
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
      // Frames behind a message to oneself still count, as in the original; behind any other close they do not.
      if (attachment.closing !== undefined && attachment.closing !== CLOSE.normal) return;
      const now = Date.now();
      if (attachment.expires_at <= now)
        return this.#sockets.close(socket, CLOSE.unauthenticated, 'The token has expired.');
      if (typeof frame !== 'string')
        return this.#sockets.close(socket, CLOSE.unsupportedData, 'Only text frames are understood.');
      if (exceedsBytes(frame, FRAME_MAX_BYTES)) {
        const reason = `A frame may have at most ${FRAME_MAX_BYTES} bytes.`;
        return this.#sockets.close(socket, CLOSE.tooLarge, reason);
      }
      const chat = this.#wake();
      if (!chat.store.member(attachment.user_id))
        return this.#sockets.close(socket, CLOSE.forbidden, 'You are not a member of this conversation.');
      this.#sockets.heard({ socket, attachment }, now);
      // The alarm closes sockets in time; should it be late, nobody hears what they may not hear any more.
      if (this.#nextExpiry <= now) this.#closeExpired(now);
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

  /** Closes the sockets whose token has expired, and sets the alarm for the next ones. */
  override async alarm(): Promise<void> {
    this.#closeExpired(Date.now());
    if (this.#nextExpiry !== Infinity) await this.#wakeAt(this.#nextExpiry);
  }

  get #id(): string {
    return this.ctx.id.name ?? '';
  }

  /** What the members do and hear, read from the store when the object has woken up. */
  #wake(): Chat {
    return (this.#chat ??= new Chat(this.#id, this.ctx.storage, this.#sockets));
  }

  /** The same, with the members as the directory has them at `known` or later. */
  async #upToDate(known: ConversationVersion): Promise<Chat> {
    const chat = this.#wake();
    const { store } = chat;
    if (!store.isBehind(known)) return chat;
    const list = await listMembers(directory(this.env.DB), this.#id);
    if (!list) throw new Error('The directory does not know the conversation any more.');
    const { epoch, isBlocked } = store;
    store.applyMembers(list);
    for (const { socket, attachment } of this.#sockets.open()) {
      if (!store.member(attachment.user_id)) {
        this.#sockets.close(socket, CLOSE.forbidden, 'You are not a member of this conversation any more.');
      } else if (store.epoch !== epoch && attachment.protocol === 'chat.v1') {
        this.#sockets.close(socket, CLOSE.restarted, 'The history was replaced. Connect again.');
      }
    }
    if (store.isBlocked !== isBlocked) chat.presence.blockChanged(Date.now());
    chat.membersChanged(Date.now());
    return chat;
  }

  /** Closes the sockets whose token has expired, and finds out when the next one does. */
  #closeExpired(now: number): void {
    // Also before: who is not known to be here cannot be told to have gone.
    this.#updatePresence(now);
    this.#nextExpiry = Infinity;
    for (const { socket, attachment } of this.#sockets.open()) {
      if (attachment.expires_at > now) this.#nextExpiry = Math.min(this.#nextExpiry, attachment.expires_at);
      else this.#sockets.close(socket, CLOSE.unauthenticated, 'The token has expired.');
    }
    this.#updatePresence(now);
  }

  /** Sets the object's one alarm, unless it is set for an earlier time. */
  async #wakeAt(time: number): Promise<void> {
    const earlier = await this.ctx.storage.getAlarm();
    if (earlier === null || earlier > time) await this.ctx.storage.setAlarm(time);
  }

  /** Whether a user may open one more socket. If they have too many, the longest silent one is closed for it. */
  #makeRoom(userId: string): boolean {
    const own = this.#sockets.open(tags.user(userId));
    // A closed socket stays until its client answers: one who never does could fill the object with them.
    if (this.ctx.getWebSockets(tags.user(userId)).length - own.length >= CLOSING_SOCKETS_MAX) return false;
    const silent = own.toSorted((a, b) => this.#sockets.lastHeard(a) - this.#sockets.lastHeard(b));
    const surplus = silent.slice(0, Math.max(0, own.length + 1 - settings.socketsPerUser));
    if (this.#sockets.open().length - surplus.length >= settings.socketsPerConversation) return false;
    for (const { socket } of surplus) {
      this.#sockets.close(socket, CLOSE.replaced, 'You have opened too many sockets here. A newer one replaces this.');
    }
    return true;
  }

  #accept(chat: Chat, connect: Connect, now: number): Response {
    const { user_id, session_id, expires_at, request_id, protocol } = connect;
    const { 0: client, 1: socket } = new WebSocketPair();
    this.#sockets.accept(socket, { user_id, expires_at, protocol, heard_at: now }, session_id);
    log('socket_opened', { conversation_id: this.#id, user_id, request_id, protocol });
    this.#nextExpiry = Math.min(this.#nextExpiry, expires_at);
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
