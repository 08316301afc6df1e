import { violations } from '../../../delivery/check.ts';
import type { Final } from '../../../delivery/history.ts';
import { FaultyNetwork } from '../../../delivery/network.ts';
import type { Seat } from '../../../delivery/parties/seat.ts';
import type { Accounts, Pair } from './accounts.ts';
import { hastyTimers, WatchedNetwork } from './environment.ts';
import { LiveRecorder } from './live-recorder.ts';
import { Load, type Guest } from './load.ts';
import type { MortalServer } from './mortal-server.ts';
import type { Random } from './random.ts';
import { readState, revOf, type ServerState } from './reader.ts';
import { seated, type SeatKind } from './seated.ts';
import { Sessions } from './sessions.ts';
import { addNumbers, addOperations, noTotals, type Totals } from './totals.ts';
import { doneWithin } from './wait.ts';

/** Operations of one party that may wait for their answers: more would only take long when it is back. */
const OPEN_MAX = 60;
/** Milliseconds in which everyone must have come to rest once nothing fails any more. Mostly it takes a second. */
const SETTLE_WITHIN_MS = 60_000;
/** How often everything is collected anew because something has changed in between. */
const COLLECT_MAX = 20;

/** Who takes part: kinds, and which of the two people is behind each. */
const CAST: readonly (readonly [SeatKind, 0 | 1])[] = [
  ['tabs', 0],
  ['client', 1],
  ['raw', 0],
  ['plain', 1],
];
/** One of them is there too, sometimes. */
const EXTRAS: readonly (readonly [weight: number, readonly (readonly [SeatKind, 0 | 1])[]])[] = [
  [2, []],
  [2, [['raw', 1]]],
  [1, [['client', 0]]],
  [1, [['plain', 0]]],
];

/** Who is here, and the network behind the one that fails. */
interface WatchedGuest extends Guest {
  readonly watched: WatchedNetwork;
}

/** One conversation of two people on several devices each, from its first message to the verdict. */
export class Trial {
  readonly recorder = new LiveRecorder();
  readonly #server: MortalServer;
  readonly #random: Random;
  readonly #pair: Pair;
  readonly #sessions: Sessions;
  readonly #guests: WatchedGuest[] = [];
  #loads: Load[] = [];
  #said = 0;

  private constructor(server: MortalServer, random: Random, pair: Pair) {
    this.#server = server;
    this.#random = random;
    this.#pair = pair;
    this.#sessions = new Sessions(server);
  }

  /** Seats everyone, and begins. */
  static async begin(server: MortalServer, accounts: Accounts, random: Random): Promise<Trial> {
    const trial = new Trial(server, random, await accounts.pair());
    for (const [kind, who] of [...CAST, ...random.weighted(EXTRAS)]) await trial.#invite(kind, who);
    trial.#loads = trial.#guests.map((guest) => trial.#load(guest));
    return trial;
  }

