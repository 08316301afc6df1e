import type { Cursor } from '../../src/conversation/connection.ts';
import type { ClientFrame } from '../../src/protocol/client-frames.ts';
import {
  decodeServerFrame,
  type Answer,
  type ServerFrame,
  type ServerFrameOf,
} from '../../src/protocol/server-frames.ts';
import { describedByAsyncApi } from './frames.ts';
import { connect, type TestSocket } from './socket.ts';

type Of<Frames, Type> = Frames extends { type: Type } ? Frames : never;
type WithoutRef<Frame> = Frame extends { ref: string }
  ? Omit<Frame, 'ref' | 'limit'> & { ref?: string; limit?: number }
  : never;
/** A frame that is answered; it gets a ref of its own if it has none. */
export type Asked = WithoutRef<ClientFrame>;

/** Opens a chat.v1 socket, which is welcomed. */
export async function openChat(
  conversationId: string,
  token: string,
  { cursor }: { cursor?: Cursor | undefined } = {},
): Promise<ChatSocket> {
  const query = cursor ? `?after=${cursor.after}&epoch=${cursor.epoch}` : '';
  const socket = new ChatSocket(
    await connect(conversationId, undefined, { protocols: ['chat.v1', `bearer.${token}`], query }),
  );
  await socket.begin();
  return socket;
}

/** A client's end of a chat.v1 socket. Every frame that passes is held against the AsyncAPI document. */
export class ChatSocket {
  readonly socket: TestSocket;
  /** Every frame so far, taken or not. */
  readonly frames: ServerFrame[] = [];
  welcome!: ServerFrameOf<'welcome'>;
  readonly #untaken: ServerFrame[] = [];

  constructor(socket: TestSocket) {
    this.socket = socket;
  }

  /** Reads the welcome, and says `ping`, without which the runtime would finish no close by the server. */
  async begin(): Promise<void> {
    this.welcome = await this.next('welcome');
    this.socket.send('ping');
    let frame = await this.socket.next();
    for (; frame !== 'pong'; frame = await this.socket.next()) this.#untaken.push(this.#decode(frame));
    describedByAsyncApi('server', frame);
  }

  get closed(): Promise<{ code: number; reason: string }> {
    return this.socket.closed;
  }

  /** Sends a frame that the protocol allows. */
  send(frame: object): void {
    const text = JSON.stringify(frame);
    describedByAsyncApi('client', text);
    this.socket.send(text);
  }

  /** Sends whatever it is. */
  sendRaw(frame: string | ArrayBuffer): void {
    this.socket.send(frame);
  }

  /** The next frame of a type, in order of arrival; those of other types stay to be taken. */
  async next<Type extends ServerFrame['type']>(
    type: Type,
    wanted: (frame: Of<ServerFrame, Type>) => boolean = () => true,
  ): Promise<Of<ServerFrame, Type>> {
    const isWanted = (frame: ServerFrame): frame is Of<ServerFrame, Type> =>
      frame.type === type && wanted(frame as Of<ServerFrame, Type>);
    const index = this.#untaken.findIndex(isWanted);
    if (index >= 0) return this.#untaken.splice(index, 1)[0] as Of<ServerFrame, Type>;
    for (;;) {
      const frame = await this.#receive();
      if (isWanted(frame)) return frame;
      this.#untaken.push(frame);
    }
  }

  /** Sends a frame and returns what it is answered. */
  async ask(frame: Asked): Promise<Answer> {
    const ref = frame.ref ?? crypto.randomUUID();
    this.send({ ...frame, ref });
    return this.answer(ref);
  }

  /** The answer to the frame with a ref. */
  async answer(ref: string): Promise<Answer> {
    const isAnswer = (frame: ServerFrame): frame is Answer => 'ref' in frame && frame.ref === ref;
    const index = this.#untaken.findIndex(isAnswer);
    if (index >= 0) return this.#untaken.splice(index, 1)[0] as Answer;
    for (;;) {
      const frame = await this.#receive();
      if (isAnswer(frame)) return frame;
      this.#untaken.push(frame);
    }
  }

  /** Asks, and expects an `ok`. */
  async ok(frame: Asked): Promise<ServerFrameOf<'ok'>> {
    return only('ok', await this.ask(frame));
  }

  /** Sends a message, and expects that it is stored. */
  async say(text: string, more: { ref?: string; reply_to?: number } = {}): Promise<ServerFrameOf<'ok'>> {
    return this.ok({ type: 'send', text, ...more });
  }

  /** Asks, and expects an `error`; returns its code. */
  async refused(frame: Asked): Promise<string> {
    return only('error', await this.ask(frame)).code;
  }

  /** Everything that has changed since a cursor, by as many `sync` as it takes. */
  async sync(after: number): Promise<ServerFrameOf<'changes'>[]> {
    const pages: ServerFrameOf<'changes'>[] = [];
    do {
      pages.push(only('changes', await this.ask({ type: 'sync', after: pages.at(-1)?.rev ?? after })));
    } while (pages.at(-1)?.more);
    return pages;
  }

  /**
   * Resolves when the server has handled everything that was sent before and every frame that it sent has arrived, but
   * for changes that wait to travel with others.
   */
  async settled(): Promise<void> {
    await this.ask({ type: 'history', after: Number.MAX_SAFE_INTEGER });
  }

  /** Frames that have arrived and were not taken. */
  get pending(): readonly ServerFrame[] {
    for (const text of this.socket.pending.splice(0)) this.#untaken.push(this.#decode(text));
    return this.#untaken;
  }

  close(code?: number, reason?: string): void {
    this.socket.close(code, reason);
  }

  async #receive(): Promise<ServerFrame> {
    return this.#decode(await this.socket.next());
  }

  #decode(text: string): ServerFrame {
    describedByAsyncApi('server', text);
    const frame = decodeServerFrame(text);
    if (!frame) throw new Error(`Not a frame of chat.v1: ${text}`);
    this.frames.push(frame);
    return frame;
  }
}

/** An answer that must be of one type. */
function only<Type extends Answer['type']>(type: Type, answer: Answer): Extract<Answer, { type: Type }> {
  if (answer.type !== type) throw new Error(`Not ${type}, but: ${JSON.stringify(answer)}`);
  return answer as Extract<Answer, { type: Type }>;
}
