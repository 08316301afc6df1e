import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { PAGE_SIZE, UNREAD_MAX } from '../../src/config.ts';
import { ConversationStore } from '../../src/conversation/store.ts';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { InboxStore } from '../../src/inbox/store.ts';
import type { InboxServerFrameOf } from '../../src/protocol/inbox-frames.ts';
import { decodeInboxServerFrame } from '../../src/protocol/inbox-frames.ts';
import { utf8Bytes } from '../../src/protocol/text.ts';
import { objectOf } from '../helpers/conversation.ts';
import { feedsThrough } from '../helpers/ill-inboxes.ts';
import { fed, inboxOf, inboxRows, say } from '../helpers/inbox.ts';
import { createPerson, signedIn, type Person } from '../helpers/people.ts';
import { TestSocket, upgrade } from '../helpers/socket.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

type Cursor = { after: number; epoch: number };
type Welcome = InboxServerFrameOf<'welcome'>;

/** Opens a socket in a person's inbox, and reads its welcome. */
async function openInbox(person: Person, cursor?: Cursor): Promise<{ socket: TestSocket; welcome: Welcome }> {
  const { webSocket } = await upgrade('', undefined, {
    path: '/ws/inbox/',
    protocols: ['chat.v1', `bearer.${person.access}`],
    query: cursor ? `?after=${cursor.after}&epoch=${cursor.epoch}` : '',
  });
  if (!webSocket) throw new Error('Refused.');
  const socket = new TestSocket(webSocket);
  return { socket, welcome: read('welcome', await socket.next()) };
}

function read<Type extends 'welcome' | 'changes' | 'page'>(type: Type, text: string): InboxServerFrameOf<Type> {
  const frame = decodeInboxServerFrame(text);
  if (frame?.type !== type) throw new Error(`Not ${type}, but: ${text}`);
  return frame as InboxServerFrameOf<Type>;
}

/** Three conversations of a person, each with a message that their inbox has. */
async function threeConversations(person: Person): Promise<{ id: string; peerId: string }[]> {
  const conversations: { id: string; peerId: string }[] = [];
  for (const _ of [1, 2, 3]) {
    const peer = await createPerson('Selena');
    const conversation = await openDirectConversation(directory(env.DB), person.id, peer.id, Date.now());
    if (!conversation) throw new Error('There is no conversation.');
    conversations.push({ id: conversation.id, peerId: peer.id });
    await say(conversation.id, peer.id, 'Hello');
    await fed(conversation.id);
  }
  return conversations;
}

/** The peer of a conversation sends so many messages in bulk, as an object that fed nobody, and one more as they do. */
async function sendMany({ id, peerId }: { id: string; peerId: string }, count: number): Promise<void> {
  await runInDurableObject(objectOf(id), (_, { storage }) => {
    const store = new ConversationStore(storage);
    store.transaction(() => {
      for (let i = 1; i < count; i += 1) store.append({ sender_id: peerId, ref: null, text: `${i}`, now: i });
    });
  });
  await evictDurableObject(objectOf(id));
  await say(id, peerId, 'the last');
  await fed(id);
}

/** A frame in which numbers of any length are one digit, so that what counts is what it says. */
const withoutNumbers = (text: string) => text.replaceAll(/\d+(?=[,}])/g, '0');

/** Rows that the inbox reads while `work` runs. Entries of indexes count, as they are billed. */
async function rowsRead(person: { id: string }, work: () => Promise<unknown>): Promise<number> {
  const exec = await runInDurableObject(inboxOf(person.id), (_, { storage }) => vi.spyOn(storage.sql, 'exec'));
  await work();
  return runInDurableObject(inboxOf(person.id), () => {
    const cursors = exec.mock.results.map(({ value }) => value as SqlStorageCursor<Record<string, SqlStorageValue>>);
    exec.mockRestore();
    return cursors.reduce((sum, cursor) => sum + cursor.rowsRead, 0);
  });
}

/** What they are told when they come back after so many messages in each of three conversations. */
async function toldAfter(count: number) {
  const person = await signedIn();
  const conversations = await threeConversations(person);
  const { socket: before, welcome } = await openInbox(person);
  before.close(1000);
  const tolds = conversations.map(({ id }) => feedsThrough(id).told);
  for (const conversation of conversations) await sendMany(conversation, count);
  vi.restoreAllMocks();

  const { socket, welcome: again } = await openInbox(person, { after: welcome.rev, epoch: welcome.epoch });
  socket.send(JSON.stringify({ type: 'sync', ref: 'a', after: welcome.rev }));
  const text = await socket.next();
  socket.close(1000);
  return { person, again, changes: read('changes', text), bytes: utf8Bytes(withoutNumbers(text)), tolds };
}

