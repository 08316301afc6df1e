import { runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  RATE_FRAME_BYTES,
  RATE_PAGE_TOKENS,
  RATE_REFUSALS_MAX,
  REACTION_KINDS_MAX,
  REACTIONS_MAX,
} from '../../../src/config.ts';
import { tags } from '../../../src/objects/connection.ts';
import { parseEmoji } from '../../../src/protocol/emoji.ts';
import { settings } from '../../../src/settings.ts';
import { openChat, type Asked, type ChatSocket } from '../../helpers/chat-socket.ts';
import { objectOf, open, query, storedTexts } from '../../helpers/conversation.ts';
import { pairInConversation } from '../../helpers/people.ts';
import { connect, type TestSocket } from '../../helpers/socket.ts';

const usual = { ...settings };

const allow = (rateBurst: number, ratePerSecond = 2) => Object.assign(settings, { rateBurst, ratePerSecond });

/** Sends frames at once, and returns what each is answered: `ok`, or how long to wait. */
async function outcomes(socket: ChatSocket, frames: Asked[]): Promise<unknown[]> {
  const sent = frames.map((frame) => ({ ...frame, ref: crypto.randomUUID() }));
  for (const frame of sent) socket.send(frame);
  const answers = [];
  for (const { ref } of sent) answers.push(await socket.answer(ref));
  return answers.map((answer) => {
    if (answer.type !== 'error') return 'ok';
    return answer.code === 'rate_limited' ? answer.retry_after_ms : answer.code;
  });
}

const message = (text = 'message'): Asked => ({ type: 'send', text });
const react = (emoji: string, on = true): Asked => ({ type: 'react', n: 1, emoji, on });
const messages = (count: number) => Array.from({ length: count }, () => message());

/** Frames of a raw socket until so many are answers. */
async function answersOf(socket: TestSocket, count: number): Promise<{ type: string; code?: string }[]> {
  const answers: { type: string; code?: string }[] = [];
  while (answers.length < count) {
    const frame = JSON.parse(await socket.next());
    if (frame.type === 'ok' || frame.type === 'error') answers.push(frame);
  }
  return answers;
}

/** Emoji of one code point each. */
const manyEmoji = Array.from({ length: 0x350 }, (_, i) => String.fromCodePoint(0x1f300 + i)).filter(
  (it) => parseEmoji(it) === it,
);

beforeEach(() => {
  vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
});

afterEach(() => {
  vi.useRealTimers();
  Object.assign(settings, usual);
});

test('a burst of 1500 messages passes, without any time for tokens to come back', async () => {
  const { john, conversationId } = await pairInConversation();
  const socket = await connect(conversationId, undefined, { protocols: ['chat.v1', `bearer.${john.access}`] });
  for (let i = 1; i <= 1500; i += 1) {
    socket.send(JSON.stringify({ type: 'send', ref: `ref ${i}`, text: `message ${i}` }));
  }
  const answers = await answersOf(socket, 1500);
  expect(answers.filter(({ type }) => type !== 'ok')).toEqual([]);
  expect(await storedTexts(conversationId)).toEqual(Array.from({ length: 1500 }, (_, i) => `message ${i + 1}`));
}, 60_000);

