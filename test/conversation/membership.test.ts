import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, test } from 'vitest';
import { connectRequest } from '../../src/conversation/connection.ts';
import { ConversationStore } from '../../src/conversation/store.ts';
import { api } from '../helpers/api.ts';
import { openChat } from '../helpers/chat-socket.ts';
import {
  chatting,
  connectOf,
  frameOnItsWay,
  objectOf,
  open,
  query,
  storedMembers,
  storedTexts,
  storedVersion,
} from '../helpers/conversation.ts';
import { countQueries } from '../helpers/d1.ts';
import { raiseEpoch, rename, setLeft, touch, versionOf } from '../helpers/directory.ts';
import { pairInConversation } from '../helpers/people.ts';
import { connect, upgrade } from '../helpers/socket.ts';
import { directoryMember } from '../helpers/store.ts';

const textOf = (frame: string): string => JSON.parse(frame).message;
const NO_SESSIONS = { ended_sessions: [] };
const tooLate = ({ id }: { id: string }) => ({ message: 'too late', recipient_id: id });

/** Tells a conversation's object what the directory says now. */
async function tell(conversationId: string): Promise<void> {
  await objectOf(conversationId).notify(await versionOf(conversationId), NO_SESSIONS);
}

describe("the directory's members", () => {
  test('are copied by the first connect', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await open(conversationId, john.access);
    const members = await storedMembers(conversationId);
    expect([...members.keys()].sort()).toEqual([john.id, ray.id].sort());
    expect(members.get(ray.id)).toMatchObject({ first_name: 'Ray', last_name: 'Doe', role: 'member', left_at: null });
    expect(await storedVersion(conversationId)).toEqual({ version: 1, epoch: 1 });
  });

  test('are copied again when a connect names a larger version', async () => {
    const { john, ray, conversationId } = await chatting();
    await rename(conversationId, ray.id, 'Raymond');
    expect((await storedMembers(conversationId)).get(ray.id)).toMatchObject({ first_name: 'Ray' });
    expect(await countQueries(() => connect(conversationId, john.access))).toBe(2);
    expect((await storedMembers(conversationId)).get(ray.id)).toMatchObject({ first_name: 'Raymond' });
    expect(await countQueries(() => connect(conversationId, john.access))).toBe(1);
  });

  test('are copied again when a notice names a larger version', async () => {
    const { ray, conversationId } = await chatting();
    await rename(conversationId, ray.id, 'Raymond');
    await tell(conversationId);
    expect((await storedMembers(conversationId)).get(ray.id)).toMatchObject({ first_name: 'Raymond' });
    expect(await storedVersion(conversationId)).toEqual({ version: 2, epoch: 1 });
  });

  test('are copied again when the history is asked for with a larger version', async () => {
    const { john, ray, rays, conversationId } = await chatting();
    rays.say('who wrote this?', john.id);
    await rays.next();
    await rename(conversationId, ray.id, 'Raymond');
    const { body } = await api(`/api/users/${ray.id}/chat/`, { token: john.access });
    expect(body.data.messages).toMatchObject([{ sender: { id: ray.id, first_name: 'Raymond', last_name: 'Doe' } }]);
  });

  test('are not asked for when an equal or a smaller version is named', async () => {
    const { ray, conversationId } = await chatting();
    await rename(conversationId, ray.id, 'Raymond');
    await tell(conversationId);
    for (const version of [0, 1, 2]) {
      const tellOld = () => objectOf(conversationId).notify({ version, epoch: 1 }, NO_SESSIONS);
      expect(await countQueries(tellOld)).toBe(0);
    }
    expect(await storedVersion(conversationId)).toEqual({ version: 2, epoch: 1 });
  });

  test('take a rev each, one after the other, and keep it while they stay the same', async () => {
    const { conversationId } = await chatting();
    const before = await storedMembers(conversationId);
    expect(new Set([...before.values()].map(({ rev }) => rev))).toEqual(new Set([1, 2]));
    await touch(conversationId);
    await tell(conversationId);
    expect(await storedVersion(conversationId)).toEqual({ version: 2, epoch: 1 });
    expect(await storedMembers(conversationId)).toEqual(before);
  });

  test('take the next rev when they change, which the next message goes on from', async () => {
    const { john, ray, johns, conversationId } = await chatting();
    johns.say('one', ray.id);
    await johns.next();
    const before = await storedMembers(conversationId);
    await rename(conversationId, ray.id, 'Raymond');
    await tell(conversationId);
    const after = await storedMembers(conversationId);
    // 1 and 2 are the members, 3 is the message, 4 the mark that john has read it.
    expect(before.get(john.id)).toMatchObject({ rev: 4 });
    expect(after.get(ray.id)).toEqual({ ...before.get(ray.id), first_name: 'Raymond', rev: 5 });
    expect(after.get(john.id)).toEqual(before.get(john.id));
    johns.say('two', ray.id);
    await johns.next();
    expect(await query(conversationId, 'SELECT n, rev FROM messages ORDER BY n')).toEqual([
      { n: 1, rev: 3 },
      { n: 2, rev: 6 },
    ]);
  });

  test.each([
    ['a smaller version', { version: 4, epoch: 1 }],
    ['the same version', { version: 5, epoch: 1 }],
    ['a smaller version, whatever the epoch', { version: 4, epoch: 9 }],
    ['the same version, whatever the epoch', { version: 5, epoch: 9 }],
  ])('are not taken from a list with %s', async (_, known) => {
    const { john, ray, conversationId } = await pairInConversation();
    await runInDurableObject(objectOf(conversationId), (__, { storage }) => {
      const store = new ConversationStore(storage);
      store.applyMembers({
        version: 5,
        epoch: 1,
        members: [directoryMember(john.id, 'John'), directoryMember(ray.id, 'Ray')],
      });
      store.applyMembers({ ...known, members: [directoryMember(john.id, 'Johnny')] });
      expect(store.member(john.id)).toMatchObject({ first_name: 'John', rev: 1 });
    });
    expect(await storedVersion(conversationId)).toMatchObject({ version: 5 });
    expect((await storedMembers(conversationId)).get(john.id)).toMatchObject({ first_name: 'John', rev: 1 });
  });

  test('are told of to chat.v1 sockets when they change', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    await rename(conversationId, ray.id, 'Raymond');
    await tell(conversationId);
    expect(await johns.next('changes')).toMatchObject({
      after: 2,
      rev: 3,
      messages: [],
      members: [{ user_id: ray.id, rev: 3, first_name: 'Raymond', left_at: null }],
    });
  });

  test('that a list does not name stay as they are', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await runInDurableObject(objectOf(conversationId), (_, { storage }) => {
      const store = new ConversationStore(storage);
      store.applyMembers({
        version: 5,
        epoch: 1,
        members: [directoryMember(john.id, 'John'), directoryMember(ray.id, 'Ray')],
      });
      store.applyMembers({ version: 6, epoch: 1, members: [directoryMember(john.id, 'Johnny')] });
      expect(store.allMembers()).toHaveLength(2);
      expect(store.member(ray.id)).toMatchObject({ first_name: 'Ray', rev: 2 });
    });
  });
});

