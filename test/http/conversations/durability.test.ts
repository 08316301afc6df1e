import { abortAllDurableObjects, evictAllDurableObjects } from 'cloudflare:test';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MessageRow } from '../../../src/protocol/rows.ts';
import { Caller } from '../../helpers/caller.ts';
import { storedMembers, storedMessages, storedTexts } from '../../helpers/conversation.ts';
import { pairInConversation } from '../../helpers/people.ts';

// An evicted object leaves in good order; an aborted one stops as if its machine had failed.
const LOSSES = [
  ['eviction', evictAllDurableObjects],
  ['abort', abortAllDurableObjects],
] as const;

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

describe.each(LOSSES)('after the %s of the object', (_, lose) => {
  test('everything that was acknowledged is still there, as it was', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const [johns, rays] = [new Caller(conversationId, john), new Caller(conversationId, ray)];
    for (const text of ['one', 'two', 'three']) await johns.say(text);
    await johns.edit(1, 'one, edited');
    await johns.remove(2);
    await rays.react(3, '👍');
    await rays.mark({ read: 2, delivered: 3 });
    const before = [(await johns.messages()).body, (await johns.changes()).body];
    await lose();
    expect([(await johns.messages()).body, (await johns.changes()).body]).toEqual(before);
    expect((await storedMembers(conversationId)).get(ray.id)).toMatchObject({ read: 2, delivered: 3 });
  });

  test('a key is still known, a cursor still holds, and n and rev go on', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = new Caller(conversationId, john);
    const { body: cursor } = await johns.changes();
    const original = await johns.say('one', 'key');
    await lose();
    expect((await johns.send('one', 'key')).body).toEqual({ ...original, duplicate: true });
    await lose();
    const next = await johns.say('two', 'another');
    expect(next.n).toBe(2);
    await lose();
    const { body } = await johns.changes(`?after=${cursor.rev}&epoch=${cursor.epoch}`);
    expect(body).toMatchObject({ resumed: true, messages: [{ n: 1 }, { n: 2, rev: next.rev }] });
  });
});

test('whenever the object is lost, what was acknowledged is stored as it was said, and a retry completes the rest, once each', async () => {
  const length = 24;
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: length }), async (answersBeforeAbort) => {
      const { john, ray, conversationId } = await pairInConversation();
      const [johns, rays] = [new Caller(conversationId, john), new Caller(conversationId, ray)];
      const requests = upTo(length).map((i) => ({ caller: i % 2 ? johns : rays, text: `${i}`, key: `key ${i}` }));

      const acknowledged = new Map<string, Pick<MessageRow, 'n' | 'rev' | 'id' | 'created_at'>>();
      const { promise: enough, resolve } = Promise.withResolvers<void>();
      const sendAll = () =>
        Promise.all(
          requests.map(async ({ caller, text, key }) => {
            const { status, body } = await caller.send(text, key);
            if (status === 500) return;
            const { duplicate, ...original } = body;
            expect(status).toBe(duplicate ? 200 : 201);
            expect(original).toEqual(acknowledged.get(text) ?? original);
            acknowledged.set(text, original);
            if (acknowledged.size === answersBeforeAbort) resolve();
          }),
        );
      const first = sendAll();
      await enough;
      await abortAllDurableObjects();
      await first;
      await sendAll();

      expect(acknowledged.size).toBe(length);
      const stored = await storedMessages(conversationId);
      expect(stored.map(({ n }) => n)).toEqual(upTo(length));
      expect(new Set(stored.map(({ text }) => text))).toEqual(new Set(requests.map(({ text }) => text)));
      for (const [text, original] of acknowledged) {
        expect(stored[original.n - 1]).toMatchObject({ ...original, text, ref: `key ${text}` });
      }
    }),
    { numRuns: 12, examples: [[1], [length]] },
  );
}, 60_000);

test('requests one after the other are stored in their order, whatever happens to the object in between', async () => {
  const { john, conversationId } = await pairInConversation();
  const johns = new Caller(conversationId, john);
  for (let i = 1; i <= 12; i += 1) {
    await johns.say(`${i}`, `key ${i}`);
    await LOSSES[i % 2]?.[1]();
  }
  expect(await storedTexts(conversationId)).toEqual(upTo(12).map(String));
});
