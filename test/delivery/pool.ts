import { exports } from 'cloudflare:workers';
import type { Socket } from '../../src/client/environment.ts';
import type { Network } from './network.ts';

/** The network between a client in a test and the Worker that the test runs in. */
export const poolNetwork: Network = {
  fetch: async (url, init) => exports.default.fetch(new Request(url, init)),
  openSocket: (url, protocols) => new PoolSocket(url, protocols),
};

/** A WebSocket by the shape that clients know: it is there before it is open. */
class PoolSocket implements Socket {
  readonly #target = new EventTarget();
  readonly #opened: Promise<WebSocket | null>;

  constructor(url: string, protocols: string[]) {
    this.#opened = this.#open(url, protocols);
  }

  send(frame: string): void {
    void this.#opened.then((socket) => socket?.send(frame));
  }

  close(code?: number, reason?: string): void {
    void this.#opened.then((socket) => socket?.close(code, reason));
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#target.addEventListener(type, listener as (event: Event) => void);
  }

  async #open(url: string, protocols: string[]): Promise<WebSocket | null> {
    const headers = { Upgrade: 'websocket', 'Sec-WebSocket-Protocol': protocols.join(', ') };
    const response = await exports.default
      .fetch(new Request(url.replace(/^ws/, 'http'), { headers }))
      .catch(() => undefined);
    const socket = response?.webSocket;
    if (!socket) {
      this.#target.dispatchEvent(Object.assign(new Event('close'), { code: 1006, reason: '' }));
      return null;
    }
    socket.addEventListener('message', ({ data }) =>
      this.#target.dispatchEvent(Object.assign(new Event('message'), { data })),
    );
    socket.addEventListener('close', ({ code, reason }) =>
      this.#target.dispatchEvent(Object.assign(new Event('close'), { code, reason })),
    );
    socket.accept();
    this.#target.dispatchEvent(new Event('open'));
    return socket;
  }
}
