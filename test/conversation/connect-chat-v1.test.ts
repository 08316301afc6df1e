import { evictDurableObject, listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, test } from 'vitest';
import { api } from '../helpers/api.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { objectOf } from '../helpers/conversation.ts';
import { countQueries } from '../helpers/d1.ts';
import { breakD1 } from '../helpers/faults.ts';
import { pairInConversation, signedIn } from '../helpers/people.ts';
import { connect, TestSocket, upgrade } from '../helpers/socket.ts';

/** The first frame of a socket that was opened. */
async function welcomed({ webSocket }: Response): Promise<Record<string, unknown>> {
  if (!webSocket) throw new Error('There is no socket.');
  const frame: Record<string, unknown> = JSON.parse(await new TestSocket(webSocket).next());
  expect(frame['type']).toBe('welcome');
  return frame;
}

/** How a socket that was opened only for this is closed: without a frame. */
async function closedBy({ webSocket }: Response) {
  if (!webSocket) throw new Error('There is no socket.');
  const socket = new TestSocket(webSocket);
  const close = await socket.closed;
  expect(socket.pending).toEqual([]);
  return close;
}

const offer = (token?: string) => ({ protocols: token === undefined ? ['chat.v1'] : ['chat.v1', `bearer.${token}`] });

const elsewhere = (token: string) => ({ query: `?token=${token}`, headers: { Authorization: `Bearer ${token}` } });

describe('a socket that offers chat.v1', () => {
  test('is accepted with that protocol, and welcomed', async () => {
    const { john, conversationId } = await pairInConversation();
    const answer = await upgrade(conversationId, undefined, offer(john.access));
    expect(answer.status).toBe(101);
    expect(answer.headers.get('Sec-WebSocket-Protocol')).toBe('chat.v1');
    expect(await welcomed(answer)).toMatchObject({ conversation: conversationId, me: john.id, resumed: false });
  });

  test('is accepted among other protocols, in any place, and before versions that nobody speaks yet', async () => {
    const { john, conversationId } = await pairInConversation();
    const protocols = ['soap', 'chat.v2', `bearer.${john.access}`, 'chat.v1'];
    const answer = await upgrade(conversationId, undefined, { protocols });
    expect(answer.headers.get('Sec-WebSocket-Protocol')).toBe('chat.v1');
    expect(await welcomed(answer)).toMatchObject({ me: john.id });
  });

  type Attempt = { token?: string | undefined; id?: string; headers?: Record<string, string> };
  test.each<[string, number, string, () => Attempt]>([
    ['nonsense as token', 4401, 'Token is invalid or expired', () => ({ token: 'nonsense' })],
    ['no token', 4401, 'Authentication credentials were not provided.', () => ({ token: undefined })],
    ['no such conversation', 4404, 'There is no such conversation.', () => ({ id: crypto.randomUUID() })],
    ['a malformed conversation id', 4404, 'There is no such conversation.', () => ({ id: 'lobby' })],
    [
      'a page of another origin',
      4403,
      'Pages of this origin may not open sockets here.',
      () => ({ headers: { Origin: 'https://evil.example' } }),
    ],
  ])('is told why it is refused by a close code: %s', async (_, code, reason, changes) => {
    const { john, conversationId } = await pairInConversation();
    const { token, id, headers = {} } = { token: john.access, id: conversationId, ...changes() };
    const answer = await upgrade(id, undefined, { ...offer(token), headers });
    expect(answer.headers.get('Sec-WebSocket-Protocol')).toBe('chat.v1');
    expect(await closedBy(answer)).toEqual({ code, reason });
  });

  const BAD_CURSOR = '"after" and "epoch" are whole numbers, and given together or not at all.';
  test.each([
    ['?after=x&epoch=1'],
    ['?after=1&epoch=x'],
    ['?after=-1&epoch=1'],
    ['?after=1.5&epoch=1'],
    ['?after=1&epoch=9007199254740992'],
    ['?after=&epoch=1'],
    ['?after=1'],
    ['?epoch=1'],
  ])('is closed with 4400 if its cursor is none: %s', async (query) => {
    const { john, conversationId } = await pairInConversation();
    const before = await listDurableObjectIds(env.CONVERSATIONS);
    const socket = await connect(conversationId, undefined, { ...offer(john.access), query });
    expect(await socket.closed).toEqual({ code: 4400, reason: BAD_CURSOR });
    expect(socket.pending).toEqual([]);
    expect(await listDurableObjectIds(env.CONVERSATIONS)).toHaveLength(before.length);
  });

  test('is told that its cursor is none only if it may connect', async () => {
    const { conversationId } = await pairInConversation();
    const selena = await signedIn('Selena');
    const query = '?after=x&epoch=1';
    const stranger = await connect(conversationId, undefined, { ...offer(selena.access), query });
    expect(await stranger.closed).toMatchObject({ code: 4403 });
    const nobody = await connect(conversationId, undefined, { ...offer('nonsense'), query });
    expect(await nobody.closed).toMatchObject({ code: 4401 });
  });

  test('of someone who is not a member is closed with 4403', async () => {
    const { conversationId } = await pairInConversation();
    const selena = await signedIn('Selena');
    const socket = await connect(conversationId, undefined, offer(selena.access));
    expect(await socket.closed).toMatchObject({ code: 4403 });
  });

  test('of a session that has ended is closed with 4410', async () => {
    const { john, conversationId } = await pairInConversation();
    await api('/api/logout/', { json: { refresh: john.refresh } });
    const socket = await connect(conversationId, undefined, offer(john.access));
    expect(await socket.closed).toMatchObject({ code: 4410 });
  });

  test('is told of a fault by 1011, without what it was', async () => {
    const { john, conversationId } = await pairInConversation();
    const d1 = breakD1();
    const socket = await connect(conversationId, undefined, offer(john.access));
    d1.restore();
    expect(await socket.closed).toEqual({ code: 1011, reason: 'The server failed. Connect again.' });
  });

  test('presents its token there before Authorization and the query', async () => {
    const { john, conversationId } = await pairInConversation();
    const good = await upgrade(conversationId, undefined, { ...offer(john.access), ...elsewhere('nonsense') });
    expect(await welcomed(good)).toMatchObject({ me: john.id });
    const bad = await connect(conversationId, undefined, { ...offer('nonsense'), ...elsewhere(john.access) });
    expect(await bad.closed).toMatchObject({ code: 4401 });
  });

  test.each([
    ['Authorization', (token: string) => ({ headers: { Authorization: `Bearer ${token}` } })],
    ['the query', (token: string) => ({ query: `?token=${token}` })],
  ])('may present its token in %s', async (_, carry) => {
    const { john, conversationId } = await pairInConversation();
    const answer = await upgrade(conversationId, undefined, { ...offer(), ...carry(john.access) });
    expect(await welcomed(answer)).toMatchObject({ me: john.id });
  });

  test('wakes no object if it is refused', async () => {
    const { john, conversationId } = await pairInConversation();
    const selena = await signedIn('Selena');
    const before = await listDurableObjectIds(env.CONVERSATIONS);
    for (const [id, token] of [
      [conversationId, selena.access],
      [conversationId, 'nonsense'],
      [crypto.randomUUID(), john.access],
    ] as const) {
      await (
        await connect(id, undefined, offer(token))
      ).closed;
    }
    expect(await listDurableObjectIds(env.CONVERSATIONS)).toHaveLength(before.length);
  });
});

