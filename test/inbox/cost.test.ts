import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { UNREAD_MAX } from '../../src/config.ts';
import { ConversationStore } from '../../src/conversation/store.ts';
import { InboxStore } from '../../src/inbox/store.ts';
import type { Feed } from '../../src/objects/feed.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { objectOf } from '../helpers/conversation.ts';
import { countQueries } from '../helpers/d1.ts';
import { feedsThrough } from '../helpers/ill-inboxes.ts';
import { fed, inboxOf, inboxRow, say } from '../helpers/inbox.ts';
import { pairInConversation } from '../helpers/people.ts';
import { fill, JOHN, message, onStore, RAY } from '../helpers/store.ts';

type Cost = { read: number; written: number };

/** Rows that `work` reads and writes in a storage. Entries of indexes count, as they are billed. */
function costOf({ sql }: DurableObjectStorage, work: () => unknown): Cost {
  const exec = vi.spyOn(sql, 'exec');
  work();
  const cursors = exec.mock.results.map(({ value }) => value as SqlStorageCursor<Record<string, SqlStorageValue>>);
  exec.mockRestore();
  return {
    read: cursors.reduce((sum, { rowsRead }) => sum + rowsRead, 0),
    written: cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0),
  };
}

/** Feeds ray's inbox as the conversation's object does, and says what that costs the conversation. */
function feedRay(store: ConversationStore, storage: DurableObjectStorage): Cost {
  return costOf(storage, () => store.settleFeed(RAY, store.feed(RAY)));
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the cost of a feed to its conversation', () => {
  test('is one row written, what the inbox has acknowledged, and three read', async () => {
    await onStore((store, storage) => {
      fill(store, 3);
      feedRay(store, storage);
      store.append(message('Hello'));
      const { read, written } = feedRay(store, storage);
      expect(written).toBe(1);
      // The newest message, for the inbox to show and to be counted; and the member.
      expect(read).toBe(3);
    });
  });

  test('is no row written if nothing is due', async () => {
    await onStore((store, storage) => {
      fill(store, 3);
      feedRay(store, storage);
      expect(costOf(storage, () => store.dueFeeds())).toEqual({ read: 0, written: 0 });
      expect(feedRay(store, storage).written).toBe(0);
    });
  });

  test('reads of many unread messages only what is new', async () => {
    await onStore((store, storage) => {
      fill(store, UNREAD_MAX - 10);
      const first = feedRay(store, storage);
      expect(first.read).toBeGreaterThanOrEqual(UNREAD_MAX - 10);
      store.append(message('one more'));
      expect(feedRay(store, storage).read).toBeLessThan(5);
      fill(store, 5);
      expect(feedRay(store, storage).read).toBeLessThan(10);
    });
  });

  test('reads nothing to count where more is unread than is counted', async () => {
    await onStore((store, storage) => {
      fill(store, 3 * UNREAD_MAX);
      expect(store.feed(RAY).row?.unread).toBe(UNREAD_MAX);
      fill(store, 50);
      expect(feedRay(store, storage).read).toBeLessThan(5);
      expect(store.feed(RAY).row?.unread).toBe(UNREAD_MAX);
    });
  });

  test('reads the whole range once after a wake-up, and after a deletion, and no more of it than is counted', async () => {
    await onStore((first, storage) => {
      fill(first, 3 * UNREAD_MAX);
      const store = new ConversationStore(storage);
      for (const change of [() => {}, () => store.setDeleted(250, 1000)]) {
        change();
        const { read } = costOf(storage, () => store.feed(RAY));
        expect(read).toBeGreaterThanOrEqual(UNREAD_MAX);
        expect(read).toBeLessThan(UNREAD_MAX + 5);
        expect(costOf(storage, () => store.feed(RAY)).read).toBeLessThan(5);
      }
    });
  });

  test('reads from the mark on when the mark has moved', async () => {
    await onStore((store, storage) => {
      fill(store, 80);
      store.feed(RAY);
      store.setMarks(RAY, { read: 70, delivered: 70 });
      expect(costOf(storage, () => store.feed(RAY)).read).toBeLessThan(15);
      expect(store.feed(RAY).row?.unread).toBe(10);
    });
  });

  test('counts the same with what it remembers as without', async () => {
    await onStore((store, storage) => {
      const changes = [
        () => fill(store, 30),
        () => store.setDeleted(7, 1000),
        () => store.setMarks(RAY, { read: 12, delivered: 12 }),
        () => store.append({ ...message('mine'), sender_id: RAY }),
        () => store.transaction(() => store.setDeleted(20, 1000)),
        () => fill(store, 150),
        () => store.setDeleted(100, 1000),
        () => store.setMarks(RAY, { read: 90, delivered: 90 }),
        () => store.setDeleted(5, 1000),
      ];
      for (const change of changes) {
        change();
        for (const id of [JOHN, RAY]) expect(store.feed(id)).toEqual(new ConversationStore(storage).feed(id));
      }
    });
  });

  test('counts nothing of what was rolled back', async () => {
    await onStore((store, storage) => {
      fill(store, 5);
      store.feed(RAY);
      for (const change of [() => store.append(message('Hello')), () => store.setDeleted(3, 1000)]) {
        const work = () =>
          store.transaction(() => {
            change();
            throw new Error('The disk is full.');
          });
        expect(work).toThrow('The disk is full.');
        expect(store.feed(RAY)).toEqual(new ConversationStore(storage).feed(RAY));
        expect(store.feed(RAY).row?.unread).toBe(5);
      }
    });
  });
});

