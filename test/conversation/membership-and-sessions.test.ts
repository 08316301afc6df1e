import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { startSession } from '../../src/auth/sessions.ts';
import { connectRequest, tags } from '../../src/conversation/connection.ts';
import type { Conversation } from '../../src/conversation/conversation.ts';
import { ConversationStore } from '../../src/conversation/store.ts';
import { openDirectConversation, type DirectoryMember } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { api } from '../helpers/api.ts';
import {
  connectOf,
  objectOf,
  open,
  query,
  storedMembers,
  storedTexts,
  storedVersion,
} from '../helpers/conversation.ts';
import { countQueries } from '../helpers/d1.ts';
import { raiseEpoch, rename, setLeft, touch, versionOf } from '../helpers/directory.ts';
import { pairInConversation, signedIn, type Person } from '../helpers/people.ts';
import { connect, upgrade } from '../helpers/socket.ts';
import { claimsOf, resign } from '../helpers/tokens.ts';

const textOf = (frame: string): string => JSON.parse(frame).message;
const NO_SESSIONS = { ended_sessions: [] };

/** Hands the object a frame of `sender` right after `change`: the frame was on its way to it meanwhile. */
async function frameOnItsWay(
  conversationId: string,
  sender: Person,
  recipient: Person,
  change: (object: Conversation, socket: WebSocket) => Promise<void>,
): Promise<void> {
  await runInDurableObject(objectOf(conversationId), async (object, state) => {
    const [socket] = state.getWebSockets(tags.user(sender.id));
    if (!socket) throw new Error('The sender has no socket.');
    await change(object, socket);
    object.webSocketMessage(socket, JSON.stringify({ message: 'too late', recipient_id: recipient.id }));
  });
}

/** Tells a conversation's object what the directory says now. */
async function tell(conversationId: string): Promise<void> {
  await objectOf(conversationId).notify(await versionOf(conversationId), NO_SESSIONS);
}

async function chatting() {
  const pair = await pairInConversation();
  const johns = await open(pair.conversationId, pair.john.access);
  const rays = await open(pair.conversationId, pair.ray.access);
  return { ...pair, johns, rays };
}

const member = (user_id: string, first_name: string): DirectoryMember => ({
  user_id,
  first_name,
  last_name: 'Doe',
  role: 'member',
  left_at: null,
});

const alarmOf = async (conversationId: string) =>
  runInDurableObject(objectOf(conversationId), (_, { storage }) => storage.getAlarm());

/** A person whose access token expires so many seconds from now, and the time of that in milliseconds. */
async function expiringIn<P extends Person>(person: P, seconds: number) {
  const exp = Math.floor(Date.now() / 1000) + seconds;
  return { ...person, access: await resign(person.access, { exp }), expiresAt: exp * 1000 };
}

/** Another session of the same person. */
const elsewhere = async ({ id }: { id: string }) =>
  startSession(directory(env.DB), { userId: id, userAgent: 'elsewhere', now: Date.now() });

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

