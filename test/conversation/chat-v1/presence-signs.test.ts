import { abortAllDurableObjects, evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { PRESENCE_INTERVAL_MS, SILENT_AFTER_MS } from '../../../src/config.ts';
import { tags } from '../../../src/objects/connection.ts';
import { openChat, type ChatSocket } from '../../helpers/chat-socket.ts';
import { objectOf, open, storedMembers } from '../../helpers/conversation.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** Sets the clock, and returns its time. */
function setClock(now: number): number {
  vi.useFakeTimers({ now, toFake: ['Date'] });
  return now;
}

/** What a socket was told of who came and went, once everything that was sent before has arrived. */
async function presences(socket: ChatSocket) {
  await socket.settled();
  return socket.frames.flatMap((frame) => {
    if (frame.type !== 'presence') return [];
    const { user_id, online, last_seen } = frame;
    return [{ user_id, online, last_seen }];
  });
}

async function closeNow(socket: { close: () => void; closed: Promise<unknown> }): Promise<void> {
  socket.close();
  await socket.closed;
}

/** When someone's sockets last said `ping`, by the clock of the runtime, which no test sets. */
async function pingedAt(conversationId: string, userId: string): Promise<number> {
  return runInDurableObject(objectOf(conversationId), (_, state) =>
    Math.max(
      ...state
        .getWebSockets(tags.user(userId))
        .map((socket) => state.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0),
    ),
  );
}

const came = (user_id: string) => ({ user_id, online: true, last_seen: null });
const went = (user_id: string, last_seen: number) => ({ user_id, online: false, last_seen });

afterEach(() => {
  vi.useRealTimers();
});

describe('who is here', () => {
  test('is told to the others, and so is who goes', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    const johns = await openChat(conversationId, john.access);
    expect(await presences(rays)).toEqual([came(john.id)]);

    const now = setClock(Date.now() + 1000);
    await closeNow(johns);
    expect(await presences(rays)).toEqual([came(john.id), went(john.id, now)]);
  });

  test('is never told to oneself, on no socket', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const first = await openChat(conversationId, john.access);
    const second = await openChat(conversationId, john.access);
    const rays = await openChat(conversationId, ray.access);
    await closeNow(second);
    expect(await presences(first)).toEqual([came(ray.id)]);
    expect(await presences(rays)).toEqual([]);
  });

  test('is told to no plain socket', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await open(conversationId, ray.access);
    const johns = await openChat(conversationId, john.access);
    await closeNow(johns);
    await rays.settled();
    expect(rays.pending).toEqual([]);
  });

  test('counts once, with however many sockets: comes with the first and goes with the last', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    const first = await openChat(conversationId, john.access);
    const second = await openChat(conversationId, john.access);
    const third = await open(conversationId, john.access);
    const { welcome } = await openChat(conversationId, ray.access);
    expect(welcome.online.toSorted()).toEqual([john.id, ray.id].toSorted());

    await closeNow(first);
    await closeNow(third);
    expect(await presences(rays)).toEqual([came(john.id)]);
    const now = setClock(Date.now() + 1000);
    await closeNow(second);
    expect(await presences(rays)).toEqual([came(john.id), went(john.id, now)]);
  });

  test('may be here with a plain socket alone', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    const johns = await open(conversationId, john.access);
    expect(await presences(rays)).toEqual([came(john.id)]);
    const now = setClock(Date.now() + 1000);
    await closeNow(johns);
    expect(await presences(rays)).toEqual([came(john.id), went(john.id, now)]);
  });
});

describe('the welcome says', () => {
  test('who is here, oneself included, and nothing of who never was', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const { welcome } = await openChat(conversationId, john.access);
    expect(welcome).toMatchObject({ online: [john.id], last_seen: {} });
    const { welcome: second } = await openChat(conversationId, ray.access);
    expect(second.online.toSorted()).toEqual([john.id, ray.id].toSorted());
    expect(second.last_seen).toEqual({});
  });

  test('when those who are not here were last seen: when their last socket closed', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    const now = setClock(Date.now() + 1000);
    await closeNow(johns);
    const { welcome } = await openChat(conversationId, ray.access);
    expect(welcome).toMatchObject({ online: [ray.id], last_seen: { [john.id]: now } });
  });

  test('nothing of when those who are here were last seen', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await closeNow(await openChat(conversationId, john.access));
    await openChat(conversationId, john.access);
    const { welcome } = await openChat(conversationId, ray.access);
    expect(welcome.last_seen).toEqual({});
  });
});

