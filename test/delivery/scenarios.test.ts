import { afterEach, beforeAll, beforeEach, chai, expect, test, vi } from 'vitest';
import type { Socket } from '../../src/client/environment.ts';
import { settings } from '../../src/settings.ts';
import { DAY_MS } from '../helpers/stopped-clock.ts';
import { FaultyFeeds } from './feeds.ts';
import { hurryServer } from './hurry.ts';
import type { Network } from './network.ts';
import { dump, FailingStore, restore } from './rollback.ts';
import { Stage } from './stage.ts';

// One fault each, the smallest that a certain mistake turns into a broken promise. The mistakes are in mutants/, under
// the names of these scenarios, and test/e2e/mutants.test.ts makes sure that each is found here.

const SECOND = 1000;
/** A text that takes some room. */
const long = (text: string) => text.padEnd(4000, '.');

const defaults = { ...settings };
let store: FailingStore;
let stage: Stage;

beforeAll(() => {
  // What was broken is to be in the message, all of it.
  chai.config.truncateThreshold = 0;
});

beforeEach(async () => {
  vi.useFakeTimers({ now: Date.now() + DAY_MS, toFake: ['Date'] });
  vi.spyOn(console, 'log').mockImplementation(() => {});
  vi.spyOn(console, 'error').mockImplementation(() => {});
  hurryServer();
  store = new FailingStore();
  stage = await Stage.begin(new FaultyFeeds());
});

