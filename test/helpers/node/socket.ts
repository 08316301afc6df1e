import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';

/** Milliseconds. Generous: it is only waited for when a test fails. */
const DEADLINE_MS = 10_000;

export type Headers = Readonly<Record<string, string>>;

/** The server's answer to an attempt to open a socket. `body` is the text of a refusal. */
export type Handshake = { status: number; headers: IncomingHttpHeaders; body: string };

/** Asks for an upgrade with exactly these headers besides WebSocket's own; an accepted socket is dropped at once. */
export async function handshake(url: string, headers: Headers = {}): Promise<Handshake> {
  const { hostname, port, pathname, search } = new URL(url);
  const attempt = request({
    hostname,
    port,
    path: pathname + search,
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
      ...headers,
    },
  });
  const answered = new Promise<Handshake>((resolve, reject) => {
    attempt.once('upgrade', (response: IncomingMessage, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: '' });
    });
    attempt.once('response', (response) => {
      response.setEncoding('utf8');
      let body = '';
      response.on('data', (chunk: string) => (body += chunk));
      once(response, 'end').then(
        () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        reject,
      );
    });
    attempt.once('error', reject);
  });
  attempt.end();
  return answered;
}

/** How a socket ended. */
export type Closed = { code: number; reason: string };

/** A socket that keeps what it is sent until a test asks for it. */
export class ChatSocket {
  /** Every frame so far, also those that {@link next} has handed out. */
  readonly frames: string[] = [];
  /** Settles when the socket is closed, by whichever side. */
  readonly closed: Promise<Closed>;
  readonly #socket: WebSocket;
  #taken = 0;
  #wake: () => void = () => {};

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      this.frames.push(typeof data === 'string' ? data : `<binary frame: ${String(data)}>`);
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      socket.addEventListener('close', ({ code, reason }) => {
        resolve({ code, reason });
        this.#wake();
      });
    });
  }

  /**
   * Opens a socket.
   * @throws Error if the server refuses it; {@link handshake} tells how
   */
  static async open(
    url: string,
    options: { headers?: Headers; protocols?: readonly string[] } = {},
  ): Promise<ChatSocket> {
    // Node's own WebSocket takes headers too, of which the type, that of browsers, knows nothing.
    const socket: WebSocket = Reflect.construct(WebSocket, [url, options]);
    const opened = new ChatSocket(socket);
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener('open', () => resolve());
      socket.addEventListener('close', () => reject(new Error(`No socket at ${url.split('?')[0]}`)));
    });
    return opened;
  }

  get protocol(): string {
    return this.#socket.protocol;
  }

  /** Sends text or bytes as they are. */
  send(...frames: (string | Uint8Array<ArrayBuffer>)[]): void {
    for (const frame of frames) this.#socket.send(frame);
  }

  /**
   * The next frame that was not handed out yet.
   * @throws Error if the socket closes first, or none comes in time
   */
  async next(): Promise<string> {
    const [frame] = await this.take(1);
    return frame ?? '';
  }

  /** The next `count` frames, as {@link next}. */
  async take(count: number): Promise<string[]> {
    const end = this.#taken + count;
    await this.#until(
      () => this.frames.length >= end,
      () => `${count} frames, of which ${this.frames.length - this.#taken} came`,
    );
    const frames = this.frames.slice(this.#taken, end);
    this.#taken = end;
    return frames;
  }

  /**
   * Sends `ping` and waits for its `pong`. A socket that never sent a frame does not finish a close by the server:
   * workerd completes it only with the client's next frame.
   */
  async ping(): Promise<void> {
    this.send('ping');
    const answer = await this.next();
    if (answer !== 'pong') throw new Error(`ping was answered with ${answer}`);
  }

  /** Closes the socket, if it is open, and waits until it is closed. */
  async close(code = 1000): Promise<Closed> {
    this.#socket.close(code);
    return this.closed;
  }

  /** Waits for a condition that only a frame or the end of the socket can change. */
  async #until(met: () => boolean, what: () => string): Promise<void> {
    const late = Date.now() + DEADLINE_MS;
    while (!met()) {
      if (this.#socket.readyState === WebSocket.CLOSED) throw new Error(`Closed while waiting for ${what()}`);
      const left = late - Date.now();
      if (left <= 0) throw new Error(`No answer in ${DEADLINE_MS} ms: waiting for ${what()}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(() => resolve(), left);
      await promise;
      clearTimeout(timer);
    }
  }
}
