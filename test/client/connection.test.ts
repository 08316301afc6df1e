import { evictAllDurableObjects, evictDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { backoff } from '../../src/client/backoff.ts';
import type { Connection } from '../../src/client/index.ts';
import { settings } from '../../src/settings.ts';
import { objectOf } from '../helpers/conversation.ts';
import { raiseEpoch, setLeft, versionOf } from '../helpers/directory.ts';
import { notify } from '../helpers/follower.ts';
import { pairInConversation, signedIn } from '../helpers/people.ts';
import { attempts, flush, moodyStorage, online, openPair, openTab, quiet, SERVER, texts, until } from './tab.ts';

const defaults = { ...settings };
afterEach(() => {
  Object.assign(settings, defaults);
  vi.useRealTimers();
});

describe('the wait before another attempt', () => {
  test.each([
    [0, 1000],
    [1, 2000],
    [5, 32_000],
    [6, 60_000],
    [1000, 60_000],
  ])('is anything up to a bound that doubles, up to a minute: attempt %i, %i ms', (attempt, bound) => {
    expect(backoff(attempt, 0)).toBe(0);
    expect(backoff(attempt, 0.25)).toBe(bound / 4);
    expect(backoff(attempt, 0.999)).toBeCloseTo(bound * 0.999);
  });
});

test('the connection says how it is', async () => {
  const { john, conversationId } = await pairInConversation();
  const tab = await openTab(john);
  const conversation = tab.chat.conversation(conversationId);
  const seen: Connection['status'][] = [conversation.snapshot().connection.status];
  conversation.subscribe(() => {
    const { status } = conversation.snapshot().connection;
    if (seen.at(-1) !== status) seen.push(status);
  });
  await until(() => seen.at(-1) === 'online');
  tab.network.cut();
  expect(conversation.snapshot().connection).toMatchObject({ status: 'waiting', problem: { code: 'network' } });
  await until(() => seen.at(-1) === 'waiting');
  tab.clock.pass(1000);
  await until(() => seen.at(-1) === 'online');
  expect(conversation.snapshot().connection.problem).toBe(null);
  await tab.chat.signOut();
  expect(seen).toEqual(['idle', 'connecting', 'online', 'waiting', 'connecting', 'online', 'signed_out']);
});

test('a listener is not called before subscribe() returns, but soon after', async () => {
  const { john, conversationId } = await pairInConversation();
  const tab = await openTab(john);
  await until(() => tab.chat.snapshot().status === 'signed_in');
  const conversation = tab.chat.conversation(conversationId);
  let calls = 0;
  conversation.subscribe(() => (calls += 1));
  expect(conversation.snapshot().connection.status).toBe('connecting');
  expect(calls).toBe(0);
  await flush();
  expect(calls).toBe(1);
});

test('a conversation without a session refuses what it is asked for, though nobody has looked at it for a while', async () => {
  const tab = await openTab();
  await until(() => tab.chat.snapshot().status === 'signed_out');
  const conversation = tab.chat.conversation(crypto.randomUUID());
  conversation.subscribe(() => {})();
  tab.clock.pass(5000);
  expect(conversation.snapshot().connection.status).toBe('signed_out');
  await expect(conversation.history()).rejects.toMatchObject({ code: 'signed_out' });
});

test('attempts come further apart as long as none succeeds, and a connection that held begins anew', async () => {
  const { johnAt, johns } = await openPair();
  johns.clock.pass(10_000);
  johns.network.setOnline(false);
  const pauses: number[] = [];
  for (let i = 0; i < 8; i += 1) {
    await until(() => johnAt.snapshot().connection.status === 'waiting');
    const pause = johns.clock.next ?? 0;
    pauses.push(pause);
    johns.clock.pass(pause);
  }
  // Half of each bound, by the random numbers of the tests.
  expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  await until(() => johnAt.snapshot().connection.status === 'waiting');
  johns.network.setOnline(true);
  johns.chat.wake();
  await until(() => johnAt.snapshot().connection.status === 'online');
  johns.network.cut();
  expect(johns.clock.next).toBe(30_000);
  johns.chat.wake();
  await until(() => johnAt.snapshot().connection.status === 'online');
  johns.clock.pass(10_000);
  johns.network.cut();
  expect(johns.clock.next).toBe(500);
});

test('a peer that has gone without a word is noticed by its silence', async () => {
  const { johnAt, johns } = await openPair();
  johns.network.fallSilent();
  johns.clock.pass(25_000);
  expect(johnAt.snapshot().connection.status).toBe('online');
  johns.clock.pass(9999);
  expect(johnAt.snapshot().connection.status).toBe('online');
  johns.clock.pass(1);
  expect(johnAt.snapshot().connection).toMatchObject({ status: 'waiting', problem: { code: 'network' } });
});

test('and by an answer that does not come', async () => {
  const { johnAt, johns } = await openPair();
  johns.network.fallSilent();
  void johnAt.send('Hello');
  await until(() => johns.network.faults.has('silence'));
  johns.clock.pass(20_000);
  expect(johnAt.snapshot().connection.status).toBe('waiting');
  johns.network.heal();
  johns.clock.pass(1000);
  await until(() => texts(johnAt).length === 1);
});

test('a socket that is not welcomed is given up', async () => {
  const { john, conversationId } = await pairInConversation();
  const tab = await openTab(john);
  tab.network.fallSilent();
  const conversation = tab.chat.conversation(conversationId);
  conversation.subscribe(() => {});
  await until(() => conversation.snapshot().connection.status === 'connecting');
  tab.clock.pass(20_000);
  expect(conversation.snapshot().connection.status).toBe('waiting');
});

test('frames of a socket that was given up are not heard', async () => {
  const { johnAt, johns, rayAt } = await openPair();
  const opened = attempts(johns);
  johnAt.reconnect();
  await until(() => attempts(johns) === opened + 1 && johnAt.snapshot().connection.status === 'online');
  await rayAt.send('one');
  await until(() => texts(johnAt).length === 1);
  expect(attempts(johns)).toBe(opened + 1);
});

describe('reconnect() by a listener', () => {
  test('that sees the connection wait opens one socket', async () => {
    const { johnAt, johns } = await openPair();
    const opened = attempts(johns);
    const stop = johnAt.subscribe(() => {
      if (johnAt.snapshot().connection.status !== 'waiting') return;
      stop();
      johnAt.reconnect();
    });
    johns.network.cut();
    await until(() => johnAt.snapshot().connection.status === 'online');
    // By then it would have connected by itself, and given up a socket that is not welcomed.
    johns.clock.pass(20_000);
    await quiet(johnAt);
    expect(johnAt.snapshot().connection).toMatchObject({ status: 'online', problem: null });
    expect(attempts(johns)).toBe(opened + 1);
  });

  test('that sees it online opens another, which is given up like any other', async () => {
    const { john, conversationId } = await pairInConversation();
    const tab = await openTab(john);
    const conversation = tab.chat.conversation(conversationId);
    conversation.subscribe(() => {
      if (conversation.snapshot().connection.status !== 'online') return;
      tab.network.fallSilent();
      conversation.reconnect();
    });
    await until(() => attempts(tab) === 2);
    tab.clock.pass(19_999);
    expect(conversation.snapshot().connection.status).toBe('connecting');
    tab.clock.pass(1);
    expect(conversation.snapshot().connection).toMatchObject({ status: 'waiting', problem: { code: 'network' } });
  });
});

/** ray waits because of john, who has the only socket that the conversation may have. */
async function full() {
  Object.assign(settings, { socketsPerConversation: 1 });
  const { john, ray, conversationId } = await pairInConversation();
  const [johns, rays] = [await openTab(john), await openTab(ray)];
  await online(johns.chat.conversation(conversationId));
  const rayAt = rays.chat.conversation(conversationId);
  rayAt.subscribe(() => {});
  await until(() => rayAt.snapshot().connection.status === 'waiting');
  expect(rayAt.snapshot().connection.problem).toMatchObject({ code: 'conversation_full', retry_after_ms: 30_000 });
  return { johns, rays, rayAt };
}

describe('a close', () => {
  test.each([
    ['of an object that was evicted', async (id: string) => evictDurableObject(objectOf(id), { webSockets: 'close' })],
    [
      'of a history that was replaced',
      async (id: string) => {
        await raiseEpoch(id);
        await notify(id, await versionOf(id));
      },
    ],
  ])('%s is followed by a new connection', async (_, close) => {
    const { johnAt, johns, rayAt, rays } = await openPair();
    await close(johnAt.id);
    await until(() => johnAt.snapshot().connection.status === 'waiting');
    for (const { clock } of [johns, rays]) clock.pass(1000);
    await until(() => johnAt.snapshot().connection.status === 'online');
    const stored = await rayAt.send('one');
    await until(() => texts(johnAt).length === 1);
    expect(johnAt.snapshot().messages).toEqual([stored]);
  });

  test('an object that sleeps closes nothing', async () => {
    const { johnAt, rayAt, johns } = await openPair();
    await evictAllDurableObjects();
    await rayAt.send('one');
    await until(() => texts(johnAt).length === 1);
    expect(attempts(johns)).toBe(1);
  });

  test('of one who is no member any more stops, and refuses what was to be sent', async () => {
    const { john, johnAt, johns } = await openPair();
    await setLeft(johnAt.id, john.id, Date.now());
    await notify(johnAt.id, await versionOf(johnAt.id));
    await until(() => johnAt.snapshot().connection.status === 'stopped');
    expect(johnAt.snapshot().connection.problem?.code).toBe('not_a_member');
    johns.clock.pass(600_000);
    johns.chat.wake();
    expect(attempts(johns)).toBe(1);
    await expect(johnAt.history()).rejects.toMatchObject({ code: 'not_a_member' });
  });

  test('of a conversation that does not exist stops', async () => {
    const tab = await openTab(await signedIn());
    const conversation = tab.chat.conversation(crypto.randomUUID());
    await expect(conversation.send('Hello')).rejects.toMatchObject({ code: 'no_such_conversation' });
    expect(conversation.snapshot()).toMatchObject({
      connection: { status: 'stopped', problem: { code: 'no_such_conversation' } },
      pending: [{ text: 'Hello', error: { code: 'no_such_conversation' } }],
    });
  });

  test('of a conversation that does not exist refuses what is asked for afterwards, too', async () => {
    const tab = await openTab(await signedIn());
    const conversation = tab.chat.conversation(crypto.randomUUID());
    await expect(conversation.send('Hello', { ref: 'mine' })).rejects.toMatchObject({ code: 'no_such_conversation' });
    await expect(conversation.send('again')).rejects.toMatchObject({ code: 'no_such_conversation' });
    await expect(conversation.retry('mine')).rejects.toMatchObject({ code: 'no_such_conversation' });
  });

  test('of one who has opened too many sockets stops, until they want to reconnect', async () => {
    Object.assign(settings, { socketsPerUser: 1 });
    const { john, johnAt } = await openPair();
    const other = (await openTab(john)).chat.conversation(johnAt.id);
    await online(other);
    await until(() => johnAt.snapshot().connection.status === 'stopped');
    expect(johnAt.snapshot().connection.problem?.code).toBe('replaced');
    johnAt.reconnect();
    await until(() => johnAt.snapshot().connection.status === 'online');
    await until(() => other.snapshot().connection.status === 'stopped');
  });

  test('of a conversation that is full is waited for as long as it says', async () => {
    const { johns, rays, rayAt } = await full();
    johns.chat.close();
    rays.clock.pass(30_000);
    expect(attempts(rays)).toBe(1);
    rays.clock.pass(500);
    await until(() => rayAt.snapshot().connection.status === 'online');
  });

  test('of a conversation that is full is waited for no shorter by a page that wakes up', async () => {
    const { johns, rays, rayAt } = await full();
    johns.chat.close();
    rays.chat.wake();
    rays.clock.pass(29_999);
    rays.chat.wake();
    expect(attempts(rays)).toBe(1);
    rays.clock.pass(1);
    rays.chat.wake();
    expect(attempts(rays)).toBe(2);
    await until(() => rayAt.snapshot().connection.status === 'online');
  });
});

describe('a client that was closed', () => {
  test('refuses everything, and keeps what is to be sent', async () => {
    const { johnAt, johns } = await openPair();
    johns.network.setOnline(false);
    const sent = johnAt.send('Hello');
    await flush();
    johns.chat.close();
    await expect(sent).rejects.toMatchObject({ code: 'closed' });
    await expect(johnAt.send('more')).rejects.toMatchObject({ code: 'closed' });
    await expect(johnAt.history()).rejects.toMatchObject({ code: 'closed' });
    expect(await johns.storage.entries(`${SERVER} outbox/`)).toHaveLength(1);
    expect(johns.clock.next).toBe(undefined);
  });

  test('opens no socket in a conversation that is asked for afterwards', async () => {
    const { johns } = await openPair();
    johns.chat.close();
    const opened = attempts(johns);
    const conversation = johns.chat.conversation(crypto.randomUUID());
    conversation.subscribe(() => {});
    await expect(conversation.send('Hello')).rejects.toMatchObject({ code: 'closed' });
    expect(attempts(johns)).toBe(opened);
    expect(johns.clock.next).toBe(undefined);
  });

  test('by a listener that sees it online leaves no socket and no timer', async () => {
    const { john, johnAt, rayAt } = await openPair();
    const tab = await openTab(john);
    const conversation = tab.chat.conversation(johnAt.id);
    conversation.subscribe(() => {
      if (conversation.snapshot().connection.status === 'online') tab.chat.close();
    });
    await expect(conversation.history()).rejects.toMatchObject({ code: 'closed' });
    await flush();
    expect(tab.clock.next).toBe(undefined);
    await rayAt.send('one');
    await until(() => texts(johnAt).length === 1);
    expect(tab.wire.filter((line) => line.startsWith('< {"type":"changes"'))).toEqual([]);
    tab.clock.pass(60_000);
    expect(attempts(tab)).toBe(1);
  });

  test('by a listener that sees it wait does not come back', async () => {
    const { johnAt, johns } = await openPair();
    johnAt.subscribe(() => {
      if (johnAt.snapshot().connection.status === 'waiting') johns.chat.close();
    });
    johns.network.cut();
    await flush();
    expect(johnAt.snapshot().connection.status).toBe('idle');
    expect(johns.clock.next).toBe(undefined);
    johns.clock.pass(60_000);
    expect(attempts(johns)).toBe(1);
  });

  test('while its storage fails to keep something leaves no timer', async () => {
    const storage = moodyStorage();
    const { johnAt, johns } = await openPair(storage);
    storage.fails = true;
    void johnAt.send('Hello');
    johns.chat.close();
    await flush();
    expect(johns.clock.next).toBe(undefined);
  });

  test('while its storage fails to say what is to be sent leaves no timer', async () => {
    const storage = moodyStorage();
    const { john, conversationId } = await pairInConversation();
    const tab = await openTab(john, { storage });
    await until(() => tab.chat.snapshot().status === 'signed_in');
    await flush();
    storage.fails = true;
    tab.chat.conversation(conversationId);
    tab.chat.close();
    await flush();
    expect(tab.clock.next).toBe(undefined);
  });
});
