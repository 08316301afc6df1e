import { abortAllDurableObjects, evictAllDurableObjects } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { SILENT_AFTER_MS } from '../../../src/config.ts';
import type { ServerFrameOf } from '../../../src/protocol/server-frames.ts';
import { chatPair, handled } from '../../helpers/chat-pair.ts';
import { ChatSocket, openChat } from '../../helpers/chat-socket.ts';
import { pairInConversation } from '../../helpers/people.ts';
import { connect } from '../../helpers/socket.ts';

/** What a socket was told of who came and went, up to now. */
async function presenceTold(socket: ChatSocket): Promise<ServerFrameOf<'presence'>[]> {
  await handled(socket);
  return socket.frames.filter((frame) => frame.type === 'presence');
}

const came = ({ id }: { id: string }) => ({ type: 'presence', user_id: id, online: true, last_seen: null });
const went = ({ id }: { id: string }, last_seen: unknown = expect.any(Number)) => ({
  type: 'presence',
  user_id: id,
  online: false,
  last_seen,
});

/** Says `ping`, and waits for the answer. */
async function ping({ socket }: ChatSocket): Promise<void> {
  socket.send('ping');
  while ((await socket.next()) !== 'pong');
}

/** Closes a socket, and waits until the server has noticed. */
async function leave(socket: ChatSocket): Promise<void> {
  socket.close(1000);
  await socket.closed;
}

/** The time of a `ping` is the runtime's, whose clock cannot be set: what comes before it is in the past. */
const real = () => vi.getRealSystemTime() ?? Date.now();

/** john and ray came so long ago, and have said nothing since, not even `ping`; john was told that ray is gone. */
async function silentPair(agoMs: number) {
  vi.useFakeTimers({ now: real() - agoMs, toFake: ['Date'] });
  const openedAt = Date.now();
  const pair = await pairInConversation();
  const openQuietly = async (token: string) => {
    const protocols = ['chat.v1', `bearer.${token}`];
    const chat = new ChatSocket(await connect(pair.conversationId, undefined, { protocols }));
    await chat.next('welcome');
    return chat;
  };
  const johns = await openQuietly(pair.john.access);
  const rays = await openQuietly(pair.ray.access);
  vi.setSystemTime(openedAt + 100_000);
  expect((await presenceTold(johns)).at(-1)).toEqual(went(pair.ray, openedAt));
  return { ...pair, johns, rays, openedAt };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('who comes back is told', () => {
  test('after a reconnect, and after the object was lost', async () => {
    const { john, ray, johns, rays, conversationId } = await chatPair();
    await leave(rays);
    await openChat(conversationId, ray.access);
    expect(await presenceTold(johns)).toEqual([came(ray), went(ray), came(ray)]);
    await abortAllDurableObjects();
    const johnsNext = await openChat(conversationId, john.access);
    await openChat(conversationId, ray.access);
    expect(await presenceTold(johnsNext)).toEqual([came(ray)]);
  });

  test('and takes no rev', async () => {
    const { john, rays, ray, conversationId } = await chatPair();
    await leave(rays);
    await openChat(conversationId, ray.access);
    expect((await openChat(conversationId, john.access)).welcome.rev).toBe(2);
  });
});

test.each([
  ['an eviction', evictAllDurableObjects],
  ['an abort', abortAllDurableObjects],
])('when who has left was here last is known over %s', async (_, lose) => {
  const { john, ray, rays, conversationId } = await chatPair();
  const before = Date.now();
  await leave(rays);
  const after = Date.now();
  await lose();
  const { welcome } = await openChat(conversationId, john.access);
  expect(welcome.online).toEqual([john.id]);
  expect(welcome.last_seen[ray.id]).toBeGreaterThanOrEqual(before);
  expect(welcome.last_seen[ray.id]).toBeLessThanOrEqual(after);
});

describe(`a socket that was silent for ${SILENT_AFTER_MS / 1000} s`, () => {
  test('still hears everything', async () => {
    const { johns, rays } = await silentPair(500_000);
    await johns.say('are you there?');
    expect((await rays.next('changes')).messages).toMatchObject([{ text: 'are you there?' }]);
  });

  test('is told to be gone once', async () => {
    const { ray, johns, openedAt } = await silentPair(500_000);
    for (const ms of [150_000, 200_000]) {
      vi.setSystemTime(openedAt + ms);
      expect((await presenceTold(johns)).filter(({ online }) => !online)).toEqual([went(ray, openedAt)]);
    }
  });

  test.each([
    ['with its next frame', async () => {}],
    ['with its next frame, also if the object has slept in between', evictAllDurableObjects],
  ])('is told to be back %s', async (_, sleep) => {
    const { ray, johns, rays } = await silentPair(500_000);
    await sleep();
    await handled(rays);
    expect((await presenceTold(johns)).at(-1)).toEqual(came(ray));
  });

  test.each([
    ['', async () => {}],
    [', also if the object has slept in between', evictAllDurableObjects],
  ])('is told to be back with the frame after its next `ping`%s', async (_, sleep) => {
    const { ray, johns, rays, openedAt } = await silentPair(200_000);
    await sleep();
    vi.setSystemTime(openedAt + 200_000);
    await ping(rays);
    await handled(rays);
    expect((await presenceTold(johns)).at(-1)).toEqual(came(ray));
  });
});