describe('a user who had no socket anywhere', () => {
  test('and was sent 10,002 messages in three conversations gets three rows, as large as after thirty', async () => {
    const many = await toldAfter(3334);
    const few = await toldAfter(10);
    for (const { again, changes } of [many, few]) {
      expect(again).toMatchObject({ resumed: true });
      expect(again.snapshot).toBeUndefined();
      expect(changes).toMatchObject({ more: false, removed: [], rev: again.rev });
      expect(changes.conversations).toHaveLength(3);
    }
    for (const { n, read: mark, unread, last } of many.changes.conversations) {
      expect({ n, mark, unread, text: last.text }).toEqual({ n: 3335, mark: 0, unread: UNREAD_MAX, text: 'the last' });
    }
    expect(many.changes.total).toEqual({ messages: 3 * UNREAD_MAX, conversations: 3 });
    expect(many.bytes).toBe(few.bytes);
    // Nor was more fed meanwhile than a row for each member when the object woke up, and one for the last message.
    for (const told of many.tolds) expect(told.length).toBeLessThanOrEqual(4);
    expect(await inboxRows(many.person.id)).toHaveLength(3);
  }, 30_000);
});

describe('a user with 1,000 conversations, most of them read', () => {
  const ALL = 1000;
  const UNREAD = 7;

  /** Fills a person's inbox, a few conversations of which have something unread, and some of which are pinned. */
  async function fill(person: { id: string }, count: number): Promise<void> {
    await runInDurableObject(inboxOf(person.id), (_, { storage }) => {
      const store = new InboxStore(storage);
      const peer = { user_id: crypto.randomUUID(), first_name: 'Ana', last_name: 'Doe' };
      for (let i = 1; i <= count; i += 1) {
        const unread = i % Math.floor(count / UNREAD) === 0 ? 2 : 0;
        const last = { sender_id: person.id, text: 'Hello', created_at: i };
        const row = { kind: 'direct', title: null, peer, n: 5, read: 5 - unread, unread, last } as const;
        const id = crypto.randomUUID();
        store.apply(id, { epoch: 1, rev: 9, row });
        if (i <= 2) store.set(id, { pinned: true });
      }
    });
    await evictDurableObject(inboxOf(person.id));
  }

  test('is welcomed with a page of them and those that are pinned, and pages through the rest', async () => {
    const person = await signedIn();
    await fill(person, ALL);
    const { socket, welcome } = await openInbox(person);
    const { conversations, next } = welcome.snapshot ?? { conversations: [], next: null };
    expect(conversations).toHaveLength(PAGE_SIZE + 2);
    expect(conversations.filter(({ pinned }) => pinned)).toHaveLength(2);
    expect(welcome.total).toEqual({ messages: 2 * UNREAD, conversations: UNREAD });

    const ids = new Set(conversations.slice(0, PAGE_SIZE).map(({ conversation }) => conversation));
    let pages = 1;
    for (let before = next; before !== null; pages += 1) {
      socket.send(JSON.stringify({ type: 'list', ref: `${pages}`, before }));
      const page = read('page', await socket.next());
      for (const { conversation } of page.conversations) ids.add(conversation);
      before = page.next;
    }
    expect(ids.size).toBe(ALL);
    expect(pages).toBe(ALL / PAGE_SIZE);
    socket.close(1000);
  }, 20_000);

  test('costs no more rows read for a welcome, a page, or a change than one with 300', async () => {
    const costs: number[][] = [];
    for (const count of [300, ALL]) {
      const person = await signedIn();
      await fill(person, count);
      const { socket, welcome } = await openInbox(person);
      const opened = await rowsRead(person, async () => (await openInbox(person)).socket.close(1000));
      const page = await rowsRead(person, async () => {
        socket.send(JSON.stringify({ type: 'list', ref: 'a', before: welcome.snapshot?.next }));
        read('page', await socket.next());
      });
      const listed = await rowsRead(person, async () => inboxRows(person.id));
      const unread = await rowsRead(person, async () => {
        socket.send(JSON.stringify({ type: 'list', ref: 'b', unread: true }));
        expect(read('page', await socket.next()).conversations).toHaveLength(UNREAD);
      });
      const nothing = await rowsRead(person, async () => {
        socket.send(JSON.stringify({ type: 'sync', ref: 'c', after: welcome.rev }));
        read('changes', await socket.next());
      });
      socket.close(1000);
      costs.push([opened, page, listed, unread, nothing]);
    }
    const [small, large] = costs;
    expect(large).toEqual(small);
    const [opened = 0, page = 0, listed = 0, unread = 0, nothing = 0] = large ?? [];
    // A row of a list is read by its place in the list: two rows. What is unread is read for the total.
    expect(page).toBeLessThanOrEqual(2 * (PAGE_SIZE + 1));
    expect(listed).toBeLessThanOrEqual(2 * (PAGE_SIZE + 1) + 2 * UNREAD);
    expect(opened).toBeLessThanOrEqual(2 * (PAGE_SIZE + 1) + 2 * UNREAD + 10);
    expect(unread).toBeLessThanOrEqual(2 * (UNREAD + 1));
    expect(nothing).toBeLessThanOrEqual(2 * UNREAD + 2);
  }, 30_000);
});
