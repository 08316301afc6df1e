import {
  abortAllDurableObjects,
  createScheduledController,
  evictAllDurableObjects,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  FEED_ALARM_MS,
  FEED_INTERVAL_MS,
  FEED_RETRY_MS,
  FEED_TIMEOUT_MS,
  PREVIEW_MAX_LENGTH,
} from '../../src/config.ts';
import { ConversationStore } from '../../src/conversation/store.ts';
import worker from '../../src/worker.ts';
import { firstStore } from '../conversation/fixtures/first-store.ts';
import { Caller } from '../helpers/caller.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { objectOf, open, query, storedTexts } from '../helpers/conversation.ts';
import { pendingNotices, raiseEpoch, rename, setLeft, versionOf } from '../helpers/directory.ts';
import { notify } from '../helpers/follower.ts';
import { arrive, feedsThrough, holdUntil, lose, loseReceipt, type Passage, type Told } from '../helpers/ill-inboxes.ts';
import { alarmOf, dueInboxes, fed, fedRevs, inboxOf, inboxRow, request, say, standingBySql } from '../helpers/inbox.ts';
import { pairInConversation, type Person } from '../helpers/people.ts';
import { stopClock } from '../helpers/stopped-clock.ts';

let released = Promise.withResolvers<void>();

afterEach(() => {
  vi.restoreAllMocks();
  released.resolve();
  released = Promise.withResolvers();
});

/** It is not answered in the test. */
const hang: Passage = async () => {
  await released.promise;
  throw new Error('The inbox is not well.');
};

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

/** What was sent to one inbox. */
const toldTo = (told: readonly Told[], { id }: { id: string }) => told.filter(({ userId }) => userId === id);

/** Waits until something is so. */
const until = (isSo: () => void | Promise<void>) => vi.waitFor(isSo, { timeout: 8000, interval: 5 });

/** The conversation's side: the feeds that it has begun, and how many of them have failed. */
function sides(conversationId: string, ...members: Person[]) {
  const all: { userId: string; at: number }[] = [];
  const feed = Object.getOwnPropertyDescriptor(ConversationStore.prototype, 'feed')?.value as ConversationStore['feed'];
  vi.spyOn(ConversationStore.prototype, 'feed').mockImplementation(function begin(this: ConversationStore, userId) {
    all.push({ userId, at: Date.now() });
    return feed.call(this, userId);
  });
  const logged = vi.spyOn(console, 'error');
  return {
    begun: (...people: Person[]) =>
      all.filter(({ userId }) => (people.length > 0 ? people : members).some(({ id }) => id === userId)),
    failures: () =>
      logged.mock.calls.filter(([line]) => /"feed_failed"/.test(`${line}`) && `${line}`.includes(conversationId))
        .length,
  };
}

/** Lets the object's alarm go off, by a clock that has come so far. */
async function alarmGoesOff(conversationId: string, clock: { now: number }): Promise<void> {
  clock.now = Math.max(clock.now, (await alarmOf(conversationId)) ?? 0);
  expect(await runDurableObjectAlarm(objectOf(conversationId))).toBe(true);
}

/** Expects that the inbox of everybody shows how the conversation stands. */
async function expectShown(conversationId: string, ...people: Person[]): Promise<void> {
  for (const { id } of people) {
    const { sender_id, text, ...standing } = (await standingBySql(conversationId, id)) ?? {};
    expect(await inboxRow(id, conversationId)).toMatchObject({ ...standing, last: { sender_id, text } });
  }
}

