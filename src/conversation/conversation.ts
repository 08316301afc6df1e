import { DurableObject } from 'cloudflare:workers';
import { FRAME_MAX_BYTES } from '../config.ts';
import { listMembers, type ConversationVersion } from '../directory/conversations.ts';
import { directory } from '../directory/database.ts';
import { log, logError } from '../log.ts';
import { CLOSE, type CloseCode } from '../protocol/close-codes.ts';
import { decodePlainFrame, encodePlainMessage, INVALID_RECIPIENT } from '../protocol/plain.ts';
import { utf8Bytes } from '../protocol/text.ts';
import { readAttachment, readConnect, refusalResponse, tags, type Attachment, type Connect } from './connection.ts';
import { ConversationStore } from './store.ts';

/** A message as history shows it. `created_at` is in milliseconds since 1970. */
export type HistoryMessage = {
  n: number;
  text: string;
  created_at: number;
  sender: { user_id: string; first_name: string; last_name: string };
};

/** A page of history, newest first. */
export type HistoryPage = { messages: HistoryMessage[]; more: boolean };

/** What an object is told when something changed in the directory. */
export type ConversationNotice = { ended_sessions: { session_id: string; remember_until: number }[] };

/**
 * One conversation: its sockets and, through {@link ConversationStore}, its messages. The only writer of both.
 *
 * Whoever calls it proves by the directory's version of the conversation that the directory knows the id; until then
 * the object touches no storage. Between reading storage and the last send of a frame nothing is awaited, so frames
 * take effect one after the other, and the runtime holds what is sent until what is stored is durable.
 */
