import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, test } from 'vitest';
import { answer } from '../../../src/conversation/rules.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { objectOf } from '../../helpers/conversation.ts';
import { setLeft, versionOf } from '../../helpers/directory.ts';
import { changeUnheard, everythingSeenBy, expectContiguous, Follower, notify } from '../../helpers/follower.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** john with a socket, and a follower of ray's. */
async function following() {
  const pair = await pairInConversation();
  const johns = await openChat(pair.conversationId, pair.john.access);
  const rays = await Follower.open(pair.conversationId, pair.ray);
  /** Sends a message of john's, and waits until ray's socket has heard of it, be it lost then or not. */
  const say = async (text: string) => {
    const { n } = await johns.say(text);
    await rays.socket.next('changes', ({ messages }) => messages.some((message) => message.n === n));
    rays.hear();
    return n;
  };
  return { ...pair, johns, rays, say };
}

describe('rule 3, no silent gap', () => {
  test('a client that has lost nothing has everything, without asking', async () => {
    const { john, rays, say, conversationId } = await following();
    for (const text of ['one', 'two', 'three']) await say(text);
    expectContiguous(rays.live, 2);
    expect(rays.replica.gap).toBe(false);
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('a lost frame shows by the next one, which is not applied, and a `sync` closes the gap', async () => {
    const { john, rays, say, conversationId } = await following();
    await say('one');
    const before = rays.replica.state();
    rays.lose = 1;
    await say('two');
    expect(rays.replica.gap).toBe(false);
    await say('three');
    expect(rays.replica.gap).toBe(true);
    expect(rays.replica.state()).toEqual(before);
    await rays.catchUp();
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
    await say('four');
    expect(rays.replica.gap).toBe(false);
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('a socket that resumes behind the head sees the gap in the first live frame', async () => {
    const { john, ray, johns, conversationId } = await following();
    const late = await Follower.open(conversationId, ray);
    late.socket.close(1000);
    await johns.say('one');
    // Told to those who are here, so that it does not travel with the next one.
    await johns.next('changes', ({ messages }) => messages.some((message) => message.n === 1));
    expect(await late.connect()).toMatchObject({ resumed: true });
    const { n } = await johns.say('two');
    await late.socket.next('changes', ({ messages }) => messages.some((message) => message.n === n));
    late.hear();
    expect(late.replica.gap).toBe(true);
    await late.catchUp();
    expect(late.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('live frames go on where they were over an eviction', async () => {
    const { john, rays, say, conversationId } = await following();
    for (const text of ['one', 'two', 'three']) {
      await say(text);
      await evictDurableObject(objectOf(conversationId));
    }
    expectContiguous(rays.live, 2);
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('changes that no socket was told of before the object slept are a gap for all when it wakes', async () => {
    const { john, ray, rays, say, conversationId } = await following();
    await say('one');
    await changeUnheard(conversationId, (store) => {
      answer(store, john.id, { type: 'send', ref: 'unheard', text: 'two' }, Date.now());
      answer(store, ray.id, { type: 'react', ref: 'unheard', n: 1, emoji: '👍', on: true }, Date.now());
    });
    const head = rays.replica.rev + 3;
    await say('three');
    // The first live frame begins at the head that the object woke up to, not at what it has told.
    expect(rays.live.at(-1)).toMatchObject({ after: head });
    expect(rays.replica.gap).toBe(true);
    expect(rays.replica.messages.has(3)).toBe(false);
    await rays.catchUp();
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('the answer to `sync` may overtake live frames, which then bring nothing new and do no harm', async () => {
    const { john, johns, rays, conversationId } = await following();
    const refs = Array.from({ length: 20 }, () => crypto.randomUUID());
    for (const ref of refs) johns.send({ type: 'send', ref, text: ref });
    for (const ref of refs) {
      await johns.answer(ref);
      await rays.catchUp();
    }
    const state = await everythingSeenBy(conversationId, john);
    expect(rays.replica.state()).toEqual(state);
    if (rays.live.at(-1)?.rev !== rays.replica.rev) {
      await rays.socket.next('changes', ({ ref, rev }) => ref === undefined && rev === rays.replica.rev);
    }
    rays.hear();
    expect(rays.replica.gap).toBe(false);
    expect(rays.replica.state()).toEqual(state);
    expectContiguous(rays.live, 2);
  });

  test('frames of a socket that has been replaced are dropped', async () => {
    const { rays, say, johns } = await following();
    await say('one');
    const replaced = rays.socket;
    await rays.connect();
    await johns.say('two');
    await replaced.next('changes', ({ messages }) => messages.some(({ n }) => n === 2));
    const { frames } = replaced;
    expect(frames.at(-1)).toMatchObject({ type: 'changes' });
    await rays.socket.next('changes', ({ messages }) => messages.some(({ n }) => n === 2));
    expect(rays.replica.messages.has(2)).toBe(false);
    rays.hear();
    expect(rays.replica.messages.has(2)).toBe(true);
  });
});

describe('rule 6, no lost last frame', () => {
  test('a probe finds what no later frame would show', async () => {
    const { john, rays, say, conversationId } = await following();
    await say('one');
    rays.lose = 1;
    await say('two');
    expect(rays.replica.gap).toBe(false);
    expect(rays.replica.messages.has(2)).toBe(false);
    const pages = await rays.catchUp();
    expect(pages).toMatchObject([{ after: 4, rev: 6, messages: [{ n: 2 }], more: false }]);
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('a probe that finds nothing says so, at the head', async () => {
    const { rays, say } = await following();
    await say('one');
    expect(await rays.catchUp()).toMatchObject([{ after: 4, rev: 4, messages: [], members: [], more: false }]);
  });
});

describe('members travel in `changes`, in the one sequence of all', () => {
  test('one who leaves, and one who comes back', async () => {
    const { john, ray, johns, rays, say, conversationId } = await following();
    await say('one');
    await setLeft(conversationId, ray.id, 1_750_000_000_000);
    await notify(conversationId, await versionOf(conversationId));
    expect(await rays.socket.closed).toMatchObject({ code: 4403 });
    const left = await johns.next('changes', ({ members }) => members.some(({ user_id }) => user_id === ray.id));
    expect(left).toMatchObject({ after: 4, rev: 5, members: [{ rev: 5, left_at: 1_750_000_000_000 }] });
    // Something changes that they do not hear of.
    await johns.ok({ type: 'delete', n: 1 });

    await setLeft(conversationId, ray.id, null);
    // Their cursor still holds: nobody has to tell them of what they missed, nor of themselves.
    expect(await rays.connect()).toMatchObject({ resumed: true });
    const back = await johns.next('changes', ({ members }) => members.some(({ user_id }) => user_id === ray.id));
    expect(back.rev).toBe(7);
    expect(back.members.find(({ user_id }) => user_id === ray.id)).toMatchObject({ rev: 7, left_at: null });
    await rays.catchUp();
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
    expect(rays.replica.members.get(ray.id)).toMatchObject({ rev: 7, left_at: null });
  });
});