describe('whoever sends does not wait for inboxes', () => {
  const ILL = [
    ['fails', lose],
    ['hangs', hang],
  ] as const;

  describe.each(ILL)('when each of them %s', (_, ill) => {
    test('messages of a chat.v1 socket are acknowledged', async () => {
      const { john, conversationId } = await pairInConversation();
      feedsThrough(conversationId, ill);
      const johns = await openChat(conversationId, john.access);
      for (const i of upTo(20)) expect((await johns.say(`${i}`)).n).toBe(i);
      johns.close(1000);
    });

    test('messages over HTTP are acknowledged', async () => {
      const { john, conversationId } = await pairInConversation();
      feedsThrough(conversationId, ill);
      const johns = new Caller(conversationId, john);
      for (const i of upTo(5)) expect(await johns.send(`${i}`)).toMatchObject({ status: 201, body: { n: i } });
    });

    test('messages of a plain socket are echoed', async () => {
      const { john, ray, conversationId } = await pairInConversation();
      feedsThrough(conversationId, ill);
      const johns = await open(conversationId, john.access);
      for (const i of upTo(5)) {
        johns.say(`${i}`, ray.id);
        expect(JSON.parse(await johns.next())).toMatchObject({ message: `${i}` });
      }
    });
  });

  test('one inbox that fails keeps nothing from the other', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    feedsThrough(conversationId, async (one, deliver) => (one.userId === ray.id ? lose : arrive)(one, deliver));
    await say(conversationId, john.id, 'Hello');
    await until(async () => expect(await inboxRow(john.id, conversationId)).toMatchObject({ n: 1, read: 1 }));
    expect(await dueInboxes(conversationId)).toEqual([ray.id]);
  });
});

describe('an inbox that comes back', () => {
  test('gets its backlog as one feed, by the alarm', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const { told, through } = feedsThrough(conversationId, lose);
    for (const i of upTo(30)) await say(conversationId, john.id, `${i}`);
    await until(async () => expect(await alarmOf(conversationId)).toBe(clock.now + FEED_RETRY_MS.first));

    told.length = 0;
    through(arrive);
    await alarmGoesOff(conversationId, clock);
    await fed(conversationId);
    await expectShown(conversationId, john, ray);
    expect(toldTo(told, ray).map(({ feed }) => feed.row?.n)).toEqual([30]);
    expect(await inboxRow(ray.id, conversationId)).toMatchObject({ n: 30, unread: 30, read: 0 });
  });

  test('is asked again after a second, then two, doubling up to the longest pause', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const { begun, failures } = sides(conversationId, john, ray);
    feedsThrough(conversationId, lose);
    await say(conversationId, john.id, 'Hello');
    while (begun(john).length < 12) {
      await until(() => expect(failures()).toBe(begun().length));
      await alarmGoesOff(conversationId, clock);
    }
    const times = begun(john).map(({ at }) => at);
    const pauses = times.slice(1).map((at, index) => (at - (times[index] ?? 0)) / 1000);
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    expect(FEED_RETRY_MS).toEqual({ first: 1000, most: 300_000 });
  }, 20_000);

  test('and has acknowledged is asked after a second again when it fails the next time', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const { begun, failures } = sides(conversationId, john, ray);
    const { through } = feedsThrough(conversationId, lose);
    await say(conversationId, john.id, 'Hello');
    /** Lets the alarm go off until the feed is tried again: it may have been set for earlier. */
    const again = async () => {
      const count = begun(john).length;
      while (begun(john).length === count) await alarmGoesOff(conversationId, clock);
    };
    for (const attempt of upTo(4)) {
      await until(() => expect(failures()).toBe(2 * attempt));
      if (attempt === 4) through(arrive);
      await again();
    }
    await fed(conversationId);
    through(lose);
    clock.now += FEED_RETRY_MS.most;
    await say(conversationId, john.id, 'Are you there?');
    await until(() => expect(failures()).toBe(10));
    await again();
    const [first, second] = begun(john).slice(-2);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBe(FEED_RETRY_MS.first);
  });

  test('after it did not answer in time is asked again', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const { told, through } = feedsThrough(conversationId, hang);
    await say(conversationId, john.id, 'Hello');
    await until(() => expect(told).toHaveLength(2));
    through(arrive);
    // By the alarm, which goes off by itself.
    const patience = FEED_TIMEOUT_MS + FEED_RETRY_MS.first + 5000;
    await vi.waitFor(async () => expect(await dueInboxes(conversationId)).toEqual([]), { timeout: patience });
    await expectShown(conversationId, john, ray);
    expect(toldTo(told, ray)).toHaveLength(2);
  }, 20_000);
});

