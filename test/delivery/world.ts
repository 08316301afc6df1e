import { abortAllDurableObjects, evictDurableObject } from 'cloudflare:test';
import { vi } from 'vitest';
import { settings } from '../../src/settings.ts';
import { HOST } from '../helpers/api.ts';
import { signedInAgain } from '../helpers/chat-pair.ts';
import { objectOf } from '../helpers/conversation.ts';
import { Follower } from '../helpers/follower.ts';
import { inboxOf } from '../helpers/inbox.ts';
import { pairInConversation, type Person } from '../helpers/people.ts';
import type { Action, InboxDeed, Scene } from './actions.ts';
import { Clock } from './clock.ts';
import { feedsAtRest, type FaultyFeeds } from './feeds.ts';
import type { Final, History, InboxFinal, State } from './history.ts';
import { standingIn } from './inboxes.ts';
import { FaultyNetwork } from './network.ts';
import { ClientParty } from './parties/client.ts';
import { Device } from './parties/device.ts';
import { InboxFollower } from './parties/inbox.ts';
import { PlainParty } from './parties/plain.ts';
import { RawParty } from './parties/raw.ts';
import type { Seat } from './parties/seat.ts';
import type { Party } from './party.ts';
import { poolNetwork } from './pool.ts';
import { Recorder } from './recorder.ts';
import { dump, FailingStore, restore, type Dump } from './rollback.ts';
import { Traffic } from './traffic.ts';

/** Steps of time after which a run that has not come to rest never will. */
const STEPS_MAX = 600;
/** Milliseconds: no wait of a client is longer, but for one of minutes that nothing depends on. */
const STEP_MAX_MS = 60_000;
const URL_OF_SERVER = `https://${HOST}`;

/** Milliseconds since 1970: for as long as a run takes, and longer. */
const FAR_AWAY = Date.UTC(3000, 0);

interface Surroundings {
  readonly network: FaultyNetwork;
  readonly clock: Clock;
}

interface Member extends Surroundings {
  readonly party: Party;
}

interface FollowerOfInbox extends Surroundings {
  readonly follower: InboxFollower;
}

/** What makes the server fail, in every run. */
export interface Faults {
  readonly store: FailingStore;
  readonly feeds: FaultyFeeds;
}

/** A conversation of two users, everyone who takes part in it, and everything that can go wrong. */
export class World {
  readonly recorder = new Recorder();
  /** Faults by kind, besides those of networks. */
  readonly #faults = new Map<string, number>();
  readonly #traffic = new Traffic(poolNetwork);
  readonly #store: FailingStore;
  readonly #feeds: FaultyFeeds;
  readonly #members: Member[] = [];
  readonly #followers: FollowerOfInbox[] = [];
  readonly #devices: Device[] = [];
  readonly #conversationId: string;
  readonly #john: Person;
  readonly #random: () => number;
  #texts = 0;
  #dump: Dump | null = null;
  /** Milliseconds by which the clock was set back. */
  #setBack = 0;

  private constructor(pair: Awaited<ReturnType<typeof pairInConversation>>, scene: Scene, { store, feeds }: Faults) {
    this.#conversationId = pair.conversationId;
    this.#john = pair.john;
    this.#store = store;
    this.#feeds = feeds;
    this.#random = chance(scene.seed);
  }

