import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { CHANGES_MAX_ROWS, PAGE_SIZE } from '../../../src/config.ts';
import { answer, canResume } from '../../../src/conversation/rules.ts';
import { ConversationStore } from '../../../src/conversation/store.ts';
import { settings } from '../../../src/settings.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { objectOf } from '../../helpers/conversation.ts';
import { pairInConversation, type Person } from '../../helpers/people.ts';

const MESSAGES = 1_000_000;
const MIDDLE = MESSAGES / 2;
/** Two members have the first revs, the messages the next ones. */
const HEAD = MESSAGES + 2;
/** Rows that are read for one of a page: itself or its entry of the index, and two to look for its reactions. */
const EACH = 3;
/** Rows that are read besides: the one that shows that there are more, the members, the head. */
const FEW = 20;

let john: Person;
let conversationId: string;

beforeAll(async () => {
  ({ john, conversationId } = await pairInConversation());
  const first = await openChat(conversationId, john.access);
  first.close(1000);
  await runInDurableObject(objectOf(conversationId), (_, { storage: { sql } }) => {
    sql.exec(
      `INSERT INTO messages (n, rev, id, sender_id, text, created_at)
       WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${MESSAGES})
       SELECT n, n + 2, printf('00000000-0000-4000-8000-%012x', n), ?, 'message ' || n, n FROM numbers`,
      john.id,
    );
  });
  await evictDurableObject(objectOf(conversationId));
}, 60_000);

afterEach(() => {
  vi.restoreAllMocks();
});

/** What `work` returns on the conversation's store, and how many rows it reads; entries of indexes count. */
async function reading<T>(work: (store: ConversationStore, storage: DurableObjectStorage) => T) {
  return runInDurableObject(objectOf(conversationId), (_, { storage }) => {
    const store = new ConversationStore(storage);
    const exec = vi.spyOn(storage.sql, 'exec');
    const result = work(store, storage);
    const cursors = exec.mock.results.map(({ value }) => value as SqlStorageCursor<Record<string, SqlStorageValue>>);
    exec.mockRestore();
    return { result, rowsRead: cursors.reduce((sum, { rowsRead }) => sum + rowsRead, 0) };
  });
}

describe('in a conversation of a million messages', () => {
  test.each<[string, { before?: number; after?: number; around?: number }, number, number, boolean]>([
    ['the newest', {}, MESSAGES - 99, MESSAGES, true],
    ['before the first', { before: 1 }, 0, 0, false],
    ['before, at the start', { before: 101 }, 1, 100, false],
    ['before, in the middle', { before: MIDDLE }, MIDDLE - 100, MIDDLE - 1, true],
    ['before, at the end', { before: MESSAGES }, MESSAGES - 100, MESSAGES - 1, true],
    ['before, beyond the end', { before: Number.MAX_SAFE_INTEGER }, MESSAGES - 99, MESSAGES, true],
    ['after, at the start', { after: 0 }, 1, 100, true],
    ['after, in the middle', { after: MIDDLE }, MIDDLE + 1, MIDDLE + 100, true],
    ['after, at the end', { after: MESSAGES - 100 }, MESSAGES - 99, MESSAGES, false],
    ['after the last', { after: MESSAGES }, 0, 0, false],
    ['around the first', { around: 1 }, 1, 51, true],
    ['around the middle', { around: MIDDLE }, MIDDLE - 49, MIDDLE + 50, true],
    ['around the last', { around: MESSAGES }, MESSAGES - 49, MESSAGES, true],
  ])('a page of the history costs what it shows, wherever it is: %s', async (_, range, first, last, more) => {
    const { result, rowsRead } = await reading((store) => store.page({ ...range, limit: PAGE_SIZE }));
    const count = last === 0 ? 0 : last - first + 1;
    expect(result.messages.map(({ n }) => n)).toEqual(Array.from({ length: count }, (_item, i) => first + i));
    expect(result.more).toBe(more);
    expect(rowsRead).toBeLessThanOrEqual(EACH * count + FEW);
  });

  test.each([
    ['from nothing', 0],
    ['from the start', 2],
    ['from the middle', MIDDLE],
    ['just before the head', HEAD - 5],
    ['at the head', HEAD],
  ])('a page of changes costs what it shows, wherever it begins: %s', async (_, after) => {
    const { result, rowsRead } = await reading((store) => store.changesSince(after));
    const count = Math.min(CHANGES_MAX_ROWS, HEAD - after);
    expect(result.messages.length + result.members.length).toBe(count);
    expect(result.rev).toBe(after + count);
    expect(rowsRead).toBeLessThanOrEqual(EACH * count + FEW);
  });

  test.each([
    ['nothing', 0, true],
    ['the middle', MIDDLE, true],
    ['one row too many behind', HEAD - 1001, true],
    ['as far behind as it may be', HEAD - 1000, false],
    ['the head', HEAD, false],
  ])('whether a cursor can be resumed reads no more rows than the limit: %s', async (_, after, tooMany) => {
    const { result, rowsRead } = await reading((store) => store.hasMoreChanges(after, 1000));
    expect(result).toBe(tooMany);
    expect(rowsRead).toBeLessThanOrEqual(1000 + FEW);
  });

  test('opening the store, as after a sleep, reads a handful of rows', async () => {
    const { result, rowsRead } = await reading((_, storage) => new ConversationStore(storage));
    expect(result).toMatchObject({ n: MESSAGES, rev: HEAD });
    expect(rowsRead).toBeLessThanOrEqual(FEW);
  });

  test('a welcome reads what its snapshot shows and what the limit allows', async () => {
    const cursor = { after: 2, epoch: 1 };
    const { result, rowsRead } = await reading((store) => ({
      resumed: canResume(store, cursor, settings.resumeRows),
      snapshot: store.snapshot(),
    }));
    expect(result.resumed).toBe(false);
    expect(result.snapshot.messages).toHaveLength(PAGE_SIZE);
    expect(rowsRead).toBeLessThanOrEqual(settings.resumeRows + EACH * PAGE_SIZE + FEW);
  });

  test('an edit of the oldest message reads a handful of rows, and is the only change since', async () => {
    const edit = { type: 'edit', ref: 'large', n: 1, text: 'changed' } as const;
    const { result, rowsRead } = await reading((store) => answer(store, john.id, edit, Date.now()));
    expect(result).toMatchObject({ type: 'ok', rev: HEAD + 1 });
    expect(rowsRead).toBeLessThanOrEqual(FEW);
    const since = await reading((store) => store.changesSince(HEAD));
    expect(since.result).toMatchObject({ rev: HEAD + 1, messages: [{ n: 1, text: 'changed' }], more: false });
    expect(since.rowsRead).toBeLessThanOrEqual(FEW);
  });

  test('a client that comes in opens, pages and sends as in any other', async () => {
    await evictDurableObject(objectOf(conversationId));
    const socket = await openChat(conversationId, john.access, { cursor: { after: 2, epoch: 1 } });
    expect(socket.welcome).toMatchObject({ resumed: false, snapshot: { messages: { length: PAGE_SIZE } } });
    const page = await socket.ask({ type: 'history', around: MIDDLE });
    expect(page).toMatchObject({ type: 'page', messages: { length: PAGE_SIZE }, more: true });
    const { n } = await socket.say('one more');
    expect(n).toBe(MESSAGES + 1);
    expect(await socket.next('changes')).toMatchObject({ messages: [{ n }] });
  });
});
