import { evictDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { connectRequest, type Connect } from '../../src/conversation/connection.ts';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { connectOf, objectOf, query, storedMessages, storedTexts } from '../helpers/conversation.ts';
import { pairInConversation, signedIn, signIn } from '../helpers/people.ts';
import { connect, TestSocket, upgrade } from '../helpers/socket.ts';

const textOf = (frame: string): string => JSON.parse(frame).message;

const HEADER = 'X-Edge-Chat-Connect';
const forgedBy = (connectOfOther: Connect) => ({ headers: { [HEADER]: JSON.stringify(connectOfOther) } });

function asConnect(header: string): Request {
  return new Request('https://conversation/connect', { headers: { Upgrade: 'websocket', [HEADER]: header } });
}

/** The lines that are written from now on. */
function logLines(): () => string[] {
  const spies = [vi.spyOn(console, 'log'), vi.spyOn(console, 'error')];
  return () => spies.flatMap((spy) => spy.mock.calls.map(([line]) => String(line)));
}

describe('what the Worker tells the object', () => {
  test('is not what a client puts into that header: the socket is its own', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const forged = forgedBy(await connectOf(ray, conversationId));
    const socket = await connect(conversationId, john.access, forged);
    socket.say('who am I?', ray.id);
    expect(textOf(await socket.next())).toBe('who am I?');
    expect(await storedMessages(conversationId)).toMatchObject([{ sender_id: john.id }]);
  });

  test('is not what a client puts there: it gets into no other conversation', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const { john: selena, ray: tom, conversationId: otherId } = await pairInConversation();
    const toms = await connect(otherId, tom.access);
    const forged = forgedBy(await connectOf(selena, otherId));
    const socket = await connect(conversationId, john.access, forged);
    socket.say('where am I?', ray.id);
    expect(textOf(await socket.next())).toBe('where am I?');
    await toms.settled();
    expect(toms.pending).toEqual([]);
    expect(await storedTexts(otherId)).toEqual([]);
  });

  test('is not what a client puts there: without a token it is refused', async () => {
    const { ray, conversationId } = await pairInConversation();
    const forged = forgedBy(await connectOf(ray, conversationId));
    expect((await upgrade(conversationId, undefined, forged)).status).toBe(403);
  });

  test('opens a socket', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const answer = await objectOf(conversationId).fetch(connectRequest(await connectOf(john, conversationId)));
    expect(answer.status).toBe(101);
    if (!answer.webSocket) throw new Error('There is no socket.');
    const socket = new TestSocket(answer.webSocket);
    socket.say('Hello', ray.id);
    expect(textOf(await socket.next())).toBe('Hello');
  });

  test('may hold more than the object knows: the Worker is of a newer release for some minutes', async () => {
    const { john, conversationId } = await pairInConversation();
    const newer = asConnect(JSON.stringify({ ...(await connectOf(john, conversationId)), something: 'new' }));
    const answer = await objectOf(conversationId).fetch(newer);
    expect(answer.status).toBe(101);
    answer.webSocket?.accept();
  });

  test.each<[string, (connect: Connect) => Request]>([
    ['nothing', () => new Request('https://conversation/connect', { headers: { Upgrade: 'websocket' } })],
    ['no upgrade', (is) => new Request('https://conversation/connect', { headers: { [HEADER]: JSON.stringify(is) } })],
    ['no JSON', () => asConnect('nonsense')],
    ['no object', () => asConnect('null')],
    ['nobody', (is) => asConnect(JSON.stringify({ ...is, user_id: undefined }))],
    ['somebody whose id is none', (is) => asConnect(JSON.stringify({ ...is, user_id: 'john' }))],
    ['no version', (is) => asConnect(JSON.stringify({ ...is, version: null }))],
    ['a negative version', (is) => asConnect(JSON.stringify({ ...is, version: -1 }))],
    ['another conversation', (is) => connectRequest({ ...is, conversation_id: crypto.randomUUID() })],
  ])('is refused by the object, which stores nothing, when it is %s', async (_, requestOf) => {
    const { john, conversationId } = await pairInConversation();
    const answer = await objectOf(conversationId).fetch(requestOf(await connectOf(john, conversationId)));
    expect({ status: answer.status, webSocket: answer.webSocket }).toEqual({ status: 400, webSocket: null });
    const tables = await query(
      conversationId,
      "SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'",
    );
    expect(tables).toEqual([]);
  });

  test('does not open a socket for someone who is not a member', async () => {
    const { conversationId } = await pairInConversation();
    const selena = await signedIn('Selena');
    const answer = await objectOf(conversationId).fetch(connectRequest(await connectOf(selena, conversationId)));
    expect(answer.status).toBe(403);
    expect(await answer.json()).toEqual({ reason: 'not_a_member' });
  });
});