describe('a socket that offers only a version of chat that this server does not speak', () => {
  test.each(['chat.v2', 'chat.v0', 'chat.v10'])('is accepted with its name, and closed with 4426: %s', async (name) => {
    const { john, conversationId } = await pairInConversation();
    const before = await listDurableObjectIds(env.CONVERSATIONS);
    const answer = await upgrade(conversationId, undefined, { protocols: ['soap', name, `bearer.${john.access}`] });
    expect(answer.status).toBe(101);
    expect(answer.headers.get('Sec-WebSocket-Protocol')).toBe(name);
    expect(await closedBy(answer)).toEqual({ code: 4426, reason: 'This server speaks chat.v1.' });
    expect(await listDurableObjectIds(env.CONVERSATIONS)).toHaveLength(before.length);
  });
});

describe('the queries to D1', () => {
  test('that a connect with chat.v1 costs are two at first, with the members, and then one, with a cursor, too', async () => {
    const { john, conversationId } = await pairInConversation();
    expect(await countQueries(() => openChat(conversationId, john.access))).toBe(2);
    expect(await countQueries(() => openChat(conversationId, john.access))).toBe(1);
    const cursor = { after: 1, epoch: 1 };
    expect(await countQueries(() => openChat(conversationId, john.access, { cursor }))).toBe(1);
  });

  test('that a frame of chat.v1 costs are none, right after an eviction neither', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    const rays = await openChat(conversationId, ray.access);
    const exchange = async () => {
      const { n } = await johns.say('ping?');
      await rays.ok({ type: 'react', n, emoji: '👍', on: true });
      await johns.ok({ type: 'edit', n, text: 'ping!' });
      rays.send({ type: 'mark', read: n });
      rays.send({ type: 'typing', on: true });
      await rays.ok({ type: 'send', text: 'pong!', reply_to: n });
      await rays.sync(0);
      await johns.settled();
      await johns.ok({ type: 'delete', n });
      expect(await johns.refused({ type: 'edit', n, text: 'too late' })).toBe('message_deleted');
    };
    expect(await countQueries(exchange)).toBe(0);
    await evictDurableObject(objectOf(conversationId));
    expect(await countQueries(exchange)).toBe(0);
  });

  test('that a refused connect with chat.v1 costs are at most one', async () => {
    const { john, conversationId } = await pairInConversation();
    const selena = await signedIn('Selena');
    for (const [id, token, expected] of [
      [conversationId, 'nonsense', 0],
      ['lobby', john.access, 0],
      [crypto.randomUUID(), john.access, 1],
      [conversationId, selena.access, 1],
    ] as const) {
      expect(await countQueries(async () => (await connect(id, undefined, offer(token))).closed)).toBe(expected);
    }
  });
});
