import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { connectRequest } from '../../src/conversation/connection.ts';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
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
} from '../helpers/conversation.ts';
import { countQueries } from '../helpers/d1.ts';
import { versionOf } from '../helpers/directory.ts';
import { pairInConversation, type Person, signedIn, signIn } from '../helpers/people.ts';
import { connect, upgrade } from '../helpers/socket.ts';
import { claimsOf, resign } from '../helpers/tokens.ts';

const textOf = (frame: string): string => JSON.parse(frame).message;
const NO_SESSIONS = { ended_sessions: [] };
const tooLate = ({ id }: { id: string }) => ({ message: 'too late', recipient_id: id });

const alarmOf = async (conversationId: string) =>
  runInDurableObject(objectOf(conversationId), (_, { storage }) => storage.getAlarm());

/** A person whose access token expires so many seconds from now, and the time of that in milliseconds. */
async function expiringIn<P extends Person>(person: P, seconds: number) {
  const exp = Math.floor(Date.now() / 1000) + seconds;
  return { ...person, access: await resign(person.access, { exp }), expiresAt: exp * 1000 };
}

/** Another session of the same person. */
const elsewhere = async ({ id }: { id: string }) => signIn(id, 'elsewhere');

const endedSessions = (conversationId: string) =>
  query<{ session_id: string; remember_until: number }>(conversationId, 'SELECT * FROM ended_sessions');

const sessionOf = async (person: Person) => (await claimsOf(person.access)).session_id;

