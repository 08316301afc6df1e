import { afterEach, describe, expect, test, vi } from 'vitest';
import { CHANGES_MAX_ROWS, PAGE_SIZE } from '../../src/config.ts';
import { answer, mark, type Request } from '../../src/conversation/rules.ts';
import { ConversationStore } from '../../src/conversation/store.ts';
import { costOf, planOf, statementsOf } from '../helpers/statements.ts';
import { directoryMember, fill, JOHN, MEMBERS, message, onStore, RAY } from '../helpers/store.ts';

type Work = (store: ConversationStore) => unknown;

/** What `work` costs, if it costs the same in a log of several pages and in one of ten times the length. */
async function costInAnyLog(work: Work, prepare: Work = () => undefined) {
  const costs: { read: number; written: number }[] = [];
  for (const length of [300, 3000]) {
    await onStore((store, storage) => {
      fill(store, length);
      prepare(store);
      costs.push(costOf(storage, () => work(store)));
    });
  }
  expect(costs[1]).toEqual(costs[0]);
  return costs[0];
}

const by =
  (userId: string, request: Request): Work =>
  (store) =>
    answer(store, userId, request, 1000);
const react = (ref: string, on: boolean) => by(RAY, { type: 'react', ref, n: 7, emoji: '👍', on });
const readUpTo =
  (read: number): Work =>
  (store) =>
    mark(store, RAY, { type: 'mark', read });
const readAll: Work = (store) => store.setMarks(JOHN, { read: store.n, delivered: store.n });

/** What reading so many messages reads, and one to see whether there are more: a look for reactions counts as a row. */
const ofRows = (rows: number) => 2 * (rows + 1);

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the cost of what is written, in a log of any length', () => {
  test('of a plain message is two rows: itself and its rev', async () => {
    expect(await costInAnyLog((store) => store.append(message('Hello')))).toEqual({ read: 1, written: 2 });
  });

  const send = { type: 'send', ref: 'a', text: 'Hello' } as const;

  test('of a message with a ref is one row more: what is remembered for ever', async () => {
    expect(await costInAnyLog(by(JOHN, send))).toEqual({ read: 1, written: 3 });
    expect(await costInAnyLog(by(JOHN, { ...send, reply_to: 7 }))).toEqual({ read: 1, written: 3 });
  });

  test('of a message of someone who has read all before it is two rows more: their mark and its rev', async () => {
    expect(await costInAnyLog(by(JOHN, send), readAll)).toEqual({ read: 2, written: 5 });
  });

  test('of an operation that repeats a ref is none', async () => {
    expect(await costInAnyLog(by(JOHN, send), by(JOHN, send))).toEqual({ read: 2, written: 0 });
  });

  test('of an edit or a deletion is three rows: the message, its rev and the ref', async () => {
    const edit = by(JOHN, { type: 'edit', ref: 'b', n: 7, text: 'Good day' });
    expect(await costInAnyLog(edit)).toEqual({ read: 2, written: 3 });
    expect(await costInAnyLog(by(JOHN, { type: 'delete', ref: 'b', n: 7 }))).toEqual({ read: 2, written: 3 });
  });

  test('of a reaction is one row more: itself', async () => {
    expect((await costInAnyLog(react('b', true)))?.written).toBe(4);
    expect((await costInAnyLog(react('c', false), react('b', true)))?.written).toBe(4);
  });

  test('of an operation that changes nothing is its ref', async () => {
    const edit = by(JOHN, { type: 'edit', ref: 'b', n: 7, text: 'message 7' });
    expect((await costInAnyLog(edit))?.written).toBe(1);
    expect((await costInAnyLog(react('b', false)))?.written).toBe(1);
  });

  test('of an operation that is refused is none', async () => {
    expect((await costInAnyLog(by(RAY, { type: 'delete', ref: 'b', n: 7 })))?.written).toBe(0);
  });

  test('of a mark is two rows, the member and their rev; of one that does not move, none', async () => {
    expect(await costInAnyLog(readUpTo(7))).toEqual({ read: 1, written: 2 });
    expect(await costInAnyLog(readUpTo(7), readUpTo(7))).toEqual({ read: 0, written: 0 });
  });

  test('of having been seen is one row', async () => {
    expect(await costInAnyLog((store) => store.setLastSeen(RAY, 1000))).toEqual({ read: 1, written: 1 });
  });

  test('of members that stay as they are is the version alone', async () => {
    await onStore((store, storage) => {
      const apply = () => store.applyMembers({ ...MEMBERS, version: 2 });
      expect(costOf(storage, apply).written).toBe(1);
      expect(costOf(storage, apply)).toEqual({ read: 0, written: 0 });
    });
  });

  test('of a block, and of its end, is the member and the version', async () => {
    await onStore((store, storage) => {
      const [john, ray] = MEMBERS.members.map((member) => ({ ...member }));
      if (!john || !ray) throw new Error('The store has two members.');
      const apply = (version: number, has_blocked: boolean) =>
        costOf(storage, () => store.applyMembers({ version, epoch: 1, members: [{ ...john, has_blocked }, ray] }));
      expect(apply(2, true).written).toBe(2);
      expect(apply(3, true).written).toBe(1);
      expect(apply(4, false).written).toBe(2);
    });
  });

  test('of opening a store is none, and few are read', async () => {
    await onStore((store, storage) => {
      fill(store, 10);
      const small = costOf(storage, () => new ConversationStore(storage));
      fill(store, 1000);
      expect(costOf(storage, () => new ConversationStore(storage))).toEqual(small);
      expect(small.written).toBe(0);
      expect(small.read).toBeLessThan(20);
    });
  });
});

