import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { PINS_MAX } from '../../src/config.ts';
import { Conversation } from '../../src/conversation/conversation.ts';
import { InboxStore } from '../../src/inbox/store.ts';
import { openChat, type ChatSocket } from '../helpers/chat-socket.ts';
import { inboxOf, say } from '../helpers/inbox.ts';
import { acquaintanceOf, acquainted, write } from '../helpers/inbox-pair.ts';
import { openInbox, type InboxSocket } from '../helpers/inbox-socket.ts';
import { signedIn, type Person } from '../helpers/people.ts';

/** The next change of a conversation's row that is as wanted. */
async function changed(socket: InboxSocket, conversation: string) {
  const { conversations, total } = await socket.next('changes', (frame) =>
    frame.conversations.some((row) => row.conversation === conversation),
  );
  return { row: conversations.find((row) => row.conversation === conversation), total };
}

/** Somebody's marks, as soon as a conversation's socket is told of them. */
async function marksOf(socket: ChatSocket, { id }: Person) {
  const { members } = await socket.next('changes', (frame) => frame.members.some(({ user_id }) => user_id === id));
  const { read, delivered } = members.find(({ user_id }) => user_id === id) ?? {};
  return { read, delivered };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a socket that connects', () => {
  test('without a cursor gets every conversation', async () => {
    const { john, ray, conversationId } = await acquainted();
    const { welcome } = await openInbox(john.access);
    expect(welcome).toMatchObject({ me: john.id, epoch: 1, rev: 1, resumed: false, total: { messages: 1 } });
    expect(welcome.snapshot).toMatchObject({
      conversations: [{ conversation: conversationId, n: 1, read: 0, unread: 1, peer: { user_id: ray.id } }],
      next: null,
    });
  });

  test('with a cursor asks for what has changed since', async () => {
    const { john, ray, conversationId } = await acquainted();
    const { welcome } = await openInbox(john.access);
    await write(conversationId, ray, 'while john was away');
    const again = await openInbox(john.access, { cursor: { after: welcome.rev, epoch: welcome.epoch } });
    expect(again.welcome).toMatchObject({ resumed: true, rev: 2 });
    expect(again.welcome.snapshot).toBeUndefined();
    expect(await again.ask({ type: 'sync', after: welcome.rev })).toMatchObject({
      after: 1,
      rev: 2,
      conversations: [{ n: 2, unread: 2, last: { text: 'while john was away' } }],
      more: false,
    });
  });

  test.each([
    ['of another history', { after: 1, epoch: 7 }],
    ['that is ahead', { after: 99, epoch: 1 }],
  ])('with a cursor %s gets every conversation', async (_, cursor) => {
    const { john } = await acquainted();
    const { welcome } = await openInbox(john.access, { cursor });
    expect(welcome).toMatchObject({ resumed: false, snapshot: { conversations: [{ n: 1 }] } });
  });

  test('under a larger epoch closes the others with 1012: their history is another', async () => {
    const { john } = await acquainted();
    const before = await openInbox(john.access);
    await env.DB.prepare('UPDATE users SET inbox_epoch = 2 WHERE id = ?').bind(john.id).run();
    const cursor = { after: before.welcome.rev, epoch: before.welcome.epoch };
    const { welcome } = await openInbox(john.access, { cursor });
    expect(welcome).toMatchObject({ epoch: 2, resumed: false });
    expect(await before.closed).toMatchObject({ code: 1012 });
  });
});

test('a cursor that is ahead of the inbox is not known', async () => {
  const { john } = await acquainted();
  const johns = await openInbox(john.access);
  expect(await johns.refused({ type: 'sync', after: 2 })).toBe('unknown_cursor');
});

test('a list comes in pages, the newest activity first', async () => {
  const john = await signedIn('John');
  const ids: string[] = [];
  for (const name of ['Ana', 'Ben', 'Mia']) ids.unshift((await acquaintanceOf(john, name)).conversationId);
  const johns = await openInbox(john.access);
  const first = await johns.ask({ type: 'list', limit: 2 });
  if (first.type !== 'page') throw new Error('It is no page.');
  expect(first.conversations.map(({ conversation }) => conversation)).toEqual(ids.slice(0, 2));
  const second = await johns.ask({ type: 'list', limit: 2, before: first.next ?? '' });
  expect(second).toMatchObject({ conversations: [{ conversation: ids[2] }], next: null });
});

