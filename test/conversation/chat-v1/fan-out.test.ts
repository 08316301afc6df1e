import { runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CHANGES_INTERVAL_MS, MARKS_INTERVAL_MS, MESSAGE_MAX_LENGTH, PAGE_MAX_BYTES } from '../../../src/config.ts';
import type { MessageRow } from '../../../src/protocol/rows.ts';
import { encodeFrame } from '../../../src/protocol/server-frames.ts';
import { utf8Bytes } from '../../../src/protocol/text.ts';
import { openChat, type Asked, type ChatSocket } from '../../helpers/chat-socket.ts';
import { objectOf } from '../../helpers/conversation.ts';
import { expectContiguous, liveChanges } from '../../helpers/follower.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** john and ray, with a chat.v1 socket each, which have been told of each other. */
async function chatting() {
  const pair = await pairInConversation();
  const johns = await openChat(pair.conversationId, pair.john.access);
  const rays = await openChat(pair.conversationId, pair.ray.access);
  return { ...pair, johns, rays };
}

/** From here on, a while after anything that was told before, neither clock nor timers move, but by {@link pass}. */
function stopTime(): void {
  vi.useFakeTimers({ now: Date.now() + MARKS_INTERVAL_MS, toFake: ['Date', 'setTimeout', 'clearTimeout'] });
}

/** Lets time pass for the object of a conversation. */
async function pass(conversationId: string, milliseconds: number): Promise<void> {
  await runInDurableObject(objectOf(conversationId), () => {
    vi.advanceTimersByTime(milliseconds);
  });
}

function pipeline(socket: ChatSocket, count: number, text = 'message'): string[] {
  const refs = Array.from({ length: count }, () => crypto.randomUUID());
  refs.forEach((ref, index) => socket.send({ type: 'send', ref, text: `${text} ${index}` }));
  return refs;
}

/** Resolves when the server has handled what a socket sent before, by a frame that asks for nothing. */
async function handled(socket: ChatSocket): Promise<void> {
  const ref = crypto.randomUUID();
  socket.sendRaw(JSON.stringify({ type: 'nonsense', ref }));
  await socket.answer(ref);
}

const rowsOf = (socket: ChatSocket): MessageRow[] => liveChanges(socket).flatMap(({ messages }) => messages);

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('rule 1, the answer comes before the fan-out', () => {
  test.each<[string, Asked]>([
    ['send', { type: 'send', text: 'two' }],
    ['edit', { type: 'edit', n: 1, text: 'changed' }],
    ['react', { type: 'react', n: 1, emoji: '👍', on: true }],
    ['delete', { type: 'delete', n: 1 }],
  ])('%s', async (_, frame) => {
    const { johns, conversationId } = await chatting();
    stopTime();
    await johns.say('one');
    await pass(conversationId, CHANGES_INTERVAL_MS);
    await johns.settled();
    const heard = johns.frames.length;

    const { n, rev } = await johns.ok(frame);
    await johns.settled();
    const [first, second] = johns.frames.slice(heard);
    expect(first).toMatchObject({ type: 'ok', n, rev });
    expect(second).toMatchObject({ type: 'changes', messages: [{ n, rev }] });
  });
});

