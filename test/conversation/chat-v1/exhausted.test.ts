import { runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { RATE_BURST, RATE_PAGE_TOKENS, RATE_REFUSALS_MAX } from '../../../src/config.ts';
import { tags } from '../../../src/objects/connection.ts';
import { settings } from '../../../src/settings.ts';
import { chatPair, handled, pageOf } from '../../helpers/chat-pair.ts';
import { ChatSocket, openChat } from '../../helpers/chat-socket.ts';
import { objectOf, storedTexts } from '../../helpers/conversation.ts';
import { connect, upgrade } from '../../helpers/socket.ts';
import { dumpObject } from '../../helpers/object-tables.ts';

const NOW = Date.now();

const sendFrame = (ref: string) => JSON.stringify({ type: 'send', ref, text: ref });
const sends = (count: number) => Array.from({ length: count }, (_, i) => sendFrame(`message ${i}`));

/** Hands frames to the object as if they came over the first socket of a user. */
async function flood(conversationId: string, { id }: { id: string }, frames: string[]): Promise<void> {
  await runInDurableObject(objectOf(conversationId), (object, state) => {
    const [socket] = state.getWebSockets(tags.user(id));
    if (!socket) throw new Error('They have no socket.');
    for (const frame of frames) object.webSocketMessage(socket, frame);
  });
}

/** How long a frame must wait; 0 if it passes. */
async function waitOf(socket: ChatSocket, ref: string): Promise<number> {
  const answer = await socket.ask({ type: 'send', ref, text: ref });
  return answer.type === 'error' ? (answer.retry_after_ms ?? NaN) : 0;
}

/** john and ray, who have been here for long enough that each has `burst` tokens. */
async function pairWithTokens(burst: number, perSecond: number) {
  const pair = await chatPair();
  Object.assign(settings, { rateBurst: burst, ratePerSecond: perSecond });
  return pair;
}

/** The same, and john has used his. */
async function exhausted() {
  const pair = await pairWithTokens(3, 2);
  for (const ref of ['1', '2', '3']) await pair.johns.say(ref, { ref });
  await handled(pair.rays);
  return pair;
}

/** john may connect twice more. */
async function twiceMore() {
  const pair = await pairWithTokens(2 * RATE_PAGE_TOKENS, RATE_PAGE_TOKENS);
  for (let i = 0; i < 2; i += 1) await openChat(pair.conversationId, pair.john.access);
  return pair;
}

const standard = { ...settings };

beforeEach(() => {
  vi.useFakeTimers({ now: NOW, toFake: ['Date'] });
});
afterEach(() => {
  Object.assign(settings, standard);
  vi.useRealTimers();
});

describe('who has no tokens left', () => {
  test.each<[string, object]>([
    ['send', { type: 'send', ref: 'r', text: 'x' }],
    ['a repeat', { type: 'send', ref: '1', text: 'x' }],
    ['edit', { type: 'edit', ref: 'r', n: 1, text: 'x' }],
    ['delete', { type: 'delete', ref: 'r', n: 1 }],
    ['react', { type: 'react', ref: 'r', n: 1, emoji: '👍', on: true }],
    ['history', { type: 'history', ref: 'r' }],
    ['sync', { type: 'sync', ref: 'r', after: 0 }],
    ['mark', { type: 'mark', read: 1 }],
    ['typing', { type: 'typing', on: true }],
    ['an unknown type', { type: 'hello', ref: 'r' }],
    ['what is no frame', []],
  ])('is refused every frame, each with the time to wait, and changes nothing: %s', async (_, frame) => {
    const { johns, rays, conversationId } = await exhausted();
    const before = await dumpObject(conversationId);
    for (let i = 0; i < 3; i += 1) johns.sendRaw(JSON.stringify(frame));
    for (let i = 0; i < 3; i += 1) {
      expect(await johns.next('error')).toEqual({
        type: 'error',
        ...('ref' in frame && { ref: frame.ref }),
        code: 'rate_limited',
        message: expect.any(String),
        retry_after_ms: expect.any(Number),
      });
    }
    expect(await dumpObject(conversationId)).toEqual(before);
    await handled(rays);
    expect(rays.frames.some(({ type }) => type === 'typing')).toBe(false);
    expect(johns.pending.filter(({ type }) => type === 'error')).toEqual([]);
  });

  test('has none on any kind of socket: plain ones use the same', async () => {
    const pair = await chatPair();
    const plain = await connect(pair.conversationId, pair.john.access);
    Object.assign(settings, { rateBurst: 3, ratePerSecond: 2 });
    for (let i = 0; i < 4; i += 1) plain.say(`message ${i}`, pair.ray.id);
    expect((await plain.take(4))[3]).toBe('Error: You are too fast. Try again in 500 ms.');
    expect(await waitOf(pair.johns, 'x')).toBe(500);
    expect(await waitOf(pair.rays, 'x')).toBe(0);
  });

  test('is still answered `ping`', async () => {
    const { johns } = await exhausted();
    await johns.settled().catch(() => {});
    johns.sendRaw('ping');
    const frames = [await johns.socket.next()];
    while (frames.at(-1) !== 'pong') frames.push(await johns.socket.next());
    expect(frames.filter((frame) => frame.includes('rate_limited'))).toEqual([]);
  });

  test('still hears what others say', async () => {
    const { johns, rays } = await exhausted();
    await rays.say('still here');
    const heard = await johns.next('changes', ({ messages }) => messages.some(({ text }) => text === 'still here'));
    expect(heard.messages).toContainEqual(expect.objectContaining({ n: 4 }));
  });

  test('loses nothing and keeps the order by waiting as told', async () => {
    const { johns, conversationId } = await exhausted();
    const texts = Array.from({ length: 20 }, (_, i) => `message ${i}`);
    let now = NOW;
    for (const text of texts) {
      for (let wait = 1; wait > 0; now += wait) {
        vi.setSystemTime(now);
        wait = await waitOf(johns, text);
      }
    }
    expect((await storedTexts(conversationId)).slice(3)).toEqual(texts);
    expect(now - NOW).toBeLessThanOrEqual(texts.length * 500);
  });

  test('passes again when the time has passed in which the tokens come back, and no more often', async () => {
    const { johns } = await pairWithTokens(10, 5);
    for (let round = 0; round < 3; round += 1) {
      vi.setSystemTime(NOW + round * 2000);
      for (let i = 0; i < 10; i += 1) expect(await waitOf(johns, `${round} ${i}`)).toBe(0);
      expect(await waitOf(johns, `${round} beyond`)).toBe(200);
    }
  });
});

describe('connecting costs as much as a page', () => {
  test('and is refused a chat.v1 socket by an `error` with the time to wait, then 4429', async () => {
    const { john, conversationId } = await twiceMore();
    const socket = await connect(conversationId, undefined, { protocols: ['chat.v1', `bearer.${john.access}`] });
    expect(await new ChatSocket(socket).next('error')).toEqual({
      type: 'error',
      code: 'rate_limited',
      message: expect.any(String),
      retry_after_ms: 1000,
    });
    expect(await socket.closed).toMatchObject({ code: 4429 });
    expect(socket.pending).toEqual([]);
  });

  test('and is refused a plain socket by 429 with the time to wait', async () => {
    const { john, conversationId } = await twiceMore();
    const response = await upgrade(conversationId, john.access);
    expect(response.status).toBe(429);
    expect(response.headers.get('Retry-After')).toBe('1');
    expect(await response.json()).toMatchObject({ code: 'rate_limited' });
  });

  test('and passes after that time; others may connect meanwhile, and the sockets that are open stay', async () => {
    const { john, ray, johns, conversationId } = await twiceMore();
    expect((await upgrade(conversationId, john.access)).status).toBe(429);
    await openChat(conversationId, ray.access);
    vi.setSystemTime(NOW + 1000);
    await openChat(conversationId, john.access);
    vi.setSystemTime(NOW + 2000);
    expect(await waitOf(johns, 'still here')).toBe(0);
  });
});

describe(`who goes on after ${RATE_REFUSALS_MAX} refusals`, () => {
  test('may come back, and is served when the time has come', async () => {
    const { john, conversationId } = await pairWithTokens(100, 1);
    await flood(conversationId, john, sends(101 + RATE_REFUSALS_MAX));
    vi.setSystemTime(NOW + 100_000);
    const again = await openChat(conversationId, john.access);
    expect((await again.say('calm')).n).toBe(101);
    expect((await pageOf(again)).messages.at(-1)).toMatchObject({ text: 'calm' });
  });

  test('is not closed by a frame that passes, however much other sockets of theirs were refused', async () => {
    const { john, johns, conversationId } = await chatPair();
    const others: ChatSocket[] = [];
    for (let i = 0; i < 3; i += 1) others.push(await openChat(conversationId, john.access));
    Object.assign(settings, { rateBurst: 100, ratePerSecond: 1 });
    const [last, ...tooSoon] = others as [ChatSocket, ...ChatSocket[]];
    await flood(conversationId, john, sends(101 + RATE_REFUSALS_MAX));
    expect(await johns.closed).toMatchObject({ code: 4429 });
    for (const socket of tooSoon) expect(await waitOf(socket, 'too soon')).toBe(1000);
    vi.setSystemTime(NOW + 2000);
    for (const ref of ['in time', 'in time too']) expect(await waitOf(last, ref)).toBe(0);
    vi.setSystemTime(NOW + 3000);
    expect(await waitOf(last, 'still there')).toBe(0);
  });
});

test('20,000 frames at one moment: the burst passes, some are refused, the rest finds the socket closed', async () => {
  const { john, johns, rays, conversationId } = await chatPair();
  await flood(conversationId, john, sends(20_000));
  expect(await johns.closed).toMatchObject({ code: 4429 });
  const texts = await storedTexts(conversationId);
  expect(texts).toEqual(texts.map((_, i) => `message ${i}`));
  expect(texts).toHaveLength(RATE_BURST - RATE_PAGE_TOKENS);
  void johns.pending;
  const refusals = johns.frames.filter((frame) => frame.type === 'error');
  expect(refusals).toHaveLength(RATE_REFUSALS_MAX + 1);
  expect((await rays.say('still here')).n).toBe(texts.length + 1);
}, 30_000);
