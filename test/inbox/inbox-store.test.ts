import { runInDurableObject } from 'cloudflare:test';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CHANGES_MAX_ROWS, PAGE_MAX_BYTES, PAGE_SIZE, PINS_MAX, UNREAD_MAX } from '../../src/config.ts';
import { InboxStore, type Setting } from '../../src/inbox/store.ts';
import type { Feed, FeedRow } from '../../src/objects/feed.ts';
import type { InboxRow } from '../../src/protocol/inbox-frames.ts';
import { utf8Bytes } from '../../src/protocol/text.ts';
import { inboxOf } from '../helpers/inbox.ts';

/** Runs `work` on the store of a new inbox, and its storage. */
async function onInboxStore(work: (store: InboxStore, storage: DurableObjectStorage) => void): Promise<void> {
  await runInDurableObject(inboxOf(crypto.randomUUID()), (_, { storage }) => {
    const store = new InboxStore(storage);
    store.setState({ epoch: 1, shows_presence: true });
    work(store, storage);
  });
}

const [A, B] = [crypto.randomUUID(), crypto.randomUUID()];
const ANA = crypto.randomUUID();

/** How a conversation stands that has `n` messages of ana's, of which `read` are read. */
function feedRow(n: number, read: number, more: Partial<FeedRow> = {}): FeedRow {
  return {
    kind: 'direct',
    title: null,
    peer: { user_id: ANA, first_name: 'Ana', last_name: 'Doe' },
    n,
    read,
    unread: Math.min(UNREAD_MAX, n - read),
    last: { sender_id: ANA, text: `message ${n}`, created_at: 1000 + n },
    ...more,
  };
}

/** A feed of such a conversation, whose rev is its n unless said otherwise. */
const feed = (n: number, { read = 0, rev = n, epoch = 1 } = {}): Feed => ({ epoch, rev, row: feedRow(n, read) });
const departure = (rev: number, epoch = 1): Feed => ({ epoch, rev, row: null });
const pageOf = (store: InboxStore, archived = false): InboxRow[] =>
  store.list({ unread: false, archived, limit: PAGE_SIZE }).conversations;

/** Sets something, if nothing is against it. @returns what is */
function set(store: InboxStore, id: string, setting: Setting) {
  const reason = store.whyNot(id, setting);
  store.set(id, setting);
  return reason;
}

