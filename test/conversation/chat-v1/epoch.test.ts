import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, test } from 'vitest';
import { openChat } from '../../helpers/chat-socket.ts';
import { frameOnItsWay, objectOf, open, storedTexts, storedVersion } from '../../helpers/conversation.ts';
import { raiseEpoch, rename, versionOf } from '../../helpers/directory.ts';
import { everythingSeenBy, Follower, notify } from '../../helpers/follower.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** john and ray, with a chat.v1 socket each, a plain one of ray's, and one message. */
async function chatting() {
  const pair = await pairInConversation();
  const johns = await Follower.open(pair.conversationId, pair.john);
  const rays = await Follower.open(pair.conversationId, pair.ray);
  const plain = await open(pair.conversationId, pair.ray.access);
  await johns.socket.say('before');
  await plain.next();
  await johns.catchUp();
  await rays.catchUp();
  return { ...pair, johns, rays, plain };
}

type Chatting = Awaited<ReturnType<typeof chatting>>;

const learns: [string, (chatting: Chatting) => Promise<unknown>][] = [
  ['a notice', async ({ conversationId }) => notify(conversationId, await versionOf(conversationId))],
  ['a new chat.v1 socket', async ({ conversationId, john }) => openChat(conversationId, john.access)],
  ['a new plain socket', async ({ conversationId, john }) => open(conversationId, john.access)],
];

describe('rule 5, an epoch names one history', () => {
  describe.each(learns)('when the object learns of a larger one by %s', (_, learn) => {
    test('chat.v1 sockets are closed with 1012, and plain ones stay', async () => {
      const everyone = await chatting();
      const { johns, rays, plain, john, conversationId } = everyone;
      await raiseEpoch(conversationId);
      await learn(everyone);
      for (const { socket } of [johns, rays]) expect(await socket.closed).toMatchObject({ code: 1012 });
      plain.say('still here', john.id);
      expect(JSON.parse(await plain.next())).toMatchObject({ message: 'still here' });
      expect(await storedVersion(conversationId)).toMatchObject({ epoch: 2 });
    });

    test('also those that slept meanwhile', async () => {
      const everyone = await chatting();
      const { johns, rays, conversationId } = everyone;
      await evictDurableObject(objectOf(conversationId));
      await raiseEpoch(conversationId);
      await learn(everyone);
      for (const { socket } of [johns, rays]) expect(await socket.closed).toMatchObject({ code: 1012 });
    });
  });

  test('a resume with a cursor of the old one gets a snapshot, however little has changed', async () => {
    const { rays, ray, conversationId } = await chatting();
    const cursor = rays.replica.cursor;
    await raiseEpoch(conversationId);
    const welcome = await rays.connect(cursor);
    expect(welcome).toMatchObject({ resumed: false, epoch: 2, rev: cursor?.after });
    expect(welcome.snapshot?.messages).toMatchObject([{ n: 1, text: 'before' }]);
    expect(rays.replica.cursor).toEqual({ after: cursor?.after, epoch: 2 });
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, ray));
  });

  test('a cursor of the new one is resumed from then on', async () => {
    const { johns, rays, john, conversationId } = await chatting();
    await raiseEpoch(conversationId);
    await rays.connect();
    rays.socket.close(1000);
    await johns.connect();
    await johns.socket.say('after');
    expect(await rays.connect()).toMatchObject({ resumed: true, epoch: 2 });
    await rays.catchUp();
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('pages of history say which one they are of, so that those of the old one are dropped', async () => {
    const { johns, rays, conversationId } = await chatting();
    const old = await rays.socket.ask({ type: 'history' });
    expect(old).toMatchObject({ type: 'page', epoch: 1 });
    await raiseEpoch(conversationId);
    await rays.connect();
    const { messages } = rays.replica.state();
    await johns.connect();
    if (old.type === 'page') rays.replica.apply({ ...old, rev: 1000, messages: [{ ...old.messages[0]!, rev: 999 }] });
    expect(rays.replica.state().messages).toEqual(messages);
    expect(await rays.socket.ask({ type: 'history' })).toMatchObject({ epoch: 2 });
  });

  test('a frame that was on its way to a socket of the old one is not heard', async () => {
    const { johns, rays, john, ray, conversationId } = await chatting();
    await raiseEpoch(conversationId);
    rays.socket.close(1000);
    await rays.socket.closed;
    const frame = { type: 'send', ref: 'late', text: 'too late' };
    await frameOnItsWay(conversationId, john, frame, async (object) => {
      await object.notify(await versionOf(conversationId), { ended_sessions: [] });
    });
    expect(await johns.socket.closed).toMatchObject({ code: 1012 });
    expect(await storedTexts(conversationId)).toEqual(['before']);
    expect((await everythingSeenBy(conversationId, ray)).messages).toHaveLength(1);
  });

  test('a smaller one, which somebody heard of before, changes nothing', async () => {
    const { rays, conversationId } = await chatting();
    const old = await versionOf(conversationId);
    await raiseEpoch(conversationId);
    await notify(conversationId, await versionOf(conversationId));
    await rays.socket.closed;
    await rays.connect();
    await notify(conversationId, old);
    expect(await rays.socket.ask({ type: 'history' })).toMatchObject({ epoch: 2 });
    expect(await storedVersion(conversationId)).toMatchObject({ epoch: 2 });
  });

  test('a change of members alone closes nobody', async () => {
    const { johns, rays, john, conversationId } = await chatting();
    await rename(conversationId, john.id, 'Johnny');
    await notify(conversationId, await versionOf(conversationId));
    for (const { socket } of [johns, rays]) await socket.settled();
    await rays.catchUp();
    expect(rays.replica.members.get(john.id)).toMatchObject({ first_name: 'Johnny' });
  });
});
