import { abortAllDurableObjects, evictAllDurableObjects } from 'cloudflare:test';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { historyOf, storedMembers, storedMessages } from '../helpers/conversation.ts';
import { pairInConversation, type Person } from '../helpers/people.ts';
import { connect, type TestSocket } from '../helpers/socket.ts';

// An evicted object leaves in good order and its sockets hibernate; an aborted one stops as if its machine had failed.
const LOSSES = [
  ['eviction', evictAllDurableObjects],
  ['abort', abortAllDurableObjects],
] as const;

const textOf = (frame: string): string => JSON.parse(frame).message;
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe.each(LOSSES)('after the %s of the object', (_, lose) => {
  test('every message is still there, for both members', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await connect(conversationId, john.access);
    for (const text of ['one', 'two', 'three']) johns.say(text, ray.id);
    await johns.take(3);
    await lose();
    expect(await historyOf(john, ray)).toEqual(['one', 'two', 'three']);
    await lose();
    expect(await historyOf(ray, john)).toEqual(['one', 'two', 'three']);
  });

  test('n and rev go on without a gap', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    for (const text of ['one', 'two', 'three']) {
      const johns = await connect(conversationId, john.access);
      johns.say(text, ray.id);
      await johns.next();
      await lose();
    }
    const messages = await storedMessages(conversationId);
    const members = await storedMembers(conversationId);
    expect(messages.map(({ n }) => n)).toEqual([1, 2, 3]);
    // 1 and 2 are the members. Each message is followed by the mark that its sender has read it.
    expect(messages.map(({ rev }) => rev)).toEqual([3, 5, 7]);
    expect(members.get(john.id)).toMatchObject({ rev: 8, read: 3, delivered: 3 });
    expect([1, 2]).toContain(members.get(ray.id)?.rev);
  });
});

describe('a socket whose object hibernated', () => {
  test('still receives', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = [await connect(conversationId, ray.access), await connect(conversationId, ray.access)];
    await evictAllDurableObjects();
    const johns = await connect(conversationId, john.access);
    johns.say('good morning', ray.id);
    for (const socket of rays) expect(textOf(await socket.next())).toBe('good morning');
  });

  test('still sends, as the user that it was opened by', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await connect(conversationId, john.access);
    await evictAllDurableObjects();
    johns.say('good morning', ray.id);
    expect(textOf(await johns.next())).toBe('good morning');
    expect(await storedMessages(conversationId)).toMatchObject([{ sender_id: john.id, text: 'good morning' }]);
  });

  test('still is answered errors, and closed for a message to oneself', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await connect(conversationId, john.access);
    await evictAllDurableObjects();
    johns.send('nonsense');
    expect(await johns.next()).toBe('Error: The frame is not valid JSON.');
    await evictAllDurableObjects();
    johns.say('me', john.id);
    expect(await johns.next()).toBe('Invalid recipient.');
    expect(await johns.closed).toMatchObject({ code: 1000 });
  });
});

test('an abort closes the sockets, and a socket that reconnects goes on', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  const johns = await connect(conversationId, john.access);
  await johns.settled();
  await abortAllDurableObjects();
  expect(await johns.closed).toMatchObject({ code: 1006 });
  const again = await connect(conversationId, john.access);
  again.say('back', ray.id);
  expect(textOf(await again.next())).toBe('back');
});

test('every echo that was seen before an abort in the middle of a stream is in the history, once and in order', async () => {
  const length = 60;
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 2 * length }), async (echoesBeforeAbort) => {
      const { john, ray, conversationId } = await pairInConversation();
      const johns = await connect(conversationId, john.access);
      const rays = await connect(conversationId, ray.access);
      for (let i = 0; i < length; i += 1) {
        johns.say(`john ${i}`, ray.id);
        rays.say(`ray ${i}`, john.id);
      }
      const heard = (await johns.take(echoesBeforeAbort)).map(textOf);
      await abortAllDurableObjects();
      await Promise.all([johns.closed, rays.closed]);
      heard.push(...johns.pending.map(textOf));

      const history = await historyOf(ray, john);
      expect(history.slice(0, heard.length)).toEqual(heard);
      expect(rays.pending.map(textOf)).toEqual(history.slice(0, rays.pending.length));
      // What was stored and not echoed any more is in order and once, too.
      for (const name of ['john', 'ray']) {
        const theirs = history.filter((text) => text.startsWith(name));
        expect(theirs).toEqual(theirs.map((_, index) => `${name} ${index}`));
      }
      expect((await storedMessages(conversationId)).map(({ n }) => n)).toEqual(upTo(history.length));
    }),
    { numRuns: 15, examples: [[0], [1], [length]] },
  );
}, 60_000);

type Side = 'john' | 'ray';

/** What must be true: what was sent, and who is listening. */
type Model = { sent: string[]; listening: Set<Side> };
type Real = { conversationId: string; people: Record<Side, Person>; sockets: Map<Side, TestSocket> };

type Command = fc.AsyncCommand<Model, Real>;

const send = (by: Side, count: number): Command => ({
  check: ({ listening }) => listening.has(by),
  run: async ({ sent }, { people, sockets }) => {
    const texts = upTo(count).map((i) => `${sent.length + i} by ${by}`);
    for (const text of texts) sockets.get(by)?.say(text, people[by === 'john' ? 'ray' : 'john'].id);
    for (const socket of sockets.values()) expect((await socket.take(count)).map(textOf)).toEqual(texts);
    sent.push(...texts);
  },
  toString: () => `${by} sends ${count}`,
});

const reconnect = (by: Side): Command => ({
  check: () => true,
  run: async ({ listening }, { conversationId, people, sockets }) => {
    sockets.get(by)?.close(1000);
    await sockets.get(by)?.closed;
    sockets.set(by, await connect(conversationId, people[by].access));
    listening.add(by);
  },
  toString: () => `${by} reconnects`,
});

const evict: Command = {
  check: () => true,
  run: async () => evictAllDurableObjects(),
  toString: () => 'the object is evicted',
};

const abort: Command = {
  check: () => true,
  run: async ({ listening }, { sockets }) => {
    await abortAllDurableObjects();
    for (const socket of sockets.values()) expect(await socket.closed).toMatchObject({ code: 1006 });
    sockets.clear();
    listening.clear();
  },
  toString: () => 'the object is aborted',
};

test('whatever happens to the object and the sockets between messages, everyone sees what was sent', async () => {
  const side = fc.constantFrom<Side>('john', 'ray');
  const sends = fc.tuple(side, fc.integer({ min: 1, max: 4 })).map(([by, count]) => send(by, count));
  const commands = fc.commands([sends, sends, side.map(reconnect), fc.constant(evict), fc.constant(abort)], {
    maxCommands: 25,
  });

  await fc.assert(
    fc.asyncProperty(commands, async (script) => {
      const { john, ray, conversationId } = await pairInConversation();
      const sockets = new Map<Side, TestSocket>();
      const model: Model = { sent: [], listening: new Set() };
      const real: Real = { conversationId, people: { john, ray }, sockets };
      for (const by of ['john', 'ray'] as const) await reconnect(by).run(model, real);

      await fc.asyncModelRun(() => ({ model, real }), script);

      for (const socket of sockets.values()) {
        await socket.settled();
        expect(socket.pending).toEqual([]);
        socket.close(1000);
      }
      expect(await historyOf(john, ray)).toEqual(model.sent);
      expect(await historyOf(ray, john)).toEqual(model.sent);
      expect((await storedMessages(conversationId)).map(({ n }) => n)).toEqual(upTo(model.sent.length));
    }),
    { numRuns: 25 },
  );
}, 60_000);