describe('beyond the burst', () => {
  test('every frame is answered rate_limited, with a time after which it passes, and not sooner', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    allow(3);
    expect(await outcomes(johns, messages(6))).toEqual(['ok', 'ok', 'ok', 500, 500, 500]);
    const start = Date.now();
    vi.setSystemTime(start + 499);
    expect(await outcomes(johns, messages(1))).toEqual([1]);
    vi.setSystemTime(start + 500);
    expect(await outcomes(johns, messages(2))).toEqual(['ok', 500]);
    expect(await storedTexts(conversationId)).toHaveLength(4);
  });

  test('a refused frame passes later under the same ref, as new', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    allow(1);
    await johns.say('one');
    expect(await johns.refused({ type: 'send', text: 'two', ref: 'two' })).toBe('rate_limited');
    vi.setSystemTime(Date.now() + 500);
    const answer = await johns.ok({ type: 'send', text: 'two', ref: 'two' });
    expect(answer.duplicate).toBeUndefined();
    expect(await storedTexts(conversationId)).toEqual(['one', 'two']);
  });

  test.each([
    ['mark', JSON.stringify({ type: 'mark', read: 1 })],
    ['typing', JSON.stringify({ type: 'typing', on: true })],
    ['no JSON at all', 'nonsense'],
  ])('what is not answered, or no frame, is told so as well: %s', async (_, frame) => {
    const { john, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    allow(1);
    await johns.say('one');
    johns.sendRaw(frame);
    expect(await johns.next('error')).toMatchObject({ code: 'rate_limited', retry_after_ms: 500 });
  });

  test('the sockets of one user share one bucket, and others have their own', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const first = await openChat(conversationId, john.access);
    const second = await openChat(conversationId, john.access);
    const rays = await openChat(conversationId, ray.access);
    allow(2);
    expect(await outcomes(first, messages(1))).toEqual(['ok']);
    expect(await outcomes(second, messages(2))).toEqual(['ok', 500]);
    expect(await outcomes(first, messages(1))).toEqual([500]);
    expect(await outcomes(rays, messages(3))).toEqual(['ok', 'ok', 500]);
  });

  test('a plain socket is told in words', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await open(conversationId, john.access);
    allow(1);
    johns.say('one', ray.id);
    johns.say('two', ray.id);
    expect((await johns.take(2))[1]).toBe('Error: You are too fast. Try again in 500 ms.');
    vi.setSystemTime(Date.now() + 500);
    johns.say('three', ray.id);
    await johns.next();
    expect(await storedTexts(conversationId)).toEqual(['one', 'three']);
  });
});

describe('what a frame costs', () => {
  test('is a token for each of its kibibytes', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    allow(10, 1);
    const long = message('x'.repeat(4 * RATE_FRAME_BYTES - 200));
    expect(await outcomes(johns, [long, long, long])).toEqual(['ok', 'ok', 2000]);
    expect(await outcomes(johns, messages(3))).toEqual(['ok', 'ok', 1000]);
  });

  test.each<[string, Asked]>([
    ['history', { type: 'history' }],
    ['sync', { type: 'sync', after: 0 }],
  ])(`is ${RATE_PAGE_TOKENS} tokens for %s`, async (_, frame) => {
    const { john, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    allow(RATE_PAGE_TOKENS + 1, 1);
    expect(await outcomes(johns, [frame, frame])).toEqual(['ok', (RATE_PAGE_TOKENS - 1) * 1000]);
    expect(await outcomes(johns, messages(2))).toEqual(['ok', 1000]);
  });

  test('is counted in bytes, not in characters', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    allow(5, 1);
    expect(await outcomes(johns, [message('€'.repeat(RATE_FRAME_BYTES)), ...messages(2)])).toEqual(['ok', 'ok', 1000]);
  });

  test('is, for a reaction, also that of the message that it is on: everyone is sent that again', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const [johns, rays] = [await openChat(conversationId, john.access), await openChat(conversationId, ray.access)];
    await johns.say('x'.repeat(3 * RATE_FRAME_BYTES));
    await johns.say('short');
    allow(5, 1);
    const reactTo = (n: number, on: boolean) => rays.ask({ type: 'react', n, emoji: '👍', on });
    expect(await reactTo(1, true)).toMatchObject({ type: 'ok' });
    expect(await reactTo(1, false)).toMatchObject({ code: 'rate_limited', retry_after_ms: 3000 });
    expect(await reactTo(2, true)).toMatchObject({ type: 'ok' });
  });
});