describe('a client that closes its socket', () => {
  test.each([
    ['4321', 4321, 'gone'],
    ['3000', 3000, ''],
    ['1000', 1000, ''],
  ])('with %s is answered 1000', async (_, code, reason) => {
    const { john, conversationId } = await pairInConversation();
    const johns = await connect(conversationId, john.access);
    johns.close(code, reason);
    expect(await johns.closed).toEqual({ code: 1000, reason: '' });
  });

  test('without a code is answered 1000', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await connect(conversationId, john.access);
    johns.close();
    expect(await johns.closed).toEqual({ code: 1000, reason: '' });
  });

  test('while its object hibernates is answered', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await connect(conversationId, john.access);
    await evictDurableObject(objectOf(conversationId));
    johns.close(4321, 'gone');
    expect(await johns.closed).toEqual({ code: 1000, reason: '' });
  });

  test('with frames before it has them stored', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await connect(conversationId, john.access);
    johns.say('bye', ray.id);
    johns.close(1000, '');
    await johns.closed;
    expect(await storedTexts(conversationId)).toEqual(['bye']);
  });

  test('leaves the others as they are', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await connect(conversationId, john.access);
    const rays = await connect(conversationId, ray.access);
    johns.close(4321, 'gone');
    await johns.closed;
    rays.say('anyone?', john.id);
    expect(textOf(await rays.next())).toBe('anyone?');
  });
});

describe('the log', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  test('tells of a socket that opens and closes, by ids', async () => {
    const { john, conversationId } = await pairInConversation();
    const lines = logLines();
    const johns = await connect(conversationId, john.access);
    johns.close(4321, 'gone');
    await johns.closed;
    const events = lines().map((line): Record<string, unknown> => JSON.parse(line));
    expect(events).toMatchObject([
      { event: 'socket_opened', conversation_id: conversationId, user_id: john.id, protocol: 'plain' },
      { event: 'request', method: 'GET', path: `/ws/chat/${conversationId}`, status: 101, user_id: john.id },
      { event: 'socket_closed', conversation_id: conversationId, user_id: john.id, code: 4321, was_clean: true },
    ]);
    expect(events[0]?.['request_id']).toBe(events[1]?.['request_id']);
  });

  test('tells of a refused one by the reason', async () => {
    const { conversationId } = await pairInConversation();
    const lines = logLines();
    await upgrade(conversationId, 'nonsense');
    expect(lines().map((line): unknown => JSON.parse(line))).toMatchObject([
      { event: 'socket_refused', code: 'token_not_valid' },
      { event: 'request', status: 403 },
    ]);
  });

  test('never holds a token, a text, a name or an address', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const lines = logLines();
    const johns = await connect(conversationId, john.access);
    johns.say('between you and me', ray.id);
    johns.say('between you and me', 'between you and me');
    johns.say('between you and me', john.id);
    await johns.closed;
    await upgrade(crypto.randomUUID(), john.access);
    await upgrade(conversationId, undefined, { protocols: ['chat.v1', `bearer.${john.access}`] });
    await upgrade(conversationId, `${john.access}x`);
    const text = lines().join('\n');
    expect(text).toContain('socket_closed');
    for (const secret of ['between you', john.access.slice(0, 20), john.access.slice(-20), 'John', john.email, 'Ray']) {
      expect(text).not.toContain(secret);
    }
  });
});

test('sessions of one user on two devices are two sockets', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  const phone = await signIn(john.id, 'phone');
  const sockets = [await connect(conversationId, john.access), await connect(conversationId, phone.access)];
  sockets[1]?.say('from my phone', ray.id);
  for (const socket of sockets) expect(textOf(await socket.next())).toBe('from my phone');
});

test('a user in several conversations has sockets in each, apart from one another', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  const selena = await signedIn('Selena');
  const other = await openDirectConversation(directory(env.DB), john.id, selena.id, Date.now());
  const [withRay, withSelena] = [
    await connect(conversationId, john.access),
    await connect(other?.id ?? '', john.access),
  ];
  withRay.say('for ray', ray.id);
  withSelena.say('for selena', selena.id);
  expect(textOf(await withRay.next())).toBe('for ray');
  expect(textOf(await withSelena.next())).toBe('for selena');
});
