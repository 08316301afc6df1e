import { runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { PAGE_SIZE, PINS_MAX } from '../../src/config.ts';
import { InboxStore, type ListRange } from '../../src/inbox/store.ts';
import { feedOf } from '../helpers/filled-inbox.ts';
import { inboxOf } from '../helpers/inbox.ts';
import { costOf, planOf, statementsOf } from '../helpers/statements.ts';

/** Every fourth conversation is of one kind: read, unread, archived and read, archived and unread. */
const KINDS = 4;
/** A time in the middle, so that a page may begin there. */
const at = (count: number) => Math.floor(count / 2);

/** Runs `work` on an inbox that holds so many conversations, some of them pinned, and some that its user has left. */
async function onInbox(count: number, work: (store: InboxStore, storage: DurableObjectStorage) => void): Promise<void> {
  await runInDurableObject(inboxOf(crypto.randomUUID()), (_, { storage }) => {
    const store = new InboxStore(storage);
    storage.transactionSync(() => {
      for (let i = 0; i < count; i += 1) {
        const id = crypto.randomUUID();
        store.apply(id, feedOf({ at: i, unread: i % 2, read: 0 }));
        store.set(id, { archived: i % KINDS >= 2 ? true : undefined, pinned: i < PINS_MAX ? true : undefined });
        // Someone who has left was in a conversation like any other.
        if (i % 10 === 9) store.apply(id, { epoch: 1, rev: 2, row: null });
      }
    });
    work(store, storage);
  });
}

const FILTERS = [
  { unread: false, archived: false },
  { unread: true, archived: false },
  { unread: false, archived: true },
  { unread: true, archived: true },
];
const ranges = (count: number, limit: number): ListRange[] =>
  FILTERS.flatMap((filter) => [
    { ...filter, limit },
    { ...filter, limit, before: `${at(count)}.${'f'.repeat(8)}-ffff-4fff-8fff-${'f'.repeat(12)}` },
  ]);

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the cost of a page of an inbox with 1,000 conversations', () => {
  // A row that is found in an index is read there and in the table. One more tells whether there is a next page.
  test.each([1, 10, PAGE_SIZE])('is that of its %d rows, whatever the filter and wherever it begins', async (limit) => {
    await onInbox(1000, (store, storage) => {
      for (const range of ranges(1000, limit)) {
        expect(store.list(range).conversations).toHaveLength(limit);
        const { read, written } = costOf(storage, () => store.list(range));
        expect({ range, written, isBounded: read <= 2 * (limit + 1) + 1 }).toEqual({
          range,
          written: 0,
          isBounded: true,
        });
      }
    });
  });

  test('is that of the same page in an inbox of a tenth', async () => {
    const costs: number[][] = [];
    for (const count of [100, 1000]) {
      await onInbox(count, (store, storage) => {
        costs.push(ranges(count, 5).map((range) => costOf(storage, () => store.list(range)).read));
      });
    }
    expect(costs[1]).toEqual(costs[0]);
  });

  test('is small for a filter that nothing passes', async () => {
    await onInbox(1000, (store, storage) => {
      const none = { unread: true, archived: false, limit: 10, before: '0.00000000-0000-4000-8000-000000000000' };
      expect(store.list(none).conversations).toEqual([]);
      expect(costOf(storage, () => store.list(none)).read).toBeLessThanOrEqual(1);
    });
  });

  test('is by an index, and needs no sorting', async () => {
    await onInbox(100, (store, storage) => {
      for (const range of ranges(100, 10)) {
        const statements = statementsOf(storage, () => store.list(range));
        expect(statements).toHaveLength(1);
        for (const { text, bindings } of statements) {
          expect(planOf(storage, text, bindings)).toEqual({
            scanned: [],
            sorted: false,
            indexes: [range.unread ? 'conversations_unread' : 'conversations_active'],
          });
        }
      }
    });
  });
});