describe('a setting', () => {
  test.each([
    ['pinned', { pinned: true }, { pinned: true }],
    ['archived', { archived: true }, { archived: true }],
    ['muted', { muted_until: 9_000_000_000_000 }, { muted_until: 9_000_000_000_000 }],
    ['unread', { unread: true }, { marked_unread: true }],
  ])('is told to all sockets of the user, and to nobody else: %s', async (_, setting, shown) => {
    const { john, ray, conversationId } = await acquainted();
    const sockets = [await openInbox(john.access), await openInbox(john.access)];
    const rays = await openInbox(ray.access);
    const ok = await sockets[0]?.ask({ type: 'set', conversation: conversationId, ...setting });
    expect(ok).toMatchObject({ type: 'ok', rev: 2 });
    for (const socket of sockets)
      expect((await changed(socket, conversationId)).row).toMatchObject({ rev: 2, ...shown });
    await rays.settled();
    expect(rays.pending.filter(({ type }) => type === 'changes')).toEqual([]);
  });

  test('that nothing is unread reads everything, and takes back that it was marked', async () => {
    const { john, ray, conversationId } = await acquainted();
    const rays = await openChat(conversationId, ray.access);
    const johns = await openInbox(john.access);
    await johns.ask({ type: 'set', conversation: conversationId, unread: true });
    expect(await johns.ask({ type: 'set', conversation: conversationId, unread: false })).toMatchObject({ type: 'ok' });
    expect(await johns.row(conversationId, ({ marked_unread }) => !marked_unread)).toMatchObject({
      read: 1,
      unread: 0,
    });
    expect(await marksOf(rays, john)).toEqual({ read: 1, delivered: 1 });
  });

  test('of a conversation that is not there is refused', async () => {
    const { john } = await acquainted();
    const johns = await openInbox(john.access);
    const conversation = crypto.randomUUID();
    expect(await johns.refused({ type: 'set', conversation, pinned: true })).toBe('no_such_conversation');
  });

  test('that sets nothing is malformed', async () => {
    const { john, conversationId } = await acquainted();
    const johns = await openInbox(john.access);
    expect(await johns.refused({ type: 'set', conversation: conversationId })).toBe('bad_frame');
  });

  test(`that pins more than ${PINS_MAX} is refused, and nothing else of it takes place`, async () => {
    const { john, conversationId } = await acquainted();
    await runInDurableObject(inboxOf(john.id), (_, { storage }) => {
      const store = new InboxStore(storage);
      for (let i = 0; i < PINS_MAX; i += 1) {
        const [id, last] = [crypto.randomUUID(), { sender_id: john.id, text: 'Hello', created_at: i }];
        const row = { kind: 'direct', title: null, peer: null, n: 1, read: 1, unread: 0, last } as const;
        store.apply(id, { epoch: 1, rev: 1, row });
        store.set(id, { pinned: true });
      }
    });
    await evictDurableObject(inboxOf(john.id));
    const johns = await openInbox(john.access);
    const frame = { type: 'set', conversation: conversationId, pinned: true, muted_until: 5, unread: false } as const;
    expect(await johns.refused(frame)).toBe('too_many_pins');
    const { snapshot } = (await openInbox(john.access)).welcome;
    const row = snapshot?.conversations.find(({ conversation }) => conversation === conversationId);
    expect(row).toMatchObject({ pinned: false, muted_until: null, unread: 1 });
  });
});

describe('a mark', () => {
  test('that a message was delivered reaches its sender', async () => {
    const { john, ray, conversationId } = await acquainted();
    const rays = await openChat(conversationId, ray.access);
    const johns = await openInbox(john.access);
    johns.send({ type: 'mark', conversation: conversationId, delivered: 1 });
    expect(await marksOf(rays, john)).toEqual({ read: 0, delivered: 1 });
  });

  test('goes no further than the newest message', async () => {
    const { john, ray, conversationId } = await acquainted();
    const rays = await openChat(conversationId, ray.access);
    const johns = await openInbox(john.access);
    johns.send({ type: 'mark', conversation: conversationId, read: 999 });
    expect(await marksOf(rays, john)).toEqual({ read: 1, delivered: 1 });
  });

  test('on one device clears the badge on the others', async () => {
    const { john, conversationId } = await acquainted();
    const sockets = [await openInbox(john.access), await openInbox(john.access)];
    sockets[0]?.send({ type: 'mark', conversation: conversationId, read: 1 });
    for (const socket of sockets) {
      expect(await changed(socket, conversationId)).toMatchObject({
        row: { read: 1, unread: 0 },
        total: { messages: 0, conversations: 0 },
      });
    }
  });

  test('in the conversation itself clears it too', async () => {
    const { john, conversationId } = await acquainted();
    const inbox = await openInbox(john.access);
    const chat = await openChat(conversationId, john.access);
    chat.send({ type: 'mark', read: 1 });
    expect(await changed(inbox, conversationId)).toMatchObject({ row: { unread: 0 }, total: { messages: 0 } });
  });

  test('in a conversation that is not there is refused without a ref', async () => {
    const { john } = await acquainted();
    const johns = await openInbox(john.access);
    johns.send({ type: 'mark', conversation: crypto.randomUUID(), read: 1 });
    expect(await johns.next('error')).toEqual({
      type: 'error',
      code: 'no_such_conversation',
      message: expect.any(String),
    });
  });

  test('that the conversation cannot take is refused for now, and passes later', async () => {
    const { john, conversationId } = await acquainted();
    const johns = await openInbox(john.access);
    const ill = vi.spyOn(Conversation.prototype, 'mark').mockRejectedValue(new Error('The object is not well.'));
    johns.send({ type: 'mark', conversation: conversationId, read: 1 });
    const later = { code: 'unavailable', retry_after_ms: expect.any(Number) };
    expect(await johns.next('error')).toMatchObject(later);
    expect(await johns.ask({ type: 'set', conversation: conversationId, unread: false, pinned: true })).toMatchObject(
      later,
    );
    await johns.settled();
    expect(johns.pending.filter(({ type }) => type === 'changes')).toEqual([]);
    ill.mockRestore();
    johns.send({ type: 'mark', conversation: conversationId, read: 1 });
    expect((await changed(johns, conversationId)).row).toMatchObject({ unread: 0, pinned: false });
  });
});

test('a message shows in the inbox although nobody has a socket in its conversation', async () => {
  const { john, ray, conversationId } = await acquainted();
  const johns = await openInbox(john.access);
  await say(conversationId, ray.id, 'Hello again');
  expect(await changed(johns, conversationId)).toMatchObject({
    row: { n: 2, unread: 2, last: { n: 2, sender_id: ray.id, text: 'Hello again' } },
    total: { messages: 2, conversations: 1 },
  });
});
