import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Environment } from '../../src/client/environment.ts';
import { memoryStorage, type ChatStorage } from '../../src/client/index.ts';
import { poolNetwork } from '../delivery/pool.ts';
import { storedTexts } from '../helpers/conversation.ts';
import { PASSWORD, signedIn } from '../helpers/people.ts';
import { anHourLater, flush, online, openEnded, openPair, openTab, quiet, SERVER, texts, until } from './tab.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** A storage that tells nobody of what others do with it. */
function mute(storage: ChatStorage): ChatStorage {
  const silent = { ...storage };
  delete silent.watch;
  return silent;
}

/** Reaches the server, but asks for a new token only after `before`. */
function refreshing(before: () => Promise<void>): Environment['fetch'] {
  return async (url, init) => {
    if (url.endsWith('/api/token/refresh/')) await before();
    return poolNetwork.fetch(url, init);
  };
}

describe('the session of tabs that share a storage', () => {
  test('begins and ends in all of them', async () => {
    const john = await signedIn('John');
    const one = await openTab();
    const two = await openTab(undefined, { storage: one.storage });
    await until(() => [one, two].every(({ chat }) => chat.snapshot().status === 'signed_out'));
    await one.chat.signIn({ email: john.email, password: PASSWORD });
    await until(() => two.chat.snapshot().status === 'signed_in');
    expect(two.chat.snapshot().me).toBe(john.id);
    await two.chat.signOut();
    await until(() => one.chat.snapshot().status === 'signed_out');
    expect(one.chat.snapshot()).toEqual({ status: 'signed_out', me: null, problem: null });
  });

  test('becomes that of another user in all of them', async () => {
    const { ray, johns, johnAt } = await openPair();
    const other = await openTab(undefined, { storage: johns.storage });
    await other.chat.signIn({ email: ray.email, password: PASSWORD });
    await until(() => johnAt.snapshot().me === ray.id && johnAt.snapshot().connection.status === 'online');
    expect(await johnAt.send('Hello')).toMatchObject({ sender_id: ray.id });
  });

  test.each([
    ['at once, if the storage tells of it', (storage: ChatStorage) => storage, false],
    ['by a page that wakes up, if it does not', mute, true],
  ])('that had ended is followed by a new one: %s', async (_, as, wakes) => {
    const { john, johns, johnAt } = await openEnded(as(memoryStorage()));
    const other = await openTab(undefined, { storage: johns.storage });
    await other.chat.signIn({ email: john.email, password: PASSWORD });
    if (wakes) johns.chat.wake();
    await until(() => johns.chat.snapshot().status === 'signed_in');
    expect(johns.chat.snapshot()).toEqual({ status: 'signed_in', me: john.id, problem: null });
    await until(() => johnAt.snapshot().connection.status === 'online');
  });

  test('stays, though two of them ask for a new token at once because the storage has no locks', async () => {
    const storage: ChatStorage = {
      ...mute(memoryStorage()),
      exclusively: async () => Promise.reject(new Error('There are no locks.')),
    };
    const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    // Both send the token that is good for one of them only.
    const waits = refreshing(() => asked.promise);
    const comesLate = refreshing(async () => {
      asked.resolve();
      await answered.promise;
    });
    const one = await openTab(await signedIn(), { storage, environment: { fetch: waits } });
    const two = await openTab(undefined, { storage, environment: { fetch: comesLate } });
    for (const { chat } of [one, two]) await until(() => chat.snapshot().status === 'signed_in');
    anHourLater();
    const [first, second] = [one.chat.users(), two.chat.users()];
    expect(await first).toMatchObject({ next: null });
    answered.resolve();
    expect(await second).toMatchObject({ next: null });
    await flush();
    expect(await storage.get(`${SERVER} session`)).toMatchObject({ access: expect.any(String) });
    for (const { chat } of [one, two]) expect(chat.snapshot().status).toBe('signed_in');
  });

  test('stays theirs without a common lock, if the one that comes too late is answered first', async () => {
    const storage: ChatStorage = { ...memoryStorage(), exclusively: async () => Promise.reject(new Error('None.')) };
    const [asked, granted, refused] = [0, 1, 2].map(() => Promise.withResolvers<void>());
    const first: Environment['fetch'] = async (url, init) => {
      if (!url.endsWith('/api/token/refresh/')) return poolNetwork.fetch(url, init);
      await asked?.promise;
      const answer = await poolNetwork.fetch(url, init);
      granted?.resolve();
      await refused?.promise;
      return answer;
    };
    const second = refreshing(async () => {
      asked?.resolve();
      await granted?.promise;
    });
    const one = await openTab(await signedIn(), { storage, environment: { fetch: first } });
    const two = await openTab(undefined, { storage, environment: { fetch: second } });
    for (const { chat } of [one, two]) await until(() => chat.snapshot().status === 'signed_in');
    anHourLater();
    const listed = one.chat.users();
    await expect(two.chat.users()).rejects.toMatchObject({ code: 'signed_out' });
    refused?.resolve();
    expect(await listed).toMatchObject({ next: null });
    await until(() => [one, two].every(({ chat }) => chat.snapshot().status === 'signed_in'));
    expect(await storage.get(`${SERVER} session`)).toMatchObject({ access: expect.any(String) });
  });

  test('gets a new token though a lock is never given back', async () => {
    const storage: ChatStorage = { ...memoryStorage(), exclusively: async () => new Promise(() => {}) };
    const tab = await openTab(await signedIn(), { storage });
    await until(() => tab.chat.snapshot().status === 'signed_in');
    anHourLater();
    const users = tab.chat.users();
    // Longer than a request of another tab may take.
    await until(() => tab.clock.next === 40_000);
    tab.clock.pass(40_000);
    expect(await users).toMatchObject({ users: expect.any(Array) });
  });

  test('is not that in which something was asked for, if another user has signed in since', async () => {
    const [john, ray, ann] = [await signedIn('John'), await signedIn('Ray'), await signedIn('Ann')];
    const tab = await openTab(john, { storage: mute(memoryStorage()) });
    await until(() => tab.chat.snapshot().status === 'signed_in');
    anHourLater();
    const other = await openTab(undefined, { storage: tab.storage });
    await other.chat.signIn({ email: ray.email, password: PASSWORD });
    await expect(tab.chat.conversationWith(ann.id)).rejects.toMatchObject({ code: 'signed_out' });
    expect(tab.chat.snapshot().me).toBe(ray.id);
    expect(tab.wire).toEqual([`> GET /api/users/${ann.id}/chat/`]);
  });
});