describe('the cost of what is read, in a log of any length', () => {
  test('of a page of the history is its rows and one more, wherever it is in the log', async () => {
    for (const before of [undefined, 290, 150, 12]) {
      const cost = await costInAnyLog((store) => store.history({ before, limit: 10 }));
      expect(cost).toEqual({ read: 11, written: 0 });
    }
  });

  test.each([
    ['the newest', {}],
    ['before', { before: 150 }],
    ['after', { after: 150 }],
    ['the beginning', { after: 0 }],
  ])('of a page by n is that of its rows: %s', async (_, range) => {
    const cost = await costInAnyLog((store) => store.page({ ...range, limit: 10 }));
    expect(cost).toEqual({ read: ofRows(10), written: 0 });
  });

  test('of a page around a message is that of its two halves', async () => {
    const cost = await costInAnyLog((store) => store.page({ around: 150, limit: 10 }));
    expect(cost).toEqual({ read: 2 * ofRows(5), written: 0 });
  });

  test('of a reaction is its row, with every page that it is on', async () => {
    const cost = await costInAnyLog(
      (store) => store.page({ before: 150, limit: 10 }),
      (store) => [7, 145].map((n) => store.addReaction(n, '👍', JOHN)),
    );
    expect(cost?.read).toBeGreaterThan(ofRows(10));
    expect(cost?.read).toBeLessThanOrEqual(ofRows(10) + 2);
  });

  test('of a snapshot is that of one page: the members are in memory', async () => {
    expect(await costInAnyLog((store) => store.snapshot())).toEqual({ read: ofRows(PAGE_SIZE), written: 0 });
  });

  test('of looking for changes when there are none is one row', async () => {
    expect(await costInAnyLog((store) => store.changesSince(store.rev))).toEqual({ read: 1, written: 0 });
  });

  test('of changes is that of the messages that have changed, however old they are', async () => {
    const cost = await costInAnyLog(
      (store) => store.changesSince(store.rev - 4),
      (store) => {
        store.append(message('Hello'));
        store.setText(7, 'edited', 1000);
        store.setText(150, 'edited', 1000);
        store.setMarks(RAY, { read: 3, delivered: 3 });
      },
    );
    expect(cost?.written).toBe(0);
    expect(cost?.read).toBeLessThanOrEqual(ofRows(3));
  });

  test('of changes that do not fit into one answer is that of the answer', async () => {
    const cost = await costInAnyLog((store) => store.changesSince(0));
    expect(cost?.written).toBe(0);
    expect(cost?.read).toBeLessThanOrEqual(ofRows(CHANGES_MAX_ROWS));
  });

  test('of finding that too much has changed is no more than what would not have been too much', async () => {
    expect(await costInAnyLog((store) => store.hasMoreChanges(0, 50))).toEqual({ read: 51, written: 0 });
    // As many revs as rows would be allowed, at most: nothing needs to be read.
    expect(await costInAnyLog((store) => store.hasMoreChanges(store.rev - 50, 50))).toEqual({ read: 0, written: 0 });
  });

  test('of a message, and of what a ref came to, is one row', async () => {
    expect(await costInAnyLog((store) => store.message(150))).toEqual({ read: 1, written: 0 });
    const operation = await costInAnyLog(
      (store) => store.operation(JOHN, 'a'),
      (store) => store.remember(JOHN, 'a', { type: 'send', n: 1, rev: 3 }),
    );
    expect(operation).toEqual({ read: 1, written: 0 });
  });
});