describe('rule 1, changes that come close together travel together', () => {
  test('a lone one is told at once: no time passes', async () => {
    const { johns, rays } = await chatting();
    stopTime();
    await johns.say('one');
    await Promise.all([johns.settled(), rays.settled()]);
    for (const socket of [johns, rays]) {
      expect(liveChanges(socket)).toMatchObject([{ after: 2, rev: 4, messages: [{ n: 1 }], more: false }]);
    }
  });

  test('a lone one is told at once again when the interval has passed', async () => {
    const { johns, rays, conversationId } = await chatting();
    stopTime();
    await johns.say('one');
    await pass(conversationId, CHANGES_INTERVAL_MS);
    await johns.say('two');
    await rays.settled();
    expect(rowsOf(rays).map(({ text }) => text)).toEqual(['one', 'two']);
  });

  test('one that comes close behind another waits for no longer than the interval', async () => {
    const { johns, rays, conversationId } = await chatting();
    stopTime();
    await johns.say('one');
    await johns.say('two');
    await pass(conversationId, CHANGES_INTERVAL_MS - 1);
    await rays.settled();
    expect(rowsOf(rays).map(({ text }) => text)).toEqual(['one']);
    await pass(conversationId, 1);
    await rays.settled();
    expect(rowsOf(rays).map(({ text }) => text)).toEqual(['one', 'two']);
  });

  test('a mark that waits goes with the next message', async () => {
    const { johns, rays, ray, conversationId } = await chatting();
    stopTime();
    await johns.say('one');
    await pass(conversationId, CHANGES_INTERVAL_MS);
    rays.send({ type: 'mark', read: 1 });
    await handled(rays);
    await johns.settled();
    expect(liveChanges(johns)).toHaveLength(1);
    await johns.say('two');
    await johns.settled();
    const [, second, ...others] = liveChanges(johns);
    expect(second?.messages).toMatchObject([{ n: 2 }]);
    expect(second?.members).toContainEqual(expect.objectContaining({ user_id: ray.id, read: 1 }));
    expect(others).toEqual([]);
  });

  test('a message does not wait for a mark that waits', async () => {
    const { johns, rays, conversationId } = await chatting();
    stopTime();
    await johns.say('one');
    rays.send({ type: 'mark', read: 1 });
    await handled(rays);
    await johns.say('two');
    await pass(conversationId, CHANGES_INTERVAL_MS);
    await rays.settled();
    expect(rowsOf(rays).map(({ text }) => text)).toEqual(['one', 'two']);
  });

  test('reading does not hurry a mark that waits (rule 7)', async () => {
    const { johns, rays, conversationId } = await chatting();
    stopTime();
    await johns.say('one');
    await pass(conversationId, CHANGES_INTERVAL_MS);
    rays.send({ type: 'mark', read: 1 });
    await rays.ask({ type: 'history' });
    await rays.ask({ type: 'sync', after: 0 });
    await handled(johns);
    expect(liveChanges(johns)).toHaveLength(1);
    await pass(conversationId, MARKS_INTERVAL_MS - CHANGES_INTERVAL_MS);
    await johns.settled();
    expect(liveChanges(johns)).toHaveLength(2);
  });

  test('200 pipelined messages travel in two frames, the first with what came first', async () => {
    const { johns, rays, conversationId } = await chatting();
    stopTime();
    pipeline(johns, 200);
    await johns.settled();
    await pass(conversationId, CHANGES_INTERVAL_MS);
    await Promise.all([johns.settled(), rays.settled()]);
    for (const socket of [johns, rays]) {
      expect(liveChanges(socket).map(({ messages }) => messages.length)).toEqual([1, 199]);
      expectContiguous(liveChanges(socket), socket.welcome.rev);
    }
  });

  test('what is too much for one frame goes out in several, which follow one another', async () => {
    const { johns, rays, conversationId } = await chatting();
    stopTime();
    pipeline(johns, 200, 'x'.repeat(MESSAGE_MAX_LENGTH - 10));
    await johns.settled();
    await pass(conversationId, CHANGES_INTERVAL_MS);
    await rays.settled();
    const frames = liveChanges(rays);
    expect(frames.length).toBeGreaterThan(3);
    expect(frames.map(({ more }) => more)).toEqual([false, ...frames.slice(2).map(() => true), false]);
    for (const frame of frames) expect(utf8Bytes(encodeFrame(frame))).toBeLessThanOrEqual(PAGE_MAX_BYTES + 300);
    expectContiguous(frames, rays.welcome.rev);
    expect(rowsOf(rays).map(({ n }) => n)).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
  });

  test('200 messages pipelined from both sides, in real time: all arrive, in order, and no frame leaves a gap', async () => {
    const { johns, rays } = await chatting();
    const [fromJohn, fromRay] = [pipeline(johns, 100, 'john'), pipeline(rays, 100, 'ray')];
    for (const ref of fromJohn) await johns.answer(ref);
    for (const ref of fromRay) await rays.answer(ref);
    for (const socket of [johns, rays]) {
      if (!rowsOf(socket).some(({ n }) => n === 200)) {
        await socket.next('changes', ({ messages }) => messages.some(({ n }) => n === 200));
      }
      expectContiguous(liveChanges(socket), socket.welcome.rev);
      const rows = rowsOf(socket);
      expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
      expect(rows.map(({ ref }) => ref).filter((ref) => fromJohn.includes(ref ?? ''))).toEqual(fromJohn);
      expect(rows.map(({ ref }) => ref).filter((ref) => fromRay.includes(ref ?? ''))).toEqual(fromRay);
    }
  });

  test('a row that changes several times before it is told is told once, as it stands then', async () => {
    const { johns, rays, conversationId } = await chatting();
    stopTime();
    await johns.say('one');
    await johns.ok({ type: 'edit', n: 1, text: 'uno' });
    await johns.ok({ type: 'react', n: 1, emoji: '👍', on: true });
    const { rev } = await johns.ok({ type: 'edit', n: 1, text: 'eins' });
    await pass(conversationId, CHANGES_INTERVAL_MS);
    await rays.settled();
    const [first, second, ...others] = liveChanges(rays);
    expect(first?.messages).toMatchObject([{ n: 1, text: 'one' }]);
    expect(second).toMatchObject({ rev, messages: [{ n: 1, rev, text: 'eins', reactions: [{ emoji: '👍' }] }] });
    expect(others).toEqual([]);
  });
});
