import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { storedTexts } from '../helpers/conversation.ts';
import { breakD1 } from '../helpers/faults.ts';
import { PASSWORD, pairInConversation, signedIn } from '../helpers/people.ts';
import { anHourLater, flush, online, openEnded, openPair, openTab, SERVER, texts, until, type Tab } from './tab.ts';

const HOUR_MS = 3_600_000;

afterEach(() => {
  vi.useRealTimers();
});

const refreshes = (...tabs: Tab[]) =>
  tabs.flatMap(({ wire }) => wire).filter((line) => line.endsWith('/api/token/refresh/')).length;

describe('signing up, in and out', () => {
  test('makes an account, and a session in it', async () => {
    const tab = await openTab();
    await until(() => tab.chat.snapshot().status === 'signed_out');
    const account = { first_name: 'Ana', last_name: 'Doe', email: 'ana.new@example.org', password: PASSWORD };
    await tab.chat.signUp(account);
    expect(tab.chat.snapshot().status).toBe('signed_out');
    let told = 0;
    tab.chat.subscribe(() => (told += 1));
    await tab.chat.signIn(account);
    expect(told).toBe(1);
    const { me } = tab.chat.snapshot();
    expect(tab.chat.snapshot()).toEqual({ status: 'signed_in', me: expect.any(String), problem: null });
    const next = await openTab(undefined, { storage: tab.storage });
    await until(() => next.chat.snapshot().me === me);
    await tab.chat.signOut();
    expect(tab.chat.snapshot()).toEqual({ status: 'signed_out', me: null, problem: null });
    expect(await tab.storage.entries('')).toEqual([]);
    await expect(next.chat.users()).rejects.toMatchObject({ code: 'signed_out' });
    expect(next.chat.snapshot().status).toBe('signed_out');
  });

  test('says of a form what to change', async () => {
    const { chat } = await openTab();
    const account = { first_name: ' ', last_name: 'Doe', email: 'ana', password: PASSWORD };
    await expect(chat.signUp(account)).rejects.toMatchObject({
      code: 'invalid',
      fields: { first_name: ['This field may not be blank.'], email: ['Enter a valid email address.'] },
    });
    await expect(chat.signIn({ email: 'nobody@example.org', password: PASSWORD })).rejects.toMatchObject({
      code: 'unauthenticated',
    });
  });

  test('without a network says so', async () => {
    const { chat, network } = await openTab();
    network.setOnline(false);
    await expect(chat.signIn({ email: 'a@example.org', password: PASSWORD })).rejects.toMatchObject({
      code: 'network',
    });
  });

  test('out, forgets what was to be sent, and refuses more', async () => {
    const { johnAt, johns } = await openPair();
    johns.network.setOnline(false);
    const sent = johnAt.send('Hello');
    await johns.chat.signOut();
    await expect(sent).rejects.toMatchObject({ code: 'signed_out' });
    expect(johnAt.snapshot()).toMatchObject({
      connection: { status: 'signed_out' },
      me: null,
      messages: [],
      pending: [],
    });
    await expect(johnAt.send('more')).rejects.toMatchObject({ code: 'signed_out' });
    await expect(johnAt.history()).rejects.toMatchObject({ code: 'signed_out' });
    expect(await johns.storage.entries('')).toEqual([]);
  });

  test('out, forgets what is still being written, too', async () => {
    const { johnAt, johns } = await openPair();
    johns.network.setOnline(false);
    for (const text of ['one', 'two', 'three']) void johnAt.send(text);
    await johns.chat.signOut();
    await flush();
    expect(await johns.storage.entries('')).toEqual([]);
  });

  test('out while the session is being restored ends it', async () => {
    const tab = await openTab(await signedIn());
    expect(tab.chat.snapshot().status).toBe('restoring');
    await tab.chat.signOut();
    expect(tab.chat.snapshot()).toEqual({ status: 'signed_out', me: null, problem: null });
    expect(tab.wire).toEqual(['> POST /api/logout/']);
    expect(await tab.storage.entries('')).toEqual([]);
  });

  test('in as another user shows nothing of the one before', async () => {
    const { johnAt, johns, ray, rayAt } = await openPair();
    await rayAt.send('one');
    await until(() => texts(johnAt).length === 1);
    await johns.chat.signOut();
    await johns.chat.signIn({ email: ray.email, password: PASSWORD });
    await until(() => johnAt.snapshot().connection.status === 'online');
    expect(johnAt.snapshot()).toMatchObject({ me: ray.id, messages: [{ text: 'one' }] });
    expect(await johnAt.send('two')).toMatchObject({ sender_id: ray.id });
  });
});

