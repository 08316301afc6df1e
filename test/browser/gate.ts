import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Where a byte goes: `requests` to the server, `answers` to the page. */
type Direction = 'requests' | 'answers';

/** The way from the pages to the server, which can be blocked without the server or the pages being told. */
export class Gate {
  readonly #pairs = new Set<Record<Direction, Socket>>();
  readonly #held = new Set<Direction>();
  readonly #server: Server;

  private constructor(port: number) {
    this.#server = createServer((page) => this.#enter(page, port));
  }

  /** Opens a way to a port of this machine. */
  static async to(port: number): Promise<Gate> {
    const gate = new Gate(port);
    gate.#server.listen(0, 'localhost');
    await once(gate.#server, 'listening');
    return gate;
  }

  /** What the pages take for the server. */
  get url(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Lets nothing through any more in a direction, neither on new connections. */
  hold(direction: Direction): void {
    this.#held.add(direction);
    for (const pair of this.#pairs) pair[direction].pause();
  }

  /** Loses what is held, and every connection. */
  cut(): void {
    for (const { requests, answers } of this.#pairs) {
      requests.resetAndDestroy();
      answers.resetAndDestroy();
    }
  }

  /** Lets everything through, what was held first. */
  release(): void {
    this.#held.clear();
    for (const pair of this.#pairs) for (const socket of Object.values(pair)) socket.resume();
  }

  /** Ends every connection, and lets no page in any more. */
  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #enter(page: Socket, port: number): void {
    // Each direction by the socket that its bytes are read from.
    const pair = { requests: page, answers: connect(port, 'localhost') };
    this.#pairs.add(pair);
    for (const [from, to] of [
      [pair.requests, pair.answers],
      [pair.answers, pair.requests],
    ] as const) {
      from.on('data', (bytes) => to.write(bytes));
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
    for (const direction of this.#held) pair[direction].pause();
  }
}