afterEach(() => {
  Object.assign(settings, defaults);
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

test('no-dedupe: the answer to a message is lost, and it is sent again', async () => {
  const [john] = [await stage.join('john'), await stage.join('ray')];
  john.network.cutAt('out', 1, true);
  john.party.send('one');
  expect(await stage.end()).toEqual([]);
});

test('dedupe-window: the answer to a message is lost, and it is sent again two days later', async () => {
  const [john] = [await stage.join('john'), await stage.join('ray')];
  john.network.cutAt('out', 1, true);
  john.party.send('one');
  await stage.quiet();
  john.party.goOffline();
  // Longer than a session lasts: both sign in again. Their devices sleep meanwhile, and no timer of theirs is due.
  vi.setSystemTime(Date.now() + 2 * DAY_MS);
  john.party.goOnline();
  expect(await stage.end()).toEqual([]);
});

test('edit-without-ref: the answer to an edit is lost, and it is sent again after a newer one', async () => {
  const [john, other] = [await stage.join('john'), await stage.join('john', 'john elsewhere')];
  await stage.join('ray');
  john.party.send('one');
  await stage.quiet();
  john.network.cutAt('out', 1, true);
  john.party.edit(1, 'older');
  await stage.quiet();
  other.party.edit(1, 'newer');
  await stage.quiet();
  expect(await stage.end()).toEqual([]);
});

test.each(['tell-before-write', 'ok-before-write', 'memory-ahead'])('%s: a write fails at its end', async () => {
  const [john] = [await stage.join('john'), await stage.join('ray')];
  Object.assign(store, { failures: 1, isLate: true });
  john.party.send('one');
  await stage.quiet();
  expect(await stage.end()).toEqual([]);
});

test('no-rev-check: a row comes once more that has changed meanwhile', async () => {
  const john = await stage.join('john');
  await stage.join('ray', 'ray', { through: repeatingLate });
  john.party.send('one');
  await stage.quiet();
  john.party.edit(1, 'edited');
  expect(await stage.end()).toEqual([]);
});

test('skip-row: someone who was away resumes over more than one page', async () => {
  const [john, ray] = [await stage.join('john'), await stage.join('ray')];
  for (let n = 1; n <= 70; n += 1) john.party.send(`${n}`);
  await stage.quiet();
  ray.party.goOffline();
  for (let n = 1; n <= 70; n += 1) john.party.edit(n, long(`edited ${n}`));
  await stage.quiet();
  ray.party.goOnline();
  expect(await stage.end()).toEqual([]);
});

test('gap-applied: a change is lost on its way, and another one follows', async () => {
  const [john, ray] = [await stage.join('john'), await stage.join('ray')];
  john.party.send('one');
  await stage.quiet();
  ray.network.lose(1);
  john.party.edit(1, 'edited');
  await stage.quiet();
  john.party.send('two');
  expect(await stage.end()).toEqual([]);
});

test('no-probe: the last change is lost on its way, and none follows', async () => {
  const [john, ray] = [await stage.join('john'), await stage.join('ray')];
  ray.network.lose(1);
  john.party.send('one');
  expect(await stage.end()).toEqual([]);
});

test('same-epoch: the store is set back, and is as long again when someone returns who saw what is gone', async () => {
  const [john, ray] = [await stage.join('john'), await stage.join('ray')];
  john.party.send('one');
  await stage.quiet();
  const before = await dump(stage.conversationId);
  john.party.send('gone');
  await stage.quiet();
  ray.party.goOffline();
  stage.recorder.restored(await restore(stage.conversationId, before, store));
  await stage.pass(SECOND);
  john.party.send('instead');
  await stage.quiet();
  ray.party.goOnline();
  expect(await stage.end()).toEqual([]);
});

test.each(['two-in-flight', 'refused-for-good'])(
  '%s: the server wants to hear no long message for a while, but a short one',
  async () => {
    // Enough to connect, and then for two frames of up to 1 KiB.
    Object.assign(settings, { rateBurst: 12, ratePerSecond: 1 });
    const [john] = [await stage.join('john'), await stage.join('ray')];
    john.party.send(long('one'));
    john.party.send('two');
    await stage.quiet();
    Object.assign(settings, { ...defaults, ratePerSecond: 1000 });
    expect(await stage.end()).toEqual([]);
  },
);

test('forgetful-outbox: a page dies before it could send what it was asked to', async () => {
  const [john] = [await stage.join('john'), await stage.join('ray')];
  john.party.goOffline();
  john.party.send('one');
  await stage.quiet();
  john.party.reload();
  john.party.goOnline();
  expect(await stage.end()).toEqual([]);
});

test('marks-go-back: someone reads on one device, and receives on another', async () => {
  const [john, ray] = [await stage.join('john'), await stage.join('ray')];
  await stage.join('ray', 'ray elsewhere');
  john.party.send('one');
  await stage.quiet();
  ray.party.read();
  await stage.pass(SECOND);
  john.party.send('two');
  expect(await stage.end()).toEqual([]);
});

test('marks-told-once: a mark is lost with its socket', async () => {
  const [john, ray] = [await stage.join('john'), await stage.join('ray')];
  john.party.send('one');
  await stage.quiet();
  ray.party.read();
  ray.network.cutAt('out', 1, false);
  expect(await stage.end()).toEqual([]);
});

test('marks-unread: someone answers before they have read', async () => {
  const [john, ray] = [await stage.join('john'), await stage.join('ray')];
  john.party.send('one');
  await stage.quiet();
  ray.party.send('two');
  expect(await stage.end()).toEqual([]);
});

test('anyone-edits: someone edits what another has written', async () => {
  const [john, ray] = [await stage.join('john'), await stage.join('ray')];
  john.party.send('one');
  await stage.quiet();
  ray.party.edit(1, 'not his');
  expect(await stage.end()).toEqual([]);
});

test('inbox-counts-up: two messages travel in one feed', async () => {
  const [john] = [await stage.join('john'), await stage.follow('ray')];
  stage.suffer('ray', 'lost');
  john.party.send('one');
  await stage.quiet();
  john.party.send('two');
  expect(await stage.end()).toEqual([]);
});

test('feed-not-retried: the last feed is lost', async () => {
  const [john] = [await stage.join('john'), await stage.follow('ray')];
  stage.suffer('ray', 'lost');
  john.party.send('one');
  expect(await stage.end()).toEqual([]);
});

test('feed-last-writer-wins: a feed arrives behind a newer one', async () => {
  const [john] = [await stage.join('john'), await stage.follow('ray')];
  stage.suffer('ray', 'late');
  john.party.send('one');
  await stage.quiet();
  john.party.send('two');
  await stage.fed();
  await stage.feedsArrive();
  expect(await stage.end()).toEqual([]);
});

test('feed-settles-too-much: a message comes while a feed is under way', async () => {
  const [john] = [await stage.join('john'), await stage.follow('ray')];
  stage.suffer('ray', 'held');
  john.party.send('one');
  await stage.quiet();
  john.party.send('two');
  await stage.quiet();
  await stage.feedsArrive();
  expect(await stage.end()).toEqual([]);
});

test('feed-resurrects: a feed arrives when its user has left', async () => {
  const [john] = [await stage.join('john'), await stage.follow('ray')];
  stage.suffer('ray', 'late');
  john.party.send('one');
  await stage.quiet();
  await stage.setMember('ray', false);
  await stage.fed();
  await stage.feedsArrive();
  expect(await stage.end()).toEqual([]);
});

test('someone leaves and comes back, and is told of both late', async () => {
  const [john, ray] = [await stage.join('john'), await stage.follow('ray')];
  john.party.send('one');
  await stage.fed();
  ray.network.lose(1);
  stage.suffer('ray', 'late');
  await stage.setMember('ray', false);
  await stage.fed();
  await stage.setMember('ray', true);
  john.party.send('two');
  await stage.fed();
  await stage.feedsArrive();
  expect(await stage.end()).toEqual([]);
  expect(ray.follower.row).toMatchObject({ n: 2, unread: 2 });
});

test('someone reads on one device: the others show nothing unread', async () => {
  const john = await stage.join('john');
  const [ray, elsewhere] = [await stage.follow('ray'), await stage.follow('ray', 'ray elsewhere')];
  john.party.send('one');
  await stage.fed();
  expect(elsewhere.follower.row).toMatchObject({ n: 1, read: 0, unread: 1 });
  stage.suffer('ray', 'late');
  ray.follower.mark('read');
  await stage.quiet();
  expect(elsewhere.follower.row).toMatchObject({ n: 1, read: 1, unread: 0 });
  expect(await stage.end()).toEqual([]);
});

test('someone looks at what they had marked unread, and more comes before that is known', async () => {
  const john = await stage.join('john');
  const [ray, other] = [await stage.join('ray', 'ray', { inbox: true }), await stage.follow('ray')];
  john.party.send('one');
  await stage.fed();
  ray.party.read();
  await stage.pass(SECOND);
  await stage.fed();
  other.follower.set({ unread: true });
  await stage.quiet();
  ray.party.goOffline();
  ray.party.read();
  john.party.send('two');
  await stage.fed();
  ray.party.goOnline();
  expect(await stage.end()).toEqual([]);
  expect(other.follower.row).toMatchObject({ n: 2, unread: 1 });
});

/**
 * A network on which the first live `changes` of a message comes once more, behind the second. No socket does that, but
 * a server that tells from several places might, and rule 3 of the protocol says that it does no harm.
 */
function repeatingLate(inner: Network): Network {
  const told: string[] = [];
  return {
    fetch: inner.fetch,
    openSocket: (url, protocols) => {
      const socket = inner.openSocket(url, protocols);
      const addEventListener = (type: string, listener: (event: { data: unknown }) => void) =>
        socket.addEventListener(type as 'message', (event) => {
          listener(event);
          if (type !== 'message' || !/^\{"type":"changes","after".*"messages":\[\{/.test(String(event.data))) return;
          told.push(String(event.data));
          if (told.length === 2) listener({ data: told[0] });
        });
      return {
        send: (frame) => socket.send(frame),
        close: (code, reason) => socket.close(code, reason),
        addEventListener: addEventListener as Socket['addEventListener'],
      };
    },
  };
}