describe('a feed', () => {
  test('is stored and shown under the next rev', async () => {
    await onInboxStore((store) => {
      expect(store.apply(A, feed(3, { read: 1 }))).toBe(true);
      expect(store.apply(B, feed(1))).toBe(true);
      expect(store.row(A)).toEqual({
        conversation: A,
        rev: 1,
        kind: 'direct',
        title: null,
        peer: { user_id: ANA, first_name: 'Ana', last_name: 'Doe' },
        n: 3,
        read: 1,
        unread: 2,
        marked_unread: false,
        last: { n: 3, sender_id: ANA, text: 'message 3', created_at: 1003 },
        muted_until: null,
        pinned: false,
        archived: false,
      });
      expect(store.row(B)).toMatchObject({ rev: 2, n: 1 });
      expect(store.rev).toBe(2);
    });
  });

  test.each([
    ['that is repeated', feed(5), feed(5)],
    ['that is older', feed(5), feed(4)],
    ['of an earlier history, although its rev is larger', feed(5, { epoch: 2 }), feed(50)],
    ['that was overtaken by a departure', departure(6), feed(5)],
  ])('%s changes nothing and takes no rev', async (_, first, second) => {
    await onInboxStore((store) => {
      store.apply(A, first);
      const before = store.changesSince(0, 0);
      expect(store.apply(A, second)).toBe(false);
      expect(store.changesSince(0, 0)).toEqual(before);
    });
  });

  test('that shows nothing new takes no rev, but what is older than it is void', async () => {
    await onInboxStore((store) => {
      store.apply(A, feed(5));
      expect(store.apply(A, feed(5, { rev: 8 }))).toBe(false);
      expect(store.apply(A, feed(7))).toBe(false);
      expect(store.row(A)).toMatchObject({ rev: 1, n: 5 });
      expect(store.apply(A, feed(9))).toBe(true);
    });
  });

  test('of a later history replaces a larger rev of the one before', async () => {
    await onInboxStore((store) => {
      store.apply(A, feed(50));
      expect(store.apply(A, feed(3, { epoch: 2 }))).toBe(true);
      expect(store.row(A)).toMatchObject({ rev: 2, n: 3, unread: 3 });
    });
  });

  test('of a departure leaves a tombstone, also where nothing was known', async () => {
    await onInboxStore((store) => {
      store.apply(A, feed(5));
      store.apply(A, departure(6));
      store.apply(B, departure(6));
      expect(pageOf(store)).toEqual([]);
      expect(store.changesSince(0, 0)).toMatchObject({
        conversations: [],
        removed: [
          { conversation: A, rev: 2 },
          { conversation: B, rev: 3 },
        ],
        total: { messages: 0, conversations: 0 },
      });
      store.apply(B, feed(5));
      expect(store.row(B)).toBeUndefined();
    });
  });

  test('of a return brings it back as it was fed, and not as it had been set', async () => {
    await onInboxStore((store) => {
      store.apply(A, feed(5));
      store.set(A, { pinned: true, archived: true, muted_until: 9, unread: true });
      store.apply(A, departure(6));
      store.apply(A, feed(5, { rev: 7 }));
      expect(store.row(A)).toMatchObject({ pinned: false, archived: false, muted_until: null, marked_unread: false });
    });
  });
});

describe('what the user sets', () => {
  test('stays, whatever is fed', async () => {
    await onInboxStore((store) => {
      store.apply(A, feed(5));
      store.set(A, { pinned: true, muted_until: 5000 });
      store.apply(A, feed(6));
      store.apply(A, feed(2, { epoch: 2 }));
      expect(store.row(A)).toMatchObject({ pinned: true, muted_until: 5000, n: 2 });
    });
  });

  test('takes no rev if it is so already', async () => {
    await onInboxStore((store) => {
      store.apply(A, feed(5));
      const setting = { pinned: true, archived: true, muted_until: 5, unread: true };
      store.set(A, setting);
      const { rev } = store;
      store.set(A, setting);
      store.set(A, {});
      expect(store.rev).toBe(rev);
    });
  });

  test('of a conversation that is not here is refused', async () => {
    await onInboxStore((store) => {
      store.apply(A, departure(6));
      for (const id of [A, B]) expect(set(store, id, { pinned: true })).toBe('no_such_conversation');
      expect(store.rev).toBe(1);
    });
  });

  test('archived lasts until there is a newer message', async () => {
    await onInboxStore((store) => {
      store.apply(A, feed(5));
      store.set(A, { archived: true });
      expect(pageOf(store)).toEqual([]);
      expect(pageOf(store, true)).toMatchObject([{ conversation: A, archived: true }]);
      // Read, edited or deleted: no newer message.
      store.apply(A, feed(5, { rev: 8, read: 5 }));
      expect(store.row(A)).toMatchObject({ archived: true, unread: 0 });
      store.apply(A, feed(6, { rev: 9 }));
      expect(store.row(A)).toMatchObject({ archived: false });
      expect(pageOf(store)).toHaveLength(1);
    });
  });

  test('archived lasts until there is a newer message also in another history, whose numbers are smaller', async () => {
    await onInboxStore((store) => {
      store.apply(A, feed(50));
      store.set(A, { archived: true });
      store.apply(A, feed(20, { epoch: 2 }));
      expect(store.row(A)).toMatchObject({ archived: true });
      store.apply(A, feed(21, { epoch: 2 }));
      expect(store.row(A)).toMatchObject({ archived: false });
      // It is not archived any more, so another history does not make it so.
      store.apply(A, feed(10, { epoch: 3 }));
      expect(store.row(A)).toMatchObject({ archived: false });
    });
  });

  test('unread lasts until something newer is read', async () => {
    await onInboxStore((store) => {
      store.apply(A, feed(5, { read: 5 }));
      store.set(A, { unread: true });
      expect(store.row(A)).toMatchObject({ unread: 0, marked_unread: true });
      expect(store.total(0)).toEqual({ messages: 0, conversations: 1 });
      store.apply(A, feed(6, { read: 5 }));
      expect(store.row(A)).toMatchObject({ unread: 1, marked_unread: true });
      store.apply(A, feed(6, { read: 6, rev: 7 }));
      expect(store.row(A)).toMatchObject({ unread: 0, marked_unread: false });
    });
  });

  test('unread lasts until something newer is read also in another history, whose numbers are smaller', async () => {
    await onInboxStore((store) => {
      store.apply(A, feed(50, { read: 50 }));
      store.set(A, { unread: true });
      store.apply(A, feed(20, { read: 20, epoch: 2 }));
      expect(store.row(A)).toMatchObject({ marked_unread: true });
      store.apply(A, feed(21, { read: 21, epoch: 2 }));
      expect(store.row(A)).toMatchObject({ marked_unread: false });
    });
  });

  test('pins are limited, but not what is pinned already', async () => {
    await onInboxStore((store) => {
      const ids = Array.from({ length: PINS_MAX + 1 }, () => crypto.randomUUID());
      for (const id of ids) store.apply(id, feed(1));
      const [first = '', ...others] = ids;
      for (const id of others) expect(set(store, id, { pinned: true })).toBeUndefined();
      expect(set(store, first, { pinned: true, muted_until: 5 })).toBe('too_many_pins');
      expect(store.row(first)).toMatchObject({ pinned: false, muted_until: null });
      expect(set(store, ids[1] ?? '', { pinned: true })).toBeUndefined();
      // Whoever leaves one has room for another.
      store.apply(ids[1] ?? '', departure(2));
      expect(set(store, first, { pinned: true })).toBeUndefined();
    });
  });
});