  /** Begins a run. The time of day stands still from now on, but for {@link pass}. */
  static async begin(scene: Scene, faults: Faults): Promise<World> {
    Object.assign(settings, {
      rateBurst: scene.slow ? 60 : 100_000,
      ratePerSecond: scene.slow ? 10 : 10_000,
      resumeRows: scene.resumeRows,
      socketsPerUser: 100,
    });
    const pair = await pairInConversation();
    const world = new World(pair, scene, faults);
    faults.feeds.reset(() => world.#traffic.moved());
    const { john, ray } = pair;
    const { recorder } = world;
    const [johns, rays] = [
      new Device({ url: URL_OF_SERVER, recorder }),
      new Device({ url: URL_OF_SERVER, recorder, survives: !scene.forgets }),
    ];
    await johns.signIn(john);
    await rays.signIn(ray);
    world.#devices.push(johns, rays);
    const window = scene.slow ? 1 : 8;
    world.#join('john tab 1', [john, ray], (seat) => new ClientParty(seat, johns, { inbox: true }));
    world.#join('john tab 2', [john, ray], (seat) => new ClientParty(seat, johns, { inbox: true }));
    world.#join('ray', [ray, john], (seat) => new ClientParty(seat, rays, { inbox: true }));
    world.#join('ray raw', [ray, john], (seat) => new RawParty(seat, { window }));
    if (scene.raws === 2) world.#join('john raw', [john, ray], (seat) => new RawParty(seat, { window }));
    world.#join('john plain', [john, ray], (seat) => new PlainParty(seat));
    world.#follow('inbox of john', [john, ray]);
    world.#follow('inbox of ray', [ray, john]);
    await world.#traffic.idle();
    return world;
  }

  get clients(): number {
    return this.#members.length + this.#followers.length;
  }

  /** Faults that have happened, by kind. */
  get faults(): Map<string, number> {
    const faults = new Map(this.#faults);
    for (const those of [...this.#everyone.map(({ network }) => network.faults), this.#feeds.happened]) {
      for (const [kind, count] of those) faults.set(kind, (faults.get(kind) ?? 0) + count);
    }
    return faults;
  }

  /** Has something happen. */
  async act(action: Action): Promise<void> {
    if ('who' in action) return this.#actOf(this.#memberOf(action.who), action);
    switch (action.do) {
      case 'storage fails':
      case 'storage works':
        this.#setFailing(action.device, action.do === 'storage fails');
        return;
      case 'evict':
        return this.#evict('hibernate');
      case 'evict and close':
        return this.#evict('close');
      case 'evict inbox':
        return this.#evictInboxes();
      case 'feeds fail':
        return this.#feeds.suffer(this.#followerOf(action.user).follower.userId, action.fault, action.count);
      case 'feeds arrive':
        return this.#feeds.arrive();
      case 'inbox':
        return this.#actOfInbox(this.#followerOf(action.user), action.deed);
      case 'lose in inbox':
        return this.#followerOf(action.user).network.lose(action.count);
      case 'repeat in inbox':
        return this.#followerOf(action.user).network.repeat(action.count);
      case 'abort':
        this.#happened('aborted');
        return abortAllDurableObjects();
      case 'dump':
        this.#dump ??= await dump(this.#conversationId);
        return;
      case 'restore':
        return this.#restore();
      case 'store fails':
        Object.assign(this.#store, { failures: action.count, isLate: action.late });
        return;
      case 'turn':
        return this.#traffic.turn();
      case 'pass':
        // A storage that works answers before any time passes.
        await this.#traffic.turn();
        return this.#pass(action.by);
      case 'jump':
        if (action.by < 0) this.#setBack -= action.by;
        this.#happened(action.by < 0 ? 'clock set back' : 'clock set forward');
        vi.setSystemTime(Date.now() + action.by);
        return;
    }
  }

  /** Takes all faults away, lets everything come to rest, and returns what everyone has then. */
  async end(): Promise<History> {
    Object.assign(settings, { rateBurst: 100_000, ratePerSecond: 10_000 });
    this.#happened('store failed', this.#store.happened);
    Object.assign(this.#store, { failures: 0, happened: 0 });
    for (const device of this.#devices) device.isFailing = false;
    // What is due at a time is due, whatever the clock has shown meanwhile.
    vi.setSystemTime(Date.now() + this.#setBack);
    await this.#feeds.heal();
    for (const { network } of this.#everyone) network.heal();
    for (const { party } of this.#members) party.goOnline();
    for (const { follower } of this.#followers) follower.goOnline();
    // Whoever has missed something, and does not know it yet, is told of something newer first.
    for (const { party } of this.#members) {
      party.send(this.#text(party));
      await this.#traffic.turn();
    }
    for (let round = 0; ; round += 1) {
      if (round === 10) throw new Error('The conversation does not come to rest.');
      const all = [...this.#members.map(({ party }) => party), ...this.#followers.map(({ follower }) => follower)];
      await this.#until(Promise.all(all.map(async (one) => one.settled())));
      // Marks are gathered for a while before they are told.
      for (let i = 0; i < 3; i += 1) {
        await this.#traffic.idle();
        this.#pass(1000);
      }
      await feedsAtRest(this.#conversationId, async (milliseconds) => {
        await this.#traffic.idle();
        this.#pass(milliseconds);
        await this.#traffic.idle();
      });
      const before = await this.#revs();
      const those = this.#members.filter(({ party }) => party.kind !== 'plain');
      const finals = await this.#until(Promise.all(those.map(async ({ party }) => party.final())));
      const inboxes = await this.#until(this.#inboxes());
      await this.#traffic.idle();
      const server = await this.#server();
      if ((await this.#revs()) === before) return this.#history(finals, inboxes, server);
    }
  }

  /** Lets go of everything. */
  close(): void {
    for (const { network } of this.#everyone) network.heal();
    for (const { party } of this.#members) party.close();
    for (const { follower } of this.#followers) follower.close();
    for (const { network } of this.#everyone) network.cut();
  }

  /** Everyone with a network and a clock of their own. */
  get #everyone(): readonly Surroundings[] {
    return [...this.#members, ...this.#followers];
  }

  /** Something that is another after every change. */
  async #revs(): Promise<string> {
    const { rev } = await dump(this.#conversationId);
    const inboxes = await Promise.all(
      this.#followers.map(async ({ follower }) => standingIn(follower.userId, this.#conversationId)),
    );
    return [rev, ...inboxes.map((inbox) => inbox.rev)].join();
  }

  /** What everyone has of an inbox, and what someone is answered who was never here before. */
  async #inboxes(): Promise<InboxFinal[]> {
    const found = this.#followers.map(async ({ follower }) => {
      const { userId: user_id } = follower;
      const { row, total } = await standingIn(user_id, this.#conversationId);
      return [{ by: `the server, for ${follower.name}`, user_id, row, total }, await follower.final()];
    });
    const clients = this.#members.map(async ({ party }) => (await party.inbox?.()) ?? []);
    return (await Promise.all([...found, ...clients])).flat();
  }

  #history(finals: readonly Final[], inboxes: readonly InboxFinal[], server: State): History {
    for (const inbox of inboxes) this.recorder.sawInbox(inbox);
    for (const final of finals) this.recorder.settled(final.client, final.user_id, final);
    return this.recorder.history(server);
  }

  #join(name: string, people: readonly [Person, Person], sit: (seat: Seat) => Party): void {
    const { seat, ...surroundings } = this.#seat(name, people);
    this.#members.push({ party: sit(seat), ...surroundings });
  }

  #follow(name: string, people: readonly [Person, Person]): void {
    const { seat, ...surroundings } = this.#seat(name, people);
    this.#followers.push({ follower: new InboxFollower(seat), ...surroundings });
  }

  #seat(name: string, [person, peer]: readonly [Person, Person]): Surroundings & { seat: Seat } {
    const [network, clock] = [new FaultyNetwork(this.#traffic), new Clock()];
    const seat: Seat = {
      name,
      userId: person.id,
      peerId: peer.id,
      conversationId: this.#conversationId,
      url: URL_OF_SERVER,
      network,
      environment: { after: clock.after, elapsed: clock.elapsed, now: clock.now, random: this.#random },
      recorder: this.recorder,
      signIn: async () => this.#traffic.count(signInAtLast(person)),
    };
    return { seat, network, clock };
  }

  #memberOf(who: number): Member {
    const member = this.#members[who % this.#members.length];
    if (!member) throw new Error('There is nobody.');
    return member;
  }

  #followerOf(user: number): FollowerOfInbox {
    const follower = this.#followers[user % this.#followers.length];
    if (!follower) throw new Error('There is nobody.');
    return follower;
  }

  #actOfInbox({ follower, network }: FollowerOfInbox, deed: InboxDeed): void {
    switch (deed) {
      case 'read':
        return follower.mark('read');
      case 'receive':
        return follower.mark('delivered');
      case 'mark unread':
        return follower.set({ unread: true });
      case 'read all':
        return follower.set({ unread: false });
      case 'archive':
        return follower.set({ archived: true });
      case 'take out':
        return follower.set({ archived: false });
      case 'mute':
        return follower.set({ muted_until: FAR_AWAY });
      case 'unmute':
        return follower.set({ muted_until: null });
      case 'pin':
        return follower.set({ pinned: true });
      case 'unpin':
        return follower.set({ pinned: false });
      case 'wake':
        return follower.wake();
      case 'connect anew':
        return follower.connectAnew();
      case 'offline':
        return follower.goOffline();
      case 'online':
        return follower.goOnline();
      case 'cut':
        return network.cut();
      case 'silence':
        return network.fallSilent();
    }
  }

  async #actOf({ party, network, clock }: Member, action: Extract<Action, { who: number }>): Promise<void> {
    const target = 'pick' in action ? party.shown - (action.pick % Math.max(1, party.shown)) : 0;
    switch (action.do) {
      case 'send':
        for (let i = 0; i < action.count; i += 1) {
          party.send(this.#text(party), action.reply && party.shown > 0 ? party.shown : undefined);
        }
        return;
      case 'edit':
        if (target > 0) party.edit(target, this.#text(party));
        return;
      case 'delete':
        if (target > 0) party.delete(target);
        return;
      case 'react':
        if (target > 0) party.react(target, action.emoji, action.on);
        return;
      case 'repeat old':
        return party.repeatOld(action.pick);
      case 'read':
        return party.read();
      case 'offline':
        return party.goOffline();
      case 'online':
        return party.goOnline();
      case 'reload':
        this.#happened('reloaded');
        return party.reload();
      case 'wake':
        return party.wake();
      case 'cut':
        return network.cut();
      case 'silence':
        return network.fallSilent();
      case 'cut at':
        return network.cutAt(action.direction, action.frames, action.passes);
      case 'lose':
        return network.lose(action.count);
      case 'repeat':
        return network.repeat(action.count);
      case 'fail requests':
        return network.failRequests(action.count);
      case 'skew':
        this.#happened('wrong clock');
        clock.skew = action.by;
        return;
    }
  }

  async #evict(webSockets: 'hibernate' | 'close'): Promise<void> {
    this.#happened(`evicted, sockets ${webSockets}`);
    const object = objectOf(this.#conversationId);
    await this.#feeds.withoutHold(async () => {
      // One that is asleep cannot be evicted.
      await object.ping();
      await evictDurableObject(object, { webSockets });
    });
  }

  async #evictInboxes(): Promise<void> {
    this.#happened('evicted, inboxes');
    await this.#feeds.withoutHold(async () => {
      for (const { follower } of this.#followers) {
        // One that is asleep cannot be evicted.
        await inboxOf(follower.userId).notify({ ended_sessions: [], user_changed: false });
        await evictDurableObject(inboxOf(follower.userId), { webSockets: 'hibernate' });
      }
    });
  }

  #setFailing(index: number, isFailing: boolean): void {
    const device = this.#devices[index % this.#devices.length];
    if (!device) return;
    if (isFailing) this.#happened('storage of a client failed');
    device.isFailing = isFailing;
  }

  async #restore(): Promise<void> {
    if (!this.#dump) return;
    this.#happened('restored');
    this.recorder.restored(await restore(this.#conversationId, this.#dump, this.#store));
    // An earlier one is none of the history that is there now.
    this.#dump = null;
  }

  /** Lets time pass, and in between whatever needs no time, until something is done. */
  async #until<Result>(work: Promise<Result>): Promise<Result> {
    let isDone = false;
    const done = work.finally(() => (isDone = true));
    done.catch(() => {});
    for (let step = 0; step < STEPS_MAX; step += 1) {
      await this.#traffic.idle();
      if (isDone) return done;
      const next = Math.min(...this.#everyone.map(({ clock }) => clock.next ?? STEP_MAX_MS), STEP_MAX_MS);
      this.#pass(Math.max(1, next));
    }
    throw new Error(`It does not end:\n${await this.#why()}`);
  }

  async #why(): Promise<string> {
    const waiting = this.#members.map(async ({ party }) => {
      const state = await Promise.race([party.settled().then(() => 'settled'), this.#traffic.turn().then(() => 'not')]);
      return `${party.name}: ${state}, ${party.toString()}`;
    });
    const followers = this.#followers.map(({ follower }) => `${follower.name}: ${String(follower)}`);
    return [...(await Promise.all(waiting)), ...followers].join('\n');
  }

  #pass(milliseconds: number): void {
    vi.setSystemTime(Date.now() + milliseconds);
    for (const { clock } of this.#everyone) clock.pass(milliseconds);
  }

  /** What someone is answered who was never here before. */
  async #server(): Promise<State> {
    const reader = await Follower.open(this.#conversationId, await signedInAgain(this.#john));
    await reader.loadAll();
    reader.socket.close(1000);
    const { epoch } = reader.replica;
    return { epoch, ...reader.replica.state() };
  }

  #text({ name }: Party): string {
    this.#texts += 1;
    return `${this.#texts} of ${name}`;
  }

  #happened(fault: string, count = 1): void {
    if (count > 0) this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + count);
  }
}

/** The directory is made of Durable Objects too, here: it fails when they are aborted. */
async function signInAtLast(person: Person): Promise<Person> {
  for (;;) {
    try {
      return await signedInAgain(person);
    } catch {
      // It is there again by now.
    }
  }
}

/** Numbers from 0 to 1 that look random, and are the same for the same seed. */
function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
