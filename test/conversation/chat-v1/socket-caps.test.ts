import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CLOSING_SOCKETS_MAX, FULL_RETRY_MS } from '../../../src/config.ts';
import { connectRequest } from '../../../src/conversation/connection.ts';
import { tags } from '../../../src/objects/connection.ts';
import { openDirectConversation } from '../../../src/directory/conversations.ts';
import { directory } from '../../../src/directory/database.ts';
import { settings } from '../../../src/settings.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { connectOf, objectOf, open } from '../../helpers/conversation.ts';
import { describedByAsyncApi } from '../../helpers/frames.ts';
import { pairInConversation, signedIn } from '../../helpers/people.ts';
import { connect, upgrade } from '../../helpers/socket.ts';

const usual = { ...settings };

const allow = (caps: { socketsPerUser?: number; socketsPerConversation?: number }) => Object.assign(settings, caps);

/** When someone's sockets last said `ping`, the latest last. */
async function pings(conversationId: string, userId: string): Promise<number[]> {
  return runInDurableObject(objectOf(conversationId), (_, state) =>
    state
      .getWebSockets(tags.user(userId))
      .map((socket) => state.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0)
      .toSorted((a, b) => a - b),
  );
}

/** One of john's sockets and one of ray's, which is all that there may be. */
async function full() {
  const pair = await pairInConversation();
  const johns = await openChat(pair.conversationId, pair.john.access);
  const rays = await open(pair.conversationId, pair.ray.access);
  allow({ socketsPerConversation: 2 });
  return { ...pair, johns, rays };
}

afterEach(() => {
  vi.useRealTimers();
  Object.assign(settings, usual);
});

describe('a user who opens more sockets than they may have', () => {
  test('loses the one that was silent longest, by its last frame; the new one is welcomed and the others stay', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    allow({ socketsPerUser: 3 });
    const rays = await openChat(conversationId, ray.access);
    const first = await openChat(conversationId, john.access);
    const second = await openChat(conversationId, john.access);
    const third = await openChat(conversationId, john.access);
    vi.useFakeTimers({ now: Date.now() + 1000, toFake: ['Date'] });
    await first.settled();
    await third.settled();

    const fourth = await openChat(conversationId, john.access);
    expect(fourth.welcome.me).toBe(john.id);
    expect(await second.closed).toMatchObject({ code: 4409 });
    for (const socket of [rays, first, third, fourth]) await socket.settled();
  });

  test('loses the one that was silent longest, by its last ping', async () => {
    vi.useFakeTimers({ now: Date.now() - 60_000, toFake: ['Date'] });
    const { john, conversationId } = await pairInConversation();
    allow({ socketsPerUser: 2 });
    const first = await openChat(conversationId, john.access);
    const second = await openChat(conversationId, john.access);
    const [, latest = 0] = await pings(conversationId, john.id);
    while ((await pings(conversationId, john.id)).at(-1) === latest) {
      first.sendRaw('ping');
      expect(await first.socket.next()).toBe('pong');
    }

    const third = await openChat(conversationId, john.access);
    expect(await second.closed).toMatchObject({ code: 4409 });
    for (const socket of [first, third]) await socket.settled();
  });

  test('loses them one after the other, oldest first, if all are silent', async () => {
    const start = Date.now() - 60_000;
    vi.useFakeTimers({ now: start, toFake: ['Date'] });
    const { john, ray, conversationId } = await pairInConversation();
    allow({ socketsPerUser: 2 });
    const rays = await openChat(conversationId, ray.access);
    const sockets = [];
    for (let i = 1; i <= 5; i += 1) {
      vi.setSystemTime(Date.now() + 120_000);
      sockets.push(await openChat(conversationId, john.access));
      await rays.settled();
    }
    for (const socket of sockets.slice(0, 3)) expect(await socket.closed).toMatchObject({ code: 4409 });
    for (const socket of sockets.slice(3)) await socket.settled();
  });

  test('loses several at once after the cap was lowered', async () => {
    const { john, conversationId } = await pairInConversation();
    const sockets = [await openChat(conversationId, john.access), await openChat(conversationId, john.access)];
    allow({ socketsPerUser: 1 });
    const last = await openChat(conversationId, john.access);
    for (const socket of sockets) expect(await socket.closed).toMatchObject({ code: 4409 });
    await last.settled();
  });

  test('loses plain ones, too: all count', async () => {
    const { john, conversationId } = await pairInConversation();
    allow({ socketsPerUser: 1 });
    const plain = await open(conversationId, john.access);
    const chat = await openChat(conversationId, john.access);
    expect(await plain.closed).toMatchObject({ code: 4409 });
    await open(conversationId, john.access);
    expect(await chat.closed).toMatchObject({ code: 4409 });
  });

  test('is here all the time, for the others', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    allow({ socketsPerUser: 1 });
    const rays = await openChat(conversationId, ray.access);
    const first = await openChat(conversationId, john.access);
    await openChat(conversationId, john.access);
    await first.closed;
    await rays.settled();
    expect(rays.frames.filter(({ type }) => type === 'presence')).toHaveLength(1);
  });

  test('keeps their sockets in other conversations', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const other = await openDirectConversation(directory(env.DB), john.id, (await signedIn()).id, Date.now());
    allow({ socketsPerUser: 1 });
    const first = await openChat(conversationId, john.access);
    const second = await openChat(other!.id, john.access);
    const rays = await openChat(conversationId, ray.access);
    await first.say('one');
    expect((await second.say('one')).n).toBe(1);
    expect((await rays.say('two')).n).toBe(2);
  });
});