describe('the total of what is unread', () => {
  test('leaves out what is muted, until that ends, and what is archived', async () => {
    await onInboxStore((store) => {
      const [C, D] = [crypto.randomUUID(), crypto.randomUUID()];
      for (const [id, n] of [
        [A, 1],
        [B, 10],
        [C, 100],
        [D, 1000],
      ] as const)
        store.apply(id, feed(n));
      store.set(B, { muted_until: 5000 });
      store.set(C, { archived: true });
      store.set(D, { muted_until: Number.MAX_SAFE_INTEGER });
      expect(store.total(4999)).toEqual({ messages: 1, conversations: 1 });
      expect(store.total(5000)).toEqual({ messages: 11, conversations: 2 });
      store.set(D, { muted_until: null });
      expect(store.total(5000)).toEqual({ messages: 11 + UNREAD_MAX, conversations: 3 });
    });
  });
});

describe('a store that is closed', () => {
  test('has forgotten everything, refuses whatever comes, and stays so when it is opened again', async () => {
    await onInboxStore((first, storage) => {
      first.apply(A, feed(5));
      first.setContact(ANA, { online: true, last_seen: null, listening: true });
      storage.sql.exec('INSERT INTO ended_sessions (session_id, remember_until) VALUES (?, 1)', 'a');
      first.close(77);
      first.close(88);
      for (const store of [first, new InboxStore(storage)]) {
        expect(store.isClosed).toBe(true);
        expect(store.apply(A, feed(9))).toBe(false);
        store.setState({ epoch: 9, shows_presence: true });
        expect(set(store, A, { pinned: true })).toBe('no_such_conversation');
        expect(store.changesSince(0, 0)).toMatchObject({ rev: 0, conversations: [], removed: [] });
        expect([store.contacts(), store.peers(100), store.row(A), store.snapshot().conversations]).toEqual([
          [],
          [],
          undefined,
          [],
        ]);
      }
      const rows = ['conversations', 'contacts', 'ended_sessions', 'inbox'].map((table) =>
        storage.sql.exec(`SELECT * FROM ${table}`).toArray(),
      );
      expect(rows).toEqual([
        [],
        [],
        [],
        [{ singleton: 1, epoch: 0, shows_presence: 0, closed_at: 77, last_seen: null }],
      ]);
    });
  });
});

