import { runtime, type Socket } from '../../../../src/client/environment.ts';
import type { Network } from '../../../delivery/network.ts';
import type { Seat } from '../../../delivery/parties/seat.ts';

/** How many times faster time passes for clients: a run is short, and is to see many of their waits end. */
const HASTE = 5;

/** The time of this machine, only faster. */
export function hastyTimers(random: () => number): Seat['environment'] {
  return {
    after: (milliseconds, work) => runtime.after(milliseconds / HASTE, work),
    elapsed: () => runtime.elapsed() * HASTE,
    now: () => runtime.now(),
    random,
  };
}

/** The network of this machine, which remembers what became of its sockets. */
export class WatchedNetwork implements Network {
  /** How many sockets were opened. */
  opened = 0;
  /** How many of them went on from a cursor, and how many began with a snapshot. */
  readonly welcomes = { resumed: 0, snapshot: 0 };
  #last = 'no socket was ever asked for';

  /** How the last socket is, in words. */
  get last(): string {
    return this.#last;
  }

  readonly fetch: Network['fetch'] = async (url, init) => runtime.fetch(url, init);

  readonly openSocket: Network['openSocket'] = (url, protocols): Socket => {
    const socket = runtime.openSocket(url, protocols);
    this.#last = 'the last socket is on its way';
    socket.addEventListener('open', () => {
      this.opened += 1;
      this.#last = 'the last socket is open';
    });
    socket.addEventListener('message', ({ data }) => {
      if (typeof data !== 'string' || !data.startsWith('{"type":"welcome"')) return;
      this.welcomes[data.includes('"resumed":true') ? 'resumed' : 'snapshot'] += 1;
    });
    socket.addEventListener('close', ({ code, reason }) => {
      this.#last = `the last socket was closed with ${code} ${JSON.stringify(reason)}`;
    });
    return socket;
  };
}