describe('users and conversations', () => {
  test('of everyone else, a page at a time', async () => {
    const john = await signedIn('John');
    const others = await Promise.all(Array.from({ length: 105 }, () => signedIn('Ray')));
    const { chat } = await openTab(john);
    await until(() => chat.snapshot().status === 'signed_in');
    const ids: string[] = [];
    let next: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof chat.users>> = await chat.users(next ?? undefined);
      ids.push(...page.users.map(({ id }) => id));
      next = page.next;
    } while (next !== null);
    expect(ids).toEqual(expect.arrayContaining(others.map(({ id }) => id)));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).not.toContain(john.id);
  });

  test('whom a text finds, and on from where the server says', async () => {
    const [found, last] = [crypto.randomUUID(), crypto.randomUUID()];
    const asked: string[] = [];
    const tab = await openTab(await signedIn(), {
      environment: {
        fetch: async (url) => {
          asked.push(url.replace(SERVER, ''));
          const Link = `</api/users/?search=Ana&limit=1&after=${last}>; rel="next"`;
          const user = { id: found, first_name: 'Ana', last_name: 'Doe' };
          return Response.json([user], { headers: asked.length === 1 ? { Link } : {} });
        },
      },
    });
    const page = await tab.chat.search('Ana & Ben');
    expect(page).toEqual({ users: [{ id: found, first_name: 'Ana', last_name: 'Doe' }], next: last });
    expect((await tab.chat.search('Ana & Ben', last)).next).toBe(null);
    expect(asked).toEqual(['/api/users/?search=Ana+%26+Ben', `/api/users/?search=Ana+%26+Ben&after=${last}`]);
  });

  test('a conversation is opened by its other member, and is the same from both sides', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    const [johns, rays] = [await openTab(john), await openTab(ray)];
    await until(() => [johns, rays].every(({ chat }) => chat.snapshot().status === 'signed_in'));
    const conversation = await johns.chat.conversationWith(ray.id);
    expect(johns.chat.conversation(conversation.id)).toBe(conversation);
    expect((await rays.chat.conversationWith(john.id)).id).toBe(conversation.id);
    await expect(johns.chat.conversationWith(crypto.randomUUID())).rejects.toMatchObject({
      message: expect.any(String),
    });
  });
});

describe('a token that has expired', () => {
  test('is replaced once, in all tabs, which go on where they were', async () => {
    const { john, conversationId } = await pairInConversation();
    const one = await openTab(john);
    const two = await openTab(undefined, { storage: one.storage });
    const conversations = [one, two].map(({ chat }) => chat.conversation(conversationId));
    for (const conversation of conversations) await online(conversation);
    anHourLater();
    for (const { network, clock } of [one, two]) {
      network.cut();
      clock.pass(1000);
    }
    await until(() => {
      for (const { clock } of [one, two]) clock.pass(0);
      return conversations.every((it) => it.snapshot().connection.status === 'online');
    });
    expect(refreshes(one, two)).toBe(1);
    for (const conversation of conversations) await conversation.send('Hello');
    await until(() => conversations.every((it) => texts(it).length === 2));
    expect(conversations[0]?.snapshot().messages).toEqual(conversations[1]?.snapshot().messages);
  });

  test('is replaced once for requests that fail together', async () => {
    const john = await signedIn('John');
    const tab = await openTab(john);
    await until(() => tab.chat.snapshot().status === 'signed_in');
    anHourLater();
    await Promise.all([tab.chat.users(), tab.chat.users(), tab.chat.users()]);
    expect(refreshes(tab)).toBe(1);
  });

  test('is kept, if something else than the server answers the request for a new one', async () => {
    const john = await signedIn();
    const { chat, storage } = await openTab(john, {
      environment: {
        fetch: async (url) => Response.json({}, { status: url.endsWith('/api/token/refresh/') ? 200 : 401 }),
      },
    });
    await until(() => chat.snapshot().status === 'signed_in');
    await expect(chat.users()).rejects.toMatchObject({ code: 'server' });
    expect(chat.snapshot()).toMatchObject({ status: 'signed_in', problem: null });
    expect(await storage.get(`${SERVER} session`)).toEqual({ access: john.access, refresh: john.refresh });
  });

  test('is not judged by a clock that is an hour off', async () => {
    const { john, conversationId } = await pairInConversation();
    for (const skew of [-HOUR_MS, HOUR_MS]) {
      const tab = await openTab(john);
      tab.clock.skew = skew;
      await online(tab.chat.conversation(conversationId));
      await tab.chat.conversation(conversationId).send(`${skew}`);
      expect(refreshes(tab)).toBe(0);
    }
  });
});