describe("the directory's members", () => {
  test('are copied by the first connect', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await open(conversationId, john.access);
    const members = await storedMembers(conversationId);
    expect([...members.keys()].sort()).toEqual([john.id, ray.id].sort());
    expect(members.get(ray.id)).toMatchObject({ first_name: 'Ray', last_name: 'Doe', role: 'member', left_at: null });
    expect(await storedVersion(conversationId)).toEqual({ version: 1, epoch: 1 });
  });

  test('are copied again when a connect names a larger version', async () => {
    const { john, ray, conversationId } = await chatting();
    await rename(conversationId, ray.id, 'Raymond');
    expect((await storedMembers(conversationId)).get(ray.id)).toMatchObject({ first_name: 'Ray' });
    expect(await countQueries(() => connect(conversationId, john.access))).toBe(2);
    expect((await storedMembers(conversationId)).get(ray.id)).toMatchObject({ first_name: 'Raymond' });
    expect(await countQueries(() => connect(conversationId, john.access))).toBe(1);
  });

  test('are copied again when a notice names a larger version', async () => {
    const { ray, conversationId } = await chatting();
    await rename(conversationId, ray.id, 'Raymond');
    await tell(conversationId);
    expect((await storedMembers(conversationId)).get(ray.id)).toMatchObject({ first_name: 'Raymond' });
    expect(await storedVersion(conversationId)).toEqual({ version: 2, epoch: 1 });
  });

  test('are copied again when the history is asked for with a larger version', async () => {
    const { john, ray, rays, conversationId } = await chatting();
    rays.say('who wrote this?', john.id);
    await rays.next();
    await rename(conversationId, ray.id, 'Raymond');
    const { body } = await api(`/api/users/${ray.id}/chat/`, { token: john.access });
    expect(body.data.messages).toMatchObject([{ sender: { id: ray.id, first_name: 'Raymond', last_name: 'Doe' } }]);
  });

  test('are not asked for when an equal or a smaller version is named', async () => {
    const { ray, conversationId } = await chatting();
    await rename(conversationId, ray.id, 'Raymond');
    await tell(conversationId);
    for (const version of [0, 1, 2]) {
      const tellOld = () => objectOf(conversationId).notify({ version, epoch: 1 }, NO_SESSIONS);
      expect(await countQueries(tellOld)).toBe(0);
    }
    expect(await storedVersion(conversationId)).toEqual({ version: 2, epoch: 1 });
  });

  test('take a rev each, one after the other, and keep it while they stay the same', async () => {
    const { conversationId } = await chatting();
    const before = await storedMembers(conversationId);
    expect(new Set([...before.values()].map(({ rev }) => rev))).toEqual(new Set([1, 2]));
    await touch(conversationId);
    await tell(conversationId);
    expect(await storedVersion(conversationId)).toEqual({ version: 2, epoch: 1 });
    expect(await storedMembers(conversationId)).toEqual(before);
  });

  test('take the next rev when they change, which the next message goes on from', async () => {
    const { john, ray, johns, conversationId } = await chatting();
    johns.say('one', ray.id);
    await johns.next();
    const before = await storedMembers(conversationId);
    await rename(conversationId, ray.id, 'Raymond');
    await tell(conversationId);
    const after = await storedMembers(conversationId);
    expect(after.get(ray.id)).toEqual({ ...before.get(ray.id), first_name: 'Raymond', rev: 4 });
    expect(after.get(john.id)).toEqual(before.get(john.id));
    johns.say('two', ray.id);
    await johns.next();
    expect(await query(conversationId, 'SELECT n, rev FROM messages ORDER BY n')).toEqual([
      { n: 1, rev: 3 },
      { n: 2, rev: 5 },
    ]);
  });

  test.each([
    ['a smaller version', { version: 4, epoch: 1 }],
    ['the same version', { version: 5, epoch: 1 }],
    ['a smaller version, whatever the epoch', { version: 4, epoch: 9 }],
    ['the same version, whatever the epoch', { version: 5, epoch: 9 }],
  ])('are not taken from a list with %s', async (_, known) => {
    const { john, ray, conversationId } = await pairInConversation();
    await runInDurableObject(objectOf(conversationId), (__, { storage }) => {
      const store = new ConversationStore(storage);
      store.applyMembers({ version: 5, epoch: 1, members: [member(john.id, 'John'), member(ray.id, 'Ray')] });
      store.applyMembers({ ...known, members: [member(john.id, 'Johnny')] });
      expect(store.member(john.id)).toMatchObject({ first_name: 'John', rev: 1 });
    });
    expect(await storedVersion(conversationId)).toMatchObject({ version: 5 });
    expect((await storedMembers(conversationId)).get(john.id)).toMatchObject({ first_name: 'John', rev: 1 });
  });

  test('that a list does not name stay as they are', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await runInDurableObject(objectOf(conversationId), (_, { storage }) => {
      const store = new ConversationStore(storage);
      store.applyMembers({ version: 5, epoch: 1, members: [member(john.id, 'John'), member(ray.id, 'Ray')] });
      store.applyMembers({ version: 6, epoch: 1, members: [member(john.id, 'Johnny')] });
      expect(store.activeMembers()).toHaveLength(2);
      expect(store.member(ray.id)).toMatchObject({ first_name: 'Ray', rev: 2 });
    });
  });
});