// An evicted object leaves in good order; an aborted one stops as if its machine had failed.
const LOSSES = [
  ['evicted', evictAllDurableObjects],
  ['aborted', abortAllDurableObjects],
] as const;

describe.each(LOSSES)('objects that are %s', (_, loseObjects) => {
  test('before the feed leaves do not lose it: the alarm is as durable as the message', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    await say(conversationId, john.id, 'one');
    await fed(conversationId);
    await alarmGoesOff(conversationId, clock);
    // This one waits, since the one before was fed just now.
    await say(conversationId, john.id, 'two');
    await loseObjects();
    expect(await alarmOf(conversationId)).toBe(clock.now + FEED_ALARM_MS);
    await alarmGoesOff(conversationId, clock);
    await fed(conversationId);
    await expectShown(conversationId, john, ray);
  });

  test('after the inbox has stored the feed, which the conversation does not know, feed it once more', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const { failures } = sides(conversationId, john, ray);
    const { told, through } = feedsThrough(conversationId, loseReceipt);
    await say(conversationId, john.id, 'Hello');
    await until(() => expect(failures()).toBe(2));
    await expectShown(conversationId, john, ray);
    const before = await inboxRow(ray.id, conversationId);
    expect(await dueInboxes(conversationId)).toHaveLength(2);

    await loseObjects();
    told.length = 0;
    through(arrive);
    await alarmGoesOff(conversationId, clock);
    await fed(conversationId);
    expect(toldTo(told, ray)).toHaveLength(1);
    // Not even its rev: nobody is told anything.
    expect(await inboxRow(ray.id, conversationId)).toEqual(before);
  });

  test('after the acknowledgement feed nothing more', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const { told } = feedsThrough(conversationId);
    const { begun } = sides(conversationId, john, ray);
    await say(conversationId, john.id, 'Hello');
    await fed(conversationId);
    expect(told).toHaveLength(2);

    await loseObjects();
    await alarmGoesOff(conversationId, clock);
    await objectOf(conversationId).history(await versionOf(conversationId), ray.id, { limit: 1 });
    expect(begun()).toHaveLength(2);
    expect(await alarmOf(conversationId)).toBeNull();
    await expectShown(conversationId, john, ray);
  });

  test('while the inbox stores the feed lose nothing', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const { promise, resolve: release } = Promise.withResolvers<void>();
    const { told, through } = feedsThrough(conversationId, holdUntil(promise));
    await say(conversationId, john.id, 'Hello');
    await until(() => expect(told).toHaveLength(2));
    const lost = loseObjects();
    release();
    await lost;
    through(arrive);
    await alarmGoesOff(conversationId, clock);
    await fed(conversationId);
    await expectShown(conversationId, john, ray);
  });

  test('whenever they are, every message that was acknowledged gets to the inboxes', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    for (const i of upTo(12)) {
      clock.now += (i % 3) * FEED_INTERVAL_MS;
      await say(conversationId, i % 2 ? john.id : ray.id, `${i}`);
      if (i % 4 === 0) await loseObjects();
    }
    await loseObjects();
    await alarmGoesOff(conversationId, clock);
    await fed(conversationId);
    await expectShown(conversationId, john, ray);
    expect(await storedTexts(conversationId)).toHaveLength(12);
  }, 20_000);
});