  /** Ends all that fails, waits until everyone has come to rest, and judges. */
  async end(): Promise<Totals> {
    for (const load of this.#loads) load.stop();
    const unsettled: string[] = [];
    const rested: WatchedGuest[] = [];
    const settle = async (guest: WatchedGuest) => {
      const why = await this.#whyUnsettled(guest);
      if (why === undefined) rested.push(guest);
      else unsettled.push(why);
    };
    await Promise.all(this.#guests.map(settle));
    const server = await this.#collect(rested, unsettled);
    this.#sessions.close();
    for (const { party } of this.#guests) party.close();
    return this.#judge(unsettled, server);
  }

  async #invite(kind: SeatKind, who: 0 | 1): Promise<void> {
    const { people, conversation } = this.#pair;
    const [person, peer] = [people[who], people[who === 0 ? 1 : 0]];
    const random = this.#random.fork();
    const isClient = kind === 'client' || kind === 'tabs';
    const guests = new Map<string, Omit<WatchedGuest, 'party'>>();
    const seatFor = (name: string): Seat => {
      const watched = new WatchedNetwork();
      const network = new FaultyNetwork(watched);
      guests.set(name, { network, watched });
      return {
        name,
        userId: person.id,
        peerId: peer.id,
        conversationId: conversation,
        url: this.#server.url,
        network,
        environment: hastyTimers(random.next),
        recorder: this.recorder,
        signIn: async () => {
          if (!isClient) return this.#sessions.shared(person);
          return random.chance(0.5) ? this.#sessions.beginStale(person) : this.#sessions.begin(person);
        },
      };
    };
    for (const party of await seated(kind, `${kind}${this.#guests.length}`, seatFor)) {
      const guest = guests.get(party.name);
      if (guest) this.#guests.push({ ...guest, party });
    }
  }

  #load(guest: Guest): Load {
    return new Load(guest, {
      random: this.#random.fork(),
      text: () => `${guest.party.name} says ${(this.#said += 1)}`,
      isTooMuch: () => this.recorder.openOf(guest.party.name).size > OPEN_MAX,
      isServerUp: () => this.#server.isAlive,
    });
  }

  async #whyUnsettled({ party, watched, network }: WatchedGuest): Promise<string | undefined> {
    try {
      if (await doneWithin(party.settled(), SETTLE_WITHIN_MS)) return undefined;
    } catch (error) {
      return `${party.name} of ${this.#pair.conversation}: ${String(error)}`;
    }
    const open = [...this.recorder.openOf(party.name)];
    return (
      `${party.name} of ${this.#pair.conversation} has not settled in ${SETTLE_WITHIN_MS} ms: ` +
      `it shows ${party.shown} messages, ${open.length} operations are not answered` +
      (open[0] ? `, first ${JSON.stringify(open[0])}` : '') +
      `; it is ${network.isOnline ? 'online' : 'offline'}, ${watched.last}`
    );
  }

  /** What everyone has, and what the server has, at a moment in which nothing changed. */
  async #collect(guests: readonly Guest[], unsettled: string[]): Promise<ServerState> {
    const { people, conversation } = this.#pair;
    const { access } = await this.#sessions.shared(people[0]);
    for (let attempt = 1; ; attempt += 1) {
      const before = await revOf(this.#server, conversation, access);
      const finals: Final[] = [];
      const failed: string[] = [];
      const collect = async ({ party }: Guest) => {
        if (party.kind === 'plain') return;
        const isDone = await doneWithin(
          party.final().then((final) => void finals.push(final)),
          SETTLE_WITHIN_MS,
        ).catch((error: unknown) => String(error));
        if (isDone !== true)
          failed.push(`${party.name} of ${conversation} cannot load all there is: ${isDone || 'no end'}`);
      };
      await Promise.all(guests.map(collect));
      const server = await readState(this.#server, conversation, access);
      // A plain socket is answered nothing: what it said last may come after everything has come to rest.
      if (server.rev !== before && failed.length === 0 && attempt < COLLECT_MAX) continue;
      unsettled.push(...failed);
      if (server.rev !== before && failed.length === 0) unsettled.push(`${conversation} does not come to rest.`);
      for (const final of finals) this.recorder.settled(final.client, final.user_id, final);
      return server;
    }
  }

  #judge(unsettled: string[], server: ServerState): Totals {
    const history = this.recorder.history(server);
    const { operations, sightings, rows } = this.recorder.counts();
    const clients = new Set(history.sightings.map(({ client }) => client));
    const totals: Totals = {
      ...noTotals(),
      conversations: 1,
      clients: clients.size + this.#guests.filter(({ party }) => party.kind === 'plain').length,
      sockets: this.#guests.reduce((sum, { watched }) => sum + watched.opened, 0),
      resumed: this.#guests.reduce((sum, { watched }) => sum + watched.welcomes.resumed, 0),
      snapshots: this.#guests.reduce((sum, { watched }) => sum + watched.welcomes.snapshot, 0),
      stored: server.messages.length,
      sightings,
      rows,
      violations: violations(history),
      unsettled,
    };
    addOperations(totals.operations, operations);
    for (const { network } of this.#guests) addNumbers(totals.faults, network.faults);
    return totals;
  }
}