describe('a session that was ended elsewhere', () => {
  test('says so, and keeps what is to be sent for whoever signs in again', async () => {
    const { john, johns, johnAt } = await openEnded();
    expect(johns.chat.snapshot()).toMatchObject({ status: 'signed_out', problem: { code: 'signed_out' } });
    expect(texts(johnAt)).toEqual(['one']);
    const sent = johnAt.send('two');
    await johns.chat.signIn({ email: john.email, password: PASSWORD });
    expect(await sent).toMatchObject({ n: 2 });
  });

  test('forgets what is to be sent when its user signs out', async () => {
    const { johns, johnAt } = await openEnded();
    const sent = johnAt.send('two');
    await flush();
    expect(await johns.storage.entries(`${SERVER} outbox/`)).toHaveLength(1);
    await johns.chat.signOut();
    await expect(sent).rejects.toMatchObject({ code: 'signed_out' });
    await flush();
    expect(await johns.storage.entries('')).toEqual([]);
  });

  test('leaves it for its user, if another one signs in', async () => {
    const { john, ray, johns, johnAt } = await openEnded();
    const sent = johnAt.send('two');
    await johns.chat.signIn({ email: ray.email, password: PASSWORD });
    await expect(sent).rejects.toMatchObject({ code: 'signed_out' });
    await until(() => johnAt.snapshot().connection.status === 'online');
    expect(await storedTexts(johnAt.id)).toEqual(['one']);
    await johns.chat.signIn({ email: john.email, password: PASSWORD });
    await until(() => texts(johnAt).length === 2);
    expect(await storedTexts(johnAt.id)).toEqual(['one', 'two']);
  });
});

test('an answer that is none of the server is an error that says so', async () => {
  const { chat } = await openTab(await signedIn(), {
    environment: { fetch: async () => new Response('<html>Please log in to the WiFi</html>') },
  });
  await until(() => chat.snapshot().status === 'signed_in');
  await expect(chat.users()).rejects.toMatchObject({ name: 'ChatError', code: 'server' });
  await expect(chat.signIn({ email: 'a@example.org', password: PASSWORD })).rejects.toMatchObject({
    name: 'ChatError',
    code: 'server',
  });
});

test('a server that fails for a minute is waited for, and the connection says so', async () => {
  const { johnAt, johns } = await openPair();
  const sent = johnAt.send('before');
  await sent;
  anHourLater();
  const broken = breakD1();
  onTestFinished(broken.restore);
  johns.network.cut();
  const codes = new Set<string | undefined>();
  for (let seconds = 0; seconds < 60; seconds += 1) {
    johns.clock.pass(1000);
    await until(() => {
      johns.clock.pass(0);
      return johnAt.snapshot().connection.status !== 'connecting';
    });
    codes.add(johnAt.snapshot().connection.problem?.code);
  }
  const pending = johnAt.send('meanwhile');
  expect(codes).toContain('server');
  broken.restore();
  for (let seconds = 0; seconds < 60; seconds += 10) johns.clock.pass(10_000);
  await until(() => {
    johns.clock.pass(100);
    return johnAt.snapshot().connection.status === 'online';
  });
  expect(await pending).toMatchObject({ n: 2 });
});