test('rows and tombstones of any texts and numbers fit into a frame by the bytes that are counted for them', async () => {
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 200 }), fc.constant('\0'.repeat(200)));
  const numbers = fc.constantFrom(1, Number.MAX_SAFE_INTEGER);
  const feeds = fc.record({
    title: fc.option(text),
    first_name: text,
    last_name: text,
    last: fc.option(text),
    n: numbers,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(feeds, { minLength: 1, maxLength: 20 }), async (all) => {
      await onInboxStore((store) => {
        for (let i = 0; i < 2 * CHANGES_MAX_ROWS; i += 1) {
          const { title, n, last, ...names } = all[i % all.length] ?? { title: null, n: 1, last: null };
          const row = feedRow(n, n, { title, peer: { user_id: ANA, first_name: '', last_name: '', ...names } });
          const shown = { sender_id: ANA, text: last, created_at: Number.MAX_SAFE_INTEGER - 1 };
          store.apply(crypto.randomUUID(), { epoch: 1, rev: n, row: { ...row, last: shown } });
        }
        const { conversations } = store.changesSince(0, 0);
        const pages = [conversations, store.list({ unread: false, archived: false, limit: 100 }).conversations];
        for (const page of pages) {
          expect(page.length).toBeGreaterThan(0);
          expect(utf8Bytes(JSON.stringify(page))).toBeLessThanOrEqual(PAGE_MAX_BYTES);
        }
      });
    }),
    { numRuns: 10 },
  );
});

/** How a conversation stands, in the simplest way to say it. */
type Standing = { epoch: number; revs: number; row: FeedRow | null };
type Own = { muted_until: number | null; pinned: boolean; archived: boolean; unread: boolean };
type Known = Standing & { own: Own; rev: number };
const NOTHING_SET: Own = { muted_until: null, pinned: false, archived: false, unread: false };

/** What happens to one of the conversations: it changes, or one of its states so far is fed, or its user sets something. */
type Step =
  | { type: 'change'; of: number; what: 'message' | 'own message' | 'read' | 'leave' | 'return' | 'restore' }
  | { type: 'feed'; of: number; ago: number }
  | { type: 'set'; of: number; setting: Setting }
  | { type: 'sync' };

const of = fc.nat({ max: 4 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    type: fc.constant('change' as const),
    of,
    what: fc.constantFrom('message', 'message', 'message', 'own message', 'read', 'leave', 'return', 'restore'),
  }),
  fc.record({ type: fc.constant('feed' as const), of, ago: fc.constantFrom(0, 0, 0, 1, 2, 5, 20) }),
  fc.record({
    type: fc.constant('set' as const),
    of,
    setting: fc.record(
      {
        muted_until: fc.constantFrom(null, 10, 1000),
        pinned: fc.boolean(),
        archived: fc.boolean(),
        unread: fc.boolean(),
      },
      { requiredKeys: [] },
    ),
  }),
  fc.constant({ type: 'sync' as const }),
) as fc.Arbitrary<Step>;

/** The conversations as they are, with all states that they ever had. */
class Conversations {
  readonly ids = Array.from({ length: 5 }, () => crypto.randomUUID()).sort();
  readonly states: Standing[][] = this.ids.map((_, i) => [{ epoch: 1, revs: 1, row: feedRow(1 + i, 0) }]);