describe('a member who left', () => {
  test('has every socket closed with 4403 once the conversation is told, and the others keep theirs', async () => {
    const { john, ray, johns, rays, conversationId } = await chatting();
    const raysOther = await open(conversationId, ray.access);
    await setLeft(conversationId, ray.id, Date.now());
    await tell(conversationId);
    for (const socket of [rays, raysOther]) {
      expect(await socket.closed).toEqual({
        code: 4403,
        reason: 'You are not a member of this conversation any more.',
      });
    }
    johns.say('anyone?', ray.id);
    expect(await johns.next()).toBe('Error: Conversation matching query does not exist.');
    johns.say('me', john.id);
    expect(await johns.next()).toBe('Invalid recipient.');
  });

  test('has their chat.v1 socket closed, too, and the others are told that they left', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const [johns, rays] = [await openChat(conversationId, john.access), await openChat(conversationId, ray.access)];
    const leftAt = Date.now();
    await setLeft(conversationId, ray.id, leftAt);
    await tell(conversationId);
    expect(await rays.closed).toMatchObject({ code: 4403 });
    const { members } = await johns.next('changes', (frame) => frame.members.length > 0);
    expect(members).toMatchObject([{ user_id: ray.id, left_at: leftAt }]);
    expect(rays.frames.filter(({ type }) => type === 'changes')).toEqual([]);
  });

  test('has their socket closed also when it hibernated', async () => {
    const { ray, rays, conversationId } = await chatting();
    await evictDurableObject(objectOf(conversationId));
    await setLeft(conversationId, ray.id, Date.now());
    await tell(conversationId);
    expect(await rays.closed).toMatchObject({ code: 4403 });
  });

  test('has their socket closed when it is a connect of someone else that brings the news', async () => {
    const { john, ray, rays, conversationId } = await chatting();
    await setLeft(conversationId, ray.id, Date.now());
    await connect(conversationId, john.access);
    expect(await rays.closed).toMatchObject({ code: 4403 });
  });

  test('is refused by the Worker', async () => {
    const { ray, conversationId } = await chatting();
    await setLeft(conversationId, ray.id, Date.now());
    const answer = await upgrade(conversationId, ray.access);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ code: 'not_a_member' });
  });

  test('is refused by the object if the connect was on its way', async () => {
    const { ray, conversationId } = await chatting();
    const onItsWay = connectRequest(await connectOf(ray, conversationId));
    await setLeft(conversationId, ray.id, Date.now());
    await tell(conversationId);
    const answer = await objectOf(conversationId).fetch(onItsWay);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toEqual({ reason: 'not_a_member' });
  });

  test('sends nothing any more, not even what was on its way', async () => {
    const { john, ray, johns, conversationId } = await chatting();
    await setLeft(conversationId, ray.id, Date.now());
    const known = await versionOf(conversationId);
    await frameOnItsWay(conversationId, ray, tooLate(john), (object) => object.notify(known, NO_SESSIONS));
    await johns.settled();
    expect(johns.pending).toEqual([]);
    expect(await storedTexts(conversationId)).toEqual([]);
  });

  test('sends nothing behind a message to oneself either, which alone would let it pass', async () => {
    const { john, ray, johns, conversationId } = await chatting();
    await setLeft(conversationId, ray.id, Date.now());
    const known = await versionOf(conversationId);
    const toSelf = JSON.stringify({ message: 'me', recipient_id: ray.id });
    await frameOnItsWay(conversationId, ray, tooLate(john), async (object, socket) => {
      object.webSocketMessage(socket, toSelf);
      await object.notify(known, NO_SESSIONS);
    });
    await johns.settled();
    expect(johns.pending).toEqual([]);
    expect(await storedTexts(conversationId)).toEqual([]);
  });

  test('keeps their name and their messages in the history', async () => {
    const { john, ray, rays, conversationId } = await chatting();
    rays.say('so long', john.id);
    await rays.next();
    await setLeft(conversationId, ray.id, Date.now());
    await tell(conversationId);
    const page = await objectOf(conversationId).history(await versionOf(conversationId), john.id, { limit: 10 });
    expect(page?.messages).toMatchObject([{ text: 'so long', sender: { user_id: ray.id, first_name: 'Ray' } }]);
  });

  test('may come back', async () => {
    const { john, ray, johns, rays, conversationId } = await chatting();
    await setLeft(conversationId, ray.id, Date.now());
    await tell(conversationId);
    await rays.closed;
    await setLeft(conversationId, ray.id, null);
    const back = await connect(conversationId, ray.access);
    back.say('here I am', john.id);
    expect(textOf(await johns.next())).toBe('here I am');
  });
});

