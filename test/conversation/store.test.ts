import { runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { ConversationStore } from '../../src/conversation/store.ts';
import type { DirectoryMember } from '../../src/directory/conversations.ts';
import { objectOf } from '../helpers/conversation.ts';

const [JOHN, RAY] = [crypto.randomUUID(), crypto.randomUUID()];
const member = (user_id: string, first_name: string): DirectoryMember => ({
  user_id,
  first_name,
  last_name: 'Doe',
  role: 'member',
  left_at: null,
});
const MEMBERS = { version: 1, epoch: 1, members: [member(JOHN, 'John'), member(RAY, 'Ray')] };

/** Runs `work` on a new store with two members, and its storage. */
async function onStore(work: (store: ConversationStore, storage: DurableObjectStorage) => void): Promise<void> {
  await runInDurableObject(objectOf(crypto.randomUUID()), (_, { storage }) => {
    const store = new ConversationStore(storage);
    store.applyMembers(MEMBERS);
    work(store, storage);
  });
}

function fill(store: ConversationStore, count: number): void {
  for (let i = 1; i <= count; i += 1) store.append(message(`message ${i}`));
}

const message = (text: string, now = Date.now()) => ({ sender_id: JOHN, ref: crypto.randomUUID(), text, now });

/** The statements that `work` executes, and what they cost. */
function statementsOf({ sql }: DurableObjectStorage, work: () => unknown) {
  const exec = vi.spyOn(sql, 'exec');
  work();
  const statements = exec.mock.calls.map(([text, ...bindings], i) => ({ text, bindings, cursor: cursorOf(exec, i) }));
  exec.mockRestore();
  return statements;
}

function cursorOf(exec: { mock: { results: { value: unknown }[] } }, i: number) {
  return exec.mock.results[i]?.value as SqlStorageCursor<Record<string, SqlStorageValue>>;
}

/** Rows that `work` reads and writes. Entries of indexes count, as they are billed. */
function costOf(storage: DurableObjectStorage, work: () => unknown): { read: number; written: number } {
  const cursors = statementsOf(storage, work).map(({ cursor }) => cursor);
  return {
    read: cursors.reduce((sum, { rowsRead }) => sum + rowsRead, 0),
    written: cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0),
  };
}

afterEach(() => {
  vi.restoreAllMocks();
});

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

  test('refuses a ref that its sender has used, and goes on without a gap', async () => {
    await onStore((store) => {
      const first = message('a');
      store.append(first);
      expect(() => store.append({ ...message('b'), ref: first.ref })).toThrow('UNIQUE');
      expect(store.append({ ...message('b'), sender_id: RAY, ref: first.ref })).toMatchObject({ n: 2, rev: 4 });
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

  test('is read in pages, newest first', async () => {
    await onStore((store) => {
      fill(store, 7);
      const page = (before?: number) => {
        const { messages, more } = store.history({ before, limit: 3 });
        return { ns: messages.map(({ n }) => n), more };
      };
      expect(page()).toEqual({ ns: [7, 6, 5], more: true });
      expect(page(5)).toEqual({ ns: [4, 3, 2], more: true });
      expect(page(4)).toEqual({ ns: [3, 2, 1], more: false });
      expect(page(1)).toEqual({ ns: [], more: false });
      expect(page(1_000_000)).toEqual({ ns: [7, 6, 5], more: true });
    });
  });

  test('that is empty is an empty page', async () => {
    await onStore((store) => {
      expect(store.history({ limit: 3 })).toEqual({ messages: [], more: false });
    });
  });
});

describe('the cost', () => {
  test('of a message is three rows written: itself, its rev, its ref; and it does not grow with the log', async () => {
    await onStore((store, storage) => {
      const append = () => store.append(message('Hello'));
      expect(costOf(storage, append)).toEqual({ read: 2, written: 3 });
      fill(store, 1000);
      expect(costOf(storage, append)).toEqual({ read: 2, written: 3 });
    });
  });

  test('of a page is its rows and one more, wherever it is in the log', async () => {
    await onStore((store, storage) => {
      fill(store, 1000);
      for (const before of [undefined, 900, 500, 12]) {
        expect(costOf(storage, () => store.history({ before, limit: 10 }))).toEqual({ read: 11, written: 0 });
      }
    });
  });

  test('of opening a store writes nothing and does not grow with the log', async () => {
    await onStore((store, storage) => {
      fill(store, 10);
      const small = costOf(storage, () => new ConversationStore(storage));
      fill(store, 1000);
      expect(costOf(storage, () => new ConversationStore(storage))).toEqual(small);
      expect(small.written).toBe(0);
      expect(small.read).toBeLessThan(20);
    });
  });

  test('of members that stay as they are is the version alone', async () => {
    await onStore((store, storage) => {
      const apply = () => store.applyMembers({ ...MEMBERS, version: 2 });
      expect(costOf(storage, apply).written).toBe(1);
      expect(costOf(storage, apply)).toEqual({ read: 0, written: 0 });
    });
  });
});

describe('no query reads the whole log', () => {
  // Every method that the store has. One that is added must be added here.
  type Call = (store: ConversationStore, storage: DurableObjectStorage) => unknown;
  const calls: Record<string, Call> = {
    constructor: (_: ConversationStore, storage: DurableObjectStorage) => new ConversationStore(storage),
    isBehind: (store) => store.isBehind({ version: 2, epoch: 1 }),
    member: (store) => store.member(JOHN),
    anyMember: (store) => store.anyMember(JOHN),
    activeMembers: (store) => store.activeMembers(),
    applyMembers: (store) => store.applyMembers({ version: 2, epoch: 2, members: [member(JOHN, 'Johnny')] }),
    append: (store) => store.append(message('Hello')),
    history: (store) => [store.history({ limit: 10 }), store.history({ before: 5, limit: 10 })],
    rememberEndedSession: (store) => store.rememberEndedSession('a', 1),
    isSessionEnded: (store) => store.isSessionEnded('a'),
    forgetEndedSessions: (store) => store.forgetEndedSessions(1),
  };
  /** Tables that hold a handful of rows, and so may be read as a whole. */
  const SMALL = ['directory', 'members', 'ended_sessions', 'migrations'];

  test.each<[string, Call]>(Object.entries(calls))('%s', async (_, call) => {
    await onStore((store, storage) => {
      fill(store, 20);
      for (const { text, bindings } of statementsOf(storage, () => call(store, storage))) {
        if (text.startsWith('CREATE TABLE IF NOT EXISTS')) continue;
        const plan = storage.sql.exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${text}`, ...bindings).toArray();
        const scanned = plan.flatMap(({ detail }) => /^SCAN (\w+)(?! USING)/.exec(detail)?.[1] ?? []);
        expect(scanned.filter((table) => !SMALL.includes(table) && table !== 'CONSTANT')).toEqual([]);
      }
    });
  });

  test('and this looks at every method there is', () => {
    expect(Object.keys(calls).sort()).toEqual(Object.getOwnPropertyNames(ConversationStore.prototype).sort());
  });
});
