import { vi } from 'vitest';
import type { Environment, Socket } from '../../src/client/environment.ts';
import { createChat, memoryStorage, type Chat, type ChatStorage, type Conversation } from '../../src/client/index.ts';
import { Clock } from '../delivery/clock.ts';
import { FaultyNetwork, type Network } from '../delivery/network.ts';
import { poolNetwork } from '../delivery/pool.ts';
import { HOST } from '../helpers/api.ts';
import { pairInConversation, type Person } from '../helpers/people.ts';

/** Where the Worker of the tests is. */
export const SERVER = `https://${HOST}`;

/** A client as a tab of a browser has it, with a network and a clock of its own. */
export type Tab = {
  readonly chat: Chat;
  readonly network: FaultyNetwork;
  readonly clock: Clock;
  readonly storage: ChatStorage;
  /** Every frame that it has sent and received, in order: `> …` and `< …`. */
  readonly wire: string[];
  /** Ends without a chance to do anything more. Its storage stays. */
  kill(): void;
};

export type TabOptions = {
  storage?: ChatStorage;
  environment?: Partial<Environment>;
};

/** Opens a tab. @param person who is signed in, if the storage does not say so already */
export async function openTab(
  person?: Person,
  { storage = memoryStorage(), environment }: TabOptions = {},
): Promise<Tab> {
  if (person) await storage.set(`${SERVER} session`, { access: person.access, refresh: person.refresh });
  const [clock, wire] = [new Clock(), [] as string[]];
  const network = new FaultyNetwork(recorded(poolNetwork, wire));
  let isDead = false;
  const chat = createChat({
    url: SERVER,
    storage: unless(() => isDead, storage),
    environment: {
      fetch: network.fetch,
      openSocket: network.openSocket,
      after: clock.after,
      elapsed: clock.elapsed,
      now: clock.now,
      random: () => 0.5,
      ...environment,
    },
  });
  const kill = () => {
    isDead = true;
    network.setOnline(false);
    chat.close();
  };
  return { chat, network, clock, storage, wire, kill };
}

export type Pair = {
  john: Person;
  ray: Person;
  johns: Tab;
  rays: Tab;
  johnAt: Conversation;
  rayAt: Conversation;
};

/** john's tab, ray's tab, and their conversation in each, both online. @param storage of john's tab */
export async function openPair(storage: ChatStorage = memoryStorage()): Promise<Pair> {
  const { john, ray, conversationId } = await pairInConversation();
  const [johns, rays] = [await openTab(john, { storage }), await openTab(ray)];
  const [johnAt, rayAt] = [johns.chat.conversation(conversationId), rays.chat.conversation(conversationId)];
  await online(johnAt);
  await online(rayAt);
  return { john, ray, johns, rays, johnAt, rayAt };
}

/** The same, in which john has sent one message, and then his session was ended elsewhere. */
export async function openEnded(storage?: ChatStorage): Promise<Pair> {
  const pair = await openPair(storage);
  const { johns, john, johnAt } = pair;
  await johnAt.send('one');
  const elsewhere = await openTab(john);
  await until(() => elsewhere.chat.snapshot().status === 'signed_in');
  await elsewhere.chat.signOut();
  await until(() => {
    johns.clock.pass(0);
    return johnAt.snapshot().connection.status === 'signed_out';
  });
  return pair;
}

/** How often a tab has tried to connect. */
export function attempts({ wire }: Tab): number {
  return wire.filter((line) => line.startsWith('> connect')).length;
}

/** Looks at a conversation until it is online. */
export async function online(conversation: Conversation): Promise<void> {
  conversation.subscribe(() => {});
  await until(() => conversation.snapshot().connection.status === 'online');
}

/** The texts that a conversation shows. */
export function texts(conversation: Conversation): (string | null)[] {
  return conversation.snapshot().messages.map(({ text }) => text);
}

/**
 * Waits until `condition` holds, for what does not depend on a client's clock: that is passed by the test.
 * @param what is printed if it does not come about
 */
export async function until(condition: () => boolean, what: () => unknown = () => condition.toString()): Promise<void> {
  try {
    await vi.waitUntil(condition, { timeout: 4000, interval: 2 });
  } catch {
    throw new Error(`It did not come about: ${JSON.stringify(what())}`);
  }
}

/** Lets everything come about that waits for nothing but promises: what a storage in memory does, and what follows. */
export async function flush(): Promise<void> {
  for (let i = 0; i < 100; i += 1) await Promise.resolve();
}

/** Resolves when everything that a tab's sockets were sent has arrived and was answered. */
export async function quiet(conversation: Conversation): Promise<void> {
  await conversation.history({ limit: 1 });
}

const HOUR_MS = 3_600_000;

/** Lets the access tokens expire. To be taken back by `vi.useRealTimers`. */
export function anHourLater(): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + HOUR_MS });
}

/** A storage that can be made to fail, or not to answer. */
export type Moody = ChatStorage & { fails: boolean; isSilent: boolean };

export function moodyStorage(): Moody {
  const inner = memoryStorage();
  const state = { fails: false, isSilent: false };
  const unlessFailing =
    <Given extends unknown[], Result>(work: (...given: Given) => Promise<Result>) =>
    async (...given: Given): Promise<Result> => {
      if (state.isSilent) await never();
      if (state.fails) throw new Error('The disk is full.');
      return work(...given);
    };
  return Object.assign(state, {
    ...inner,
    durable: true,
    get: unlessFailing((key: string) => inner.get(key)),
    set: unlessFailing((key: string, value: unknown) => inner.set(key, value)),
    delete: unlessFailing((key: string) => inner.delete(key)),
    entries: unlessFailing((prefix: string) => inner.entries(prefix)),
  });
}

const never = (): Promise<never> => new Promise(() => {});

/** A storage whose writes no longer happen once its page is gone. */
function unless(isGone: () => boolean, storage: ChatStorage): ChatStorage {
  return {
    durable: storage.durable,
    get: (key) => storage.get(key),
    entries: (prefix) => storage.entries(prefix),
    set: (key, value) => (isGone() ? never() : storage.set(key, value)),
    delete: (key) => (isGone() ? never() : storage.delete(key)),
    exclusively: (name, work) => storage.exclusively(name, work),
    ...(storage.watch && { watch: storage.watch.bind(storage) }),
  };
}

/** Notes what passes. */
function recorded(network: Network, wire: string[]): Network {
  return {
    fetch: (url, init) => {
      wire.push(`> ${init.method} ${new URL(url).pathname}`);
      return network.fetch(url, init);
    },
    openSocket: (url, protocols) => {
      const socket = network.openSocket(url, protocols);
      wire.push(`> connect ${new URL(url).search}`);
      socket.addEventListener('message', ({ data }) => void wire.push(`< ${String(data)}`));
      return {
        send: (frame) => {
          wire.push(`> ${frame}`);
          socket.send(frame);
        },
        close: (code, reason) => socket.close(code, reason),
        addEventListener: ((type: 'open', listener: () => void) =>
          socket.addEventListener(type, listener)) as Socket['addEventListener'],
      };
    },
  };
}
