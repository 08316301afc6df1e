import { runInDurableObject } from 'cloudflare:test';
import { vi } from 'vitest';
import { HOST } from '../helpers/api.ts';
import { signedInAgain } from '../helpers/chat-pair.ts';
import { objectOf, storedMessages } from '../helpers/conversation.ts';
import { setLeft, versionOf } from '../helpers/directory.ts';
import { Follower, notify } from '../helpers/follower.ts';
import { inboxOf } from '../helpers/inbox.ts';
import { pairInConversation } from '../helpers/people.ts';
import { violations } from './check.ts';
import { Clock } from './clock.ts';
import { feedsAtRest, type FaultyFeeds, type FeedFault } from './feeds.ts';
import type { Final, InboxFinal, State } from './history.ts';
import { standingIn } from './inboxes.ts';
import { FaultyNetwork, type Network } from './network.ts';
import { ClientParty } from './parties/client.ts';
import { Device } from './parties/device.ts';
import { InboxFollower } from './parties/inbox.ts';
import type { Seat } from './parties/seat.ts';
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

interface Surroundings {
  readonly network: FaultyNetwork;
  readonly clock: Clock;
}

/** A client on a stage, and what it is surrounded by. */
export interface Actor extends Surroundings {
  readonly party: ClientParty;
}

/** Someone who follows an inbox, likewise. */
export interface ActorOfInbox extends Surroundings {
  readonly follower: InboxFollower;
}

type User = 'john' | 'ray';

/** A conversation of two users whose clients do what a scenario says, one thing after the other. */
export class Stage {
  readonly conversationId: string;
  readonly recorder = new Recorder();
  readonly #traffic = new Traffic(poolNetwork);
  readonly #feeds: FaultyFeeds;
  readonly #actors: Actor[] = [];
  readonly #followers: ActorOfInbox[] = [];
  readonly #settled = new Set<Actor>();
  readonly #pair: Awaited<ReturnType<typeof pairInConversation>>;