describe('the epoch', () => {
  test('is taken over when the directory has a larger one', async () => {
    const { john, ray, johns, conversationId } = await chatting();
    const members = await storedMembers(conversationId);
    await raiseEpoch(conversationId);
    await connect(conversationId, john.access);
    expect(await storedVersion(conversationId)).toEqual({ version: 1, epoch: 2 });
    expect(await storedMembers(conversationId)).toEqual(members);
    johns.say('as before', ray.id);
    expect(textOf(await johns.next())).toBe('as before');
  });

  test('closes the chat.v1 sockets with 1012, whose clients start anew, when it is replaced', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const [johns, rays] = [await openChat(conversationId, john.access), await connect(conversationId, ray.access)];
    await johns.say('as it was');
    const cursor = { after: 4, epoch: johns.welcome.epoch };
    await raiseEpoch(conversationId);
    await tell(conversationId);
    expect(await johns.closed).toEqual({ code: 1012, reason: 'The history was replaced. Connect again.' });
    await rays.settled();
    const { welcome } = await openChat(conversationId, john.access, { cursor });
    expect(welcome).toMatchObject({ epoch: 2, resumed: false, snapshot: { messages: [{ text: 'as it was' }] } });
  });

  test('is kept when a smaller one is named', async () => {
    const { conversationId } = await chatting();
    await raiseEpoch(conversationId);
    await tell(conversationId);
    const tellOld = () => objectOf(conversationId).notify({ version: 1, epoch: 1 }, NO_SESSIONS);
    expect(await countQueries(tellOld)).toBe(0);
    expect(await storedVersion(conversationId)).toEqual({ version: 1, epoch: 2 });
  });

  test('never sinks, also when a larger version comes with a smaller one', async () => {
    const { conversationId } = await pairInConversation();
    await runInDurableObject(objectOf(conversationId), (_, { storage }) => {
      const store = new ConversationStore(storage);
      store.applyMembers({ version: 1, epoch: 3, members: [] });
      store.applyMembers({ version: 2, epoch: 2, members: [] });
    });
    expect(await storedVersion(conversationId)).toEqual({ version: 2, epoch: 3 });
  });

  test('survives an eviction', async () => {
    const { john, conversationId } = await chatting();
    await raiseEpoch(conversationId);
    await tell(conversationId);
    await evictDurableObject(objectOf(conversationId));
    expect(await countQueries(() => connect(conversationId, john.access))).toBe(1);
    expect(await storedVersion(conversationId)).toEqual({ version: 1, epoch: 2 });
  });
});
