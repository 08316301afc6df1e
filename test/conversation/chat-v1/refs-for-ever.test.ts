import {
  abortAllDurableObjects,
  evictAllDurableObjects,
  evictDurableObject,
  runInDurableObject,
} from 'cloudflare:test';
import * as fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { chatPair, messageRow, pageOf, signedInAgain } from '../../helpers/chat-pair.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { objectOf, query } from '../../helpers/conversation.ts';
import { dumpObject } from '../../helpers/object-tables.ts';
import { pairInConversation, type Person } from '../../helpers/people.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const EVERY_KIND = [
  { type: 'send', text: 'one', ref: 'send' },
  { type: 'edit', n: 1, text: 'two', ref: 'edit' },
  { type: 'react', n: 1, emoji: '👍', on: true, ref: 'react' },
  { type: 'delete', n: 1, ref: 'delete' },
] as const;

/** Does one of everything, and returns what it was answered. */
async function doEverything(conversationId: string, person: Person) {
  const socket = await openChat(conversationId, person.access);
  const answers = [];
  for (const frame of EVERY_KIND) answers.push(await socket.ok(frame));
  return answers;
}

/** Repeats it, expects that nothing is stored, and returns what it is answered. */
async function repeatEverything(conversationId: string, person: Person) {
  const socket = await openChat(conversationId, person.access);
  const tables = async () => {
    const { messages, operations, reactions } = await dumpObject(conversationId);
    return { messages, operations, reactions };
  };
  const before = await tables();
  const answers = [];
  for (const frame of EVERY_KIND) answers.push(await socket.ok(frame));
  expect(await tables()).toEqual(before);
  return answers;
}

const asDuplicates = (answers: object[]) => answers.map((answer) => ({ ...answer, duplicate: true }));

afterEach(() => {
  vi.useRealTimers();
});

describe('rule 2: a ref is for ever', () => {
  test.each([
    ['eviction', evictAllDurableObjects],
    ['abort', abortAllDurableObjects],
    ['a reconnect', async () => {}],
  ])('over %s', async (_, lose) => {
    const { john, conversationId } = await pairInConversation();
    const answers = await doEverything(conversationId, john);
    await lose();
    expect(await repeatEverything(conversationId, john)).toEqual(asDuplicates(answers));
  });

  test('over a thousand evictions', async () => {
    const { john, conversationId } = await pairInConversation();
    const answers = await doEverything(conversationId, john);
    for (let i = 0; i < 1000; i += 1) {
      await objectOf(conversationId).ping();
      await evictDurableObject(objectOf(conversationId));
    }
    expect(await repeatEverything(conversationId, john)).toEqual(asDuplicates(answers));
  }, 60_000);

  test('over 90 days, from another device, of a message that was deleted since', async () => {
    const { john, conversationId } = await pairInConversation();
    const answers = await doEverything(conversationId, john);
    await evictAllDurableObjects();
    vi.useFakeTimers({ now: Date.now() + 90 * DAY_MS, toFake: ['Date'] });
    const later = await signedInAgain(john);
    expect(await repeatEverything(conversationId, later)).toEqual(asDuplicates(answers));
    const socket = await openChat(conversationId, later.access);
    expect(await messageRow(socket, 1)).toMatchObject({ text: null, deleted_at: expect.any(Number) });
  });

  test('over thousands of others', async () => {
    const { john, conversationId } = await pairInConversation();
    const answers = await doEverything(conversationId, john);
    await runInDurableObject(objectOf(conversationId), (object, state) => {
      const [socket] = state.getWebSockets();
      for (let i = 0; i < 1900; i += 1) {
        if (socket) object.webSocketMessage(socket, JSON.stringify({ type: 'send', ref: `other ${i}`, text: 'other' }));
      }
    });
    expect(await query(conversationId, 'SELECT n FROM messages')).toHaveLength(1901);
    expect(await repeatEverything(conversationId, john)).toEqual(asDuplicates(answers));
  });

  test('over the sender’s leaving nothing but a lost connection behind: the answer never came, the message did', async () => {
    const { johns, john, rays, conversationId } = await chatPair();
    johns.send({ type: 'send', ref: 'lost', text: 'Hello' });
    johns.close(1000);
    await rays.next('changes', ({ messages }) => messages.some(({ ref }) => ref === 'lost'));
    const again = await openChat(conversationId, john.access);
    expect(await again.say('Hello', { ref: 'lost' })).toMatchObject({ n: 1, duplicate: true });
    expect((await pageOf(again)).messages).toHaveLength(1);
  });
});

describe('rule 2: two sockets of one user that race for a ref', () => {
  test('make one message, and hear the same of it', async () => {
    const { john, johns, conversationId } = await chatPair();
    const otherDevice = await openChat(conversationId, john.access);
    const refs = Array.from({ length: 50 }, (_, i) => `ref ${i}`);
    for (const ref of refs) {
      johns.send({ type: 'send', ref, text: 'from one device' });
      otherDevice.send({ type: 'send', ref, text: 'from the other' });
    }
    for (const ref of refs) {
      const answers = [await johns.answer(ref), await otherDevice.answer(ref)];
      const originals = answers.filter((answer) => !('duplicate' in answer));
      expect(originals).toHaveLength(1);
      const repeats = answers.filter((answer) => 'duplicate' in answer);
      expect(repeats).toEqual(asDuplicates(originals));
    }
    expect((await pageOf(johns)).messages).toHaveLength(refs.length);
  });
});

test('rule 2: whatever is lost, a message that is sent until it is acknowledged is there exactly once', async () => {
  // Each message is sent once before each loss, and once more in the end.
  const losses = fc.array(fc.constantFrom('evict', 'abort', 'close', 'nothing'), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(losses, fc.integer({ min: 1, max: 20 }), async (script, count) => {
      const { john, conversationId } = await pairInConversation();
      const refs = Array.from({ length: count }, (_, i) => `ref ${i}`);
      for (const loss of script) {
        const socket = await openChat(conversationId, john.access);
        for (const ref of refs) socket.send({ type: 'send', ref, text: ref });
        if (loss === 'evict') await evictAllDurableObjects();
        if (loss === 'abort') await abortAllDurableObjects();
        if (loss === 'close') socket.close(1000);
      }
      const last = await openChat(conversationId, john.access);
      const answers = [];
      for (const ref of refs) answers.push(await last.say('again', { ref }));
      const { messages } = await pageOf(last);
      const stored = messages.map(({ n, rev, id, created_at, ref }) => ({ type: 'ok', ref, n, rev, id, created_at }));
      const acknowledged = answers.map(({ duplicate: _duplicate, ...answer }) => answer);
      expect(stored).toEqual(acknowledged.toSorted((a, b) => a.n - b.n));
      expect(messages.map(({ n }) => n)).toEqual(refs.map((_, i) => i + 1));
      expect(await query(conversationId, 'SELECT ref FROM operations')).toHaveLength(count);
    }),
    { numRuns: 25 },
  );
}, 60_000);
