import { abortAllDurableObjects, evictAllDurableObjects, evictDurableObject } from 'cloudflare:test';
import * as fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { StoredMember } from '../../../src/conversation/store.ts';
import type { ServerFrameOf } from '../../../src/protocol/server-frames.ts';
import { chatPair, messageRow, pageOf, signedInAgain } from '../../helpers/chat-pair.ts';
import { openChat, type Asked } from '../../helpers/chat-socket.ts';
import { objectOf } from '../../helpers/conversation.ts';
import { versionOf } from '../../helpers/directory.ts';
import { liveChanges } from '../../helpers/follower.ts';
import { dumpObject } from '../../helpers/object-tables.ts';
import { pairInConversation } from '../../helpers/people.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

/** What is stored, but for when members were last seen, which may move on. */
async function rowsOf(conversationId: string) {
  const { members = [], ...others } = await dumpObject(conversationId);
  return { ...others, members: members.map((row) => ({ ...(row as StoredMember), last_seen: null })) };
}

const edit = (text: string) => ({ type: 'edit', n: 1, text }) as const;
const react = (on: boolean) => ({ type: 'react', n: 1, emoji: '👍', on }) as const;

afterEach(() => {
  vi.useRealTimers();
});

describe.each([
  ['an eviction', evictAllDurableObjects],
  ['an abort', abortAllDurableObjects],
  ['a reconnect', async () => {}],
])('rule 2, over %s: an operation whose answer was lost changes nothing when it is repeated', (_, lose) => {
  test.each<[string, Asked[], Asked, Asked]>([
    ['a message, after another device has deleted it', [], { type: 'send', text: 'two' }, { type: 'delete', n: 2 }],
    ['a message, after another device has edited it', [], { type: 'send', text: 'two' }, { ...edit('2'), n: 2 }],
    ['an edit, after another device has edited the message', [], edit('mine'), edit('newer')],
    ['an edit, after another device has deleted the message', [], edit('mine'), { type: 'delete', n: 1 }],
    ['a reaction, after another device has taken it back', [], react(true), react(false)],
    ['a reaction taken back, after another device has made it again', [react(true)], react(false), react(true)],
    ['a reaction, after another device has deleted the message', [], react(true), { type: 'delete', n: 1 }],
  ])('%s', async (_name, before, operation, newer) => {
    const { john, conversationId } = await pairInConversation();
    const first = await openChat(conversationId, john.access);
    await first.say('one');
    for (const frame of before) await first.ok(frame);
    const original = await first.ok({ ...operation, ref: 'lost' });
    await lose();
    await (await openChat(conversationId, john.access)).ok(newer);
    await lose();
    const again = await openChat(conversationId, john.access);
    const stored = await rowsOf(conversationId);
    expect(await again.ok({ ...operation, ref: 'lost' })).toEqual({ ...original, duplicate: true });
    expect(await rowsOf(conversationId)).toEqual(stored);
  });
});

test('rule 2: operations that an abort interrupts, repeated in their order, take place once each', async () => {
  const frames = Array.from({ length: 12 }, (_, i) => [
    { ...edit(`edit ${i}`), ref: `edit ${i}` },
    { ...react(i % 2 === 0), ref: `react ${i}` },
  ]).flat();
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: frames.length }), async (answersBeforeAbort) => {
      const { john, conversationId } = await pairInConversation();
      const socket = await openChat(conversationId, john.access);
      await socket.say('one');
      const { rev } = await pageOf(socket);
      for (const frame of frames) socket.send(frame);
      for (const { ref } of frames.slice(0, answersBeforeAbort)) await socket.answer(ref);
      await abortAllDurableObjects();
      await socket.closed;
      void socket.pending;
      const refs = new Set(frames.map(({ ref }) => ref));
      const heard = socket.frames.filter((it): it is ServerFrameOf<'ok'> => it.type === 'ok' && refs.has(it.ref));

      const again = await openChat(conversationId, john.access);
      const answers: ServerFrameOf<'ok'>[] = [];
      for (const frame of frames) answers.push(await again.ok(frame));
      expect(answers.slice(0, heard.length)).toEqual(heard.map((answer) => ({ ...answer, duplicate: true })));
      expect(answers.map((answer) => answer.rev)).toEqual(frames.map((_, i) => rev + 1 + i));
      expect(await messageRow(again, 1)).toMatchObject({ text: 'edit 11', reactions: [] });
      expect((await pageOf(again)).rev).toBe(rev + frames.length);
    }),
    { numRuns: 10, examples: [[0], [1], [frames.length]] },
  );
}, 60_000);

test('rule 2: a ref is for ever: through a thousand wake-ups in 90 days, then on another device, of a deleted message', async () => {
  const { john, conversationId } = await pairInConversation();
  const socket = await openChat(conversationId, john.access);
  const original = await socket.say('one', { ref: 'old' });
  await socket.ok({ type: 'delete', n: 1 });
  const start = Date.now();
  const known = await versionOf(conversationId);
  const object = objectOf(conversationId);
  vi.useFakeTimers({ now: start, toFake: ['Date'] });
  for (let i = 1; i <= 1000; i += 1) {
    await evictDurableObject(object);
    vi.setSystemTime(start + (i * 90 * DAY_MS) / 1000);
    const answer = await object.request(known, john.id, { type: 'send', ref: 'old', text: 'one', reply_to: undefined });
    expect(answer).toEqual({ ...original, duplicate: true });
  }
  const otherDevice = await openChat(conversationId, (await signedInAgain(john)).access);
  expect(await otherDevice.say('something else', { ref: 'old' })).toEqual({ ...original, duplicate: true });
  expect((await pageOf(otherDevice)).messages).toMatchObject([{ n: 1, text: null }]);
}, 60_000);

describe('rule 2: two sockets of one user that race for a ref', () => {
  test.each<[string, (i: number) => [Asked, Asked]]>([
    ['edit once', (i) => [edit(`one device ${i}`), edit(`other device ${i}`)]],
    ['react once', (i) => [react(i % 2 === 0), react(i % 2 === 0)]],
    ['edit or react', (i) => [edit(`edit ${i}`), react(i % 2 === 0)]],
  ])('%s, and hear the same of it', async (_, framesOf) => {
    const { john, johns, rays, conversationId } = await chatPair();
    const otherDevice = await openChat(conversationId, john.access);
    await johns.say('one');
    const { rev: base } = await pageOf(johns);
    const refs = Array.from({ length: 30 }, (_item, i) => `ref ${i}`);
    for (const [i, ref] of refs.entries()) {
      const [one, other] = framesOf(i);
      johns.send({ ...one, ref });
      otherDevice.send({ ...other, ref });
    }
    const taken: number[] = [];
    for (const ref of refs) {
      const answers = [await johns.answer(ref), await otherDevice.answer(ref)];
      const [original, ...others] = answers.filter((answer) => !('duplicate' in answer));
      expect(others).toEqual([]);
      expect(answers).toContainEqual({ ...original, duplicate: true });
      if (original?.type === 'ok') taken.push(original.rev);
    }
    const { rev: head } = await pageOf(rays);
    const moved = [...new Set(taken)].filter((rev) => rev > base);
    expect(moved.toSorted((a, b) => a - b)).toEqual(Array.from({ length: head - base }, (_item, i) => base + 1 + i));
    await rays.next('changes', ({ rev }) => rev === head);
    expect(liveChanges(rays).at(-1)?.messages).toMatchObject([{ n: 1, rev: head }]);
  });
});
