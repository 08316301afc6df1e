import type { ServerFrameOf } from '../../src/protocol/server-frames.ts';
import { ChatSocket } from './chat-socket.ts';
import { connect } from './socket.ts';

/**
 * Opens a chat.v1 socket, as often as it takes: its object may be lost before it is welcomed, and who connects too
 * often is told to wait.
 * @param wait lets time pass when the server asks for it
 */
export async function openAtLast(
  conversationId: string,
  token: string,
  wait: (milliseconds: number) => void,
): Promise<ChatSocket> {
  for (;;) {
    const socket = new ChatSocket(
      await connect(conversationId, undefined, { protocols: ['chat.v1', `bearer.${token}`] }),
    );
    const opened = await Promise.race([socket.begin().then(() => true), socket.closed.then(() => false)]);
    if (opened) return socket;
    const refusal = socket.frames.find(({ type }) => type === 'error');
    if (refusal?.type === 'error') wait(refusal.retry_after_ms ?? 0);
  }
}

/**
 * The client's side of rule 8, as small as it can be: messages that wait to be sent, of which one is on its way. It
 * stays the first, under the same ref, until it is answered for good, over as many sockets as that takes.
 */
export class Outbox {
  readonly acknowledged: ServerFrameOf<'ok'>[] = [];
  readonly #waiting: { ref: string; text: string }[] = [];
  readonly #wait: (milliseconds: number) => void;

  /** @param wait lets time pass when the server asks for it */
  constructor(wait: (milliseconds: number) => void) {
    this.#wait = wait;
  }

  add(text: string): void {
    this.#waiting.push({ ref: crypto.randomUUID(), text });
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /**
   * Sends what waits, one after the other, until nothing does or the socket is lost.
   * @param sent is called after each frame, with how many there were
   */
  async deliver(socket: ChatSocket, sent: (frames: number) => void = () => {}): Promise<void> {
    const lost = socket.closed.then(() => undefined);
    for (let frames = 1; ; frames += 1) {
      const [first] = this.#waiting;
      if (!first) return;
      socket.send({ type: 'send', ...first });
      sent(frames);
      const answer = await Promise.race([socket.answer(first.ref), lost]);
      if (!answer) return;
      if (answer.type === 'error' && answer.retry_after_ms !== undefined) {
        this.#wait(answer.retry_after_ms);
        continue;
      }
      this.#waiting.shift();
      if (answer.type !== 'ok') throw new Error(`Refused: ${JSON.stringify(answer)}`);
      this.acknowledged.push(answer);
    }
  }
}