/** john and ray, with tokens that expire so many seconds from now. */
async function expiringPair(johnSeconds: number, raySeconds: number) {
  const { conversationId, ...pair } = await pairInConversation();
  return {
    conversationId,
    john: await expiringIn(pair.john, johnSeconds),
    ray: await expiringIn(pair.ray, raySeconds),
  };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('the expiry of a token', () => {
  test('closes its socket with 4401, by an alarm at that time', async () => {
    const { john, conversationId } = await expiringPair(600, 900);
    const johns = await open(conversationId, john.access);
    expect(await alarmOf(conversationId)).toBe(john.expiresAt);
    vi.setSystemTime(john.expiresAt);
    expect(await runDurableObjectAlarm(objectOf(conversationId))).toBe(true);
    expect(await johns.closed).toEqual({ code: 4401, reason: 'The token has expired.' });
    expect(await alarmOf(conversationId)).toBeNull();
  });

  test('closes a chat.v1 socket with 4401, too, which hears nothing more, even if the alarm is late', async () => {
    const { john, ray, conversationId } = await expiringPair(600, 900);
    const [johns, rays] = [await openChat(conversationId, john.access), await openChat(conversationId, ray.access)];
    vi.setSystemTime(john.expiresAt);
    await rays.say('can you hear me?');
    expect(await johns.closed).toEqual({ code: 4401, reason: 'The token has expired.' });
    expect(johns.frames.filter(({ type }) => type === 'changes')).toEqual([]);
  });

  test('refuses a frame of chat.v1 before the alarm has come, and what is queued behind it', async () => {
    const { john, conversationId } = await expiringPair(600, 900);
    const johns = await openChat(conversationId, john.access);
    vi.setSystemTime(john.expiresAt);
    johns.send({ type: 'send', ref: 'a', text: 'too late' });
    johns.send({ type: 'send', ref: 'b', text: 'later still' });
    expect(await johns.closed).toMatchObject({ code: 4401 });
    expect(await storedTexts(conversationId)).toEqual([]);
  });

  test('closes a socket that hibernated', async () => {
    const { john, conversationId } = await expiringPair(600, 900);
    const johns = await open(conversationId, john.access);
    await evictDurableObject(objectOf(conversationId));
    vi.setSystemTime(john.expiresAt);
    await runDurableObjectAlarm(objectOf(conversationId));
    expect(await johns.closed).toMatchObject({ code: 4401 });
  });

  test('leaves later sockets open, and sets the alarm for the next of them', async () => {
    const { john, ray, conversationId } = await expiringPair(600, 900);
    const johns = await open(conversationId, john.access);
    const rays = await open(conversationId, ray.access);
    vi.setSystemTime(john.expiresAt);
    await runDurableObjectAlarm(objectOf(conversationId));
    await johns.closed;
    expect(await alarmOf(conversationId)).toBe(ray.expiresAt);
    rays.say('still here', john.id);
    expect(textOf(await rays.next())).toBe('still here');
    vi.setSystemTime(ray.expiresAt);
    await runDurableObjectAlarm(objectOf(conversationId));
    expect(await rays.closed).toMatchObject({ code: 4401 });
  });

  test.each([
    ['the earliest first', (john: Person, ray: Person) => [john, ray]],
    ['the earliest last', (john: Person, ray: Person) => [ray, john]],
  ])('has one alarm for all sockets, for the earliest: %s', async (_, order) => {
    const { john, ray, conversationId } = await expiringPair(600, 900);
    for (const { access } of order(john, ray)) await open(conversationId, access);
    expect(await alarmOf(conversationId)).toBe(john.expiresAt);
  });

  test('has its alarm kept when a later socket opens after an eviction', async () => {
    const { john, ray, conversationId } = await expiringPair(600, 900);
    await open(conversationId, john.access);
    await evictDurableObject(objectOf(conversationId));
    await open(conversationId, ray.access);
    expect(await alarmOf(conversationId)).toBe(john.expiresAt);
  });

  test('has an alarm that comes too early wait for it again', async () => {
    const { john, conversationId } = await expiringPair(600, 900);
    const johns = await open(conversationId, john.access);
    vi.setSystemTime(john.expiresAt - 1);
    await runDurableObjectAlarm(objectOf(conversationId));
    expect(await alarmOf(conversationId)).toBe(john.expiresAt);
    await johns.settled();
  });

  test('refuses a frame before the alarm has come, and what is queued behind it', async () => {
    const { john, ray, conversationId } = await expiringPair(600, 900);
    const johns = await open(conversationId, john.access);
    const rays = await open(conversationId, ray.access);
    vi.setSystemTime(john.expiresAt - 1);
    johns.say('in time', ray.id);
    expect(textOf(await johns.next())).toBe('in time');
    vi.setSystemTime(john.expiresAt);
    johns.say('too late', ray.id);
    johns.say('later still', ray.id);
    expect(await johns.closed).toEqual({ code: 4401, reason: 'The token has expired.' });
    await rays.settled();
    expect(rays.pending.map(textOf)).toEqual(['in time']);
    expect(await storedTexts(conversationId)).toEqual(['in time']);
  });

  test('keeps a socket from hearing what is sent before the alarm has come, right after an eviction, too', async () => {
    const { john, ray, conversationId } = await expiringPair(600, 900);
    const johns = await open(conversationId, john.access);
    const rays = await open(conversationId, ray.access);
    await evictDurableObject(objectOf(conversationId));
    vi.setSystemTime(john.expiresAt);
    rays.say('can you hear me?', john.id);
    expect(textOf(await rays.next())).toBe('can you hear me?');
    expect(await johns.closed).toMatchObject({ code: 4401 });
    expect(johns.pending).toEqual([]);
  });

  test('is that of the token it was opened with: a refreshed one opens another socket', async () => {
    const { john, conversationId } = await expiringPair(600, 900);
    const first = await open(conversationId, john.access);
    const refreshed = await expiringIn(john, 1200);
    const second = await open(conversationId, refreshed.access);
    vi.setSystemTime(john.expiresAt);
    await runDurableObjectAlarm(objectOf(conversationId));
    expect(await first.closed).toMatchObject({ code: 4401 });
    await second.settled();
    expect(await alarmOf(conversationId)).toBe(refreshed.expiresAt);
  });
});

describe('the end of a session', () => {
  const SESSION_ENDED = { code: 4410, reason: 'The session has ended.' };

  test('closes its sockets in every conversation, and no others', async () => {
    const { john, johns, rays, conversationId } = await chatting();
    const selena = await signedIn('Selena');
    const other = await openDirectConversation(directory(env.DB), john.id, selena.id, Date.now());
    const johnsOther = await open(other?.id ?? '', john.access);
    const johnsPhone = await open(conversationId, (await elsewhere(john)).access);

    expect(await api('/api/logout/', { json: { refresh: john.refresh } })).toMatchObject({ status: 200 });
    expect(await johns.closed).toEqual(SESSION_ENDED);
    expect(await johnsOther.closed).toEqual(SESSION_ENDED);
    await johnsPhone.settled();
    await rays.settled();
  });

  test('closes chat.v1 sockets, too, whose frames that are on their way are ignored', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const [johns, rays] = [await openChat(conversationId, john.access), await openChat(conversationId, ray.access)];
    const { session_id, ...known } = await connectOf(john, conversationId);
    const notice = { ended_sessions: [{ session_id, remember_until: Date.now() + 60_000 }] };
    const frame = { type: 'send', ref: 'a', text: 'too late' };
    await frameOnItsWay(conversationId, john, frame, (object) => object.notify(known, notice));
    expect(await johns.closed).toEqual(SESSION_ENDED);
    await rays.settled();
    expect(rays.frames.filter(({ type }) => type === 'changes')).toEqual([]);
    expect(await storedTexts(conversationId)).toEqual([]);
  });

  test('closes sockets that hibernated', async () => {
    const { john, johns, rays, conversationId } = await chatting();
    await evictDurableObject(objectOf(conversationId));
    await api('/api/logout/', { json: { refresh: john.refresh } });
    expect(await johns.closed).toEqual(SESSION_ENDED);
    await rays.settled();
  });

  test('closes its sockets also when it is a refresh token used twice that ends it', async () => {
    const { john, johns } = await chatting();
    const refresh = () => api('/api/token/refresh/', { json: { refresh: john.refresh } });
    const { body } = await refresh();
    await api('/api/token/refresh/', { json: { refresh: body.refresh } });
    expect((await refresh()).status).toBe(401);
    expect(await johns.closed).toEqual(SESSION_ENDED);
  });

  test('has a connect that was on its way refused by the object', async () => {
    const { john, johns, conversationId } = await chatting();
    const onItsWay = connectRequest(await connectOf(john, conversationId));
    await api('/api/logout/', { json: { refresh: john.refresh } });
    await johns.closed;
    const answer = await objectOf(conversationId).fetch(onItsWay);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toEqual({ reason: 'session_ended' });
  });

  test('has a connect that was on its way refused after an eviction, too', async () => {
    const { john, conversationId } = await chatting();
    const onItsWay = await connectOf(john, conversationId);
    await objectOf(conversationId).notify(onItsWay, {
      ended_sessions: [{ session_id: onItsWay.session_id, remember_until: Date.now() + 60_000 }],
    });
    await evictDurableObject(objectOf(conversationId));
    const answer = await objectOf(conversationId).fetch(connectRequest(onItsWay));
    expect(await answer.json()).toEqual({ reason: 'session_ended' });
  });

  test('has a connect that was past the query of the Worker refused like any other', async () => {
    const { john, conversationId } = await chatting();
    // The object knows, and D1 does not say so yet: what a connect meets that was past the query when the session ended.
    const { session_id, ...known } = await connectOf(john, conversationId);
    await objectOf(conversationId).notify(known, {
      ended_sessions: [{ session_id, remember_until: Date.now() + 60_000 }],
    });
    const answer = await upgrade(conversationId, john.access);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toEqual({ detail: 'Token is invalid or expired', code: 'session_ended' });
  });

  test('has a frame that was on its way ignored', async () => {
    const { john, ray, rays, conversationId } = await chatting();
    const { session_id, ...known } = await connectOf(john, conversationId);
    const notice = { ended_sessions: [{ session_id, remember_until: Date.now() + 60_000 }] };
    await frameOnItsWay(conversationId, john, tooLate(ray), (object) => object.notify(known, notice));
    await rays.settled();
    expect(rays.pending).toEqual([]);
    expect(await storedTexts(conversationId)).toEqual([]);
  });

  test('has frames ignored also behind a message to oneself, which alone would let them pass', async () => {
    const { john, ray, johns, rays, conversationId } = await chatting();
    const { session_id, ...known } = await connectOf(john, conversationId);
    const notice = { ended_sessions: [{ session_id, remember_until: Date.now() + 60_000 }] };
    const toSelf = JSON.stringify({ message: 'me', recipient_id: john.id });
    await frameOnItsWay(conversationId, john, tooLate(ray), async (object, socket) => {
      object.webSocketMessage(socket, toSelf);
      await object.notify(known, notice);
    });
    expect(await johns.next()).toBe('Invalid recipient.');
    await rays.settled();
    expect(rays.pending).toEqual([]);
    expect(await storedTexts(conversationId)).toEqual([]);
  });

  test('does not keep the same person from connecting in another session', async () => {
    const { john, ray, johns, conversationId } = await chatting();
    await api('/api/logout/', { json: { refresh: john.refresh } });
    await johns.closed;
    const again = await connect(conversationId, (await elsewhere(john)).access);
    again.say('back', ray.id);
    expect(textOf(await again.next())).toBe('back');
  });

  test('changes nothing when it is told again', async () => {
    const { john, johns, rays, conversationId } = await chatting();
    const { session_id, ...known } = await connectOf(john, conversationId);
    const notice = { ended_sessions: [{ session_id, remember_until: Date.now() + 60_000 }] };
    await objectOf(conversationId).notify(known, notice);
    expect(await johns.closed).toEqual(SESSION_ENDED);
    const before = [await endedSessions(conversationId), await storedMembers(conversationId)];
    expect(await countQueries(() => objectOf(conversationId).notify(known, notice))).toBe(0);
    expect([await endedSessions(conversationId), await storedMembers(conversationId)]).toEqual(before);
    await rays.settled();
    expect(rays.pending).toEqual([]);
  });

  test('is forgotten once its last access token has expired, not earlier', async () => {
    const { john, ray, conversationId } = await chatting();
    const now = Date.now();
    const known = await versionOf(conversationId);
    const [johns, rays] = [
      { session_id: await sessionOf(john), remember_until: now + 1000 },
      { session_id: await sessionOf(ray), remember_until: now + 2000 },
    ];
    await objectOf(conversationId).notify(known, { ended_sessions: [johns, rays] });
    const remembered = async () => (await endedSessions(conversationId)).map(({ session_id }) => session_id).sort();

    vi.setSystemTime(now + 999);
    await objectOf(conversationId).notify(known, NO_SESSIONS);
    expect(await remembered()).toEqual([johns.session_id, rays.session_id].sort());
    vi.setSystemTime(now + 1000);
    await objectOf(conversationId).notify(known, NO_SESSIONS);
    expect(await remembered()).toEqual([rays.session_id]);
    vi.setSystemTime(now + 2000);
    await objectOf(conversationId).notify(known, NO_SESSIONS);
    expect(await remembered()).toEqual([]);
  });
});