  change(which: number, what: Extract<Step, { type: 'change' }>['what']): void {
    const states = this.states[which] ?? [];
    const { epoch, revs, row } = this.past(which, 0);
    const present = states.findLast((state) => state.row !== null)?.row ?? feedRow(1, 0);
    const next = (values: Partial<FeedRow> | null) =>
      states.push({ epoch, revs: revs + 1, row: values && { ...present, ...values } });
    if (what === 'leave') return void next(null);
    if (what === 'return') return void next({});
    if (what === 'restore') {
      const back = states[Math.floor(states.length / 2)] ?? this.past(which, 0);
      return void states.push({ ...back, epoch: epoch + 1 });
    }
    if (!row) return;
    const n = row.n + 1;
    const last = { sender_id: ANA, text: `message ${n}`, created_at: 1000 + n };
    if (what === 'message') return void next({ n, unread: Math.min(UNREAD_MAX, row.unread + 1), last });
    if (what === 'own message') return void next({ n, read: n, unread: 0, last });
    next({ read: row.n, unread: 0 });
  }

  /** How one stood so many changes ago. */
  past(which: number, ago: number): Standing {
    const states = this.states[which] ?? [];
    const state = states[Math.max(0, states.length - 1 - ago)];
    if (!state) throw new Error('There is no such conversation.');
    return state;
  }
}

/** An inbox, said simply: the newest that was fed of each conversation, and what was set of it. */
class Model {
  readonly known = new Map<string, Known>();
  rev = 0;

  apply(id: string, standing: Standing): void {
    const known = this.known.get(id);
    const isNews =
      !known || standing.epoch > known.epoch || (standing.epoch === known.epoch && standing.revs > known.revs);
    if (!isNews) return;
    const { row } = standing;
    const own = known?.row && row ? { ...known.own } : { ...NOTHING_SET };
    const isSameHistory = known?.epoch === standing.epoch;
    if (isSameHistory && row && known?.row) {
      if (row.n > known.row.n) own.archived = false;
      if (row.read > known.row.read) own.unread = false;
    }
    const isSame = known && JSON.stringify([known.row, known.own]) === JSON.stringify([row, own]);
    this.known.set(id, { ...standing, own, rev: isSame ? known.rev : (this.rev += 1) });
  }

  set(id: string, setting: Setting): string | undefined {
    const known = this.known.get(id);
    if (!known?.row) return 'no_such_conversation';
    const own = { ...known.own, ...setting } as Own;
    if (JSON.stringify(own) !== JSON.stringify(known.own)) {
      this.known.set(id, { ...known, own, rev: (this.rev += 1) });
    }
    return undefined;
  }

  /** What is shown, by conversation: rows, and the revs of tombstones. */
  shown(): Map<string, unknown> {
    return new Map(
      [...this.known].map(([id, { row, own, rev }]) => [
        id,
        row
          ? {
              conversation: id,
              rev,
              kind: row.kind,
              title: row.title,
              peer: row.peer,
              n: row.n,
              read: row.read,
              unread: row.unread,
              marked_unread: own.unread,
              last: { n: row.n, ...row.last },
              muted_until: own.muted_until,
              pinned: own.pinned,
              archived: own.archived,
            }
          : { conversation: id, rev },
      ]),
    );
  }

  total(now: number) {
    const counted = [...this.known.values()].filter(
      ({ row, own: { archived, muted_until, unread } }) =>
        row && !archived && (muted_until === null || muted_until <= now) && (unread || row.unread > 0),
    );
    const messages = counted.reduce((sum, { row }) => sum + (row?.unread ?? 0), 0);
    return { messages, conversations: counted.length };
  }

  /** The ids of what a list shows, in its order. */
  listed(unread: boolean, archived: boolean): string[] {
    const rows = [...this.known].flatMap(([id, { row, own }]) => (row ? [{ id, row, own }] : []));
    return rows
      .filter(({ row, own }) => own.archived === archived && (!unread || own.unread || row.unread > 0))
      .sort((a, b) => b.row.last.created_at - a.row.last.created_at || (a.id < b.id ? 1 : -1))
      .map(({ id }) => id);
  }
}