  private constructor(pair: Awaited<ReturnType<typeof pairInConversation>>, feeds: FaultyFeeds) {
    this.#pair = pair;
    this.#feeds = feeds;
    feeds.reset(() => this.#traffic.moved());
    this.conversationId = pair.conversationId;
  }

  static async begin(feeds: FaultyFeeds): Promise<Stage> {
    return new Stage(await pairInConversation(), feeds);
  }

  /**
   * A client of one of the two, on a device of its own. It is online when this resolves.
   * @param through what its frames pass besides
   * @param inbox whether it follows the inbox of its user as well
   */
  async join(
    user: User,
    name: string = user,
    { through = (network: Network) => network, inbox = false } = {},
  ): Promise<Actor> {
    const device = new Device({ url: URL_OF_SERVER, recorder: this.recorder });
    await device.signIn(this.#pair[user]);
    const { seat, ...surroundings } = this.#seat(user, name, through);
    const actor = { party: new ClientParty(seat, device, { inbox }), ...surroundings };
    this.#actors.push(actor);
    await this.#until(actor.party.settled());
    return actor;
  }

  /** Someone who follows the inbox of one of the two. They are online when this resolves, and inboxes are checked. */
  async follow(user: User, name = `inbox of ${user}`): Promise<ActorOfInbox> {
    const { seat, ...surroundings } = this.#seat(user, name);
    const actor = { follower: new InboxFollower(seat), ...surroundings };
    this.#followers.push(actor);
    await this.#until(actor.follower.settled());
    return actor;
  }

  /** The next feed to the inbox of one of the two suffers something. */
  suffer(user: User, fault: FeedFault): void {
    this.#feeds.suffer(this.#pair[user].id, fault);
  }

  /** Feeds that are late or held arrive. */
  async feedsArrive(): Promise<void> {
    await this.#feeds.arrive();
    await this.quiet();
  }

  /** Lets time pass until the conversation has nothing more to tell. */
  async fed(): Promise<void> {
    await feedsAtRest(this.conversationId, async (milliseconds) => this.pass(milliseconds));
  }

  /** One of the two leaves the conversation, or comes back. */
  async setMember(user: User, isMember: boolean): Promise<void> {
    await setLeft(this.conversationId, this.#pair[user].id, isMember ? null : Date.now());
    await notify(this.conversationId, await versionOf(this.conversationId));
    await this.quiet();
  }

  /** Resolves when nothing is under way any more, not even what the server holds back until it is stored. */
  async quiet(): Promise<void> {
    await this.#traffic.idle();
    await runInDurableObject(objectOf(this.conversationId), async (_, { storage }) => storage.sync());
    for (const { follower } of this.#followers) {
      await runInDurableObject(inboxOf(follower.userId), async (_, { storage }) => storage.sync());
    }
    await this.#traffic.idle();
  }

  /** Lets time pass, for the server and for all clients. */
  async pass(milliseconds: number): Promise<void> {
    vi.setSystemTime(Date.now() + milliseconds);
    for (const { clock } of this.#everyone) clock.pass(milliseconds);
    await this.quiet();
  }

  /** Lets everything come to rest. @returns what of the promise was broken: who does not settle, and every violation */
  async end(): Promise<string[]> {
    const unsettled = await this.#settle();
    const broken = await this.#verdict().catch((error: unknown) => [`no end: ${String(error)}`]);
    for (const { party } of this.#actors) party.close();
    for (const { follower } of this.#followers) follower.close();
    for (const { network } of this.#everyone) network.cut();
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
      if (this.#followers.length > 0) await this.fed();
      const revs = await this.#revs();
      // Whoever has not settled has nothing that is final; what they showed and were told counts all the same.
      const finals = await this.#until(Promise.all([...this.#settled].map(async ({ party }) => party.final())));
      const inboxes = await this.#until(this.#inboxes());
      const server = await this.#server();
      await this.quiet();
      if ((await this.#revs()) === revs) return this.#broken(finals, inboxes, server);
    }
    throw new Error('It goes on and on.');
  }

  /** Everyone with a network and a clock of their own. */
  get #everyone(): readonly Surroundings[] {
    return [...this.#actors, ...this.#followers];
  }

  #seat(user: User, name: string, through = (network: Network) => network): Surroundings & { seat: Seat } {
    const [person, peer] = user === 'john' ? [this.#pair.john, this.#pair.ray] : [this.#pair.ray, this.#pair.john];
    const [network, clock] = [new FaultyNetwork(through(this.#traffic)), new Clock()];
    const seat: Seat = {
      name,
      userId: person.id,
      peerId: peer.id,
      conversationId: this.conversationId,
      url: URL_OF_SERVER,
      network,
      environment: { after: clock.after, elapsed: clock.elapsed, now: clock.now, random: () => 0.5 },
      recorder: this.recorder,
      signIn: async () => this.#traffic.count(signedInAgain(person)),
    };
    return { seat, network, clock };
  }

  /** Something that is another after every change. */
  async #revs(): Promise<string> {
    const { rev } = await dump(this.conversationId);
    const inboxes = this.#followers.map(async ({ follower }) => standingIn(follower.userId, this.conversationId));
    return [rev, ...(await Promise.all(inboxes)).map((inbox) => inbox.rev)].join();
  }

  /** What everyone has of an inbox, and what the Worker is told of it. */
  async #inboxes(): Promise<InboxFinal[]> {
    const found = this.#followers.map(async ({ follower }) => {
      const { row, total } = await standingIn(follower.userId, this.conversationId);
      const by = `the server, for the ${follower.name}`;
      return [{ by, user_id: follower.userId, row, total }, await follower.final()];
    });
    const clients = [...this.#settled].map(async ({ party }) => (await party.inbox()) ?? []);
    return (await Promise.all([...found, ...clients])).flat();
  }

  #broken(finals: readonly Final[], inboxes: readonly InboxFinal[], server: State): string[] {
    for (const inbox of inboxes) this.recorder.sawInbox(inbox);
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
    const next = Math.min(...this.#everyone.map(({ clock }) => clock.next ?? STEP_MAX_MS), STEP_MAX_MS);
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
