import { afterEach, describe, expect, test, vi } from 'vitest';
import { changesUpTo, chatPair, errorOf, messageRow, pageOf } from '../../helpers/chat-pair.ts';
import { openChat, type Asked, type ChatSocket } from '../../helpers/chat-socket.ts';
import { historyOf } from '../../helpers/conversation.ts';
import { liveChanges } from '../../helpers/follower.ts';
import { dumpObject } from '../../helpers/object-tables.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** What sockets hear of the next change, which is the only one: the rows of its messages. */
async function rowsUpTo(socket: ChatSocket, rev: number) {
  return (await changesUpTo(socket, rev)).flatMap(({ messages }) => messages);
}

afterEach(() => {
  vi.useRealTimers();
});

describe('send', () => {
  test('is answered with n, rev, id and time, which both members then see in `changes`, history and a welcome', async () => {
    const { john, johns, rays, conversationId } = await chatPair();
    const before = Date.now();
    const ok = await johns.say('Hello', { ref: 'first' });
    expect(ok).toEqual({
      type: 'ok',
      ref: 'first',
      n: 1,
      rev: 3,
      id: expect.stringMatching(UUID),
      created_at: expect.any(Number),
    });
    expect(ok.created_at).toBeGreaterThanOrEqual(before);
    expect(ok.created_at).toBeLessThanOrEqual(Date.now());

    const row = {
      n: 1,
      rev: 3,
      id: ok.id,
      sender_id: john.id,
      ref: 'first',
      text: 'Hello',
      reply_to: null,
      created_at: ok.created_at,
      edited_at: null,
      deleted_at: null,
      reactions: [],
    };
    for (const socket of [johns, rays]) {
      expect(await rowsUpTo(socket, ok.rev)).toEqual([row]);
      expect((await pageOf(socket)).messages).toEqual([row]);
    }
    expect((await openChat(conversationId, john.access)).welcome.snapshot?.messages).toEqual([row]);
  });

  test('is in the original’s history, of both members', async () => {
    const { john, ray, johns, rays } = await chatPair();
    await johns.say('from john');
    await rays.say('from ray');
    expect(await historyOf(john, ray)).toEqual(['from john', 'from ray']);
    expect(await historyOf(ray, john)).toEqual(['from john', 'from ray']);
  });

  test.each(['one’s own', 'the other’s'])('may reply to a message: %s', async (whose) => {
    const { johns, rays } = await chatPair();
    await (whose === 'one’s own' ? johns : rays).say('one');
    const { n, rev } = await johns.say('two', { reply_to: 1 });
    expect(await messageRow(rays, n)).toMatchObject({ text: 'two', reply_to: 1 });
    expect((await rowsUpTo(rays, rev)).at(-1)).toMatchObject({ n, reply_to: 1 });
  });

  test('may reply to a deleted message, which was there when its sender began to type', async () => {
    const { johns, rays } = await chatPair();
    await johns.say('one');
    await johns.ok({ type: 'delete', n: 1 });
    expect(await rays.say('two', { reply_to: 1 })).toMatchObject({ n: 2 });
  });

  test('may say that it replies to nothing', async () => {
    const { johns } = await chatPair();
    await johns.ok({ type: 'send', text: 'one', reply_to: null });
    expect(await messageRow(johns, 1)).toMatchObject({ reply_to: null });
  });

  test.each([
    ['itself', 2],
    ['the next one', 3],
    ['one far away', Number.MAX_SAFE_INTEGER],
  ])('may not reply to what is not there: %s', async (_, reply_to) => {
    const { johns, conversationId } = await chatPair();
    await johns.say('one');
    const before = await dumpObject(conversationId);
    expect(await johns.refused({ type: 'send', text: 'two', reply_to })).toBe('unknown_reply_to');
    expect(await dumpObject(conversationId)).toEqual(before);
  });

  test('by both members in turn takes n and rev without a gap', async () => {
    const { johns, rays } = await chatPair();
    for (const socket of [johns, rays, rays, johns]) await socket.say('Hello');
    const { messages, rev } = await pageOf(johns);
    expect(messages.map(({ n }) => n)).toEqual([1, 2, 3, 4]);
    const members = (await johns.sync(0)).flatMap((changes) => changes.members);
    const revs = [...messages, ...members].map((row) => row.rev);
    expect(new Set(revs).size).toBe(revs.length);
    expect(Math.max(...revs)).toBe(rev);
  });
});