describe('feeds to one inbox', () => {
  test('are one at a time, and what changes meanwhile travels in the next', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const { promise, resolve: release } = Promise.withResolvers<void>();
    const { told, through } = feedsThrough(conversationId, holdUntil(promise));
    const { begun } = sides(conversationId, john, ray);
    for (const i of upTo(6)) {
      await say(conversationId, john.id, `${i}`);
      clock.now += 2 * FEED_INTERVAL_MS;
    }
    expect(begun(ray)).toHaveLength(1);
    through(arrive);
    release();
    await fed(conversationId);
    expect(toldTo(told, ray).map(({ feed }) => feed.row?.n)).toEqual([1, 6]);
    await expectShown(conversationId, john, ray);
  });

  test('are settled by an acknowledgement up to the rev that it carries, and no further', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const first = Promise.withResolvers<void>();
    const second = Promise.withResolvers<void>();
    const { told, through } = feedsThrough(conversationId, holdUntil(first.promise));
    await say(conversationId, john.id, 'one');
    await until(() => expect(toldTo(told, ray)).toHaveLength(1));
    clock.now += FEED_INTERVAL_MS;
    await say(conversationId, john.id, 'two');
    through(holdUntil(second.promise));
    first.resolve();
    await until(() => expect(toldTo(told, ray)).toHaveLength(2));
    const [one, two] = toldTo(told, ray).map(({ feed }) => feed);
    expect(one?.rev).toBeLessThan(two?.rev ?? 0);
    expect((await fedRevs(conversationId)).get(ray.id)).toBe(one?.rev);
    expect(await dueInboxes(conversationId)).toContain(ray.id);
    second.resolve();
    await fed(conversationId);
    expect((await fedRevs(conversationId)).get(ray.id)).toBe(two?.rev);
  });

  test('begin at most every FEED_INTERVAL_MS, so that a burst travels in few', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const { told } = feedsThrough(conversationId);
    const johns = await openChat(conversationId, john.access);
    const begin = performance.now();
    for (const i of upTo(200)) johns.send({ type: 'send', ref: `${i}`, text: `${i}` });
    for (const i of upTo(200)) expect(await johns.answer(`${i}`)).toMatchObject({ type: 'ok', n: i });
    await fed(conversationId);
    const intervals = (performance.now() - begin) / FEED_INTERVAL_MS;
    expect(toldTo(told, ray).length).toBeLessThanOrEqual(2 + intervals);
    await expectShown(conversationId, john, ray);
    johns.close(1000);
  }, 20_000);

  test('end when everything is acknowledged, although the clock stands still', async () => {
    stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const { told } = feedsThrough(conversationId);
    const { begun } = sides(conversationId, john, ray);
    for (const i of upTo(3)) {
      await say(conversationId, john.id, `${i}`);
      await fed(conversationId);
    }
    expect(told).toHaveLength(6);
    await objectOf(conversationId).history(await versionOf(conversationId), ray.id, { limit: 1 });
    expect(begun()).toHaveLength(6);
  });

  test('that fail are not repeated at once, although there is more to tell and the clock stands still', async () => {
    stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const { begun, failures } = sides(conversationId, john, ray);
    feedsThrough(conversationId, lose);
    await say(conversationId, john.id, '1');
    await until(() => expect(failures()).toBe(2));
    for (const i of upTo(10)) await say(conversationId, john.id, `${i}`);
    expect(begun()).toHaveLength(2);
  });
});

describe('the alarm', () => {
  test('is not set by a message that was rolled back', async () => {
    const { john, conversationId } = await pairInConversation();
    const known = await versionOf(conversationId);
    vi.spyOn(ConversationStore.prototype, 'remember').mockImplementationOnce(() => {
      throw new Error('The disk is full.');
    });
    await runInDurableObject(objectOf(conversationId), async (object, { storage }) => {
      const frame = { type: 'send', ref: 'a', text: 'Hello' } as const;
      await expect(object.request(known, john.id, frame)).rejects.toThrow('The disk is full.');
      expect(await storage.getAlarm()).toBeNull();
      await object.request(known, john.id, frame);
      expect(await storage.getAlarm()).not.toBeNull();
    });
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });

  test('is durable together with the message: an abort right behind it loses neither', async () => {
    const clock = stopClock();
    const { john, conversationId } = await pairInConversation();
    feedsThrough(conversationId, hang);
    await say(conversationId, john.id, 'Hello');
    await abortAllDurableObjects();
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
    expect(await alarmOf(conversationId)).toBe(clock.now + FEED_ALARM_MS);
  });

  test('goes off once and is not set again when there is nothing to tell', async () => {
    const clock = stopClock();
    const { john, conversationId } = await pairInConversation();
    await say(conversationId, john.id, 'Hello');
    await fed(conversationId);
    await alarmGoesOff(conversationId, clock);
    expect(await alarmOf(conversationId)).toBeNull();
  });

  test('is not set where there is nothing to tell', async () => {
    const { ray, conversationId } = await pairInConversation();
    await objectOf(conversationId).history(await versionOf(conversationId), ray.id, { limit: 1 });
    expect(await alarmOf(conversationId)).toBeNull();
  });
});

