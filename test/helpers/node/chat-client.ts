import { randomUUID } from 'node:crypto';
import { decodeServerFrame, type ServerFrame, type ServerFrameOf } from '../../../src/protocol/server-frames.ts';
import { frameCheck, type AsyncApi, type FrameCheck } from '../asyncapi.ts';
import { Replica } from '../replica.ts';
import { ChatSocket } from './socket.ts';

type Server = { readonly url: string };

/** A check of frames by the AsyncAPI document that a server serves. */
export async function frameCheckOf(server: Server): Promise<FrameCheck> {
  const response = await fetch(new URL('/api/asyncapi/', server.url));
  return frameCheck((await response.json()) as AsyncApi);
}

/** Opens a socket that offers these subprotocols, whether or not it is welcome. */
export async function offer(server: Server, path: string, protocols: readonly string[]): Promise<ChatSocket> {
  return ChatSocket.open(`${server.url.replace(/^http/, 'ws')}/ws/chat/${path}`, { protocols });
}

/**
 * A client of chat.v1 that keeps what it has sent until it is acknowledged, over as many sockets and servers as that
 * takes, and everything that it was told. Every frame that passes is held against the server's AsyncAPI document.
 */
export class ChatClient {
  readonly replica = new Replica();
  /** What it has sent, by ref, in order. */
  readonly sent = new Map<string, string>();
  /** The same, as long as it is not acknowledged. */
  readonly outbox = new Map<string, string>();
  /** Every `ok` that it was answered. */
  readonly acknowledged: ServerFrameOf<'ok'>[] = [];
  welcome!: ServerFrameOf<'welcome'>;
  socket!: ChatSocket;
  #check!: FrameCheck;
  #isOpen = false;
  #syncing: string | undefined;

  /** Connects from its cursor, if it has one, asks for what it has missed, and sends again what is in its outbox. */
  async connect(server: Server, conversation: string, access: string): Promise<void> {
    this.#check = await frameCheckOf(server);
    const { cursor } = this.replica;
    const query = cursor ? `?after=${cursor.after}&epoch=${cursor.epoch}` : '';
    this.socket = await offer(server, `${conversation}/${query}`, ['chat.v1', `bearer.${access}`]);
    this.#isOpen = true;
    this.#syncing = undefined;
    void this.socket.closed.then(() => (this.#isOpen = false));
    const first = this.#decode(await this.socket.next());
    if (first.type !== 'welcome') throw new Error(`Not welcomed, but: ${JSON.stringify(first)}`);
    this.welcome = first;
    this.replica.apply(first);
    await this.socket.ping();
    this.#sync();
    for (const [ref, text] of this.outbox) this.#send({ type: 'send', ref, text });
  }

  /** Sends a message, and does not wait for what becomes of it. */
  say(text: string): void {
    const ref = randomUUID();
    this.sent.set(ref, text);
    this.outbox.set(ref, text);
    this.#send({ type: 'send', ref, text });
  }

  /**
   * Hears what it is told until `enough`, or until the socket is lost.
   * @param acknowledge is called after each `ok`
   */
  async hear(enough: () => boolean, acknowledge: () => void = () => {}): Promise<void> {
    while (!enough()) {
      let text: string;
      try {
        text = await this.socket.next();
      } catch (error) {
        if (this.#isOpen) throw error;
        return;
      }
      this.#apply(this.#decode(text), acknowledge);
    }
  }

  /** Hears until everything that it has sent is acknowledged, and it has missed nothing. */
  async settle(): Promise<void> {
    await this.hear(() => this.outbox.size === 0);
    this.#sync();
    await this.hear(() => this.#syncing === undefined);
    if (!this.#isOpen) throw new Error('The socket was lost.');
  }

  #apply(frame: ServerFrame, acknowledge: () => void): void {
    this.replica.apply(frame);
    switch (frame.type) {
      case 'ok':
        this.acknowledged.push(frame);
        this.outbox.delete(frame.ref);
        return acknowledge();
      case 'changes': {
        const isAnswer = frame.ref !== undefined && frame.ref === this.#syncing;
        if (isAnswer) this.#syncing = undefined;
        const isBehind = frame.more || (this.replica.gap && !isAnswer);
        if (isAnswer) this.replica.gap = false;
        if (isBehind) this.#sync();
        return;
      }
      case 'error':
        throw new Error(`Refused: ${JSON.stringify(frame)}`);
      default:
    }
  }

  /** Asks for what it has missed, unless it is asking already. */
  #sync(): void {
    if (this.#syncing !== undefined) return;
    this.#syncing = randomUUID();
    this.#send({ type: 'sync', ref: this.#syncing, after: this.replica.rev });
  }

  #send(frame: object): void {
    const text = JSON.stringify(frame);
    this.#check('client', text);
    this.socket.send(text);
  }

  #decode(text: string): ServerFrame {
    this.#check('server', text);
    const frame = decodeServerFrame(text);
    if (!frame) throw new Error(`Not a frame of chat.v1: ${text}`);
    return frame;
  }
}