describe('no query reads a whole table that grows', () => {
  // Every method that the store has. One that is added must be added here.
  type Call = (store: ConversationStore, storage: DurableObjectStorage) => unknown;
  const calls: Record<string, Call> = {
    constructor: (_: ConversationStore, storage: DurableObjectStorage) => new ConversationStore(storage),
    epoch: (store) => store.epoch,
    rev: (store) => store.rev,
    n: (store) => store.n,
    transaction: (store) => store.transaction(() => store.append(message('Hello'))),
    isBehind: (store) => store.isBehind({ version: 2, epoch: 1 }),
    member: (store) => store.member(JOHN),
    allMembers: (store) => store.allMembers(),
    isBlocked: (store) => store.isBlocked,
    hidesPresence: (store) => store.hidesPresence(JOHN),
    applyMembers: (store) => store.applyMembers({ version: 2, epoch: 2, members: [directoryMember(JOHN, 'Johnny')] }),
    setMarks: (store) => store.setMarks(JOHN, { read: 1, delivered: 2 }),
    setLastSeen: (store) => store.setLastSeen(JOHN, 1),
    append: (store) => store.append(message('Hello')),
    message: (store) => store.message(5),
    setText: (store) => store.setText(5, 'Hello', 1),
    setDeleted: (store) => store.setDeleted(5, 1),
    addReaction: (store) => store.addReaction(5, '👍', RAY),
    removeReaction: (store) => store.removeReaction(5, '👍', JOHN),
    reactions: (store) => store.reactions(4),
    remember: (store) => store.remember(RAY, 'a', { type: 'edit', n: 1, rev: 3 }),
    operation: (store) => store.operation(JOHN, 'a'),
    page: (store) =>
      [{}, { before: 9 }, { after: 9 }, { around: 9 }].map((range) => store.page({ ...range, limit: 10 })),
    changesSince: (store) => [store.changesSince(0), store.changesSince(9)],
    hasMoreChanges: (store) => store.hasMoreChanges(0, 5),
    snapshot: (store) => store.snapshot(),
    history: (store) => [store.history({ limit: 10 }), store.history({ before: 5, limit: 10 })],
    dueFeeds: (store) => store.dueFeeds(),
    feed: (store) => [store.feed(RAY), store.feed(JOHN)],
    settleFeed: (store) => store.settleFeed(RAY, store.feed(RAY)),
    unread: (store) => store.unread({ user_id: RAY, read: 3 }),
  };
  const IN_MEMORY = ['epoch', 'rev', 'n', 'isBehind', 'member', 'allMembers', 'isBlocked', 'hidesPresence', 'dueFeeds'];
  /** Tables that hold a handful of rows, and so may be read as a whole; and what is no table of the store. */
  const SMALL = ['directory', 'members', 'ended_sessions', 'migrations', 'CONSTANT'];

  test.each<[string, Call]>(Object.entries(calls))('%s', async (name, call) => {
    await onStore((store, storage) => {
      fill(store, 20);
      store.addReaction(5, '👍', JOHN);
      store.remember(JOHN, 'a', { type: 'send', n: 1, rev: 3 });
      const statements = statementsOf(storage, () => call(store, storage));
      expect(statements.length > 0).toBe(!IN_MEMORY.includes(name));
      for (const { text, bindings } of statements) {
        if (text.startsWith('CREATE TABLE IF NOT EXISTS')) continue;
        const { scanned } = planOf(storage, text, bindings);
        expect(scanned.filter((table) => !SMALL.includes(table))).toEqual([]);
      }
    });
  });

  test('and this looks at every method there is', () => {
    expect(Object.keys(calls).sort()).toEqual(Object.getOwnPropertyNames(ConversationStore.prototype).sort());
  });
});
