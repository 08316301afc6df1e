import { expect, test } from 'vitest';
import { Caller } from '../../helpers/caller.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { open, storedMembers, storedMessages } from '../../helpers/conversation.ts';
import { pairInConversation } from '../../helpers/people.ts';
import { Replica } from '../../helpers/replica.ts';

/** A member without a socket, and the other one with a socket of each kind. */
async function scene() {
  const { john, ray, conversationId } = await pairInConversation();
  return {
    john,
    ray,
    conversationId,
    johns: new Caller(conversationId, john),
    rays: await openChat(conversationId, ray.access),
    raysPlain: await open(conversationId, ray.access),
  };
}

test('a message that is sent over HTTP reaches chat.v1 and plain sockets, the sender’s own too', async () => {
  const { john, ray, conversationId, johns, rays, raysPlain } = await scene();
  const [johnsOwn, johnsPlain] = [await openChat(conversationId, john.access), await open(conversationId, john.access)];
  const { n, rev, id, created_at } = await johns.say('Hello', 'key');
  for (const socket of [rays, johnsOwn]) {
    const changes = await socket.next('changes', ({ messages }) => messages.length > 0);
    expect(changes.messages).toEqual([
      {
        n,
        rev,
        id,
        created_at,
        sender_id: john.id,
        ref: 'key',
        text: 'Hello',
        reply_to: null,
        edited_at: null,
        deleted_at: null,
        reactions: [],
      },
    ]);
  }
  for (const socket of [raysPlain, johnsPlain]) {
    expect(JSON.parse(await socket.next())).toEqual({ message: 'Hello', recipient_id: ray.id });
  }
});

test('a duplicate reaches nobody', async () => {
  const { johns, rays, raysPlain } = await scene();
  await johns.say('Hello', 'key');
  await rays.next('changes', ({ messages }) => messages.length > 0);
  await raysPlain.next();
  const before = rays.frames.length;
  expect((await johns.send('Hello again', 'key')).status).toBe(200);
  // Once this one has come, whatever the duplicate had caused would have come before.
  await johns.say('the next');
  const { messages } = await rays.next('changes', (changes) => changes.messages.length > 0);
  expect(messages.map(({ text }) => text)).toEqual(['the next']);
  expect(rays.frames.slice(before).filter(({ type }) => type === 'changes')).toHaveLength(1);
  expect(JSON.parse(await raysPlain.next())).toMatchObject({ message: 'the next' });
});

test('edits, reactions and deletions reach chat.v1 sockets, and a follower has what a reader is given', async () => {
  const { johns, rays } = await scene();
  const replica = new Replica();
  replica.apply(rays.welcome);
  const revs: number[] = [(await johns.say('one')).rev, (await johns.say('two')).rev];
  for (const { status, body } of [
    await johns.edit(1, 'one, edited'),
    await johns.react(1, '👍'),
    await johns.react(1, '🎉'),
    await johns.unreact(1, '👍'),
    await johns.remove(2),
  ]) {
    expect(status).toBe(200);
    revs.push(body.rev);
  }
  expect(revs).toEqual(revs.toSorted((a, b) => a - b));
  while (replica.rev < Math.max(...revs)) replica.apply(await rays.next('changes'));
  const { messages, rev } = (await johns.messages()).body;
  expect(replica.state().messages).toEqual(messages);
  expect(replica.rev).toBe(rev);
  expect(messages).toMatchObject([
    { text: 'one, edited', reactions: [{ emoji: '🎉' }] },
    { text: null, reactions: [] },
  ]);
});

test('marks reach chat.v1 sockets', async () => {
  const { ray, rays, johns } = await scene();
  await johns.say('Hello');
  const marked = new Caller(rays.welcome.conversation, ray);
  expect((await marked.mark({ read: 1 })).status).toBe(204);
  const isRay = ({ user_id }: { user_id: string }) => user_id === ray.id;
  const { members } = await rays.next('changes', (changes) => changes.members.some(isRay));
  expect(members.find(isRay)).toMatchObject({ read: 1, delivered: 1 });
});

test('sending over HTTP moves one’s own read mark as sending over a socket does: only from n-1 to n', async () => {
  const { john, ray, conversationId, johns, rays } = await scene();
  await johns.say('one');
  expect((await storedMembers(conversationId)).get(john.id)).toMatchObject({ read: 1, delivered: 1 });
  await rays.say('two');
  await johns.say('three');
  const members = await storedMembers(conversationId);
  expect(members.get(john.id)).toMatchObject({ read: 1, delivered: 1 });
  expect(members.get(ray.id)).toMatchObject({ read: 0 });
});

test('requests and frames at the same time share one sequence, in which everything has its place', async () => {
  const { john, johns, rays, raysPlain, conversationId, ray } = await scene();
  const requests = Array.from({ length: 30 }, (_, i) => johns.send(`request ${i}`, `key ${i}`));
  for (let i = 0; i < 30; i += 1) {
    rays.send({ type: 'send', ref: `key ${i}`, text: `frame ${i}` });
    raysPlain.say(`plain ${i}`, john.id);
  }
  const answers = (await Promise.all(requests)).map(({ body }) => body);
  for (let i = 0; i < 30; i += 1) answers.push(await rays.answer(`key ${i}`));
  await raysPlain.settled();

  const stored = await storedMessages(conversationId);
  expect(stored.map(({ n }) => n)).toEqual(Array.from({ length: 90 }, (_, i) => i + 1));
  expect(new Set(stored.map(({ text }) => text))).toHaveLength(90);
  for (const { n, rev, id, created_at } of answers) expect(stored[n - 1]).toMatchObject({ n, rev, id, created_at });
  const ofFrames = stored.filter(({ sender_id, ref }) => sender_id === ray.id && ref !== null);
  expect(ofFrames.map(({ text }) => text)).toEqual(Array.from({ length: 30 }, (_, i) => `frame ${i}`));
});
