import type { Environment, Socket } from '../../../src/client/environment.ts';
import type { Network } from '../network.ts';

type Timers = Pick<Environment, 'after' | 'elapsed' | 'now' | 'random'>;

/** The time from the load of a page to its end, after which nothing that it began goes on. */
export class Life {
  /** Rejects at the end. */
  readonly death: Promise<never>;
  /** What the page does when it is woken. */
  readonly wakers = new Set<() => void>();
  readonly #timers: Timers;
  readonly #network: Network;
  readonly #cancels = new Set<() => void>();
  #die!: (error: Error) => void;
  #isOver = false;

  constructor(timers: Timers, network: Network) {
    this.#timers = timers;
    this.#network = network;
    this.death = new Promise<never>((_, reject) => (this.#die = reject));
    this.death.catch(() => {});
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Ends it, without a word to anybody. */
  end(): void {
    this.#isOver = true;
    for (const cancel of this.#cancels) cancel();
    this.#cancels.clear();
    this.wakers.clear();
    this.#die(new Error('The page has died.'));
  }

  /** Does `work` while the page lives. What would resolve after its end never does. */
  async guard<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#isOver) return FOREVER;
    try {
      const result = await work();
      return this.isOver ? await FOREVER : result;
    } catch (error) {
      if (this.isOver) return FOREVER;
      throw error;
    }
  }

  /** What the page takes from its runtime. @param heard is called with each frame that the page is given, before it is */
  environment(heard: (socket: object, frame: string) => void): Environment {
    const { elapsed, now, random } = this.#timers;
    return {
      elapsed,
      now,
      random,
      fetch: async (url, init) => this.guard(async () => this.#network.fetch(url, init)),
      openSocket: (url, protocols) => this.#mortal(this.#network.openSocket(url, protocols), heard),
      after: (milliseconds, work) => this.after(milliseconds, work),
      onWake: (work) => {
        this.wakers.add(work);
        return () => this.wakers.delete(work);
      },
    };
  }

  /** A timer that dies with the page. */
  after(milliseconds: number, work: () => void): () => void {
    if (this.#isOver) return () => {};
    const cancel = this.#timers.after(milliseconds, () => {
      this.#cancels.delete(cancel);
      work();
    });
    this.#cancels.add(cancel);
    return () => {
      this.#cancels.delete(cancel);
      cancel();
    };
  }

  #mortal(socket: Socket, heard: (socket: object, frame: string) => void): Socket {
    const whileAlive =
      <Event>(listener: (event: Event) => void) =>
      (event: Event) => {
        if (!this.#isOver) listener(event);
      };
    socket.addEventListener(
      'message',
      whileAlive(({ data }: { readonly data: unknown }) => heard(socket, String(data))),
    );
    return {
      send: (frame) => {
        if (!this.#isOver) socket.send(frame);
      },
      close: (code, reason) => {
        if (!this.#isOver) socket.close(code, reason);
      },
      addEventListener: (type: string, listener: (event: never) => void) =>
        socket.addEventListener(type as 'message', whileAlive(listener as (event: unknown) => void)),
    };
  }
}

const FOREVER = new Promise<never>(() => {});
