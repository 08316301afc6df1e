import { abortAllDurableObjects, evictAllDurableObjects, runInDurableObject } from 'cloudflare:test';
import * as fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { MARKS_INTERVAL_MS } from '../../../src/config.ts';
import { settings } from '../../../src/settings.ts';
import { changesUpTo, chatPair, handled, pageOf } from '../../helpers/chat-pair.ts';
import { openChat, type ChatSocket } from '../../helpers/chat-socket.ts';
import { objectOf, storedMembers } from '../../helpers/conversation.ts';
import { liveChanges } from '../../helpers/follower.ts';
import { dumpObject } from '../../helpers/object-tables.ts';
import { pairInConversation } from '../../helpers/people.ts';
import { connect } from '../../helpers/socket.ts';

type Marks = { read?: number; delivered?: number };

/** john, with so many messages, and ray, who has read none of them. */
async function chatPairWithMessages(count: number) {
  const pair = await chatPair();
  for (let i = 1; i <= count; i += 1) await pair.johns.say(`message ${i}`);
  return pair;
}

/** Moves marks, and waits until that has happened. */
async function mark(socket: ChatSocket, marks: Marks): Promise<void> {
  socket.send({ type: 'mark', ...marks });
  await handled(socket);
}

/** Somebody's marks, as everyone is told of them. */
async function marksOf(socket: ChatSocket, { id }: { id: string }) {
  const row = (await socket.sync(0)).flatMap(({ members }) => members).find(({ user_id }) => user_id === id);
  return { read: row?.read, delivered: row?.delivered };
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

const standard = { ...settings };
afterEach(() => {
  Object.assign(settings, standard);
  vi.useRealTimers();
});

describe('rule 7, marks', () => {
  test.each<[string, Marks[], { read: number; delivered: number }]>([
    ['are at nothing first', [], { read: 0, delivered: 0 }],
    ['move up', [{ read: 1 }, { read: 3 }], { read: 3, delivered: 3 }],
    ['never move down', [{ read: 3 }, { read: 1 }, { read: 0, delivered: 0 }], { read: 3, delivered: 3 }],
    ['of what was received may be ahead of those of what was read', [{ delivered: 4 }], { read: 0, delivered: 4 }],
    ['of what was received are raised by reading', [{ delivered: 1 }, { read: 3 }], { read: 3, delivered: 3 }],
    ['of what was received stay where they are further', [{ delivered: 4 }, { read: 3 }], { read: 3, delivered: 4 }],
    ['may come together', [{ read: 2, delivered: 4 }], { read: 2, delivered: 4 }],
    ['may come together and contradict each other', [{ read: 4, delivered: 2 }], { read: 4, delivered: 4 }],
    ['move each on its own', [{ read: 3 }, { read: 1, delivered: 4 }], { read: 3, delivered: 4 }],
    ['end at the newest message', [{ read: 6 }], { read: 5, delivered: 5 }],
    ['end there however far they go', [{ delivered: Number.MAX_SAFE_INTEGER }], { read: 0, delivered: 5 }],
    ['may be there', [{ read: 5 }], { read: 5, delivered: 5 }],
  ])('%s', async (_, script, expected) => {
    const { ray, johns, rays } = await chatPairWithMessages(5);
    for (const marks of script) await mark(rays, marks);
    expect(await marksOf(johns, ray)).toEqual(expected);
    expect(await marksOf(rays, ray)).toEqual(expected);
  });

  test('of an empty conversation stay at nothing', async () => {
    const { ray, johns, rays } = await chatPair();
    await mark(rays, { read: 5 });
    expect(await marksOf(johns, ray)).toEqual({ read: 0, delivered: 0 });
    await johns.say('one');
    expect(await marksOf(johns, ray)).toEqual({ read: 0, delivered: 0 });
  });

  test('are one’s own: those of the other stay', async () => {
    const { john, johns, rays } = await chatPair();
    await rays.say('one');
    await mark(rays, { read: 1 });
    expect(await marksOf(johns, john)).toEqual({ read: 0, delivered: 0 });
  });

  test('are those of the user, whichever socket they come from', async () => {
    const { ray, johns, rays, conversationId } = await chatPairWithMessages(5);
    const otherDevice = await openChat(conversationId, ray.access);
    await mark(rays, { read: 4 });
    await mark(otherDevice, { read: 2 });
    expect(await marksOf(johns, ray)).toEqual({ read: 4, delivered: 4 });
  });

  test('are not answered, moved or not', async () => {
    const { rays } = await chatPairWithMessages(2);
    const { rev } = await pageOf(rays);
    await changesUpTo(rays, rev);
    const heard = rays.frames.length;
    for (const marks of [{ read: 1 }, { read: 1 }, { delivered: 99 }]) rays.send({ type: 'mark', ...marks });
    await handled(rays);
    const frames = rays.frames.slice(heard);
    expect(frames.filter(({ type }) => type !== 'changes')).toMatchObject([{ type: 'error', code: 'unknown_type' }]);
  });

  test('that move take one rev, and those that stay take none', async () => {
    const { ray, rays, conversationId } = await chatPairWithMessages(2);
    const revOf = async () => (await storedMembers(conversationId)).get(ray.id)?.rev;
    const { rev } = await pageOf(rays);
    await mark(rays, { read: 2 });
    expect(await revOf()).toBe(rev + 1);
    const before = await dumpObject(conversationId);
    for (const marks of [{ read: 2 }, { read: 1 }, { delivered: 99 }]) await mark(rays, marks);
    expect(await dumpObject(conversationId)).toEqual(before);
    expect((await pageOf(rays)).rev).toBe(rev + 1);
  });
});

describe('rule 7, sending', () => {
  test('moves one’s own marks from n − 1 to n, and those of nobody else', async () => {
    const { john, ray, johns, rays } = await chatPair();
    for (const n of [1, 2, 3]) {
      expect((await johns.say('Hello')).n).toBe(n);
      expect(await marksOf(rays, john)).toEqual({ read: n, delivered: n });
    }
    expect(await marksOf(rays, ray)).toEqual({ read: 0, delivered: 0 });
  });

  test('moves none past a message that one has not read', async () => {
    const { ray, johns, rays } = await chatPairWithMessages(2);
    await mark(rays, { read: 1, delivered: 2 });
    await rays.say('three');
    expect(await marksOf(johns, ray)).toEqual({ read: 1, delivered: 2 });
    await mark(rays, { read: 3 });
    await rays.say('four');
    expect(await marksOf(johns, ray)).toEqual({ read: 4, delivered: 4 });
  });

  test('a repeat moves none', async () => {
    const { ray, johns, rays, conversationId } = await chatPair();
    await johns.say('one');
    await rays.say('two', { ref: 'once' });
    await mark(rays, { read: 1 });
    const before = await dumpObject(conversationId);
    await rays.say('two', { ref: 'once' });
    expect(await dumpObject(conversationId)).toEqual(before);
    expect(await marksOf(johns, ray)).toEqual({ read: 1, delivered: 1 });
  });

  test('tells of the moved marks with the message', async () => {
    const { john, johns, rays } = await chatPair();
    const { rev } = await johns.say('one');
    const [changes] = await changesUpTo(rays, rev);
    expect(changes).toMatchObject({ messages: [{ n: 1 }], members: [{ user_id: john.id, read: 1, delivered: 1 }] });
  });
});

test('rule 7: reading, editing, deleting and reacting move no marks', async () => {
  const { ray, johns, rays } = await chatPairWithMessages(2);
  await pageOf(rays);
  await rays.sync(0);
  await rays.ok({ type: 'react', n: 2, emoji: '👍', on: true });
  await johns.ok({ type: 'edit', n: 1, text: 'changed' });
  await johns.ok({ type: 'delete', n: 2 });
  expect(await marksOf(johns, ray)).toEqual({ read: 0, delivered: 0 });
});

describe('rule 7, marks alone fan out at most once a second', () => {
  test('a burst of 50 after a second of silence is two `changes`: the first at once, the rest a second later', async () => {
    const { ray, johns, rays, conversationId } = await chatPairWithMessages(50);
    const { rev } = await pageOf(johns);
    await changesUpTo(johns, rev);
    stopTime();
    const told = liveChanges(johns).length;
    const heard = async () => {
      await handled(johns);
      return liveChanges(johns).slice(told);
    };
    for (let read = 1; read <= 50; read += 1) rays.send({ type: 'mark', read });
    await handled(rays);
    expect(await heard()).toMatchObject([{ after: rev, rev: rev + 1, members: [{ user_id: ray.id, read: 1 }] }]);
    await pass(conversationId, MARKS_INTERVAL_MS - 1);
    expect(await heard()).toHaveLength(1);
    await pass(conversationId, 1);
    const [, second, ...others] = await heard();
    expect(second).toMatchObject({ after: rev + 1, rev: rev + 50, members: [{ user_id: ray.id, read: 50 }] });
    expect(second?.messages).toEqual([]);
    expect(others).toEqual([]);
  });

  test('those of both members travel together', async () => {
    const { john, ray, johns, rays, conversationId } = await chatPair();
    await johns.say('one');
    await rays.say('two');
    const { rev } = await pageOf(johns);
    await changesUpTo(johns, rev);
    stopTime();
    await mark(rays, { delivered: 1 });
    await mark(rays, { read: 1 });
    await mark(johns, { read: 2 });
    await pass(conversationId, MARKS_INTERVAL_MS);
    await handled(johns);
    const { members } = liveChanges(johns).at(-1) ?? {};
    expect(members).toMatchObject([
      { user_id: ray.id, read: 1 },
      { user_id: john.id, read: 2 },
    ]);
  });

  test('plain sockets hear nothing of them', async () => {
    const { john, johns, rays, conversationId } = await chatPairWithMessages(1);
    const plain = await connect(conversationId, john.access);
    const { rev } = await pageOf(johns);
    await mark(rays, { read: 1 });
    await changesUpTo(johns, rev + 1);
    await plain.settled();
    expect(plain.pending).toEqual([]);
  });
});

test.each([
  ['an eviction', evictAllDurableObjects],
  ['an abort', abortAllDurableObjects],
])('rule 7: marks survive %s, and stay monotone', async (_, lose) => {
  const { ray, rays, conversationId } = await chatPairWithMessages(5);
  await mark(rays, { read: 2, delivered: 4 });
  await lose();
  const again = await openChat(conversationId, ray.access);
  expect(again.welcome.snapshot?.members).toContainEqual(
    expect.objectContaining({ user_id: ray.id, read: 2, delivered: 4 }),
  );
  await mark(again, { read: 1, delivered: 3 });
  expect(await marksOf(again, ray)).toEqual({ read: 2, delivered: 4 });
});

test('rule 7: 0 ≤ read ≤ delivered ≤ n after every step, and none ever moves down', async () => {
  Object.assign(settings, { rateBurst: 1_000_000 });
  const far = fc.oneof(fc.integer({ min: 0, max: 30 }), fc.constant(Number.MAX_SAFE_INTEGER));
  const anyMark = fc.oneof(
    fc.record({ read: far, delivered: far }),
    fc.record({ read: far }),
    fc.record({ delivered: far }),
  );
  const step = fc.record({ by: fc.constantFrom('john', 'ray'), marks: fc.option(anyMark), evict: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (script) => {
      const { john, ray, conversationId } = await pairInConversation();
      const sockets = {
        john: await openChat(conversationId, john.access),
        ray: await openChat(conversationId, ray.access),
      };
      let n = 0;
      const seen = new Map<string, { read: number; delivered: number }>();
      const expected = new Map([john, ray].map(({ id }) => [id, { read: 0, delivered: 0 }]));
      const model = (id: string, { read = 0, delivered = 0 }: Marks) => {
        const known = expected.get(id) ?? { read: 0, delivered: 0 };
        const newRead = Math.max(known.read, Math.min(read, n));
        expected.set(id, { read: newRead, delivered: Math.max(known.delivered, newRead, Math.min(delivered, n)) });
      };
      for (const [i, { by, marks, evict }] of script.entries()) {
        const [socket, { id }] = [sockets[by as 'john'], by === 'john' ? john : ray];
        if (marks) {
          await mark(socket, marks);
          model(id, marks);
        } else {
          n = (await socket.say(`message ${i}`)).n;
          if (expected.get(id)?.read === n - 1) model(id, { read: n });
        }
        if (evict && i % 10 === 9) await evictAllDurableObjects();
        for (const [userId, { read, delivered }] of await storedMembers(conversationId)) {
          expect(0 <= read && read <= delivered && delivered <= n).toBe(true);
          const known = seen.get(userId) ?? { read: 0, delivered: 0 };
          expect(read >= known.read && delivered >= known.delivered).toBe(true);
          seen.set(userId, { read, delivered });
        }
      }
      expect(seen).toEqual(expected);
      for (const socket of Object.values(sockets)) socket.close(1000);
    }),
    { numRuns: 20 },
  );
}, 60_000);
