// The client in real pages: with the IndexedDB, locks, sockets and network of a browser.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Message } from '../../src/client/index.ts';
import { chat, PASSWORD, register, type Person } from '../helpers/node/people.ts';
import { startServer, type Server } from '../helpers/node/wrangler-dev.ts';
import { Profile, startChromium } from './chromium.ts';
import { DEATHS } from './deaths.ts';
import { Gate } from './gate.ts';
import type { Report } from './page.ts';
import { openSite, type Site } from './site.ts';
import type { Tab } from './tab.ts';

/** Makes the waits of a client short. */
const HASTY = '0.05';

describe('the client in a browser', () => {
  let persistTo: string;
  let server: Server;
  let site: Site;
  let browser: Browser;
  /** Ana's peer in every test. */
  let ben: Person;
  let count = 0;

  beforeAll(async () => {
    persistTo = mkdtempSync(join(tmpdir(), 'edge-chat-browser-'));
    [server, site, browser] = await Promise.all([startServer({ persistTo }), openSite(), startChromium()]);
    ben = await register(server, 'Ben');
  });

  afterAll(async () => {
    await browser.close();
    await site.close();
    await server.stop();
    rmSync(persistTo, { recursive: true, force: true });
  });

  /** A new user, their conversation with Ben, and the way to the server that their pages take. */
  async function begin() {
    const gate = await Gate.to(server.port);
    onTestFinished(() => gate.close());
    count += 1;
    const ana = await register(server, `Ana${count}`);
    const conversation = await chat(server, ana, ben);
    const url = () => site.page({ server: gate.url, conversation, random: HASTY });
    /** What is stored, as Ben is told past the gate. */
    const stored = async (): Promise<Message[]> => {
      const Authorization = `Bearer ${ben.access}`;
      const path = `/api/conversations/${conversation}/messages/`;
      const answer = await fetch(server.url + path, { headers: { Authorization } });
      return ((await answer.json()) as { messages: Message[] }).messages;
    };
    return { gate, ana, url, stored };
  }

  async function newProfile(): Promise<Profile> {
    const context = await browser.newContext();
    onTestFinished(() => context.close());
    return Profile.of(context);
  }

  it('shows two users the same messages in the same order', async () => {
    const { ana, url, stored } = await begin();
    const anas = await enter(await newProfile(), url(), ana);
    const bens = await enter(await newProfile(), url(), ben);

    const texts = ['a', 'b', 'c', 'd'];
    await Promise.all(texts.map((text, index) => (index % 2 === 0 ? anas : bens).send(text)));
    await anas.shows(...texts);
    await bens.shows(...texts);

    expect(anas.texts).toHaveLength(4);
    expect(bens.texts).toEqual(anas.texts);
    expect((await stored()).map(({ text }) => text)).toEqual(anas.texts);
    expect(anas.now?.conversation.members).toContainEqual(expect.objectContaining({ user_id: ben.id, online: true }));
  });

  describe.each([
    ['which the server has not received', 'requests', 0],
    ['which the server has stored without the page being told', 'answers', 1],
  ] as const)('a message, %s', (_, held, received) => {
    it.each(DEATHS)('is stored once, under its ref, although $name', async ({ live }) => {
      const { gate, ana, url, stored } = await begin();
      const { profile, die } = await live(newProfile);
      const tab = await enter(profile, url(), ana);
      gate.hold(held);
      await tab.send('once', { ref: 'tea-1' });
      await expect.poll(() => tab.outbox(), WAIT).toEqual([expect.stringMatching(/tea-1$/)]);
      await expect.poll(() => tab.sent.at(-1), WAIT).toContain('tea-1');
      await expect.poll(stored, WAIT).toHaveLength(received);
      const after = await die(tab);
      gate.cut();
      gate.hold('requests');

      const next = await after.open(url());
      await next.until(({ conversation }) => conversation.pending.some(({ ref }) => ref === 'tea-1'));
      expect(await stored()).toHaveLength(received);
      gate.release();
      await next.shows('once');

      expect(next.now?.conversation.messages).toEqual([expect.objectContaining({ n: 1, ref: 'tea-1' })]);
      expect(await stored()).toEqual([expect.objectContaining({ n: 1, ref: 'tea-1', text: 'once' })]);
      expect(twice(next)).toEqual([]);
      await expect.poll(() => next.outbox(), WAIT).toHaveLength(0);
    });
  });

  it('keeps a refused message over a reload, to be retried or discarded', async () => {
    const { ana, url, stored } = await begin();
    const anas = await enter(await newProfile(), url(), ana);
    await anas.send('an answer to nothing', { ref: 'early', reply_to: 1 });
    await anas.send('another', { ref: 'unwanted', reply_to: 1 });
    await anas.until(areRefused);
    await expect.poll(() => anas.outbox(), WAIT).toHaveLength(2);

    await anas.reload();
    const { conversation } = await anas.until(areRefused);
    expect(conversation.pending).toMatchObject([
      { ref: 'early', text: 'an answer to nothing', error: { code: 'unknown_reply_to' } },
      { ref: 'unwanted', text: 'another', error: { code: 'unknown_reply_to' } },
    ]);

    const bens = await enter(await newProfile(), url(), ben);
    await bens.store('something');
    await anas.page.evaluate(() => app.conversation.discard('unwanted'));
    await anas.page.evaluate(() => app.conversation.retry('early'));
    await anas.shows('something', 'an answer to nothing');
    await expect.poll(() => anas.outbox(), WAIT).toHaveLength(0);

    await anas.reload();
    await anas.online();
    expect(anas.now?.conversation.pending).toEqual([]);
    expect(await stored()).toMatchObject([{ text: 'something' }, { ref: 'early', reply_to: 1 }]);
  });

  describe('two tabs of one user', () => {
    it('are in step', async () => {
      const { ana, url, stored } = await begin();
      const profile = await newProfile();
      const first = await enter(profile, url(), ana);
      const second = await profile.open(url());
      await second.online();

      await Promise.all(['a', 'b', 'c', 'd'].map((text, index) => (index % 2 === 0 ? first : second).send(text)));
      await first.shows('a', 'b', 'c', 'd');
      await second.shows('a', 'b', 'c', 'd');

      expect(second.now?.conversation.messages).toEqual(first.now?.conversation.messages);
      expect(await stored()).toHaveLength(4);
      expect(twice(first)).toEqual([]);
      expect(twice(second)).toEqual([]);
    });

    it('send what waits in both of them once', async () => {
      const { gate, ana, url, stored } = await begin();
      const profile = await newProfile();
      const first = await enter(profile, url(), ana);
      gate.hold('requests');
      await first.send('once', { ref: 'tea-1' });
      await expect.poll(() => first.outbox(), WAIT).toHaveLength(1);
      const second = await profile.open(url());
      await second.until(({ conversation }) => conversation.pending.some(({ ref }) => ref === 'tea-1'));

      gate.release();
      await first.shows('once');
      await second.shows('once');

      expect(await stored()).toMatchObject([{ text: 'once', ref: 'tea-1' }]);
      expect(twice(first)).toEqual([]);
      expect(twice(second)).toEqual([]);
      await expect.poll(() => second.outbox(), WAIT).toHaveLength(0);
    });

    it('refresh their token once', async () => {
      const { gate, ana, url } = await begin();
      const profile = await newProfile();
      const before = await enter(profile, url(), ana);
      const [key, { access, refresh }] = await before.session();
      await before.page.evaluate(([where, what]) => app.keep(where, what), [
        key,
        { access: forged(access), refresh },
      ] as const);
      await before.page.close();
      let refreshes = 0;
      profile.context.on('request', (request) => {
        if (request.method() === 'POST' && request.url().endsWith('/api/token/refresh/')) refreshes += 1;
      });

      gate.hold('requests');
      const tabs = [await profile.open(url()), await profile.open(url())] as const;
      for (const tab of tabs) await tab.until(({ conversation }) => conversation.connection.status === 'connecting');
      gate.release();
      for (const tab of tabs) await tab.online();

      expect(refreshes).toBe(1);
      const [, kept] = await tabs[0].session();
      expect(kept.refresh).not.toBe(refresh);
      await tabs[0].store('from the first');
      await tabs[1].store('from the second');
      await tabs[0].shows('from the first', 'from the second');
    });

    it('are signed out together', async () => {
      const { ana, url } = await begin();
      const profile = await newProfile();
      const first = await enter(profile, url(), ana);
      const second = await profile.open(url());
      await second.online();

      await first.page.evaluate(() => app.chat.signOut());

      for (const tab of [first, second]) {
        const { conversation } = await tab.until((report) => report.chat.status === 'signed_out');
        expect(conversation).toMatchObject({ me: null, messages: [], connection: { status: 'signed_out' } });
      }
      await expect.poll(() => second.allKept(), WAIT).toEqual({});
    });
  });

  it('says that the page is offline, and sends what was asked for in the meantime once it is not', async () => {
    const { gate, ana, url, stored } = await begin();
    const profile = await newProfile();
    const tab = await enter(profile, url(), ana);

    await profile.context.setOffline(true);
    // Chromium only plays being offline: it keeps the sockets that are open.
    gate.cut();
    const { conversation } = await tab.until((report) => report.conversation.connection.problem !== null);
    expect(conversation.connection).toMatchObject({ durable: true, problem: { code: 'network' } });
    for (const text of ['a', 'b', 'c']) await tab.send(text);
    await tab.until(({ conversation: { pending } }) => pending.length === 3);
    expect(await stored()).toEqual([]);

    await profile.context.setOffline(false);
    await tab.shows('a', 'b', 'c');
    expect((await stored()).map(({ text }) => text)).toEqual(['a', 'b', 'c']);
  });

  it('works while IndexedDB cannot be opened, says so, and keeps everything once it can', async () => {
    const { gate, ana, url, stored } = await begin();
    const profile = await newProfile();
    const tab = await profile.open('about:blank');
    await tab.page.addInitScript(() => {
      indexedDB.open = () => {
        throw new DOMException('It cannot be opened.', 'UnknownError');
      };
    });
    await tab.page.goto(url());
    await tab.signIn(ana.email, PASSWORD);
    await tab.online();
    await tab.store('not kept');
    await tab.until(({ conversation }) => !conversation.connection.durable);
    gate.hold('requests');
    await tab.send('kept at last', { ref: 'tea-1' });

    await tab.page.evaluate(() => Reflect.deleteProperty(indexedDB, 'open'));
    await tab.until(({ conversation }) => conversation.connection.durable);
    expect(await tab.outbox()).toEqual([expect.stringMatching(/tea-1$/)]);

    await tab.page.close();
    gate.cut();
    gate.release();
    const next = await profile.open(url());
    await next.shows('not kept', 'kept at last');
    expect(await stored()).toMatchObject([{ text: 'not kept' }, { text: 'kept at last', ref: 'tea-1' }]);
  });

  it('recovers by itself after the server was killed and started again', async () => {
    const { ana, url, stored } = await begin();
    const anas = await enter(await newProfile(), url(), ana);
    const bens = await enter(await newProfile(), url(), ben);
    await anas.store('before');
    const { port } = server;
    await server.kill();
    for (const tab of [anas, bens]) await tab.until(({ conversation }) => conversation.connection.status === 'waiting');
    await anas.send('meanwhile, from Ana');
    await bens.send('meanwhile, from Ben');

    server = await startServer({ persistTo, port });
    for (const tab of [anas, bens]) {
      await tab.shows('before', 'meanwhile, from Ana', 'meanwhile, from Ben');
      await tab.online();
      expect(tab.texts).toHaveLength(3);
    }
    expect(await stored()).toHaveLength(3);
  });

  it('looks whether something was missed when its tab is looked at again, or the network returns', async () => {
    const { ana, url } = await begin();
    const tab = await enter(await newProfile(), url(), ana);
    const before = tab.sent.length;

    // A browser without a screen shows every tab.
    const become = (state: string) =>
      tab.page.evaluate((visibilityState) => {
        Object.defineProperty(document, 'visibilityState', { configurable: true, value: visibilityState });
        document.dispatchEvent(new Event('visibilitychange'));
      }, state);
    await become('hidden');
    await become('visible');

    await expect.poll(() => tab.sent.slice(before), WAIT).toEqual(['ping', expect.stringContaining('"sync"')]);
    await tab.page.evaluate(() => dispatchEvent(new Event('online')));
    await expect.poll(() => tab.sent.slice(before).filter((frame) => frame === 'ping'), WAIT).toHaveLength(2);
  });

  it('catches up when the page was left, kept by the browser, and is returned to', async () => {
    const { ana, url } = await begin();
    const anas = await enter(await newProfile(), url(), ana);
    const bens = await enter(await newProfile(), url(), ben);
    await anas.page.evaluate(() => Object.assign(globalThis, { isKept: true }));

    await anas.page.goto(site.empty);
    await bens.store('while Ana was away');
    await anas.page.evaluate(() => history.back());
    await anas.shows('while Ana was away');

    expect(await anas.page.evaluate('isKept')).toBe(true);
  });
});

/** How long, and how often, to look whether something has happened, in milliseconds. */
const WAIT = { timeout: 30_000, interval: 20 };

/** The same token with a wrong signature. */
function forged(token: string): string {
  return token.replace(/\.[^.]*$/, `.${'A'.repeat(43)}`);
}

/** What was shown twice at some moment: as a message that is stored, and one on its way or another one that is stored. */
function twice(tab: Tab): string[] {
  return tab.reports.flatMap(({ conversation: { messages, pending } }) => {
    const refs = [...messages, ...pending].map(({ ref }) => String(ref));
    return refs.filter((ref, index) => refs.indexOf(ref) !== index);
  });
}

/** Opens a page and signs in. */
async function enter(profile: Profile, url: string, { email }: Person): Promise<Tab> {
  const tab = await profile.open(url);
  await tab.signIn(email, PASSWORD);
  await tab.online();
  return tab;
}

function areRefused({ conversation: { pending, connection } }: Report): boolean {
  return connection.status === 'online' && pending.length === 2 && pending.every(({ error }) => error !== null);
}
