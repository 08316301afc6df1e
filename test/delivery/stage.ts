import { runInDurableObject } from 'cloudflare:test';
import { vi } from 'vitest';
import { HOST } from '../helpers/api.ts';
import { signedInAgain } from '../helpers/chat-pair.ts';
import { objectOf, storedMessages } from '../helpers/conversation.ts';
import { Follower } from '../helpers/follower.ts';
import { pairInConversation } from '../helpers/people.ts';
import { violations } from './check.ts';
import { Clock } from './clock.ts';
import type { Final, State } from './history.ts';
import { FaultyNetwork, type Network } from './network.ts';
import { ClientParty } from './parties/client.ts';
import { Device } from './parties/device.ts';
import { poolNetwork } from './pool.ts';
import { Recorder } from './recorder.ts';
import { dump } from './rollback.ts';
import { Traffic } from './traffic.ts';

/** Steps of time after which whoever has not come to rest never will. */
const STEPS_MAX = 50;
/** How often everyone loads all there is, until nothing changes meanwhile. */
const ROUNDS_MAX = 10;
/** Milliseconds: within so many steps it is longer than any wait of a client. */
const STEP_MAX_MS = 60_000;
const URL_OF_SERVER = `https://${HOST}`;

/** A client on a stage, and what it is surrounded by. */
export interface Actor {
  readonly party: ClientParty;
  readonly network: FaultyNetwork;
  readonly clock: Clock;
}

/** A conversation of two users whose clients do what a scenario says, one thing after the other. */
export class Stage {
  readonly conversationId: string;
  readonly recorder = new Recorder();
  readonly #traffic = new Traffic(poolNetwork);
  readonly #actors: Actor[] = [];
  readonly #settled = new Set<Actor>();
  readonly #pair: Awaited<ReturnType<typeof pairInConversation>>;

  private constructor(pair: Awaited<ReturnType<typeof pairInConversation>>) {
    this.#pair = pair;
    this.conversationId = pair.conversationId;
  }

  static async begin(): Promise<Stage> {
    return new Stage(await pairInConversation());
  }

  /**
   * A client of one of the two, on a device of its own. It is online when this resolves.
   * @param through what its frames pass besides
   */
  async join(user: 'john' | 'ray', name: string = user, through = (network: Network) => network): Promise<Actor> {
    const [person, peer] = user === 'john' ? [this.#pair.john, this.#pair.ray] : [this.#pair.ray, this.#pair.john];
    const { recorder, conversationId } = this;
    const [network, clock] = [new FaultyNetwork(through(this.#traffic)), new Clock()];
    const device = new Device({ url: URL_OF_SERVER, recorder });
    await device.signIn(person);
    const seat = {
      name,
      userId: person.id,
      peerId: peer.id,
      conversationId,
      url: URL_OF_SERVER,
      network,
      environment: { after: clock.after, elapsed: clock.elapsed, now: clock.now, random: () => 0.5 },
      recorder,
      signIn: async () => this.#traffic.count(signedInAgain(person)),
    };
    const actor = { party: new ClientParty(seat, device), network, clock };
    this.#actors.push(actor);
    await this.#until(actor.party.settled());
    return actor;
  }

  /** Resolves when nothing is under way any more, not even what the server holds back until it is stored. */
  async quiet(): Promise<void> {
    await this.#traffic.idle();
    await runInDurableObject(objectOf(this.conversationId), async (_, { storage }) => storage.sync());
    await this.#traffic.idle();
  }

  /** Lets time pass, for the server and for all clients. */
  async pass(milliseconds: number): Promise<void> {
    vi.setSystemTime(Date.now() + milliseconds);
    for (const { clock } of this.#actors) clock.pass(milliseconds);
    await this.quiet();
  }

  /** Lets everything come to rest. @returns what of the promise was broken: who does not settle, and every violation */
  async end(): Promise<string[]> {
    const unsettled = await this.#settle();
    const broken = await this.#verdict().catch((error: unknown) => [`no end: ${String(error)}`]);
    for (const { party, network } of this.#actors) {
      party.close();
      network.cut();
    }
    return [...unsettled, ...broken];
  }

  /** Nobody is woken here: a client that missed something has to find out by itself. */
  async #settle(): Promise<string[]> {
    const faults: string[] = [];
    for (const actor of this.#actors) {
      void actor.party
        .settled()
        .catch((error: unknown) => faults.push(`${actor.party.name}: ${String(error)}`))
        .then(() => this.#settled.add(actor));
    }
    await this.quiet();
    for (let step = 0; ; step += 1) {
      const { length } = await storedMessages(this.conversationId);
      const late = this.#actors.filter((actor) => !this.#settled.has(actor) || actor.party.shown < length);
      if (late.length === 0) return faults;
      if (step === STEPS_MAX) {
        const why = (party: ClientParty) => `it shows ${party.shown} of ${length} messages, ${String(party)}`;
        return [...faults, ...late.map(({ party }) => `${party.name} did not settle: ${why(party)}`)];
      }
      await this.#step();
    }
  }

  async #verdict(): Promise<string[]> {
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      // Marks are gathered for a while before they are told.
      for (let i = 0; i < 2; i += 1) await this.pass(1000);
      const { rev } = await dump(this.conversationId);
      // Whoever has not settled has nothing that is final; what they showed and were told counts all the same.
      const finals = await this.#until(Promise.all([...this.#settled].map(async ({ party }) => party.final())));
      const server = await this.#server();
      await this.quiet();
      if ((await dump(this.conversationId)).rev === rev) return this.#broken(finals, server);
    }
    throw new Error('It goes on and on.');
  }

  #broken(finals: readonly Final[], server: State): string[] {
    for (const final of finals) this.recorder.settled(final.client, final.user_id, final);
    return violations(this.recorder.history(server)).map(({ rule, detail }) => `${rule}: ${detail}`);
  }

  /** Lets time pass until something is done. */
  async #until<Result>(work: Promise<Result>): Promise<Result> {
    let isDone = false;
    const done = work.finally(() => (isDone = true));
    done.catch(() => {});
    await this.quiet();
    for (let step = 0; step < STEPS_MAX; step += 1) {
      if (isDone) return done;
      await this.#step();
    }
    throw new Error('Somebody does not come to rest.');
  }

  /** To the next moment at which a client does something. */
  async #step(): Promise<void> {
    const next = Math.min(...this.#actors.map(({ clock }) => clock.next ?? STEP_MAX_MS), STEP_MAX_MS);
    await this.pass(Math.max(1, next));
  }

  /** What someone is answered who was never here before. */
  async #server(): Promise<State> {
    const reader = await Follower.open(this.conversationId, await signedInAgain(this.#pair.john));
    await reader.loadAll();
    reader.socket.close(1000);
    const { epoch } = reader.replica;
    return { epoch, ...reader.replica.state() };
  }
}
