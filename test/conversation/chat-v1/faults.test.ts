import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { ACCESS_TOKEN_LIFETIME_S, SILENT_AFTER_MS } from '../../../src/config.ts';
import { chatPair, signedInAgain } from '../../helpers/chat-pair.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { objectOf, storedMessages } from '../../helpers/conversation.ts';
import { connect } from '../../helpers/socket.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** Makes statements of a conversation's store fail, each beginning once, in this order. */
async function failInOrder(conversationId: string, ...beginnings: string[]): Promise<void> {
  await runInDurableObject(objectOf(conversationId), (_, { storage: { sql } }) => {
    const exec = sql.exec.bind(sql);
    const spy = vi.spyOn(sql, 'exec').mockImplementation((text, ...bindings) => {
      const [next] = beginnings;
      if (next === undefined || !text.trim().startsWith(next)) return exec(text, ...bindings);
      beginnings.shift();
      if (beginnings.length === 0) spy.mockRestore();
      throw new Error('The disk is full.');
    });
  });
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test('rules 3 and 4: a step that fails, and fails to be read again, leaves no rev that is not stored', async () => {
  const { john, johns, rays, conversationId } = await chatPair();
  await failInOrder(conversationId, 'INSERT INTO operations', 'SELECT');
  johns.send({ type: 'send', ref: 'one', text: 'Hello' });
  await johns.closed;
  rays.sendRaw('nonsense');
  await rays.next('error');
  await runInDurableObject(objectOf(conversationId), () => vi.restoreAllMocks());
  const again = await openChat(conversationId, john.access);
  expect(again.welcome).toMatchObject({ rev: 2, snapshot: { messages: [] } });
  expect(await again.say('Hello', { ref: 'one' })).toMatchObject({ n: 1, rev: 3 });
  expect((await storedMessages(conversationId)).map(({ n }) => n)).toEqual([1]);
});

test('rule 1: what could not be told at once, although it is stored, is told a little later', async () => {
  const { johns, rays, conversationId } = await chatPair();
  await failInOrder(conversationId, 'SELECT * FROM messages WHERE rev >');
  await johns.say('Hello');
  expect(await rays.next('changes')).toMatchObject({ messages: [{ n: 1, text: 'Hello' }] });
});

describe('presence is no part of the promise', () => {
  test('whoever cannot be noted as seen is welcomed, heard and told all the same', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    await failInOrder(conversationId, 'UPDATE members SET last_seen');
    const rays = await openChat(conversationId, ray.access);
    expect(await johns.next('presence')).toMatchObject({ user_id: ray.id, online: true });
    expect(await rays.say('Hello')).toMatchObject({ n: 1 });
  });

  test('the first frame of a socket is its welcome, also when its coming shows that somebody has gone', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await connect(conversationId, ray.access);
    vi.useFakeTimers({ now: Date.now() + SILENT_AFTER_MS, toFake: ['Date'] });
    const johns = await connect(conversationId, undefined, { protocols: ['chat.v1', `bearer.${john.access}`] });
    expect(JSON.parse(await johns.next())).toMatchObject({ type: 'welcome', online: [john.id] });
  });

  test('a departure is told although what closes the socket is what wakes the object', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    vi.useFakeTimers({ now: Date.now() + 60_000, toFake: ['Date'] });
    const johns = await openChat(conversationId, (await signedInAgain(john)).access);
    await evictDurableObject(objectOf(conversationId));
    vi.setSystemTime(Date.now() + ACCESS_TOKEN_LIFETIME_S * 1000 - 30_000);
    await runDurableObjectAlarm(objectOf(conversationId));
    expect(await rays.closed).toMatchObject({ code: 4401 });
    expect(await johns.next('presence', ({ online }) => !online)).toMatchObject({ user_id: ray.id });
  });
});