describe('what an inbox shows', () => {
  test('is nothing of a conversation without messages', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const { begun } = sides(conversationId, john, ray);
    (await openChat(conversationId, john.access)).close(1000);
    await rename(conversationId, ray.id, 'Raymond');
    await notify(conversationId, await versionOf(conversationId));
    await setLeft(conversationId, ray.id, Date.now());
    await notify(conversationId, await versionOf(conversationId));
    expect(begun()).toEqual([]);
    expect(await inboxRow(john.id, conversationId)).toBeUndefined();
  });

  test('is the newest message with the beginning of its text, and the other member', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await say(conversationId, john.id, '😀'.repeat(PREVIEW_MAX_LENGTH + 1));
    await fed(conversationId);
    expect(await inboxRow(ray.id, conversationId)).toMatchObject({
      kind: 'direct',
      title: null,
      peer: { user_id: john.id, first_name: 'John', last_name: 'Doe' },
      n: 1,
      read: 0,
      unread: 1,
      last: { n: 1, sender_id: john.id, text: expect.stringMatching(/^😀+…?$/u) },
    });
    expect((await inboxRow(ray.id, conversationId))?.last.text?.length).toBeLessThanOrEqual(2 * PREVIEW_MAX_LENGTH + 1);
  });

  test('follows edits of the newest message, deletions, own marks and names', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    for (const text of ['one', 'two', 'three']) await say(conversationId, john.id, text);
    const shows = async (expected: object) => {
      await fed(conversationId);
      expect(await inboxRow(ray.id, conversationId)).toMatchObject(expected);
    };
    await shows({ unread: 3, last: { text: 'three' } });
    await request(conversationId, john.id, { type: 'edit', ref: 'e', n: 3, text: 'four' });
    await shows({ unread: 3, last: { text: 'four' } });
    await request(conversationId, john.id, { type: 'delete', ref: 'd1', n: 1 });
    await shows({ unread: 2, last: { text: 'four' } });
    await request(conversationId, john.id, { type: 'delete', ref: 'd3', n: 3 });
    await shows({ unread: 1, n: 3, last: { text: null } });
    await request(conversationId, ray.id, { type: 'mark', read: 2 });
    await shows({ unread: 0, read: 2 });
    await rename(conversationId, john.id, 'Johnny');
    await notify(conversationId, await versionOf(conversationId));
    await shows({ peer: { user_id: john.id, first_name: 'Johnny', last_name: 'Doe' } });
  });

  test('is nothing of a conversation that its user has left, whatever arrives late, until they come back', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const { told } = feedsThrough(conversationId);
    await say(conversationId, john.id, 'Hello');
    await fed(conversationId);
    const [late] = toldTo(told, ray);
    const { rev } = (await inboxRow(ray.id, conversationId)) ?? {};

    await setLeft(conversationId, ray.id, Date.now());
    await notify(conversationId, await versionOf(conversationId));
    await fed(conversationId);
    expect(await inboxRow(ray.id, conversationId)).toBeUndefined();
    expect(await inboxRow(john.id, conversationId)).toMatchObject({ n: 1 });
    if (late) await inboxOf(ray.id).feed(conversationId, late.feed);
    expect(await inboxRow(ray.id, conversationId)).toBeUndefined();

    await setLeft(conversationId, ray.id, null);
    await notify(conversationId, await versionOf(conversationId));
    await fed(conversationId);
    expect(await inboxRow(ray.id, conversationId)).toMatchObject({ n: 1, unread: 1, pinned: false });
    expect((await inboxRow(ray.id, conversationId))?.rev).toBeGreaterThan(rev ?? 0);
  });

  test('is told of a departure in the end, although the inbox fails then', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const { failures } = sides(conversationId, john, ray);
    await say(conversationId, john.id, 'Hello');
    await fed(conversationId);
    const { through } = feedsThrough(conversationId, lose);
    await setLeft(conversationId, ray.id, clock.now);
    clock.now += FEED_INTERVAL_MS;
    await notify(conversationId, await versionOf(conversationId));
    await until(() => expect(failures()).toBe(2));
    await abortAllDurableObjects();
    through(arrive);
    await alarmGoesOff(conversationId, clock);
    await fed(conversationId);
    expect(await inboxRow(ray.id, conversationId)).toBeUndefined();
  });
});

