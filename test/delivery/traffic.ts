import type { Socket } from '../../src/client/environment.ts';
import type { Network } from './network.ts';

/** Turns of the event loop without traffic after which nothing is under way any more. */
const QUIET_TURNS = 3;
/** Milliseconds. */
const TURN_MS = 1;

// Before anything replaces it.
const { setTimeout: realTimeout } = globalThis;

/** A network that knows whether anything is under way. All clients of a run share it. */
export class Traffic implements Network {
  readonly #inner: Network;
  #underWay = 0;
  #events = 0;

  constructor(inner: Network) {
    this.#inner = inner;
  }

  readonly fetch: Network['fetch'] = async (url, init) => this.count(this.#inner.fetch(url, init));

  readonly openSocket: Network['openSocket'] = (url, protocols) => {
    const socket = this.#inner.openSocket(url, protocols);
    const opened = Promise.withResolvers<void>();
    void this.count(opened.promise);
    socket.addEventListener('open', () => opened.resolve());
    socket.addEventListener('message', () => void (this.#events += 1));
    socket.addEventListener('close', () => {
      this.#events += 1;
      opened.resolve();
    });
    return this.#counting(socket);
  };

  /** Takes note of something that is under way. */
  async count<Result>(work: Promise<Result>): Promise<Result> {
    this.#underWay += 1;
    try {
      return await work;
    } finally {
      this.#underWay -= 1;
      this.#events += 1;
    }
  }

  /** Takes note of something that has happened elsewhere than on the network. */
  moved(): void {
    this.#events += 1;
  }

  /** Lets what is under way get on a little. */
  async turn(): Promise<void> {
    await new Promise<void>((resolve) => {
      realTimeout(resolve, TURN_MS);
    });
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_TURNS;) {
      const before = this.#events;
      await this.turn();
      quiet = this.#underWay === 0 && this.#events === before ? quiet + 1 : 0;
    }
  }

  #counting(socket: Socket): Socket {
    return {
      send: (frame) => {
        this.#events += 1;
        socket.send(frame);
      },
      close: (code, reason) => socket.close(code, reason),
      addEventListener: (type: string, listener: (event: never) => void) =>
        socket.addEventListener(type as 'message', listener as () => void),
    };
  }
}
