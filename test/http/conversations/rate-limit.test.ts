import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RATE_PAGE_TOKENS } from '../../../src/config.ts';
import { settings } from '../../../src/settings.ts';
import type { ApiAnswer } from '../../helpers/api.ts';
import { Caller } from '../../helpers/caller.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { storedTexts } from '../../helpers/conversation.ts';
import { pairInConversation } from '../../helpers/people.ts';

const { rateBurst, ratePerSecond } = settings;
const start = Date.now();

beforeEach(() => {
  // The clock stands still, so that no tokens come back but by `pass`.
  vi.useFakeTimers({ now: start, toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
  Object.assign(settings, { rateBurst, ratePerSecond });
});

const limit = (burst: number, perSecond: number) =>
  Object.assign(settings, { rateBurst: burst, ratePerSecond: perSecond });
const pass = (ms: number) => vi.setSystemTime(Date.now() + ms);

async function pair() {
  const { john, ray, conversationId } = await pairInConversation();
  return {
    john,
    ray,
    conversationId,
    johns: new Caller(conversationId, john),
    rays: new Caller(conversationId, ray),
  };
}

function expectTooFast({ status, headers, body }: ApiAnswer, seconds: number): void {
  expect(status).toBe(429);
  expect(headers.get('Retry-After')).toBe(String(seconds));
  expect(body).toEqual({ detail: expect.stringContaining(`${seconds * 1000} ms`), code: 'rate_limited' });
}

test('requests beyond the burst are answered 429 with Retry-After, and nothing is stored', async () => {
  const { johns, conversationId } = await pair();
  limit(3, 0.5);
  for (const text of ['1', '2', '3']) await johns.say(text);
  expectTooFast(await johns.send('4', 'key'), 2);
  expectTooFast(await johns.edit(1, 'edited'), 2);
  expectTooFast(await johns.remove(1), 2);
  expectTooFast(await johns.react(1, '👍'), 2);
  expectTooFast(await johns.unreact(1, '👍'), 2);
  expectTooFast(await johns.mark({ delivered: 1 }), 2);
  expect(await storedTexts(conversationId)).toEqual(['1', '2', '3']);
});

test('the same request passes after Retry-After, with the same key', async () => {
  const { johns, conversationId } = await pair();
  limit(1, 0.25);
  await johns.say('1');
  expectTooFast(await johns.send('2', 'key'), 4);
  pass(3999);
  expect((await johns.send('2', 'key')).status).toBe(429);
  pass(1);
  expect((await johns.send('2', 'key')).status).toBe(201);
  expect(await storedTexts(conversationId)).toEqual(['1', '2']);
});

test('Retry-After is at least a second, however little is lacking', async () => {
  const { johns } = await pair();
  limit(1, 1000);
  await johns.say('1');
  const { status, headers } = await johns.send('2');
  expect([status, headers.get('Retry-After')]).toEqual([429, '1']);
});

test('a user’s requests and frames share one bucket', async () => {
  const { john, ray, johns, rays, conversationId } = await pair();
  const [socket, other] = [await openChat(conversationId, john.access), await openChat(conversationId, ray.access)];
  limit(4, 1);
  await socket.say('1');
  await johns.say('2');
  await socket.say('3');
  await johns.say('4');
  expectTooFast(await johns.send('5'), 1);
  expect(await socket.refused({ type: 'send', text: '5' })).toBe('rate_limited');
  // Others are not slowed down by it.
  await other.say('6');
  await rays.say('7');
  pass(1000);
  await socket.say('8');
  expectTooFast(await johns.send('9'), 1);
  expect(await storedTexts(conversationId)).toEqual(['1', '2', '3', '4', '6', '7', '8']);
});

test('pages cost more than messages, as over a socket', async () => {
  const { johns } = await pair();
  limit(2 * RATE_PAGE_TOKENS + 1, 1);
  expect((await johns.messages()).status).toBe(200);
  expect((await johns.changes()).status).toBe(200);
  expectTooFast(await johns.messages(), RATE_PAGE_TOKENS - 1);
  expectTooFast(await johns.changes(), RATE_PAGE_TOKENS - 1);
  await johns.say('for which there is enough');
});

test('long messages cost more than short ones', async () => {
  const { johns } = await pair();
  limit(4, 1);
  // Three of the four.
  expect((await johns.send('a'.repeat(3000))).status).toBe(201);
  expect((await johns.send('short')).status).toBe(201);
  expectTooFast(await johns.send('short'), 1);
});

test('a duplicate costs as much as the first', async () => {
  const { johns } = await pair();
  limit(2, 1);
  await johns.say('1', 'key');
  expect((await johns.send('1', 'key')).status).toBe(200);
  expectTooFast(await johns.send('1', 'key'), 1);
});