/** Takes the store back to where it had so many messages, as a restore does, with the epoch raised before and after. */
async function restore(conversationId: string, n: number): Promise<void> {
  await raiseEpoch(conversationId);
  await notify(conversationId, await versionOf(conversationId));
  await fed(conversationId);
  await query(conversationId, 'UPDATE directory SET epoch = 1');
  await query(conversationId, 'UPDATE members SET read = min(read, ?), delivered = min(delivered, ?)', n, n);
  await query(conversationId, 'DELETE FROM messages WHERE n > ?', n);
  await query(conversationId, 'UPDATE members SET rev = rev - 100 WHERE rev > 100');
  await evictDurableObject(objectOf(conversationId));
  await raiseEpoch(conversationId);
  await notify(conversationId, await versionOf(conversationId));
}

describe('another history', () => {
  test('is fed to every inbox, and its smaller revs replace the larger ones of the one before', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    for (const i of upTo(60)) await say(conversationId, john.id, `${i}`);
    await fed(conversationId);
    const before = (await fedRevs(conversationId)).get(ray.id) ?? 0;

    await restore(conversationId, 20);
    await fed(conversationId);
    expect((await fedRevs(conversationId)).get(ray.id)).toBeLessThan(before);
    await expectShown(conversationId, john, ray);
    expect(await inboxRow(ray.id, conversationId)).toMatchObject({ n: 20, unread: 20, last: { text: '20' } });
  }, 20_000);

  test('is not settled by an acknowledgement of the one before', async () => {
    const clock = stopClock();
    const { john, ray, conversationId } = await pairInConversation();
    const { promise, resolve: release } = Promise.withResolvers<void>();
    const { told, through } = feedsThrough(conversationId, holdUntil(promise));
    await say(conversationId, john.id, 'Hello');
    await until(() => expect(told).toHaveLength(2));
    await raiseEpoch(conversationId);
    clock.now += FEED_INTERVAL_MS;
    await notify(conversationId, await versionOf(conversationId));
    through(arrive);
    release();
    await fed(conversationId);
    expect(toldTo(told, ray).map(({ feed }) => feed.epoch)).toEqual([1, 2]);
  });

  test('that begins before the first message shows nowhere', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await say(conversationId, john.id, 'Hello');
    await fed(conversationId);
    await restore(conversationId, 0);
    await fed(conversationId);
    for (const { id } of [john, ray]) expect(await inboxRow(id, conversationId)).toBeUndefined();
    await say(conversationId, john.id, 'Hello again');
    await fed(conversationId);
    await expectShown(conversationId, john, ray);
  });
});

test('an older store is fed when the cron run delivers what the migration of the directory has written', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  await runInDurableObject(objectOf(conversationId), (_, { storage }) => {
    for (const statement of firstStore({ john: john.id, ray: ray.id })) storage.sql.exec(statement);
  });
  const queries = env.TEST_MIGRATIONS.flatMap((it) => it.queries);
  const migration = queries.find((it) => it.includes('INSERT INTO `notices` ('));
  expect(migration).toBeDefined();
  await env.DB.prepare(`${migration}`).run();
  await worker.scheduled(createScheduledController(), env);
  await fed(conversationId);
  await expectShown(conversationId, john, ray);
  expect(await inboxRow(ray.id, conversationId)).toMatchObject({ n: 3, unread: 2, last: { text: 'a\0b' } });
  expect(await pendingNotices()).toEqual([]);
});
