import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServer, type Server, type ServerOptions } from '../wrangler-dev.ts';

type Options = Required<Pick<ServerOptions, 'persistTo' | 'port' | 'vars'>>;

/** A real server that is killed and comes back, at the same address and with the same data. */
export class MortalServer {
  readonly url: string;
  /** How often it was killed. */
  kills = 0;
  readonly #options: Options;
  #server: Server | undefined;

  private constructor(options: Options, server: Server) {
    this.#options = options;
    this.#server = server;
    this.url = server.url;
  }

  /** @param vars variables of the Worker */
  static async start(vars: NonNullable<ServerOptions['vars']>): Promise<MortalServer> {
    const persistTo = mkdtempSync(join(tmpdir(), 'edge-chat-state-'));
    const options = { persistTo, port: await quietPort(), vars };
    return new MortalServer(options, await startServer(options));
  }

  /** Whether it runs. */
  get isAlive(): boolean {
    return this.#server !== undefined;
  }

  /** `kill -9` of all its processes at once. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.kills += 1;
    await server?.kill();
  }

  async restart(): Promise<void> {
    this.#server ??= await startServer(this.#options);
  }

  /** The last lines that it printed in this life. */
  lastLines(count: number): string {
    return this.#server?.output().trimEnd().split('\n').slice(-count).join('\n') ?? 'It does not run.';
  }

  /** Ends it for good, and removes its data. */
  async remove(): Promise<void> {
    await this.#server?.stop();
    this.#server = undefined;
    rmSync(this.#options.persistTo, { recursive: true, force: true });
  }
}

/**
 * A free port that no connection is given by the system. While the server is away its clients try to connect all the
 * time, and one whose own end was given the server's port would connect to itself, and keep the port from the server.
 */
async function quietPort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 30_000);
    const probe = createServer();
    try {
      probe.listen(port, 'localhost');
      await once(probe, 'listening');
    } catch {
      continue;
    }
    probe.close();
    await once(probe, 'close');
    return port;
  }
}