const feed = (n: number, unread: number, created_at = 1000 + n): Feed => ({
  epoch: 1,
  rev: n,
  row: {
    kind: 'direct',
    title: null,
    peer: null,
    n,
    read: n - unread,
    unread,
    last: { sender_id: JOHN, text: 'Hello', created_at },
  },
});

/** What a feed costs an inbox of so many conversations that has had another of the same one. */
async function costInInbox(conversations: number, before: Feed | undefined, next: Feed): Promise<Cost> {
  return runInDurableObject(inboxOf(crypto.randomUUID()), (_, { storage }) => {
    const store = new InboxStore(storage);
    for (let i = 1; i < conversations; i += 1) store.apply(crypto.randomUUID(), feed(1 + (i % 3), i % 2));
    const id = crypto.randomUUID();
    if (before) store.apply(id, before);
    return costOf(storage, () => store.apply(id, next));
  });
}

/** The same, if it does not depend on how many there are. */
async function costInAnyInbox(before: Feed | undefined, next: Feed): Promise<Cost> {
  const cost = await costInInbox(3, before, next);
  expect(await costInInbox(300, before, next)).toEqual(cost);
  return cost;
}

describe('the cost of a feed to its inbox', () => {
  test('of a message to somebody who has unread ones is four rows written: the row, its rev, and its places in two lists', async () => {
    expect(await costInAnyInbox(feed(1, 1), feed(2, 2))).toMatchObject({ written: 4 });
  });

  test('of a message to somebody who had read everything is the same', async () => {
    expect(await costInAnyInbox(feed(1, 0), feed(2, 1))).toMatchObject({ written: 4 });
  });

  test('of a message of their own is a row less: it is not unread', async () => {
    expect(await costInAnyInbox(feed(1, 0), feed(2, 0))).toMatchObject({ written: 3 });
  });

  test('that is repeated, or older, is none', async () => {
    expect(await costInAnyInbox(feed(2, 2), feed(2, 2))).toEqual({ read: 1, written: 0 });
    expect(await costInAnyInbox(feed(2, 2), feed(1, 1))).toEqual({ read: 1, written: 0 });
  });

  test('is a handful of rows read', async () => {
    expect((await costInAnyInbox(feed(1, 1), feed(2, 2))).read).toBeLessThanOrEqual(3);
    expect((await costInAnyInbox(undefined, feed(2, 2))).read).toBeLessThanOrEqual(3);
  });
});

describe('on the whole path', () => {
  test('a message makes no D1 query, nor does its feed', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    await johns.say('one');
    await fed(conversationId);
    const { told } = feedsThrough(conversationId);
    const queries = await countQueries(async () => {
      await johns.say('two');
      await fed(conversationId);
    });
    expect(told.map(({ userId }) => userId).toSorted()).toEqual([john.id, ray.id].toSorted());
    expect(queries).toBe(0);
    johns.close(1000);
  });

  test('a wake-up with nothing to tell feeds nobody', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await say(conversationId, john.id, 'one');
    await fed(conversationId);
    const row = await inboxRow(ray.id, conversationId);
    const { told } = feedsThrough(conversationId);
    await evictDurableObject(objectOf(conversationId));
    const rays = await openChat(conversationId, ray.access);
    await rays.settled();
    expect(told).toEqual([]);
    expect(await inboxRow(ray.id, conversationId)).toEqual(row);
    rays.close(1000);
  });
});
