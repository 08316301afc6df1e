import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { MARKS_INTERVAL_MS } from '../../../src/config.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { objectOf, storedMessages } from '../../helpers/conversation.ts';
import { expectContiguous, liveChanges } from '../../helpers/follower.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** john and ray, with a chat.v1 socket each. */
async function chatting() {
  const pair = await pairInConversation();
  const johns = await openChat(pair.conversationId, pair.john.access);
  const rays = await openChat(pair.conversationId, pair.ray.access);
  return { ...pair, johns, rays };
}

/** Makes the next statement of a conversation's store that begins like this fail, as on a full disk. */
async function failNext(conversationId: string, beginning: string): Promise<void> {
  await runInDurableObject(objectOf(conversationId), (_, { storage: { sql } }) => {
    const exec = sql.exec.bind(sql);
    const spy = vi.spyOn(sql, 'exec').mockImplementation((text, ...bindings) => {
      if (!text.trim().startsWith(beginning)) return exec(text, ...bindings);
      spy.mockRestore();
      throw new Error('The disk is full.');
    });
  });
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('rule 1, a step that fails leaves nothing', () => {
  test.each(['INSERT INTO messages', 'UPDATE members SET read', 'INSERT INTO operations'])(
    'nobody hears of a message whose %s fails, and its sender, closed with 1011, sends it again',
    async (statement) => {
      const { john, johns, rays, conversationId } = await chatting();
      await failNext(conversationId, statement);
      johns.send({ type: 'send', ref: 'one', text: 'Hello' });
      expect(await johns.closed).toMatchObject({ code: 1011 });
      await rays.settled();
      expect(rays.frames.map(({ type }) => type)).not.toContain('changes');
      expect(johns.frames.map(({ type }) => type)).not.toContain('ok');
      expect(await storedMessages(conversationId)).toEqual([]);

      const again = await openChat(conversationId, john.access);
      expect(again.welcome).toMatchObject({ rev: 2, snapshot: { messages: [] } });
      const ok = await again.say('Hello', { ref: 'one' });
      expect(ok).toMatchObject({ n: 1, rev: 3 });
      expect(ok).not.toHaveProperty('duplicate');
      expect(await again.say('Hello', { ref: 'one' })).toEqual({ ...ok, duplicate: true });
      expect(await rays.next('changes')).toMatchObject({
        after: 2,
        rev: 4,
        messages: [{ n: 1, rev: 3, ref: 'one' }],
        members: [{ user_id: john.id, rev: 4, read: 1, delivered: 1 }],
      });
      expect(await storedMessages(conversationId)).toMatchObject([{ n: 1, rev: 3, ref: 'one' }]);
    },
  );

  test.each([
    ['edit', 'UPDATE messages', { type: 'edit', n: 1, text: 'changed' }],
    ['delete', 'DELETE FROM reactions', { type: 'delete', n: 1 }],
    ['react', 'INSERT INTO reactions', { type: 'react', n: 1, emoji: '👍', on: true }],
    ['react, later', 'INSERT INTO operations', { type: 'react', n: 1, emoji: '👍', on: true }],
  ])('neither does one that changes a message: %s', async (_, statement, frame) => {
    const { john, johns, rays, conversationId } = await chatting();
    await johns.say('Hello');
    await rays.next('changes');
    const [before] = await storedMessages(conversationId);
    await failNext(conversationId, statement);
    johns.send({ ref: 'x', ...frame });
    expect(await johns.closed).toMatchObject({ code: 1011 });
    await rays.settled();
    expect(liveChanges(rays)).toHaveLength(1);
    const again = await openChat(conversationId, john.access);
    expect(again.welcome).toMatchObject({ rev: 4, snapshot: { messages: [{ ...before, reactions: [] }] } });
    const ok = await again.ask({ ...frame, ref: 'x' } as Parameters<typeof again.ask>[0]);
    expect(ok).toMatchObject({ type: 'ok', n: 1, rev: 5 });
    expect(ok).not.toHaveProperty('duplicate');
    expect(await rays.next('changes')).toMatchObject({ after: 4, rev: 5, messages: [{ n: 1, rev: 5 }] });
  });

  test('a mark that cannot be stored takes no rev, which the next change would have again', async () => {
    const { ray, johns, rays, conversationId } = await chatting();
    await johns.say('Hello');
    await failNext(conversationId, 'UPDATE members SET read');
    rays.send({ type: 'mark', read: 1 });
    expect(await rays.closed).toMatchObject({ code: 1011 });

    const again = await openChat(conversationId, ray.access);
    const cursor = { after: again.welcome.rev, epoch: again.welcome.epoch };
    await evictDurableObject(objectOf(conversationId));
    await johns.say('and on');
    const resumed = await openChat(conversationId, ray.access, { cursor });
    const seen = resumed.welcome.snapshot ?? (await resumed.sync(cursor.after))[0];
    expect(seen?.messages.map(({ text }) => text)).toContain('and on');
    expect(cursor.after).toBe(4);
  });

  test('a fan-out that fails loses nothing and closes nobody: the next one begins where the last one ended', async () => {
    const { johns, rays, conversationId } = await chatting();
    // So long after anything that was told before, a message is told at once.
    vi.useFakeTimers({ now: Date.now() + MARKS_INTERVAL_MS, toFake: ['Date'] });
    await failNext(conversationId, 'SELECT * FROM messages WHERE rev >');
    const ok = await johns.say('one');
    await rays.say('two');
    await rays.next('changes', ({ messages }) => messages.some(({ text }) => text === 'two'));
    expectContiguous(liveChanges(rays), rays.welcome.rev);
    expect(liveChanges(rays).flatMap(({ messages }) => messages)).toMatchObject([{ n: ok.n, text: 'one' }, { n: 2 }]);
  });
});
