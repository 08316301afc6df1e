import type { FaultyNetwork } from '../../../delivery/network.ts';
import type { Party } from '../../../delivery/party.ts';
import type { Random } from './random.ts';

/** Someone in a conversation, and what lies between them and the server. */
export interface Guest {
  readonly party: Party;
  readonly network: FaultyNetwork;
}

/** How a {@link Load} is made. */
export interface LoadOptions {
  readonly random: Random;
  /** A text that nobody else says. */
  readonly text: () => string;
  /** Whether a party is to wait before it asks for more. */
  readonly isTooMuch: () => boolean;
  /** Whether there is a server that could answer. */
  readonly isServerUp: () => boolean;
}

/** Milliseconds, from and to. */
type Span = readonly [least: number, most: number];

const ACT_EVERY: Span = [5, 90];
/** Nobody knows how much of what a plain socket said is still on its way: it says less. */
const ACT_PLAIN_EVERY: Span = [50, 600];
/** While nobody answers; else what is asked for in these seconds would be all there is in the seconds after. */
const ACT_WITHOUT_SERVER_EVERY: Span = [100, 600];
const FAIL_EVERY: Span = [300, 4000];
const AWAY_SHORT: Span = [200, 2000];
const AWAY_LONG: Span = [5000, 15_000];
const SILENCE: Span = [1000, 9000];
const BURST = [5, 25] as const;

const EMOJIS = ['👍', '❤️', '🎉', '👩‍👩‍👧', '🇩🇪', '🤷🏽'] as const;

/** Someone's doings, and the failures of their network, at random, until it is stopped. */
export class Load {
  readonly #guest: Guest;
  readonly #options: LoadOptions;
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(guest: Guest, options: LoadOptions) {
    this.#guest = guest;
    this.#options = options;
    this.#act();
    this.#later(FAIL_EVERY, () => this.#fail());
  }

  /** Stops, and lets the network work again from now on. */
  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    const { party, network } = this.#guest;
    network.heal();
    party.goOnline();
    party.wake();
  }

  #act(): void {
    const { random, isTooMuch, isServerUp } = this.#options;
    if (!isTooMuch()) random.weighted(ACTS)(this.#guest, this.#options);
    const every = this.#guest.party.kind === 'plain' ? ACT_PLAIN_EVERY : ACT_EVERY;
    this.#later(isServerUp() ? every : ACT_WITHOUT_SERVER_EVERY, () => this.#act());
  }

  #fail(): void {
    const { party, network } = this.#guest;
    const { random } = this.#options;
    const next = () => this.#later(FAIL_EVERY, () => this.#fail());
    const end = random.weighted(FAULTS)(party, network, random);
    if (!end) return next();
    this.#later(end.after, () => {
      end.work();
      next();
    });
  }

  #later([least, most]: Span, work: () => void): void {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        work();
      },
      this.#options.random.integer(least, most),
    );
    this.#timers.add(timer);
  }
}

/** A message that is shown, or is about to be. */
const target = (party: Party, random: Random): number => random.integer(1, party.shown + 1);

const ACTS: readonly (readonly [weight: number, act: (guest: Guest, options: LoadOptions) => void])[] = [
  [48, ({ party }, { text }) => party.send(text())],
  [6, ({ party }, { text, random }) => party.send(text(), target(party, random))],
  [
    2,
    ({ party }, { text, random }) => {
      for (let left = random.integer(...BURST); left > 0; left -= 1) party.send(text());
    },
  ],
  [10, ({ party }, { text, random }) => party.edit(target(party, random), text())],
  [4, ({ party }, { random }) => party.delete(target(party, random))],
  [
    14,
    ({ party }, { random }) => {
      const emoji = EMOJIS[random.integer(0, EMOJIS.length - 1)] ?? EMOJIS[0];
      party.react(target(party, random), emoji, random.chance(0.7));
    },
  ],
  [12, ({ party }) => party.read()],
  [3, ({ party }, { random }) => party.repeatOld(random.integer(0, 10_000))],
  [1, ({ party }) => party.wake()],
];

/** What has to be done for a fault to end, and when. */
type End = { readonly after: Span; readonly work: () => void };
type Fault = (party: Party, network: FaultyNetwork, random: Random) => End | void;

const leave = (party: Party, after: Span): End => {
  party.goOffline();
  return { after, work: () => party.goOnline() };
};

const FAULTS: readonly (readonly [weight: number, fault: Fault])[] = [
  [2, (_, network) => network.cut()],
  [
    6,
    (_, network, random) => network.cutAt(random.chance(0.5) ? 'in' : 'out', random.integer(1, 10), random.chance(0.5)),
  ],
  [2, (_, network, random) => network.lose(random.integer(1, 3))],
  [3, (_, network, random) => network.repeat(random.integer(1, 5))],
  [1, (_, network, random) => network.failRequests(random.integer(1, 3))],
  [
    2,
    (_, network) => {
      network.fallSilent();
      return { after: SILENCE, work: () => network.cut('silence ended') };
    },
  ],
  [3, (party) => leave(party, AWAY_SHORT)],
  [1, (party) => leave(party, AWAY_LONG)],
  [3, (party) => party.reload()],
];
