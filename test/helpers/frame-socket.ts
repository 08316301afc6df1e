import type { Side } from './asyncapi.ts';
import { describedByAsyncApi } from './frames.ts';
import type { TestSocket } from './socket.ts';

type AnyFrame = { type: string };
type Of<Frames, Type> = Frames extends { type: Type } ? Frames : never;
/** What answers a frame that has a ref. */
type AnswerIn<Frames> = Of<Frames, 'ok' | 'error' | 'page' | 'changes'>;
/** The frames of a client that are answered, which get a ref of their own if they have none. */
export type WithoutRef<Frame> = Frame extends { ref: string }
  ? Omit<Frame, 'ref' | 'limit'> & { ref?: string; limit?: number }
  : never;

/**
 * A client's end of a socket that speaks chat.v1, in a conversation or in an inbox. Every frame that passes is held
 * against the AsyncAPI document.
 */
export abstract class FrameSocket<Frame extends AnyFrame, Asked extends { ref?: string }> {
  readonly socket: TestSocket;
  /** Every frame so far, taken or not. */
  readonly frames: Frame[] = [];
  welcome!: Of<Frame, 'welcome'>;
  readonly #prefix: '' | 'inbox.';
  readonly #decodeFrame: (text: string) => Frame | undefined;
  readonly #untaken: Frame[] = [];

  constructor(socket: TestSocket, prefix: '' | 'inbox.', decode: (text: string) => Frame | undefined) {
    this.socket = socket;
    this.#prefix = prefix;
    this.#decodeFrame = decode;
  }

  /** Reads the welcome, and says `ping`, without which the runtime would finish no close by the server. */
  async begin(): Promise<void> {
    this.welcome = await this.next('welcome');
    this.socket.send('ping');
    let frame = await this.socket.next();
    for (; frame !== 'pong'; frame = await this.socket.next()) this.#untaken.push(this.#decode(frame));
    this.#check('server', frame);
  }

  get closed(): Promise<{ code: number; reason: string }> {
    return this.socket.closed;
  }

  /** Sends a frame that the protocol allows. */
  send(frame: object): void {
    const text = JSON.stringify(frame);
    this.#check('client', text);
    this.socket.send(text);
  }

  /** Sends whatever it is. */
  sendRaw(frame: string | ArrayBuffer): void {
    this.socket.send(frame);
  }

  /** The next frame of a type, in order of arrival; those of other types stay to be taken. */
  async next<Type extends Frame['type']>(
    type: Type,
    wanted: (frame: Of<Frame, Type>) => boolean = () => true,
  ): Promise<Of<Frame, Type>> {
    return this.#take(
      (frame): frame is Of<Frame, Type> & Frame => frame.type === type && wanted(frame as Of<Frame, Type>),
    );
  }

  /** Sends a frame and returns what it is answered. */
  async ask(frame: Asked): Promise<AnswerIn<Frame>> {
    const ref = frame.ref ?? crypto.randomUUID();
    this.send({ ...frame, ref });
    return this.answer(ref);
  }

  /** The answer to the frame with a ref. */
  async answer(ref: string): Promise<AnswerIn<Frame>> {
    return this.#take((frame): frame is AnswerIn<Frame> & Frame => 'ref' in frame && frame.ref === ref);
  }

  /** Asks, and expects an `ok`. */
  async ok(frame: Asked): Promise<Of<AnswerIn<Frame>, 'ok'>> {
    return only('ok', await this.ask(frame));
  }

  /** Asks, and expects an `error`; returns its code. */
  async refused(frame: Asked): Promise<string> {
    const { code } = only('error', await this.ask(frame)) as unknown as { code: string };
    return code;
  }

  /** Everything that has changed since a cursor, by as many `sync` as it takes. */
  async sync(after: number): Promise<Of<AnswerIn<Frame>, 'changes'>[]> {
    const pages: Of<AnswerIn<Frame>, 'changes'>[] = [];
    for (let cursor = { rev: after, more: true }; cursor.more;) {
      const page = only('changes', await this.#sync(cursor.rev));
      pages.push(page);
      cursor = page as unknown as typeof cursor;
    }
    return pages;
  }

  /** Resolves when the server has handled everything that was sent before, and its answers have arrived. */
  abstract settled(): Promise<void>;

  /** Frames that have arrived and were not taken. */
  get pending(): readonly Frame[] {
    for (const text of this.socket.pending.splice(0)) this.#untaken.push(this.#decode(text));
    return this.#untaken;
  }

  close(code?: number, reason?: string): void {
    this.socket.close(code, reason);
  }

  async #sync(after: number): Promise<AnswerIn<Frame>> {
    const ref = crypto.randomUUID();
    this.send({ type: 'sync', ref, after });
    return this.answer(ref);
  }

  async #take<Wanted extends Frame>(isWanted: (frame: Frame) => frame is Wanted): Promise<Wanted> {
    const index = this.#untaken.findIndex(isWanted);
    if (index >= 0) return this.#untaken.splice(index, 1)[0] as Wanted;
    for (;;) {
      const frame = this.#decode(await this.socket.next());
      if (isWanted(frame)) return frame;
      this.#untaken.push(frame);
    }
  }

  #decode(text: string): Frame {
    this.#check('server', text);
    const frame = this.#decodeFrame(text);
    if (!frame) throw new Error(`Not a frame of chat.v1: ${text}`);
    this.frames.push(frame);
    return frame;
  }

  #check(side: 'client' | 'server', text: string): void {
    const whole: Side = `${this.#prefix}${side}`;
    describedByAsyncApi(whole, text);
  }
}

/** An answer that must be of one type. */
function only<Answer extends AnyFrame, Type extends string>(type: Type, answer: Answer): Of<Answer, Type> {
  if (answer.type !== type) throw new Error(`Not ${type}, but: ${JSON.stringify(answer)}`);
  return answer as unknown as Of<Answer, Type>;
}
