import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Network } from '../delivery/network.ts';
import { poolNetwork } from '../delivery/pool.ts';
import { signedIn } from '../helpers/people.ts';
import { anHourLater, flush, openEnded, openPair, openTab, texts, until } from './tab.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** Two tabs of john's whose token has expired, of which the first waits for an answer that the server has given. */
async function refreshing() {
  const john = await signedIn('John');
  const answered = Promise.withResolvers<void>();
  const arrives = Promise.withResolvers<void>();
  const fetch: Network['fetch'] = async (url, init) => {
    const answer = await poolNetwork.fetch(url, init);
    if (!url.endsWith('/api/token/refresh/')) return answer;
    answered.resolve();
    await arrives.promise;
    if (init.signal?.aborted) throw new Error('The page has gone.');
    return answer;
  };
  const one = await openTab(john, { environment: { fetch } });
  const two = await openTab(undefined, { storage: one.storage });
  for (const { chat } of [one, two]) await until(() => chat.snapshot().status === 'signed_in');
  anHourLater();
  void one.chat.users().catch(() => {});
  await answered.promise;
  return { one, two, arrive: arrives.resolve };
}

describe('what happens while a tab refreshes its token', () => {
  test('a sign-out of another tab stands', async () => {
    const { one, two, arrive } = await refreshing();
    await two.chat.signOut();
    arrive();
    await until(() => one.chat.snapshot().status === 'signed_out');
    await flush();
    expect([one, two].map(({ chat }) => chat.snapshot().status)).toEqual(['signed_out', 'signed_out']);
    expect(await one.storage.entries('')).toEqual([]);
  });

  test('the end of the tab does not lose the new token', async () => {
    const { one, two, arrive } = await refreshing();
    one.chat.close();
    arrive();
    await two.chat.users();
    expect(two.chat.snapshot().status).toBe('signed_in');
  });
});

describe('a session that has ended', () => {
  test('is forgotten by a sign-out of a page that was loaded later', async () => {
    const { johnAt, johns } = await openEnded();
    void johnAt.send('secret');
    await flush();
    johns.kill();
    const next = await openTab(undefined, { storage: johns.storage });
    await until(() => next.chat.snapshot().status === 'signed_out');
    await next.chat.signOut();
    expect(await johns.storage.entries('')).toEqual([]);
  });

  test('is forgotten in every tab by the sign-out of one', async () => {
    const { johnAt, johns } = await openEnded();
    const other = await openTab(undefined, { storage: johns.storage });
    await until(() => other.chat.snapshot().status === 'signed_out');
    const sent = johnAt.send('secret');
    await other.chat.signOut();
    await expect(sent).rejects.toMatchObject({ code: 'signed_out' });
    expect(johns.chat.snapshot().problem).toBe(null);
  });

  test('is no news to a page that wakes up', async () => {
    const { johnAt, johns } = await openEnded();
    await flush();
    const before = [johns.chat.snapshot(), johnAt.snapshot()];
    johns.chat.wake();
    await flush();
    expect(johns.chat.snapshot()).toBe(before[0]);
    expect(johnAt.snapshot()).toBe(before[1]);
  });
});

test('a page that wakes up sends what a killed one has left in a conversation that it has never opened', async () => {
  const { johnAt, johns, rayAt } = await openPair();
  const other = await openTab(undefined, { storage: johns.storage });
  await until(() => other.chat.snapshot().status === 'signed_in');
  await flush();
  johns.network.setOnline(false);
  void johnAt.send('left');
  await flush();
  johns.kill();
  other.chat.wake();
  await until(() => texts(rayAt).length === 1);
  expect(texts(rayAt)).toEqual(['left']);
});

test('users are listed as soon as the session is restored', async () => {
  const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
  const { users } = await (await openTab(john)).chat.users();
  expect(users.map(({ id }) => id)).toContain(ray.id);
});