/** What a reader has who walks over `changes` from a cursor, applying what they say. */
function walk(
  store: InboxStore,
  after: number,
  has: Map<string, unknown>,
): { has: Map<string, unknown>; after: number } {
  for (;;) {
    const page = store.changesSince(after, 0);
    expect(page.after).toBe(after);
    const rows = [...page.conversations, ...page.removed];
    for (const row of rows) {
      expect(row.rev).toBeGreaterThan(after);
      expect(row.rev).toBeLessThanOrEqual(page.rev);
      has.set(row.conversation, row);
    }
    after = page.rev;
    if (!page.more) return { has, after };
  }
}

/** The ids of a list, by pages of `limit`. */
function listIds(store: InboxStore, unread: boolean, archived: boolean, limit: number): string[] {
  const ids: string[] = [];
  let before: string | undefined;
  do {
    const { conversations, next } = store.list({ unread, archived, limit, before });
    ids.push(...conversations.map(({ conversation }) => conversation));
    before = next ?? undefined;
  } while (before !== undefined);
  return ids;
}

test('whatever order feeds come in, however often or never, an inbox shows the newest that came and what was set', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 120, size: 'max' }),
      fc.integer({ min: 1, max: 3 }),
      async (steps, limit) => {
        await onInboxStore((opened, storage) => {
          let store = opened;
          const conversations = new Conversations();
          const model = new Model();
          // A reader who follows, and now and then catches up.
          let follower = { has: new Map<string, unknown>(), after: 0 };
          for (const it of steps) {
            const { rev } = store;
            const id = 'of' in it ? (conversations.ids[it.of] ?? '') : '';
            if (it.type === 'change') conversations.change(it.of, it.what);
            if (it.type === 'feed') {
              const state = conversations.past(it.of, it.ago);
              store.apply(id, { epoch: state.epoch, rev: state.revs, row: state.row });
              model.apply(id, state);
            }
            const [reason, expected] = it.type === 'set' ? [set(store, id, it.setting), model.set(id, it.setting)] : [];
            expect(reason).toBe(expected);
            if (it.type === 'sync') {
              follower = walk(store, follower.after, follower.has);
              store = new InboxStore(storage);
            }
            expect(store.rev).toBe(model.rev);
            expect(store.rev - rev).toBeOneOf([0, 1]);
          }
          const shown = model.shown();
          expect(walk(store, 0, new Map()).has).toEqual(shown);
          expect(walk(store, follower.after, follower.has).has).toEqual(shown);
          for (const now of [0, 10, 1000]) expect(store.total(now)).toEqual(model.total(now));
          for (const unread of [true, false]) {
            for (const archived of [true, false]) {
              expect(listIds(store, unread, archived, limit)).toEqual(model.listed(unread, archived));
            }
          }
        });
      },
    ),
    { numRuns: 100 },
  );
}, 30_000);

test('a walk over changes of any size, from any cursor, ends with every row and tombstone', async () => {
  await onInboxStore((store) => {
    const ids = Array.from({ length: 2 * CHANGES_MAX_ROWS + 50 }, () => crypto.randomUUID());
    for (const [i, id] of ids.entries()) store.apply(id, feed(1 + (i % 7)));
    for (const id of ids.slice(0, 90)) store.apply(id, departure(9));
    const { has } = walk(store, 0, new Map());
    expect(has.size).toBe(ids.length);
    expect(store.changesSince(0, 0)).toMatchObject({ more: true });
    for (const after of [1, 89, 150, 333, store.rev - 1, store.rev]) {
      const later = new Map([...has].filter(([, row]) => (row as { rev: number }).rev > after));
      expect(walk(store, after, new Map()).has).toEqual(later);
    }
    expect(listIds(store, false, false, 7).toSorted()).toEqual(ids.slice(90).toSorted());
  });
});