describe('edit', () => {
  test('gives a message another text and the next rev; place, id and time of sending stay', async () => {
    const { john, ray, johns, rays } = await chatPair();
    const sent = await johns.say('Hello', { ref: 'first' });
    await rays.say('What?');
    const before = await messageRow(johns, 1);
    const ok = await johns.ok({ type: 'edit', n: 1, text: 'Hello, Ray', ref: 'second' });
    expect(ok).toEqual({ type: 'ok', ref: 'second', n: 1, rev: expect.any(Number) });
    expect(ok.rev).toBeGreaterThan((await messageRow(johns, 2)).rev);

    const row = { ...before, rev: ok.rev, text: 'Hello, Ray', edited_at: expect.any(Number) };
    for (const socket of [johns, rays]) {
      expect(await messageRow(socket, 1)).toEqual(row);
      expect((await rowsUpTo(socket, ok.rev)).filter(({ n }) => n === 1).at(-1)).toEqual(row);
    }
    expect((await messageRow(johns, 1)).edited_at).toBeGreaterThanOrEqual(sent.created_at ?? Infinity);
    expect(await historyOf(ray, john)).toEqual(['Hello, Ray', 'What?']);
  });

  test('moves no time back when the clock was set back', async () => {
    const { johns } = await chatPair();
    const { created_at = 0 } = await johns.say('one');
    vi.useFakeTimers({ now: created_at - 60_000, toFake: ['Date'] });
    await johns.ok({ type: 'edit', n: 1, text: 'two' });
    expect((await messageRow(johns, 1)).edited_at).toBeGreaterThanOrEqual(created_at);
    await johns.ok({ type: 'delete', n: 1 });
    expect((await messageRow(johns, 1)).deleted_at).toBeGreaterThanOrEqual(created_at);
  });

  test('keeps the reactions', async () => {
    const { ray, johns, rays } = await chatPair();
    await johns.say('one');
    await rays.ok({ type: 'react', n: 1, emoji: '👍', on: true });
    await johns.ok({ type: 'edit', n: 1, text: 'two' });
    expect(await messageRow(johns, 1)).toMatchObject({ text: 'two', reactions: [{ emoji: '👍', user_ids: [ray.id] }] });
  });
});

describe('delete', () => {
  test('takes text and reactions; the place stays, with everything else', async () => {
    const { john, ray, johns, rays } = await chatPair();
    await johns.say('one');
    await rays.say('two', { reply_to: 1 });
    await rays.ok({ type: 'react', n: 1, emoji: '👍', on: true });
    const before = await messageRow(johns, 1);
    const ok = await johns.ok({ type: 'delete', n: 1, ref: 'gone' });
    expect(ok).toEqual({ type: 'ok', ref: 'gone', n: 1, rev: before.rev + 1 });

    const row = { ...before, rev: ok.rev, text: null, deleted_at: expect.any(Number), reactions: [] };
    for (const socket of [johns, rays]) {
      expect((await pageOf(socket)).messages).toEqual([row, expect.objectContaining({ n: 2, reply_to: 1 })]);
      expect((await rowsUpTo(socket, ok.rev)).at(-1)).toEqual(row);
    }
    expect(await historyOf(ray, john)).toEqual(['two']);
    expect((await rays.say('three')).n).toBe(3);
  });

  test('leaves nothing of the text and the reactions behind', async () => {
    const { johns, rays, conversationId } = await chatPair();
    await johns.say('a great secret');
    await johns.ok({ type: 'edit', n: 1, text: 'a greater secret' });
    await rays.ok({ type: 'react', n: 1, emoji: '👍', on: true });
    await johns.ok({ type: 'delete', n: 1 });
    const stored = await dumpObject(conversationId);
    expect(stored.reactions).toEqual([]);
    expect(JSON.stringify(stored)).not.toContain('secret');
  });

  test.each<[string, Asked]>([
    ['edited', { type: 'edit', n: 1, text: 'back again' }],
    ['reacted to', { type: 'react', n: 1, emoji: '👍', on: true }],
    ['freed of a reaction', { type: 'react', n: 1, emoji: '👍', on: false }],
  ])('is for good: the message cannot be %s any more', async (_, frame) => {
    const { johns, conversationId } = await chatPair();
    await johns.say('one');
    await johns.ok({ type: 'react', n: 1, emoji: '👍', on: true });
    await johns.ok({ type: 'delete', n: 1 });
    const before = await dumpObject(conversationId);
    expect(await johns.refused(frame)).toBe('message_deleted');
    expect(await dumpObject(conversationId)).toEqual(before);
  });
});