describe('whose sockets are silent', () => {
  test(`for less than ${SILENT_AFTER_MS} ms after the last ping is here, and after that is not`, async () => {
    const real = Date.now();
    setClock(real - 60_000);
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    await openChat(conversationId, john.access);
    const pinged = await pingedAt(conversationId, john.id);

    setClock(pinged + SILENT_AFTER_MS - 1);
    expect(await presences(rays)).toEqual([came(john.id)]);
    setClock(pinged + SILENT_AFTER_MS - 1 + PRESENCE_INTERVAL_MS);
    expect(await presences(rays)).toEqual([came(john.id), went(john.id, pinged)]);
    const { welcome } = await openChat(conversationId, ray.access);
    expect(welcome).toMatchObject({ online: [ray.id], last_seen: { [john.id]: pinged } });
  });

  test('is found out when someone connects, too', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await openChat(conversationId, john.access);
    const pinged = await pingedAt(conversationId, john.id);
    setClock(pinged + SILENT_AFTER_MS);
    const { welcome } = await openChat(conversationId, ray.access);
    expect(welcome).toMatchObject({ online: [ray.id], last_seen: { [john.id]: pinged } });
  });

  test('is found out after an eviction, too', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    await openChat(conversationId, john.access);
    const pinged = await pingedAt(conversationId, john.id);
    await evictDurableObject(objectOf(conversationId));
    setClock(pinged + SILENT_AFTER_MS);
    expect(await presences(rays)).toEqual([came(john.id), went(john.id, pinged)]);
  });

  test('is back with the next frame', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    const johns = await openChat(conversationId, john.access);
    const pinged = await pingedAt(conversationId, john.id);
    setClock(pinged + SILENT_AFTER_MS);
    await presences(rays);
    await johns.settled();
    expect(await presences(rays)).toEqual([came(john.id), went(john.id, pinged), came(john.id)]);
    const { welcome } = await openChat(conversationId, ray.access);
    expect(welcome.online.toSorted()).toEqual([john.id, ray.id].toSorted());
  });

  test('is here for as long as one of them is not', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    await openChat(conversationId, john.access);
    const lively = await openChat(conversationId, john.access);
    const pinged = await pingedAt(conversationId, john.id);
    setClock(pinged + SILENT_AFTER_MS - 1);
    await lively.settled();
    setClock(pinged + SILENT_AFTER_MS + PRESENCE_INTERVAL_MS);
    expect(await presences(rays)).toEqual([came(john.id)]);
  });

  test('is not gone and back at once: the frame that wakes the object is a sign of life', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    const johns = await openChat(conversationId, john.access);
    await evictDurableObject(objectOf(conversationId));
    setClock((await pingedAt(conversationId, john.id)) + SILENT_AFTER_MS);
    await johns.settled();
    expect(await presences(rays)).toEqual([came(john.id)]);
  });

  test.each([
    ['', false],
    [', by a close that wakes the object', true],
  ])('was last seen when they fell silent, not when the dead socket is closed at last%s', async (_, evicted) => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    const johns = await openChat(conversationId, john.access);
    const pinged = await pingedAt(conversationId, john.id);
    setClock(pinged + SILENT_AFTER_MS);
    await presences(rays);
    if (evicted) await evictDurableObject(objectOf(conversationId));
    setClock(pinged + 10 * SILENT_AFTER_MS);
    await closeNow(johns);
    expect((await storedMembers(conversationId)).get(john.id)?.last_seen).toBe(pinged);
    const told = (await presences(rays)).filter(({ online }) => !online);
    expect(new Set(told.map(({ last_seen }) => last_seen))).toEqual(new Set([pinged]));
  });
});

describe('a close that wakes the object', () => {
  test('is told to the others', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    const johns = await openChat(conversationId, john.access);
    await evictDurableObject(objectOf(conversationId));
    const now = setClock(Date.now() + 1000);
    await closeNow(johns);
    expect(await presences(rays)).toEqual([came(john.id), went(john.id, now)]);
  });

  test('is remembered, if nobody is left to tell', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    await evictDurableObject(objectOf(conversationId));
    const now = setClock(Date.now() + 1000);
    await closeNow(johns);
    await evictDurableObject(objectOf(conversationId));
    const { welcome } = await openChat(conversationId, ray.access);
    expect(welcome).toMatchObject({ online: [ray.id], last_seen: { [john.id]: now } });
  });

  test('says nothing of a user who has another socket', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    const first = await openChat(conversationId, john.access);
    await openChat(conversationId, john.access);
    await evictDurableObject(objectOf(conversationId));
    await closeNow(first);
    expect(await presences(rays)).toEqual([came(john.id)]);
  });
});

test('who was here when the object was lost was last seen when they came', async () => {
  const now = setClock(Date.now());
  const { john, ray, conversationId } = await pairInConversation();
  const johns = await openChat(conversationId, john.access);
  setClock(now + 5000);
  await johns.settled();
  await abortAllDurableObjects();
  await johns.closed;
  const { welcome } = await openChat(conversationId, ray.access);
  expect(welcome).toMatchObject({ online: [ray.id], last_seen: { [john.id]: now } });
});