describe('a member who left', () => {
  test('has every socket closed with 4403 once the conversation is told, and the others keep theirs', async () => {
    const { john, ray, johns, rays, conversationId } = await chatting();
    const raysOther = await open(conversationId, ray.access);
    await setLeft(conversationId, ray.id, Date.now());
    await tell(conversationId);
    for (const socket of [rays, raysOther]) {
      expect(await socket.closed).toEqual({
        code: 4403,
        reason: 'You are not a member of this conversation any more.',
      });
    }
    johns.say('anyone?', ray.id);
    expect(await johns.next()).toBe('Error: Conversation matching query does not exist.');
    johns.say('me', john.id);
    expect(await johns.next()).toBe('Invalid recipient.');
  });

  test('has their socket closed also when it hibernated', async () => {
    const { ray, rays, conversationId } = await chatting();
    await evictDurableObject(objectOf(conversationId));
    await setLeft(conversationId, ray.id, Date.now());
    await tell(conversationId);
    expect(await rays.closed).toMatchObject({ code: 4403 });
  });

  test('has their socket closed when it is a connect of someone else that brings the news', async () => {
    const { john, ray, rays, conversationId } = await chatting();
    await setLeft(conversationId, ray.id, Date.now());
    await connect(conversationId, john.access);
    expect(await rays.closed).toMatchObject({ code: 4403 });
  });

  test('is refused by the Worker', async () => {
    const { ray, conversationId } = await chatting();
    await setLeft(conversationId, ray.id, Date.now());
    const answer = await upgrade(conversationId, ray.access);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ code: 'not_a_member' });
  });

  test('is refused by the object if the connect was on its way', async () => {
    const { ray, conversationId } = await chatting();
    const onItsWay = connectRequest(await connectOf(ray, conversationId));
    await setLeft(conversationId, ray.id, Date.now());
    await tell(conversationId);
    const answer = await objectOf(conversationId).fetch(onItsWay);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toEqual({ reason: 'not_a_member' });
  });

  test('sends nothing any more, not even what was on its way', async () => {
    const { john, ray, johns, conversationId } = await chatting();
    await setLeft(conversationId, ray.id, Date.now());
    const known = await versionOf(conversationId);
    await frameOnItsWay(conversationId, ray, john, (object) => object.notify(known, NO_SESSIONS));
    await johns.settled();
    expect(johns.pending).toEqual([]);
    expect(await storedTexts(conversationId)).toEqual([]);
  });

  test('sends nothing behind a message to oneself either, which alone would let it pass', async () => {
    const { john, ray, johns, conversationId } = await chatting();
    await setLeft(conversationId, ray.id, Date.now());
    const known = await versionOf(conversationId);
    const toSelf = JSON.stringify({ message: 'me', recipient_id: ray.id });
    await frameOnItsWay(conversationId, ray, john, async (object, socket) => {
      object.webSocketMessage(socket, toSelf);
      await object.notify(known, NO_SESSIONS);
    });
    await johns.settled();
    expect(johns.pending).toEqual([]);
    expect(await storedTexts(conversationId)).toEqual([]);
  });

  test('keeps their name and their messages in the history', async () => {
    const { john, ray, rays, conversationId } = await chatting();
    rays.say('so long', john.id);
    await rays.next();
    await setLeft(conversationId, ray.id, Date.now());
    await tell(conversationId);
    const page = await objectOf(conversationId).history(await versionOf(conversationId), john.id, { limit: 10 });
    expect(page?.messages).toMatchObject([{ text: 'so long', sender: { user_id: ray.id, first_name: 'Ray' } }]);
  });

  test('may come back', async () => {
    const { john, ray, johns, rays, conversationId } = await chatting();
    await setLeft(conversationId, ray.id, Date.now());
    await tell(conversationId);
    await rays.closed;
    await setLeft(conversationId, ray.id, null);
    const back = await connect(conversationId, ray.access);
    back.say('here I am', john.id);
    expect(textOf(await johns.next())).toBe('here I am');
  });
});

describe('the epoch', () => {
  test('is taken over when the directory has a larger one', async () => {
    const { john, ray, johns, conversationId } = await chatting();
    const members = await storedMembers(conversationId);
    await raiseEpoch(conversationId);
    await connect(conversationId, john.access);
    expect(await storedVersion(conversationId)).toEqual({ version: 1, epoch: 2 });
    expect(await storedMembers(conversationId)).toEqual(members);
    johns.say('as before', ray.id);
    expect(textOf(await johns.next())).toBe('as before');
  });

  test('is kept when a smaller one is named', async () => {
    const { conversationId } = await chatting();
    await raiseEpoch(conversationId);
    await tell(conversationId);
    const tellOld = () => objectOf(conversationId).notify({ version: 1, epoch: 1 }, NO_SESSIONS);
    expect(await countQueries(tellOld)).toBe(0);
    expect(await storedVersion(conversationId)).toEqual({ version: 1, epoch: 2 });
  });

  test('never sinks, also when a larger version comes with a smaller one', async () => {
    const { conversationId } = await pairInConversation();
    await runInDurableObject(objectOf(conversationId), (_, { storage }) => {
      const store = new ConversationStore(storage);
      store.applyMembers({ version: 1, epoch: 3, members: [] });
      store.applyMembers({ version: 2, epoch: 2, members: [] });
    });
    expect(await storedVersion(conversationId)).toEqual({ version: 2, epoch: 3 });
  });

  test('survives an eviction', async () => {
    const { john, conversationId } = await chatting();
    await raiseEpoch(conversationId);
    await tell(conversationId);
    await evictDurableObject(objectOf(conversationId));
    expect(await countQueries(() => connect(conversationId, john.access))).toBe(1);
    expect(await storedVersion(conversationId)).toEqual({ version: 1, epoch: 2 });
  });
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
    await frameOnItsWay(conversationId, john, ray, (object) => object.notify(known, notice));
    await rays.settled();
    expect(rays.pending).toEqual([]);
    expect(await storedTexts(conversationId)).toEqual([]);
  });

  test('has frames ignored also behind a message to oneself, which alone would let them pass', async () => {
    const { john, ray, johns, rays, conversationId } = await chatting();
    const { session_id, ...known } = await connectOf(john, conversationId);
    const notice = { ended_sessions: [{ session_id, remember_until: Date.now() + 60_000 }] };
    const toSelf = JSON.stringify({ message: 'me', recipient_id: john.id });
    await frameOnItsWay(conversationId, john, ray, async (object, socket) => {
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