describe('a conversation that is full', () => {
  test('refuses a plain socket with 503, in JSON, with the time to wait', async () => {
    const { ray, conversationId, johns, rays } = await full();
    const answer = await upgrade(conversationId, ray.access);
    expect(answer.status).toBe(503);
    expect(answer.headers.get('Retry-After')).toBe(String(FULL_RETRY_MS / 1000));
    expect(answer.headers.get('Content-Type')).toMatch(/^application\/json/);
    expect(await answer.json()).toEqual({ detail: expect.stringMatching(/\.$/), code: 'conversation_full' });
    for (const socket of [johns, rays]) await socket.settled();
  });

  test('tells a chat.v1 socket by an error, with the time to wait, and closes it with 4503', async () => {
    const { ray, conversationId, johns, rays } = await full();
    const refused = await connect(conversationId, undefined, { protocols: ['chat.v1', `bearer.${ray.access}`] });
    const frame = await refused.next();
    describedByAsyncApi('server', frame);
    expect(JSON.parse(frame)).toMatchObject({
      type: 'error',
      code: 'conversation_full',
      retry_after_ms: FULL_RETRY_MS,
    });
    expect(await refused.closed).toMatchObject({ code: 4503 });
    expect(refused.pending).toEqual([]);
    for (const socket of [johns, rays]) await socket.settled();
  });

  test('lets a user at their own cap replace a socket of their own', async () => {
    const { john, conversationId, johns, rays } = await full();
    allow({ socketsPerUser: 1 });
    const second = await openChat(conversationId, john.access);
    expect(await johns.closed).toMatchObject({ code: 4409 });
    for (const socket of [second, rays]) await socket.settled();
  });

  test('closes nothing for a socket that it refuses, not even when its user has too many', async () => {
    const { john, conversationId, johns, rays } = await full();
    allow({ socketsPerUser: 1, socketsPerConversation: 1 });
    expect((await upgrade(conversationId, john.access)).status).toBe(503);
    for (const socket of [johns, rays]) await socket.settled();
  });

  test('has room again when a socket closes', async () => {
    const { john, conversationId, rays } = await full();
    rays.close();
    await rays.closed;
    const second = await openChat(conversationId, john.access);
    expect((await second.say('one')).n).toBe(1);
  });
});

test(`who has ${CLOSING_SOCKETS_MAX} closed sockets that they never let go may open no more, and the other may`, async () => {
  const { john, ray, conversationId } = await pairInConversation();
  allow({ socketsPerUser: 1 });
  Object.assign(settings, { rateBurst: 1_000_000 });
  const connecting = connectRequest(await connectOf(john, conversationId));
  // All are held: a client's end that is garbage would be collected, and its socket with it.
  const answers: Response[] = [];
  for (let i = 0; i < CLOSING_SOCKETS_MAX + 3; i += 1) {
    const answer = await objectOf(conversationId).fetch(connecting.clone());
    answers.push(answer);
    // Half open: the client does not answer when the server closes.
    answer.webSocket?.accept({ allowHalfOpen: true });
  }
  expect(answers.map(({ status }) => status)).toEqual([
    ...Array.from({ length: CLOSING_SOCKETS_MAX + 1 }, () => 101),
    403,
    403,
  ]);
  expect((await openChat(conversationId, ray.access)).welcome.me).toBe(ray.id);
  for (const { webSocket } of answers) webSocket?.close();
});