describe('the outbox of tabs that share a storage', () => {
  test('is sent once, though several of them have read it', async () => {
    const { johnAt, johns } = await openPair();
    johns.network.setOnline(false);
    void johnAt.send('Hello');
    await flush();
    const [one, two] = [
      await openTab(undefined, { storage: johns.storage }),
      await openTab(undefined, { storage: johns.storage }),
    ];
    for (const { chat } of [one, two]) await online(chat.conversation(johnAt.id));
    johns.network.setOnline(true);
    johns.clock.pass(1000);
    await until(() =>
      [one, two, johns].every(({ chat }) => chat.conversation(johnAt.id).snapshot().pending.length === 0),
    );
    expect(await storedTexts(johnAt.id)).toEqual(['Hello']);
  });

  test('is taken up, in its order, by a page that wakes up after another was killed', async () => {
    const { johnAt, johns } = await openPair();
    const other = await openTab(undefined, { storage: johns.storage });
    other.network.setOnline(false);
    for (const text of ['one', 'two', 'three']) void other.chat.conversation(johnAt.id).send(text);
    await until(() => other.chat.conversation(johnAt.id).snapshot().connection.status === 'waiting');
    await flush();
    other.kill();
    await quiet(johnAt);
    expect(johnAt.snapshot()).toMatchObject({ messages: [], pending: [] });
    johns.chat.wake();
    await until(() => texts(johnAt).length === 3);
    expect(texts(johnAt)).toEqual(['one', 'two', 'three']);
  });

  test('keeps its order, though a page has read it in two goes', async () => {
    const { johnAt, johns } = await openPair();
    const other = await openTab(undefined, { storage: johns.storage });
    for (const { network } of [johns, other]) network.setOnline(false);
    const otherAt = other.chat.conversation(johnAt.id);
    await until(() => otherAt.snapshot().me !== null);
    await flush();
    const pending = () => johnAt.snapshot().pending.map((it) => it.type === 'send' && it.text);
    void johnAt.send('three');
    other.clock.skew = -60_000;
    void otherAt.send('one');
    await flush();
    johns.chat.wake();
    await flush();
    expect(pending()).toEqual(['one', 'three']);
    void otherAt.send('two');
    await flush();
    other.kill();
    johns.chat.wake();
    await flush();
    expect(pending()).toEqual(['one', 'two', 'three']);
    johns.network.setOnline(true);
    johns.chat.wake();
    await until(() => texts(johnAt).length === 3);
    expect(await storedTexts(johnAt.id)).toEqual(['one', 'two', 'three']);
  });

  test('never lists a message that is shown, as one that another tab has sent', async () => {
    const { johnAt, johns } = await openPair();
    johns.network.setOnline(false);
    void johnAt.send('Hello', { ref: 'mine' });
    await flush();
    const other = await openTab(undefined, { storage: johns.storage });
    await until(() => other.wire.some((line) => line.startsWith('< {"type":"ok"')));
    const seen: [messages: number, pending: number][] = [];
    johnAt.subscribe(() => seen.push([johnAt.snapshot().messages.length, johnAt.snapshot().pending.length]));
    johns.network.setOnline(true);
    johnAt.reconnect();
    await until(() => johns.wire.some((line) => line.startsWith('< {"type":"ok"')));
    await quiet(johnAt);
    expect(seen).toContainEqual([1, 0]);
    expect(seen).not.toContainEqual([1, 1]);
    expect(await storedTexts(johnAt.id)).toEqual(['Hello']);
  });

  test('does not get back from one what another has dropped', async () => {
    const { johnAt, johns } = await openPair();
    johns.network.setOnline(false);
    void johnAt.send('Hello', { reply_to: 7, ref: 'mine' });
    await flush();
    const otherAt = (await openTab(undefined, { storage: johns.storage })).chat.conversation(johnAt.id);
    await until(() => typeof otherAt.snapshot().pending[0]?.error?.code === 'string');
    otherAt.discard('mine');
    await flush();
    johns.network.setOnline(true);
    johnAt.reconnect();
    await until(() => typeof johnAt.snapshot().pending[0]?.error?.code === 'string');
    await flush();
    expect(await johns.storage.entries(`${SERVER} outbox/`)).toEqual([]);
  });

  test('has nothing sent by one that its own page has dropped', async () => {
    const { johnAt, johns } = await openPair();
    johns.network.setOnline(false);
    void johnAt.send('Hello', { reply_to: 7, ref: 'mine' });
    await flush();
    const other = await openTab(undefined, { storage: johns.storage });
    other.network.setOnline(false);
    const otherAt = other.chat.conversation(johnAt.id);
    await until(() => otherAt.snapshot().pending.length === 1);
    johns.network.setOnline(true);
    johnAt.reconnect();
    await until(() => typeof johnAt.snapshot().pending[0]?.error?.code === 'string');
    johnAt.discard('mine');
    await flush();
    other.network.setOnline(true);
    otherAt.reconnect();
    await until(() => otherAt.snapshot().pending.length === 0);
    await quiet(otherAt);
    expect(other.wire.filter((line) => line.startsWith('> {"type":"send"'))).toEqual([]);
  });

  test('is rid of a refused message everywhere, once one of them has sent it after all', async () => {
    const { johnAt, johns, rayAt } = await openPair();
    const refused = johnAt.send('Hello', { reply_to: 1, ref: 'mine' });
    await expect(refused).rejects.toMatchObject({ code: 'unknown_reply_to' });
    await flush();
    const other = await openTab(undefined, { storage: johns.storage });
    const otherAt = other.chat.conversation(johnAt.id);
    await online(otherAt);
    await rayAt.send('one');
    await otherAt.retry('mine');
    await until(() => texts(johnAt).length === 2);
    expect(johnAt.snapshot().pending).toEqual([]);
    await expect(johnAt.retry('mine')).rejects.toMatchObject({ code: 'not_refused' });
  });
});
