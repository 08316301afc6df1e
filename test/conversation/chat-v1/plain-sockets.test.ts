import { describe, expect, test } from 'vitest';
import { changesUpTo, chatPair, messageRow } from '../../helpers/chat-pair.ts';
import type { Asked } from '../../helpers/chat-socket.ts';
import { historyOf, storedMessages } from '../../helpers/conversation.ts';
import { connect } from '../../helpers/socket.ts';

const plainFrame = (message: string, { id }: { id: string }) => JSON.stringify({ message, recipient_id: id });

/** A plain and a chat.v1 socket of each member. */
async function bothKinds() {
  const pair = await chatPair();
  const johnsPlain = await connect(pair.conversationId, pair.john.access);
  const raysPlain = await connect(pair.conversationId, pair.ray.access);
  return { ...pair, johnsPlain, raysPlain };
}

describe('a message of a plain socket', () => {
  test('is a message as any other to chat.v1 sockets, with no ref', async () => {
    const { john, ray, johns, rays, johnsPlain, raysPlain } = await bothKinds();
    johnsPlain.say('Hello', ray.id);
    for (const socket of [johnsPlain, raysPlain]) expect(await socket.next()).toBe(plainFrame('Hello', ray));
    for (const socket of [johns, rays]) {
      const [changes] = await changesUpTo(socket, 3);
      expect(changes?.messages).toMatchObject([
        { n: 1, rev: 3, sender_id: john.id, ref: null, text: 'Hello', reply_to: null, edited_at: null, reactions: [] },
      ]);
      expect(await messageRow(socket, 1)).toEqual(changes?.messages[0]);
    }
  });

  test('counts as sent by its user, who may edit, delete and be answered as if it were of chat.v1', async () => {
    const { ray, johns, rays, johnsPlain } = await bothKinds();
    johnsPlain.say('Hello', ray.id);
    await johnsPlain.settled();
    await rays.say('Hello yourself', { reply_to: 1 });
    await rays.ok({ type: 'react', n: 1, emoji: '👍', on: true });
    expect(await rays.refused({ type: 'edit', n: 1, text: 'mine' })).toBe('not_your_message');
    await johns.ok({ type: 'edit', n: 1, text: 'Hello, Ray' });
    expect(await messageRow(rays, 1)).toMatchObject({ text: 'Hello, Ray', reactions: [{ user_ids: [ray.id] }] });
    await johns.ok({ type: 'delete', n: 1 });
    expect(await messageRow(rays, 1)).toMatchObject({ text: null, ref: null });
  });

  test('moves the marks of its sender (rule 7)', async () => {
    const { john, ray, rays, johnsPlain } = await bothKinds();
    johnsPlain.say('Hello', ray.id);
    await johnsPlain.settled();
    const members = (await rays.sync(0)).flatMap((changes) => changes.members);
    expect(members.find(({ user_id }) => user_id === john.id)).toMatchObject({ read: 1, delivered: 1 });
  });

  test('is stored as often as it is sent: plain frames have no ref to tell a repeat by', async () => {
    const { ray, johnsPlain, conversationId } = await bothKinds();
    johnsPlain.say('Hello', ray.id);
    johnsPlain.say('Hello', ray.id);
    await johnsPlain.settled();
    expect(await storedMessages(conversationId)).toMatchObject([
      { n: 1, ref: null },
      { n: 2, ref: null },
    ]);
  });
});

describe('a message of a chat.v1 socket', () => {
  test('reaches plain sockets of both members with the two keys of the original, addressed to the other', async () => {
    const { john, ray, johns, rays, johnsPlain, raysPlain } = await bothKinds();
    await johns.say('from john');
    await rays.say('from ray', { reply_to: 1 });
    for (const socket of [johnsPlain, raysPlain]) {
      expect(await socket.take(2)).toEqual([plainFrame('from john', ray), plainFrame('from ray', john)]);
    }
  });

  test('that is a repeat reaches them once (rule 2)', async () => {
    const { ray, johns, raysPlain } = await bothKinds();
    for (const text of ['Hello', 'Hello', 'Hello again']) await johns.say(text, { ref: 'same' });
    await raysPlain.settled();
    expect(raysPlain.pending).toEqual([plainFrame('Hello', ray)]);
  });

  test('that is refused does not reach them', async () => {
    const { johns, raysPlain } = await bothKinds();
    await johns.refused({ type: 'send', text: 'Hello', reply_to: 1 });
    await raysPlain.settled();
    expect(raysPlain.pending).toEqual([]);
  });
});

test.each<[string, Asked]>([
  ['an edit', { type: 'edit', n: 1, text: 'two' }],
  ['a deletion', { type: 'delete', n: 1 }],
  ['a reaction', { type: 'react', n: 1, emoji: '👍', on: true }],
])('%s is not shown to plain sockets', async (_, frame) => {
  const { ray, johns, johnsPlain, raysPlain } = await bothKinds();
  await johns.say('one');
  const { rev } = await johns.ok(frame);
  await changesUpTo(johns, rev);
  for (const socket of [johnsPlain, raysPlain]) {
    await socket.settled();
    expect(socket.pending).toEqual([plainFrame('one', ray)]);
  }
});

test('messages of both kinds stand in one order for all, in one history', async () => {
  const { john, ray, johns, rays, johnsPlain, raysPlain } = await bothKinds();
  for (let i = 0; i < 50; i += 1) {
    johnsPlain.say(`john, plain ${i}`, ray.id);
    johns.send({ type: 'send', ref: `john ${i}`, text: `john ${i}` });
    raysPlain.say(`ray, plain ${i}`, john.id);
    rays.send({ type: 'send', ref: `ray ${i}`, text: `ray ${i}` });
  }
  const heard = (await raysPlain.take(200)).map((frame): string => JSON.parse(frame).message);
  expect((await johnsPlain.take(200)).map((frame): string => JSON.parse(frame).message)).toEqual(heard);
  const rows = (await johns.sync(0)).flatMap(({ messages }) => messages);
  expect(rows.map(({ text }) => text)).toEqual(heard);
  expect(rows.map(({ n }) => n)).toEqual(heard.map((_, index) => index + 1));
  expect(await historyOf(ray, john)).toEqual(heard);
});