export class Conversation extends DurableObject<Env> {
  #store: ConversationStore | undefined;
  /** When the next open socket's token expires. Not known after waking up, until it is looked for. */
  #nextExpiry = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    // Answered by the runtime, without waking the object.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('ping', 'pong'));
  }

  /** Opens a socket for the member that {@link connectRequest} names. */
  override async fetch(request: Request): Promise<Response> {
    const connect = readConnect(request);
    if (!connect || connect.conversation_id !== this.#id)
      return new Response('Only the Worker connects.', { status: 400 });
    const store = await this.#upToDate(connect);
    await this.#wakeAt(connect.expires_at);
    // From here to the open socket nothing is awaited: what is told in between is known here.
    if (store.isSessionEnded(connect.session_id)) return refusalResponse({ reason: 'session_ended' });
    if (!store.member(connect.user_id)) return refusalResponse({ reason: 'not_a_member' });
    return this.#accept(connect);
  }

  /**
   * Messages older than `before`, newest first, for a member.
   * @param known what the directory says of the conversation, so that names are as new as that
   * @returns undefined if the reader is not a member (any more)
   */
  async history(
    known: ConversationVersion,
    readerId: string,
    page: { before?: number | undefined; limit: number },
  ): Promise<HistoryPage | undefined> {
    const store = await this.#upToDate(known);
    if (!store.member(readerId)) return undefined;
    const { messages, more } = store.history(page);
    return {
      messages: messages.map(({ n, text, created_at, sender_id }) => {
        const { first_name = '', last_name = '' } = store.anyMember(sender_id) ?? {};
        return { n, text: text ?? '', created_at, sender: { user_id: sender_id, first_name, last_name } };
      }),
      more,
    };
  }

  /**
   * Catches up with the directory: sockets of members who left and of sessions that ended are closed. Being told the
   * same thing again changes nothing.
   */
  async notify(known: ConversationVersion, { ended_sessions }: ConversationNotice): Promise<void> {
    // Sessions first: they need nothing from the directory, which may fail.
    const store = this.#openStore();
    store.forgetEndedSessions(Date.now());
    for (const { session_id, remember_until } of ended_sessions) {
      store.rememberEndedSession(session_id, remember_until);
      for (const socket of this.ctx.getWebSockets(tags.session(session_id))) {
        this.#close(socket, CLOSE.sessionEnded, 'The session has ended.');
      }
    }
    await this.#upToDate(known);
  }

  /** Shows that the object can be reached. Touches no storage, so it may be called for any id. */
  ping(): 'pong' {
    return 'pong';
  }

  override webSocketMessage(socket: WebSocket, frame: string | ArrayBuffer): void {
    const attachment = readAttachment(socket);
    try {
      if (!attachment) return this.#close(socket, CLOSE.unauthenticated, 'Connect again.');
      // Frames behind a message to oneself still count, as in the original; behind any other close they do not.
      if (attachment.closing !== undefined && attachment.closing !== CLOSE.normal) return;
      if (attachment.expires_at <= Date.now())
        return this.#close(socket, CLOSE.unauthenticated, 'The token has expired.');
      if (typeof frame !== 'string')
        return this.#close(socket, CLOSE.unsupportedData, 'Only text frames are understood.');
      if (exceeds(frame, FRAME_MAX_BYTES)) {
        return this.#close(socket, CLOSE.tooLarge, `A frame may have at most ${FRAME_MAX_BYTES} bytes.`);
      }
      this.#plainFrame(socket, attachment, frame);
    } catch (error) {
      logError('frame_failed', error, { conversation_id: this.#id, user_id: attachment?.user_id });
      this.#close(socket, CLOSE.internalError, 'The server failed. Connect again and look at the history.');
    }
  }

  override webSocketClose(socket: WebSocket, code: number, _reason: string, wasClean: boolean): void {
    const user_id = readAttachment(socket)?.user_id;
    log('socket_closed', { conversation_id: this.#id, user_id, code, was_clean: wasClean });
    // The runtime does not answer a close by itself, and not every code that arrives may be sent back.
    closeQuietly(socket, CLOSE.normal, '');
  }

  override webSocketError(socket: WebSocket, error: unknown): void {
    logError('socket_failed', error, { conversation_id: this.#id, user_id: readAttachment(socket)?.user_id });
  }

  /** Closes the sockets whose token has expired, and sets the alarm for the next ones. */
  override async alarm(): Promise<void> {
    this.#nextExpiry = this.#closeExpired(Date.now());
    if (this.#nextExpiry !== Infinity) await this.#wakeAt(this.#nextExpiry);
  }

  get #id(): string {
    return this.ctx.id.name ?? '';
  }

  /** The store, opened, with the members as the directory has them at `known` or later. */
  async #upToDate(known: ConversationVersion): Promise<ConversationStore> {
    const store = this.#openStore();
    if (!store.isBehind(known)) return store;
    const list = await listMembers(directory(this.env.DB), this.#id);
    if (!list) throw new Error('The directory does not know the conversation any more.');
    store.applyMembers(list);
    this.#closeDeparted(store);
    return store;
  }

  #openStore(): ConversationStore {
    return (this.#store ??= new ConversationStore(this.ctx.storage));
  }

  /** Closes the sockets whose token has expired; returns when the next one does, in milliseconds since 1970. */
  #closeExpired(now: number): number {
    let next = Infinity;
    for (const socket of this.ctx.getWebSockets()) {
      const { expires_at = 0, closing } = readAttachment(socket) ?? {};
      if (closing !== undefined) continue;
      if (expires_at <= now) this.#close(socket, CLOSE.unauthenticated, 'The token has expired.');
      else next = Math.min(next, expires_at);
    }
    return next;
  }

  #closeDeparted(store: ConversationStore): void {
    for (const socket of this.ctx.getWebSockets()) {
      const attachment = readAttachment(socket);
      if (!attachment) this.#close(socket, CLOSE.unauthenticated, 'Connect again.');
      else if (!store.member(attachment.user_id)) {
        this.#close(socket, CLOSE.forbidden, 'You are not a member of this conversation any more.');
      }
    }
  }

  #accept({ user_id, session_id, expires_at, request_id }: Connect): Response {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server, [tags.user(user_id), tags.session(session_id)]);
    server.serializeAttachment({ user_id, expires_at } satisfies Attachment);
    log('socket_opened', { conversation_id: this.#id, user_id, request_id });
    this.#nextExpiry = Math.min(this.#nextExpiry, expires_at);
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Sets the object's one alarm, unless it is set for an earlier time. */
  async #wakeAt(time: number): Promise<void> {
    const earlier = await this.ctx.storage.getAlarm();
    if (earlier === null || earlier > time) await this.ctx.storage.setAlarm(time);
  }

  #plainFrame(socket: WebSocket, { user_id }: Attachment, text: string): void {
    const store = this.#openStore();
    if (!store.member(user_id))
      return this.#close(socket, CLOSE.forbidden, 'You are not a member of this conversation.');
    const peer = store.activeMembers().find((member) => member.user_id !== user_id);
    const frame = decodePlainFrame(text, user_id, peer?.user_id);
    switch (frame.kind) {
      case 'invalid':
        send(socket, frame.error);
        return;
      case 'to_self':
        send(socket, INVALID_RECIPIENT);
        this.#close(socket, CLOSE.normal, INVALID_RECIPIENT);
        return;
      case 'message': {
        const now = Date.now();
        // The alarm closes sockets in time; should it be late, nobody hears what they may not hear any more.
        if (this.#nextExpiry <= now) this.#nextExpiry = this.#closeExpired(now);
        const ref = crypto.randomUUID();
        store.append({ sender_id: user_id, ref, text: frame.message, now });
        this.#broadcast(encodePlainMessage(frame));
        return;
      }
    }
  }

  #broadcast(frame: string): void {
    for (const socket of this.ctx.getWebSockets()) send(socket, frame);
  }

  /** Closes a socket from this side, and remembers it: frames that are on their way arrive all the same. */
  #close(socket: WebSocket, code: CloseCode, reason: string): void {
    const attachment = readAttachment(socket);
    if (attachment?.closing !== undefined && attachment.closing !== CLOSE.normal) return;
    if (attachment) socket.serializeAttachment({ ...attachment, closing: code } satisfies Attachment);
    closeQuietly(socket, code, reason);
  }
}

/** Sends to a socket that may be closing: then there is nobody left to tell. */
function send(socket: WebSocket, frame: string): void {
  if (socket.readyState !== WebSocket.OPEN) return;
  try {
    socket.send(frame);
  } catch (error) {
    logError('send_failed', error);
  }
}

function closeQuietly(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    // It is closed already.
  }
}

/** Whether a text has more than `limit` bytes of UTF-8, without encoding what is clearly below or above. */
function exceeds(text: string, limit: number): boolean {
  if (text.length > limit) return true;
  return text.length * 3 > limit && utf8Bytes(text) > limit;
}
