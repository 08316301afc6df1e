import type { Environment, Socket } from '../../src/client/environment.ts';

/** How a client reaches its server. */
export type Network = Pick<Environment, 'fetch' | 'openSocket'>;

type Direction = 'in' | 'out';
type Cut = { direction: Direction; frames: number; passes: boolean };

/**
 * A network that fails on demand, as networks do: between any two frames, in either direction, with or without a word.
 * One per client.
 */
export class FaultyNetwork implements Network {
  /** Faults that have happened, by kind. */
  readonly faults = new Map<string, number>();
  readonly #inner: Network;
  readonly #sockets = new Set<FaultySocket>();
  #isOnline = true;
  #cut: Cut | null = null;
  #lose = 0;
  #isSilent = false;
  #repeat = 0;
  #failures = 0;

  constructor(inner: Network) {
    this.#inner = inner;
  }

  get isOnline(): boolean {
    return this.#isOnline;
  }

  readonly fetch: Network['fetch'] = async (url, init) => {
    if (!this.#isOnline) throw new TypeError('The network is down.');
    if (this.#failures > 0) {
      this.#failures -= 1;
      this.#happened('request failed');
      return new Response('{"detail":"The server failed."}', { status: 500 });
    }
    return this.#inner.fetch(url, init);
  };

  readonly openSocket: Network['openSocket'] = (url, protocols) => {
    const socket = new FaultySocket(this.#isOnline ? this.#inner.openSocket(url, protocols) : null, this, (it) =>
      this.#sockets.delete(it),
    );
    this.#sockets.add(socket);
    return socket;
  };

  /** Takes the client off the network, or back on. Off it, its sockets end and nothing gets through. */
  setOnline(isOnline: boolean): void {
    this.#isOnline = isOnline;
    if (!isOnline) this.cut('went offline');
  }

  /** Ends every socket without a word. */
  cut(why = 'cut'): void {
    if (this.#sockets.size > 0) this.#happened(why);
    for (const socket of Array.from(this.#sockets)) socket.cut();
    [this.#cut, this.#isSilent] = [null, false];
  }

  /** Ends the socket at the boundary of a frame to come. @param passes whether that frame still gets through */
  cutAt(direction: Direction, frames: number, passes: boolean): void {
    this.#cut = { direction, frames, passes };
  }

  /** Loses the next live `changes` from the server, and nothing else: their socket goes on. */
  lose(frames: number): void {
    this.#lose += frames;
  }

  /** Lets nothing through in either direction from now on, although the sockets seem open, until they are cut. */
  fallSilent(): void {
    this.#isSilent = true;
  }

  /** Sends the next frames with a ref twice. */
  repeat(frames: number): void {
    this.#repeat += frames;
  }

  /** Answers the next requests with a 500. */
  failRequests(count: number): void {
    this.#failures += count;
  }

  /** Forgets the faults that are still to come, and lets everything through again. */
  heal(): void {
    if (this.#isSilent) this.cut('silence ended');
    [this.#cut, this.#lose, this.#repeat, this.#failures, this.#isSilent] = [null, 0, 0, 0, false];
    this.#isOnline = true;
  }

  /** What becomes of a frame: how often it gets through, and whether its socket ends then. */
  pass(direction: Direction, frame: string): { readonly times: number; readonly ends: boolean } {
    if (this.#isSilent) {
      this.#happened('silence');
      return { times: 0, ends: false };
    }
    const cut = this.#cut;
    if (cut && cut.direction === direction) {
      cut.frames -= 1;
      if (cut.frames <= 0) {
        this.#cut = null;
        this.#happened(`cut ${cut.passes ? 'after' : 'before'} a frame ${direction}`);
        return { times: cut.passes ? 1 : 0, ends: true };
      }
    }
    if (direction === 'in' && this.#lose > 0 && frame.startsWith('{"type":"changes","after"')) {
      this.#lose -= 1;
      this.#happened('changes lost');
      return { times: 0, ends: false };
    }
    if (direction === 'out' && this.#repeat > 0 && /"type":"(send|edit|delete|react|set)"/.test(frame)) {
      this.#repeat -= 1;
      this.#happened('frame repeated');
      return { times: 2, ends: false };
    }
    return { times: 1, ends: false };
  }

  #happened(fault: string): void {
    this.faults.set(fault, (this.faults.get(fault) ?? 0) + 1);
  }
}

type Listeners = {
  open: () => void;
  error: () => void;
  message: (event: { readonly data: unknown }) => void;
  close: (event: { readonly code: number; readonly reason: string }) => void;
};

/** A socket whose frames pass through a {@link FaultyNetwork}. Like a real one it tells of nothing after its close. */
class FaultySocket implements Socket {
  readonly #inner: Socket | null;
  readonly #network: FaultyNetwork;
  readonly #onEnd: (socket: FaultySocket) => void;
  readonly #listeners: { [Type in keyof Listeners]: Listeners[Type][] } = {
    open: [],
    error: [],
    message: [],
    close: [],
  };
  #hasEnded = false;
  /** Whether it has lost a frame, and so all behind it. */
  #isBroken = false;

  /** @param inner null if nobody can be reached */
  constructor(inner: Socket | null, network: FaultyNetwork, onEnd: (socket: FaultySocket) => void) {
    this.#inner = inner;
    this.#network = network;
    this.#onEnd = onEnd;
    if (!inner) {
      queueMicrotask(() => this.#end({ code: 1006, reason: '' }));
      return;
    }
    inner.addEventListener('open', () => {
      if (!this.#hasEnded) for (const listener of this.#listeners.open) listener();
    });
    inner.addEventListener('error', () => {});
    inner.addEventListener('message', ({ data }) => this.#receive(data));
    inner.addEventListener('close', ({ code, reason }) => this.#end({ code, reason }));
  }

  addEventListener<Type extends keyof Listeners>(type: Type, listener: Listeners[Type]): void {
    this.#listeners[type].push(listener);
  }

  send(frame: string): void {
    if (this.#hasEnded || this.#isBroken) return;
    const { times, ends } = this.#network.pass('out', frame);
    for (let i = 0; i < times; i += 1) this.#inner?.send(frame);
    if (!ends) return;
    // A program learns that the connection is gone only after what it is sending, of which nothing arrives any more: a
    // connection may lose its end, but nothing in between.
    this.#isBroken = true;
    queueMicrotask(() => this.cut());
  }

  close(code?: number, reason?: string): void {
    this.#inner?.close(code, reason);
    this.#hasEnded = true;
    this.#onEnd(this);
  }

  /** Ends without a word, on both sides. */
  cut(): void {
    if (this.#hasEnded) return;
    this.#inner?.close(1000);
    this.#end({ code: 1006, reason: '' });
  }

  #receive(data: unknown): void {
    if (this.#hasEnded) return;
    const { times, ends } = this.#network.pass('in', String(data));
    for (let i = 0; i < times; i += 1) for (const listener of this.#listeners.message) listener({ data });
    if (ends) this.cut();
  }

  #end(event: { readonly code: number; readonly reason: string }): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#onEnd(this);
    for (const listener of this.#listeners.close) listener(event);
  }
}
