import { afterEach, describe, expect, test, vi } from 'vitest';
import { TYPING_INTERVAL_MS } from '../../../src/config.ts';
import { openChat, type ChatSocket } from '../../helpers/chat-socket.ts';
import { open } from '../../helpers/conversation.ts';
import { dumpObject } from '../../helpers/object-tables.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** john and ray, at a time that stands still. */
async function chatting() {
  vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
  const pair = await pairInConversation();
  const johns = await openChat(pair.conversationId, pair.john.access);
  const rays = await openChat(pair.conversationId, pair.ray.access);
  return { ...pair, johns, rays };
}

/** What a socket was told of who types, once everything that was sent before has arrived. */
async function typings(socket: ChatSocket) {
  await socket.settled();
  return socket.frames.flatMap((frame) => (frame.type === 'typing' ? [[frame.user_id, frame.on]] : []));
}

const type = (socket: ChatSocket, on = true) => socket.send({ type: 'typing', on });

/** What a socket was refused. */
async function refusals(socket: ChatSocket) {
  await socket.settled();
  return socket.frames.filter((frame) => frame.type === 'error');
}

afterEach(() => {
  vi.useRealTimers();
});

describe('who types', () => {
  test('is told to the others, and so is who stops', async () => {
    const { john, johns, rays } = await chatting();
    type(johns);
    type(johns, false);
    expect(await refusals(johns)).toEqual([]);
    expect(await typings(rays)).toEqual([
      [john.id, true],
      [john.id, false],
    ]);
  });

  test('is told on every socket of the others, but on none of their own', async () => {
    const { john, ray, conversationId, johns, rays } = await chatting();
    const raysSecond = await openChat(conversationId, ray.access);
    const johnsSecond = await openChat(conversationId, john.access);
    type(johns);
    await johns.settled();
    expect(await typings(rays)).toEqual([[john.id, true]]);
    expect(await typings(raysSecond)).toEqual([[john.id, true]]);
    expect(await typings(johns)).toEqual([]);
    expect(await typings(johnsSecond)).toEqual([]);
  });

  test('is told to no plain socket', async () => {
    const { ray, john, conversationId, johns } = await chatting();
    const plain = [await open(conversationId, ray.access), await open(conversationId, john.access)];
    type(johns);
    await johns.settled();
    for (const socket of plain) {
      await socket.settled();
      expect(socket.pending).toEqual([]);
    }
  });

  test('and stops without having begun is told to nobody', async () => {
    const { johns, rays } = await chatting();
    type(johns, false);
    expect(await refusals(johns)).toEqual([]);
    expect(await typings(rays)).toEqual([]);
  });

  test('is stored nowhere', async () => {
    const { conversationId, johns } = await chatting();
    await johns.settled();
    const before = await dumpObject(conversationId);
    type(johns);
    type(johns);
    type(johns, false);
    await johns.settled();
    expect(await dumpObject(conversationId)).toEqual(before);
  });
});

describe('typing may begin', () => {
  test(`every ${TYPING_INTERVAL_MS} ms; in between it is refused, with the time to wait`, async () => {
    const { john, johns, rays } = await chatting();
    const start = Date.now();
    type(johns);
    await johns.settled();
    vi.setSystemTime(start + TYPING_INTERVAL_MS - 1);
    type(johns);
    const code = 'rate_limited';
    expect(await refusals(johns)).toMatchObject([{ type: 'error', code, retry_after_ms: 1 }]);
    expect(await typings(rays)).toEqual([[john.id, true]]);

    vi.setSystemTime(start + TYPING_INTERVAL_MS);
    type(johns);
    expect(await refusals(johns)).toHaveLength(1);
    expect(await typings(rays)).toEqual([
      [john.id, true],
      [john.id, true],
    ]);
  });

  test('no sooner for having stopped', async () => {
    const { john, johns, rays } = await chatting();
    type(johns);
    type(johns, false);
    type(johns);
    expect(await refusals(johns)).toMatchObject([{ code: 'rate_limited', retry_after_ms: TYPING_INTERVAL_MS }]);
    expect(await typings(rays)).toEqual([
      [john.id, true],
      [john.id, false],
    ]);
  });

  test('no sooner on another socket of the same user, and at any time for another user', async () => {
    const { john, ray, conversationId, johns, rays } = await chatting();
    const second = await openChat(conversationId, john.access);
    type(johns);
    await johns.settled();
    type(second);
    expect(await refusals(second)).toMatchObject([{ code: 'rate_limited', retry_after_ms: TYPING_INTERVAL_MS }]);
    type(rays);
    expect(await refusals(rays)).toEqual([]);
    expect(await typings(johns)).toEqual([[ray.id, true]]);
  });
});
