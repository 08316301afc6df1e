import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeClientFrame } from '../../../src/protocol/client-frames.ts';
import { openChat, type ChatSocket } from '../../helpers/chat-socket.ts';
import { query, storedMembers, storedMessages } from '../../helpers/conversation.ts';
import { anyClientFrame } from '../../helpers/described-frames.ts';
import { refutation, text as hostileText, value } from '../../helpers/hostile.ts';
import { pairInConversation } from '../../helpers/people.ts';

const ref = fc.oneof(fc.constantFrom('a', 'b', 'c', 'a\0b', '__proto__'), hostileText);
const n = fc.oneof(fc.integer({ min: 0, max: 8 }), fc.constantFrom(-1, Number.MAX_SAFE_INTEGER));
const text = fc.oneof(fc.constantFrom('hello', '\0', 'a\0b', '\u2028'), hostileText);
const emoji = fc.constantFrom('👍', '❤', '❤️', '🎉', 'x');
const on = fc.boolean();
const optional = { requiredKeys: ['type', 'ref'] as ('type' | 'ref')[] };

/** Frames that meet each other: few refs, few messages. */
const frame: fc.Arbitrary<object> = fc.oneof(
  fc.record({ type: fc.constant('send'), ref, text, reply_to: fc.option(n) }),
  fc.record({ type: fc.constant('send'), ref: fc.uuid(), text: fc.constant('hello') }),
  fc.record({ type: fc.constant('edit'), ref, n, text }),
  fc.record({ type: fc.constant('edit'), ref: fc.uuid(), n, text: fc.constantFrom('one', 'two') }),
  fc.record({ type: fc.constant('delete'), ref: fc.oneof(ref, fc.uuid()), n }),
  fc.record({ type: fc.constant('react'), ref: fc.oneof(ref, fc.uuid()), n, emoji, on }),
  fc.record({ type: fc.constant('history'), ref, before: n, after: n, around: n, limit: n }, optional),
  fc.record({ type: fc.constant('sync'), ref, after: n }),
  fc.record({ type: fc.constant('mark'), read: n, delivered: n }, { requiredKeys: ['type'] }),
  fc.record({ type: fc.constant('typing'), on }),
  anyClientFrame,
);

/** A frame with one key set to anything, or without it. */
const mutated = fc
  .tuple(frame, fc.constantFrom('type', 'ref', 'text', 'n', 'after', 'on', 'reply_to'), fc.option(value))
  .map(([some, key, other]) => ({ ...some, [key]: other ?? undefined }));

/** A frame with some of its characters replaced. */
const damaged = fc
  .tuple(frame, fc.nat(), fc.nat({ max: 5 }), fc.string({ unit: 'binary', maxLength: 5 }))
  .map(([some, at, length, other]) => {
    const json = JSON.stringify(some);
    const start = at % (json.length + 1);
    return json.slice(0, start) + other + json.slice(start + length);
  });

const raw = fc
  .oneof(
    { weight: 6, arbitrary: frame.map((some) => JSON.stringify(some)) },
    { weight: 2, arbitrary: mutated.map((some) => JSON.stringify(some)) },
    { weight: 1, arbitrary: damaged },
    { weight: 1, arbitrary: hostileText },
  )
  // What is no Unicode cannot travel in a text frame, and the runtime answers pings.
  .map((some) => some.toWellFormed())
  .filter((some) => some !== 'ping' && !some.includes('"nonsense"'));

/** Throws if a socket is closed before everything that it has sent is answered. Returns how many answers came. */
async function answersTo(socket: ChatSocket, sent: Promise<unknown>): Promise<number> {
  const closed = socket.closed.then(({ code, reason }) => {
    throw new Error(`Closed with ${code}: ${reason}`);
  });
  await Promise.race([sent, closed]);
  return socket.frames.filter((it) => {
    if (it.type === 'ok' || it.type === 'page') return true;
    if (it.type === 'changes') return it.ref !== undefined;
    // Only typing is too fast here.
    return it.type === 'error' && it.code !== 'rate_limited';
  }).length;
}

/** How many answers a frame gets. */
function answers(sent: string): number {
  const { frame: decoded } = decodeClientFrame(sent);
  return decoded?.type === 'mark' || decoded?.type === 'typing' ? 0 : 1;
}

const keyOf = (it: { sender_id: string; ref: string | null }) => JSON.stringify([it.sender_id, it.ref]);

/** What no frame may break. */
async function expectSound(conversationId: string): Promise<void> {
  const messages = await storedMessages(conversationId);
  expect(messages.map((it) => it.n)).toEqual(messages.map((_, index) => index + 1));
  const members = [...(await storedMembers(conversationId)).values()];
  const revs = [...messages, ...members].map(({ rev }) => rev);
  expect(new Set(revs).size).toBe(revs.length);
  for (const { read, delivered } of members) {
    expect(read).toBeGreaterThanOrEqual(0);
    expect(delivered).toBeGreaterThanOrEqual(read);
    expect(delivered).toBeLessThanOrEqual(messages.length);
  }
  type Row = { sender_id: string; ref: string; type: string; n: number };
  const operations = await query<Row>(conversationId, 'SELECT sender_id, ref, type, n FROM operations');
  expect(new Set(operations.map(keyOf)).size).toBe(operations.length);
  const sends = operations.filter(({ type }) => type === 'send').map((it) => [it.n, keyOf(it)]);
  expect(sends.toSorted(([a], [b]) => Number(a) - Number(b))).toEqual(messages.map((it) => [it.n, keyOf(it)]));
}

test('whatever frames two users send, each is answered once, no socket fails, and the log stays sound', async () => {
  const frames = fc.array(fc.tuple(fc.boolean(), raw), { minLength: 1, maxLength: 60, size: 'max' });
  const property = fc.asyncProperty(frames, async (sequence) => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    const rays = await openChat(conversationId, ray.access);
    for (const [isJohn, sent] of sequence) (isJohn ? johns : rays).sendRaw(sent);
    for (const socket of [johns, rays]) {
      const own = sequence.filter(([isJohn]) => isJohn === (socket === johns)).map(([, sent]) => sent);
      const end = crypto.randomUUID();
      socket.sendRaw(JSON.stringify({ type: 'nonsense', ref: end }));
      const count = await answersTo(socket, socket.answer(end));
      expect(count - 1).toBe(own.reduce((sum, sent) => sum + answers(sent), 0));
    }
    await expectSound(conversationId);
    johns.close();
    rays.close();
  });
  expect(await refutation(property, { numRuns: 60 })).toBeUndefined();
}, 120_000);