describe('a message of the other member', () => {
  test.each<[string, Asked]>([
    ['edit', { type: 'edit', n: 1, text: 'mine now' }],
    ['edit to the same text', { type: 'edit', n: 1, text: 'one' }],
    ['delete', { type: 'delete', n: 1 }],
  ])('cannot be changed: %s', async (_, frame) => {
    const { johns, rays, conversationId } = await chatPair();
    await johns.say('one');
    const before = await dumpObject(conversationId);
    expect(await errorOf(rays, { ...frame, ref: 'mine' })).toMatchObject({ code: 'not_your_message', ref: 'mine' });
    expect(await dumpObject(conversationId)).toEqual(before);
  });

  test('cannot be deleted again either', async () => {
    const { johns, rays } = await chatPair();
    await johns.say('one');
    await johns.ok({ type: 'delete', n: 1 });
    expect(await rays.refused({ type: 'delete', n: 1 })).toBe('not_your_message');
  });
});

test.each<[string, Asked]>([
  ['edit', { type: 'edit', n: 2, text: 'two' }],
  ['delete', { type: 'delete', n: 2 }],
  ['react', { type: 'react', n: 2, emoji: '👍', on: true }],
  ['react off', { type: 'react', n: Number.MAX_SAFE_INTEGER, emoji: '👍', on: false }],
])('a message that is not there cannot be changed: %s', async (_, frame) => {
  const { johns, conversationId } = await chatPair();
  await johns.say('one');
  const before = await dumpObject(conversationId);
  expect(await johns.refused(frame)).toBe('no_such_message');
  expect(await dumpObject(conversationId)).toEqual(before);
});

describe('what changes nothing takes no rev and is told to nobody, but is answered with what is there', () => {
  test.each<[string, Asked[], Asked]>([
    ['an edit to the same text', [], { type: 'edit', n: 1, text: 'one' }],
    ['a second deletion', [{ type: 'delete', n: 1 }], { type: 'delete', n: 1 }],
    [
      'a reaction that is there',
      [{ type: 'react', n: 1, emoji: '👍', on: true }],
      { type: 'react', n: 1, emoji: '👍', on: true },
    ],
    ['taking back one that is not', [], { type: 'react', n: 1, emoji: '👍', on: false }],
  ])('%s', async (_, first, frame) => {
    const { johns, rays } = await chatPair();
    await johns.say('one');
    for (const earlier of first) await johns.ok(earlier);
    const before = await messageRow(johns, 1);
    const { rev } = await pageOf(johns);
    await changesUpTo(rays, rev);
    const told = liveChanges(rays).length;

    expect(await johns.ok({ ...frame, ref: 'idle' })).toEqual({ type: 'ok', ref: 'idle', n: 1, rev: before.rev });
    expect(await messageRow(johns, 1)).toEqual(before);
    const next = await johns.say('two');
    expect(next.rev).toBe(rev + 1);
    await changesUpTo(rays, next.rev);
    expect(liveChanges(rays).slice(told)).toMatchObject([{ after: rev, messages: [{ n: 2 }] }]);
  });
});
