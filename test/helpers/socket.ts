import { exports } from 'cloudflare:workers';
import { HOST } from './api.ts';

/** How a socket says who it is; by default in the query, as clients of the original do. */
export type SocketOptions = { protocols?: string[]; headers?: Record<string, string>; query?: string; path?: string };

/** Asks for an upgrade and returns the Worker's answer as it is. */
export async function upgrade(
  conversationId: string,
  token: string | undefined,
  options: SocketOptions = {},
): Promise<Response> {
  const query = options.query ?? (token === undefined ? '' : `?token=${token}`);
  return exports.default.fetch(
    new Request(`https://${HOST}${options.path ?? `/ws/chat/${conversationId}/`}${query}`, {
      headers: {
        Upgrade: 'websocket',
        ...(options.protocols ? { 'Sec-WebSocket-Protocol': options.protocols.join(', ') } : {}),
        ...options.headers,
      },
    }),
  );
}

/** Opens a socket. */
export async function connect(
  conversationId: string,
  token: string | undefined,
  options: SocketOptions = {},
): Promise<TestSocket> {
  const response = await upgrade(conversationId, token, options);
  if (!response.webSocket) throw new Error(`Refused: ${response.status} ${await response.text()}`);
  return new TestSocket(response.webSocket);
}

/** A client's end of a socket, whose frames and close are waited for. */
export class TestSocket {
  readonly #socket: WebSocket;
  readonly #frames: string[] = [];
  readonly #waiting: ((frame: string) => void)[] = [];
  /** Resolves when the server has closed the socket. */
  readonly closed: Promise<{ code: number; reason: string }>;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      socket.addEventListener('close', ({ code, reason }) => resolve({ code, reason }));
    });
    socket.addEventListener('message', ({ data }) => {
      const frame = String(data);
      const waiter = this.#waiting.shift();
      if (waiter) waiter(frame);
      else this.#frames.push(frame);
    });
    socket.accept();
  }

  send(frame: string | ArrayBuffer): void {
    this.#socket.send(frame);
  }

  /** Sends a plain frame. */
  say(message: unknown, recipientId: unknown): void {
    this.send(JSON.stringify({ message, recipient_id: recipientId }));
  }

  /** The next frame, in order of arrival. */
  next(): Promise<string> {
    const frame = this.#frames.shift();
    return frame === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(frame);
  }

  /** The next frames. */
  async take(count: number): Promise<string[]> {
    const frames: string[] = [];
    while (frames.length < count) frames.push(await this.next());
    return frames;
  }

  /** Frames that have arrived and were not taken. */
  get pending(): string[] {
    return this.#frames;
  }

  /**
   * Resolves when the server has handled everything sent before: a frame that names nobody is answered in its turn
   * (unlike `ping`, which the runtime answers at once). Frames that arrive before the answer stay to be taken.
   */
  async settled(): Promise<void> {
    const nobody = crypto.randomUUID().slice(0, 8);
    this.say('', nobody);
    const arrived: string[] = [];
    let frame = await this.next();
    while (!frame.includes(`“${nobody}”`)) {
      arrived.push(frame);
      frame = await this.next();
    }
    this.#frames.unshift(...arrived);
  }

  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason);
  }
}
