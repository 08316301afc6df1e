import { describe, expect, test } from 'vitest';
import { HISTORY_SCAN_MAX } from '../../src/config.ts';
import { ConversationStore } from '../../src/conversation/store.ts';
import { fill, JOHN, message, onStore, RAY } from '../helpers/store.ts';

/** A page of the history: its messages by n, and where the next one begins. */
const page = (store: ConversationStore, before?: number) => {
  const { messages, next } = store.history({ before, limit: 3 });
  return { ns: messages.map(({ n }) => n), next };
};

describe('the log', () => {
  test('numbers its messages from 1, without gaps, and gives each the next rev after the members', async () => {
    await onStore((store) => {
      const rows = ['a', 'b', 'c'].map((text) => store.append(message(text)));
      expect(rows.map(({ n, rev }) => ({ n, rev }))).toEqual([
        { n: 1, rev: 3 },
        { n: 2, rev: 4 },
        { n: 3, rev: 5 },
      ]);
    });
  });

  test('has times that increase, also when the clock stands still or goes back', async () => {
    await onStore((store) => {
      const times = [1000, 1000, 500, 1001, 2000].map((now) => store.append(message('a', now)).created_at);
      expect(times).toEqual([1000, 1001, 1002, 1003, 2000]);
    });
  });

  test('has times that increase over a reopening', async () => {
    await onStore((store, storage) => {
      store.append(message('a', 1000));
      expect(new ConversationStore(storage).append(message('b', 900))).toMatchObject({ n: 2, created_at: 1001 });
    });
  });

  test('goes on without a gap after a transaction that failed, which leaves nothing', async () => {
    await onStore((store, storage) => {
      store.append(message('a'));
      const before = { ...store.message(1), rev: store.rev, members: store.allMembers() };
      const failing = () =>
        store.transaction(() => {
          store.append(message('b'));
          store.setText(1, 'c', Date.now());
          store.addReaction(1, '👍', RAY);
          store.setMarks(JOHN, { read: 2, delivered: 2 });
          store.setLastSeen(JOHN, 1);
          store.remember(JOHN, 'x', { type: 'send', n: 2, rev: 4 });
          throw new Error('the last moment');
        });
      expect(failing).toThrow('the last moment');
      for (const one of [store, new ConversationStore(storage)]) {
        expect({ ...one.message(1), rev: one.rev, members: one.allMembers() }).toEqual(before);
        expect(one.message(2)).toBeUndefined();
        expect(one.reactions(1)).toEqual([]);
        expect(one.reactions(2)).toEqual([]);
        expect(one.operation(JOHN, 'x')).toBeUndefined();
      }
      expect(store.append(message('b'))).toMatchObject({ n: 2, rev: 4 });
    });
  });
});

describe('a ref', () => {
  test('is no part of the log: it is remembered with what it came to, once for each sender', async () => {
    await onStore((store) => {
      const first = message('a');
      const { n, rev } = store.append(first);
      expect(store.append({ ...message('b'), ref: first.ref })).toMatchObject({ n: 2, ref: first.ref });
      expect(store.operation(JOHN, first.ref)).toBeUndefined();
      store.remember(JOHN, first.ref, { type: 'send', n, rev });
      expect(store.operation(JOHN, first.ref)).toEqual({ type: 'send', n, rev });
      expect(store.operation(RAY, first.ref)).toBeUndefined();
    });
  });

  test('that its sender has used is never given another result, for whatever kind of operation', async () => {
    await onStore((store) => {
      store.remember(JOHN, 'one', { type: 'send', n: 1, rev: 3 });
      expect(() => store.remember(JOHN, 'one', { type: 'edit', n: 2, rev: 4 })).toThrow('UNIQUE');
      store.remember(RAY, 'one', { type: 'edit', n: 2, rev: 4 });
      store.remember(JOHN, 'ONE', { type: 'react', n: 3, rev: 5 });
      expect(store.operation(JOHN, 'one')).toEqual({ type: 'send', n: 1, rev: 3 });
      expect(store.operation(RAY, 'one')).toEqual({ type: 'edit', n: 2, rev: 4 });
      expect(store.operation(JOHN, 'ONE')).toEqual({ type: 'react', n: 3, rev: 5 });
    });
  });

  test('may be none: messages of plain sockets have no ref', async () => {
    await onStore((store) => {
      for (const n of [1, 2]) expect(store.append({ ...message('a'), ref: null })).toMatchObject({ n, ref: null });
    });
  });
});

describe('the history', () => {
  test('is read in pages, newest first', async () => {
    await onStore((store) => {
      fill(store, 7);
      expect(page(store)).toEqual({ ns: [7, 6, 5], next: 5 });
      expect(page(store, 5)).toEqual({ ns: [4, 3, 2], next: 2 });
      expect(page(store, 4)).toEqual({ ns: [3, 2, 1], next: undefined });
      expect(page(store, 2)).toEqual({ ns: [1], next: undefined });
      expect(page(store, 1)).toEqual({ ns: [], next: undefined });
      expect(page(store, 1_000_000)).toEqual({ ns: [7, 6, 5], next: 5 });
      expect(page(store, Number.MAX_SAFE_INTEGER)).toEqual({ ns: [7, 6, 5], next: 5 });
    });
  });

  test('of a log that is empty is an empty page', async () => {
    await onStore((store) => {
      expect(page(store)).toEqual({ ns: [], next: undefined });
    });
  });

  test('leaves out what was deleted', async () => {
    await onStore((store) => {
      fill(store, 7);
      for (const n of [7, 5, 1]) store.setDeleted(n, Date.now());
      expect(page(store)).toEqual({ ns: [6, 4, 3], next: 3 });
      expect(page(store, 3)).toEqual({ ns: [2], next: undefined });
    });
  });

  test('looks at a bounded stretch of the log for a page, and goes on behind it', async () => {
    await onStore((store, { sql }) => {
      fill(store, HISTORY_SCAN_MAX + 5);
      sql.exec('UPDATE messages SET text = NULL, deleted_at = 1 WHERE n > 5');
      expect(page(store)).toEqual({ ns: [], next: 6 });
      expect(page(store, 6)).toEqual({ ns: [5, 4, 3], next: 3 });
      // All that is left of a stretch is one message: the page is short, and the next begins behind the stretch.
      expect(page(store, HISTORY_SCAN_MAX + 5)).toEqual({ ns: [5], next: 5 });
      expect(page(store, HISTORY_SCAN_MAX)).toEqual({ ns: [5, 4, 3], next: 3 });
    });
  });
});
