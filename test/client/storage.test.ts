import { afterEach, describe, expect, test, vi } from 'vitest';
import type { ChatStorage } from '../../src/client/index.ts';
import { storedTexts } from '../helpers/conversation.ts';
import { PASSWORD } from '../helpers/people.ts';
import {
  anHourLater,
  attempts,
  flush,
  moodyStorage,
  openEnded,
  openPair,
  openTab,
  SERVER,
  texts,
  until,
  type Moody,
  type Pair,
} from './tab.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** john's tab, online, with a storage that can be made to fail. */
async function opened(): Promise<Pair & { storage: Moody }> {
  const storage = moodyStorage();
  return { ...(await openPair(storage)), storage };
}

describe('a storage', () => {
  test('in memory is not durable, and says so', async () => {
    const { johnAt } = await openPair();
    expect(johnAt.snapshot().connection.durable).toBe(false);
  });

  test('that throws holds nothing up, says so, and is made up for when it works again', async () => {
    const { johns, johnAt, storage } = await opened();
    expect(johnAt.snapshot().connection.durable).toBe(true);
    storage.fails = true;
    johns.network.setOnline(false);
    const sent = johnAt.send('Hello');
    await until(() => !johnAt.snapshot().connection.durable);
    storage.fails = false;
    johns.clock.pass(500);
    await until(() => johnAt.snapshot().connection.durable);
    expect((await storage.entries(`${SERVER} outbox/`)).map(([, value]) => value)).toMatchObject([
      { operation: { text: 'Hello' } },
    ]);
    storage.fails = true;
    johns.network.setOnline(true);
    johns.clock.pass(10_000);
    expect(await sent).toMatchObject({ n: 1 });
  });

  test('that does not answer holds up nothing for longer than two seconds', async () => {
    const { johns, johnAt, storage } = await opened();
    storage.isSilent = true;
    const sent = johnAt.send('Hello');
    johns.clock.pass(2000);
    expect(await sent).toMatchObject({ n: 1 });
    expect(johnAt.snapshot().connection.durable).toBe(false);
  });

  test('that fails at the start is asked again', async () => {
    const { john, johns, johnAt, storage } = await opened();
    johns.network.setOnline(false);
    void johnAt.send('Hello');
    await flush();
    johns.kill();
    storage.fails = true;
    const next = await openTab(undefined, { storage });
    await until(() => next.chat.snapshot().status === 'signed_out');
    storage.fails = false;
    await until(() => {
      next.clock.pass(1000);
      return next.chat.snapshot().me === john.id;
    });
    await until(() => texts(next.chat.conversation(johnAt.id)).length === 1);
    expect(await storedTexts(johnAt.id)).toEqual(['Hello']);
  });

  test('that loses a new token does not lose the session', async () => {
    const { johns, johnAt, storage } = await opened();
    anHourLater();
    storage.fails = true;
    await johns.chat.users();
    storage.fails = false;
    anHourLater();
    await johns.chat.users();
    expect(johns.chat.snapshot().status).toBe('signed_in');
    expect(johnAt.snapshot().connection.status).not.toBe('signed_out');
  });

  test('that fails when the page wakes up loses nothing that waits for its user', async () => {
    const storage = moodyStorage();
    const { john, johns, johnAt } = await openEnded(storage);
    const sent = johnAt.send('two');
    await flush();
    storage.fails = true;
    johns.chat.wake();
    await flush();
    expect(johnAt.snapshot().pending).toMatchObject([{ text: 'two', error: null }]);
    expect(johns.chat.snapshot()).toMatchObject({ status: 'signed_out', problem: { code: 'signed_out' } });
    await johns.chat.signIn({ email: john.email, password: PASSWORD });
    expect(await sent).toMatchObject({ n: 2 });
  });

  test('that keeps nothing has a message all the same when its user comes back', async () => {
    const { john, ray, johns, johnAt, storage } = await opened();
    storage.fails = true;
    johns.network.cut();
    void johnAt.send('Hello');
    await until(() => !johnAt.snapshot().connection.durable);
    await johns.chat.signIn({ email: ray.email, password: PASSWORD });
    await until(() => johnAt.snapshot().connection.status === 'online');
    expect(johnAt.snapshot()).toMatchObject({ me: ray.id, messages: [], pending: [] });
    await johns.chat.signIn({ email: john.email, password: PASSWORD });
    await until(() => texts(johnAt).length === 1);
    expect(johnAt.snapshot().messages).toMatchObject([{ text: 'Hello', sender_id: john.id }]);
  });

  test('that fails once is asked again in which conversations something waits', async () => {
    const { johnAt, johns } = await openPair();
    johns.network.setOnline(false);
    void johnAt.send('Hello');
    await flush();
    johns.kill();
    let asked = 0;
    const entries: ChatStorage['entries'] = async (prefix) => {
      asked += 1;
      if (asked === 1) throw new Error('The storage is busy.');
      return johns.storage.entries(prefix);
    };
    const next = await openTab(undefined, { storage: { ...johns.storage, entries } });
    await until(() => asked === 1);
    await flush();
    expect(attempts(next)).toBe(0);
    next.clock.pass(500);
    await until(() => next.wire.some((line) => line.startsWith('< {"type":"ok"')));
    expect(await storedTexts(johnAt.id)).toEqual(['Hello']);
  });
});