describe('who goes on sending', () => {
  test(`is closed with 4429 after ${RATE_REFUSALS_MAX} refusals, each of them answered, and heard no more`, async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    const johns = await openChat(conversationId, john.access);
    allow(1);
    const refused = await outcomes(johns, messages(1 + RATE_REFUSALS_MAX));
    expect(refused).toEqual(['ok', ...Array<number>(RATE_REFUSALS_MAX).fill(500)]);

    await runInDurableObject(objectOf(conversationId), (object, state) => {
      const [socket] = state.getWebSockets(tags.user(john.id));
      if (!socket) throw new Error('The socket is gone already.');
      object.webSocketMessage(socket, JSON.stringify({ type: 'send', ref: 'last', text: 'last' }));
      allow(100);
      object.webSocketMessage(socket, JSON.stringify({ type: 'send', ref: 'later', text: 'later' }));
    });
    expect(await johns.answer('last')).toMatchObject({ type: 'error', code: 'rate_limited' });
    expect(await johns.closed).toMatchObject({ code: 4429 });
    expect(await storedTexts(conversationId)).toEqual(['message']);
    await rays.say('here');
  }, 30_000);

  test('over plain frames is closed with 4429 as well', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await open(conversationId, john.access);
    allow(1);
    for (let i = 0; i <= RATE_REFUSALS_MAX + 1; i += 1) johns.say('message', ray.id);
    expect(await johns.closed).toMatchObject({ code: 4429 });
    expect(johns.pending.filter((frame) => frame.startsWith('Error: You are too fast.'))).toHaveLength(
      RATE_REFUSALS_MAX + 1,
    );
    expect(await storedTexts(conversationId)).toHaveLength(1);
  }, 30_000);

  test('is heard again once the bucket has filled', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    allow(1);
    await outcomes(johns, messages(1 + RATE_REFUSALS_MAX));
    vi.setSystemTime(Date.now() + 500);
    expect(await outcomes(johns, messages(3))).toEqual(['ok', 500, 500]);
  }, 30_000);
});

describe('a flood of reactions', () => {
  test(`leaves a message with ${REACTION_KINDS_MAX} emoji, and every other one is refused`, async () => {
    allow(1_000_000);
    const { john, ray, conversationId } = await pairInConversation();
    const chat = (token: string) => connect(conversationId, undefined, { protocols: ['chat.v1', `bearer.${token}`] });
    const people = [
      { id: john.id, socket: await chat(john.access) },
      { id: ray.id, socket: await chat(ray.access) },
    ];
    const count = 10_000;
    people[0]?.socket.send(JSON.stringify({ type: 'send', ref: 'one', text: 'one' }));
    await answersOf(people[0]!.socket, 1);
    await runInDurableObject(objectOf(conversationId), (object, state) => {
      for (const { id } of people) {
        const [socket] = state.getWebSockets(tags.user(id));
        for (let i = 0; i < count; i += 1) {
          const emoji = manyEmoji[i % manyEmoji.length];
          object.webSocketMessage(socket!, JSON.stringify({ type: 'react', ref: `react ${i}`, n: 1, emoji, on: true }));
        }
      }
    });

    const known = Array.from({ length: count }, (_, i) => i % manyEmoji.length).filter((i) => i < REACTION_KINDS_MAX);
    for (const { socket } of people) {
      const answers = await answersOf(socket, count);
      expect(answers.filter(({ type }) => type === 'ok')).toHaveLength(known.length);
      expect(answers.filter(({ code }) => code === 'too_many_reactions')).toHaveLength(count - known.length);
    }
    const rows = await query<{ emoji: string }>(conversationId, 'SELECT emoji FROM reactions WHERE n = 1');
    expect(rows).toHaveLength(2 * REACTION_KINDS_MAX);
    expect(new Set(rows.map(({ emoji }) => emoji))).toEqual(new Set(manyEmoji.slice(0, REACTION_KINDS_MAX)));
  }, 60_000);

  test(`leaves a message with ${REACTIONS_MAX} reactions of all, and makes room when one is taken back`, async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    const rays = await openChat(conversationId, ray.access);
    await johns.say('one');
    await query(
      conversationId,
      `INSERT INTO reactions (n, emoji, user_id, rev)
         WITH RECURSIVE others (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM others WHERE i < ?)
         SELECT 1, '👍', 'user ' || i, i FROM others`,
      REACTIONS_MAX - 1,
    );
    await johns.ok(react('👍'));
    expect(await rays.refused(react('👍'))).toBe('too_many_reactions');
    expect(await rays.refused(react('🎉'))).toBe('too_many_reactions');
    await johns.ok(react('👍', false));
    await rays.ok(react('🎉'));
  });
});
