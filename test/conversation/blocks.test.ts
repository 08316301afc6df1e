import { abortAllDurableObjects, evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { block as storeBlock, unblock as storeUnblock } from '../../src/directory/blocks.ts';
import * as conversations from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import type { ServerFrame, ServerFrameOf } from '../../src/protocol/server-frames.ts';
import { cronRun } from '../helpers/accounts.ts';
import { api } from '../helpers/api.ts';
import { Caller } from '../helpers/caller.ts';
import { chatPair, errorOf, handled, signedInAgain } from '../helpers/chat-pair.ts';
import { openChat, type ChatSocket } from '../helpers/chat-socket.ts';
import {
  chatting,
  frameOnItsWay,
  historyOf,
  objectOf,
  query,
  storedMembers,
  storedTexts,
} from '../helpers/conversation.ts';
import { pendingNotices } from '../helpers/directory.ts';
import { liveChanges } from '../helpers/follower.ts';
import { dumpObject } from '../helpers/object-tables.ts';
import { pairInConversation, type Person } from '../helpers/people.ts';
import { connect } from '../helpers/socket.ts';
import { firstStore } from './fixtures/first-store.ts';

const db = directory(env.DB);
const NOT_AVAILABLE = 'This user is not available.';
const OWN_BLOCK = 'You have blocked this user. Unblock them to write to them.';

/** Blocks somebody as a client does, or takes it back. When it is answered, it is in force. */
async function setBlock(by: { access: string }, whom: { id: string }, on = true): Promise<void> {
  const { status } = await api(`/api/users/${whom.id}/block/`, { method: on ? 'PUT' : 'DELETE', token: by.access });
  expect(status).toBe(204);
}

/** What a socket was sent of a type, up to now. */
async function told<Type extends ServerFrame['type']>(socket: ChatSocket, type: Type): Promise<ServerFrameOf<Type>[]> {
  await handled(socket);
  return socket.frames.filter((frame): frame is ServerFrameOf<Type> => frame.type === type);
}

const came = ({ id }: { id: string }) => ({ type: 'presence', user_id: id, online: true, last_seen: null });
const went = ({ id }: { id: string }, last_seen: unknown = expect.any(Number)) => ({
  type: 'presence',
  user_id: id,
  online: false,
  last_seen,
});

/** What clients may know of a conversation's rows: every rev in it. */
async function revsOf(conversationId: string): Promise<unknown[]> {
  return [
    ...(await query(conversationId, 'SELECT n, rev FROM messages ORDER BY n')),
    ...(await query(conversationId, 'SELECT user_id, rev FROM members ORDER BY user_id')),
  ];
}

const everyFrame = (ref: string) =>
  [
    { type: 'send', text: 'are you there?', ref },
    { type: 'edit', n: 1, text: 'are you there?', ref },
    { type: 'react', n: 1, emoji: '👍', on: true, ref },
    { type: 'react', n: 2, emoji: '👍', on: false, ref },
  ] as const;

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('where john has blocked ray, over chat.v1', () => {
  test('neither sends, edits or reacts; only john is told of a block, and nobody to try again later', async () => {
    const { john, ray, johns, rays, conversationId } = await chatPair();
    await johns.say('by john');
    await rays.say('by ray');
    await setBlock(john, ray);
    const before = await dumpObject(conversationId);
    for (const [socket, message] of [
      [johns, OWN_BLOCK],
      [rays, NOT_AVAILABLE],
    ] as const) {
      for (const frame of everyFrame(crypto.randomUUID())) {
        const { ref } = frame;
        expect(await errorOf(socket, frame)).toEqual({ type: 'error', ref, code: 'not_available', message });
      }
    }
    expect(await dumpObject(conversationId)).toEqual(before);
  });

  test('each is told the same if ray has blocked john as well', async () => {
    const { john, ray, johns, rays } = await chatPair();
    await setBlock(john, ray);
    await setBlock(ray, john);
    for (const socket of [johns, rays]) {
      expect((await errorOf(socket, { type: 'send', text: 'are you there?' })).message).toBe(NOT_AVAILABLE);
    }
    await setBlock(john, ray, false);
    expect((await errorOf(johns, { type: 'send', text: 'are you there?' })).message).toBe(NOT_AVAILABLE);
    expect((await errorOf(rays, { type: 'send', text: 'are you there?' })).message).toBe(OWN_BLOCK);
  });

  test('a ref that was stored before the block is answered as before', async () => {
    const { john, ray, rays, conversationId } = await chatPair();
    const first = await rays.say('Hello', { ref: 'a' });
    await setBlock(john, ray);
    const before = await dumpObject(conversationId);
    expect(await rays.ask({ type: 'send', ref: 'a', text: 'Hello' })).toEqual({ ...first, duplicate: true });
    expect(await dumpObject(conversationId)).toEqual(before);
  });

  test('a ref that was refused is not used: it is good when the block is over', async () => {
    const { john, ray, rays } = await chatPair();
    await setBlock(john, ray);
    expect(await rays.refused({ type: 'send', ref: 'a', text: 'Hello' })).toBe('not_available');
    await setBlock(john, ray, false);
    const ok = await rays.say('Hello', { ref: 'a' });
    expect(ok).toMatchObject({ n: 1 });
    expect(ok).not.toHaveProperty('duplicate');
  });

  test('each may still take back what they said, and the other sees that it is gone', async () => {
    const { john, ray, johns, rays, conversationId } = await chatPair();
    await rays.say('by ray');
    await setBlock(john, ray);
    const { rev } = await rays.ok({ type: 'delete', n: 1 });
    const { messages } = await johns.next('changes', (frame) => frame.rev >= rev);
    expect(messages).toMatchObject([{ n: 1, text: null }]);
    expect(await storedTexts(conversationId)).toEqual([null]);
  });

  test('both still read: history and sync', async () => {
    const { john, ray, johns, rays } = await chatPair();
    await johns.say('Hello');
    await setBlock(john, ray);
    for (const socket of [johns, rays]) {
      expect(await socket.ask({ type: 'history' })).toMatchObject({ type: 'page', messages: [{ text: 'Hello' }] });
      expect(await socket.sync(0)).toMatchObject([{ messages: [{ text: 'Hello' }] }]);
    }
  });

  test('nobody is told who types; afterwards they are', async () => {
    const { john, ray, johns, rays } = await chatPair();
    await setBlock(john, ray);
    for (const socket of [johns, rays]) socket.send({ type: 'typing', on: true });
    for (const socket of [johns, rays]) await handled(socket);
    for (const socket of [johns, rays]) expect(await told(socket, 'typing')).toEqual([]);
    for (const socket of [johns, rays]) socket.send({ type: 'typing', on: false });
    for (const socket of [johns, rays]) await handled(socket);
    await setBlock(john, ray, false);
    vi.useFakeTimers({ now: Date.now() + 10_000, toFake: ['Date'] });
    rays.send({ type: 'typing', on: true });
    expect(await johns.next('typing')).toEqual({ type: 'typing', user_id: ray.id, on: true });
    expect(await told(johns, 'typing')).toHaveLength(1);
  });
});

describe('where john has blocked ray, plain sockets', () => {
  test('of both are told why, nobody hears anything, and nothing is stored', async () => {
    const { john, ray, johns, rays, conversationId } = await chatting();
    await setBlock(john, ray);
    const before = await dumpObject(conversationId);
    johns.say('are you there?', ray.id);
    rays.say('are you there?', john.id);
    expect(await rays.next()).toBe(`Error: ${NOT_AVAILABLE}`);
    expect(await johns.next()).toBe(`Error: ${OWN_BLOCK}`);
    for (const socket of [johns, rays]) await socket.settled();
    expect([...johns.pending, ...rays.pending]).toEqual([]);
    expect(await dumpObject(conversationId)).toEqual(before);
  });

  test('stay open, and go on after the block', async () => {
    const { john, ray, johns, rays, conversationId } = await chatting();
    await setBlock(john, ray);
    rays.say('lost', john.id);
    await rays.next();
    await setBlock(john, ray, false);
    rays.say('Hello', john.id);
    for (const socket of [johns, rays]) expect(JSON.parse(await socket.next())).toMatchObject({ message: 'Hello' });
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });

  test('answer what is wrong with a frame as before', async () => {
    const { john, ray, rays } = await chatting();
    await setBlock(john, ray);
    rays.say('to nobody', crypto.randomUUID());
    expect(await rays.next()).not.toContain(NOT_AVAILABLE);
    rays.say('to myself', ray.id);
    expect(await rays.closed).toMatchObject({ code: 1000 });
  });
});

describe('whether the other is here', () => {
  test('is hidden from both at the moment of the block: each appears to have gone just then', async () => {
    const { john, ray, johns, rays } = await chatPair();
    const before = Date.now();
    await setBlock(john, ray);
    const after = Date.now();
    for (const [socket, other] of [
      [johns, ray],
      [rays, john],
    ] as const) {
      const frame = (await told(socket, 'presence')).at(-1);
      expect(frame).toEqual(went(other));
      expect(frame?.last_seen).toBeGreaterThanOrEqual(before);
      expect(frame?.last_seen).toBeLessThanOrEqual(after);
    }
  });

  test('is not in a welcome: neither who is here nor when they were last seen', async () => {
    const { john, ray, rays, conversationId } = await chatPair();
    await setBlock(john, ray);
    const again = await openChat(conversationId, ray.access);
    expect(again.welcome).toMatchObject({ online: [ray.id], last_seen: {} });
    for (const socket of [rays, again]) {
      socket.close(1000);
      await socket.closed;
    }
    const johnsAgain = await openChat(conversationId, john.access);
    expect(johnsAgain.welcome).toMatchObject({ online: [john.id], last_seen: {} });
  });

  test('is not told when they come and go', async () => {
    const { john, ray, johns, rays, conversationId } = await chatPair();
    await setBlock(john, ray);
    const before = (await told(johns, 'presence')).length;
    rays.close(1000);
    await rays.closed;
    await openChat(conversationId, ray.access);
    expect(await told(johns, 'presence')).toHaveLength(before);
  });

  test('is told again when the block is over: who is here is here again', async () => {
    const { john, ray, johns, rays, conversationId } = await chatPair();
    await setBlock(john, ray);
    await setBlock(john, ray, false);
    expect((await told(johns, 'presence')).at(-1)).toEqual(came(ray));
    expect((await told(rays, 'presence')).at(-1)).toEqual(came(john));
    const again = await openChat(conversationId, ray.access);
    expect(again.welcome.online.toSorted()).toEqual([john.id, ray.id].sort());
  });

  test('is not told of who has gone meanwhile', async () => {
    const { john, ray, johns, rays, conversationId } = await chatPair();
    await setBlock(john, ray);
    rays.close(1000);
    await rays.closed;
    await setBlock(john, ray, false);
    expect((await told(johns, 'presence')).at(-1)).toEqual(went(ray));
    const { welcome } = await openChat(conversationId, john.access);
    expect(welcome.online).toEqual([john.id]);
    expect(Object.keys(welcome.last_seen)).toEqual([ray.id]);
  });

  test('of who comes during the block is told when it is over', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await setBlock(john, ray);
    const johns = await openChat(conversationId, john.access);
    const rays = await openChat(conversationId, ray.access);
    expect([...(await told(johns, 'presence')), ...(await told(rays, 'presence'))]).toEqual([]);
    await setBlock(john, ray, false);
    expect(await told(johns, 'presence')).toEqual([came(ray)]);
    expect(await told(rays, 'presence')).toEqual([came(john)]);
  });

  test('is told once, however often the same block is made, and not before both have taken theirs back', async () => {
    const { john, ray, johns, rays } = await chatPair();
    for (let i = 0; i < 3; i += 1) await setBlock(john, ray);
    await setBlock(ray, john);
    await setBlock(john, ray, false);
    expect(await told(johns, 'presence')).toEqual([came(ray), went(ray)]);
    expect(await told(rays, 'presence')).toEqual([went(john)]);
    await setBlock(ray, john, false);
    expect(await told(johns, 'presence')).toEqual([came(ray), went(ray), came(ray)]);
    expect(await told(rays, 'presence')).toEqual([went(john), came(john)]);
  });
});

/** Says something, and returns the conversation's last change, which is the sender's own mark. */
async function sayHello(socket: ChatSocket): Promise<number> {
  await socket.say('Hello');
  return (await socket.sync(0)).at(-1)?.rev ?? 0;
}

describe('nothing that a client has moves when a block is made or taken back', () => {
  test('no row gets another rev, and no changes are sent', async () => {
    const { john, ray, johns, rays, conversationId } = await chatPair();
    const rev = await sayHello(johns);
    await rays.next('changes', (frame) => frame.rev >= rev);
    await handled(johns);
    const [revs, live] = [await revsOf(conversationId), liveChanges(rays).length];
    for (const on of [true, false]) {
      await setBlock(john, ray, on);
      expect(await revsOf(conversationId)).toEqual(revs);
      expect(await rays.sync(rev)).toMatchObject([{ after: rev, rev, messages: [], members: [], more: false }]);
      expect(liveChanges(rays)).toHaveLength(live);
      expect((await new Caller(conversationId, ray).changes(`?after=${rev}&epoch=1`)).body).toMatchObject({
        resumed: true,
        rev,
        messages: [],
        members: [],
      });
    }
  });

  test('who comes back with a cursor goes on from there, and lacks nothing', async () => {
    const { john, ray, johns, conversationId } = await chatPair();
    const rev = await sayHello(johns);
    await setBlock(john, ray);
    const rays = await openChat(conversationId, ray.access, { cursor: { after: rev, epoch: 1 } });
    expect(rays.welcome).toMatchObject({ resumed: true, rev });
    expect(await rays.sync(rev)).toMatchObject([{ messages: [], members: [] }]);
  });

  test('who starts anew sees the members as before the block', async () => {
    const { john, ray, rays, conversationId } = await chatPair();
    await setBlock(john, ray);
    const { welcome } = await openChat(conversationId, ray.access);
    expect(welcome.snapshot?.members).toEqual(rays.welcome.snapshot?.members);
  });

  test('nor does the object keep a rev for later: the next message takes the one that it would have had', async () => {
    const { john, ray, johns } = await chatPair();
    const rev = await sayHello(johns);
    await setBlock(john, ray);
    await setBlock(john, ray, false);
    expect(await johns.say('Hello again')).toMatchObject({ rev: rev + 1 });
  });
});

/** Expects that nothing of ray's comes through any more. */
async function expectBlocked({ john, ray }: { john: Person; ray: Person }, socket: ChatSocket): Promise<void> {
  expect((await errorOf(socket, { type: 'send', text: 'are you there?' })).message).toBe(NOT_AVAILABLE);
  expect(await historyOf(ray, john)).toEqual([]);
}

describe('a block is in force when it is answered', () => {
  test('for what is sent right after', async () => {
    const pair = await chatPair();
    await setBlock(pair.john, pair.ray);
    await expectBlocked(pair, pair.rays);
    expect(await storedTexts(pair.conversationId)).toEqual([]);
  });

  test('for what was on its way', async () => {
    const pair = await chatPair();
    const frame = { type: 'send', ref: 'a', text: 'are you there?' };
    await frameOnItsWay(pair.conversationId, pair.ray, frame, () => setBlock(pair.john, pair.ray));
    expect(await pair.rays.answer('a')).toMatchObject({ type: 'error', code: 'not_available' });
    await expectBlocked(pair, pair.rays);
  });

  test('where the object sleeps', async () => {
    const pair = await chatPair();
    await evictDurableObject(objectOf(pair.conversationId));
    await setBlock(pair.john, pair.ray);
    await expectBlocked(pair, pair.rays);
    expect((await told(pair.rays, 'presence')).at(-1)).toEqual(went(pair.john));
  });

  test('and after it has slept', async () => {
    const pair = await chatPair();
    await setBlock(pair.john, pair.ray);
    await evictDurableObject(objectOf(pair.conversationId));
    await expectBlocked(pair, pair.rays);
    expect((await told(pair.johns, 'presence')).at(-1)).toEqual(went(pair.ray));
  });

  test('where the object was lost before, or is lost afterwards', async () => {
    for (const isBefore of [true, false]) {
      const pair = await chatPair();
      if (isBefore) await abortAllDurableObjects();
      await setBlock(pair.john, pair.ray);
      if (!isBefore) await abortAllDurableObjects();
      await pair.rays.closed;
      const rays = await openChat(pair.conversationId, pair.ray.access);
      expect(rays.welcome.online).toEqual([pair.ray.id]);
      await expectBlocked(pair, rays);
    }
  });

  test('where the delivery failed once', async () => {
    const pair = await chatPair();
    const listMembers = vi.spyOn(conversations, 'listMembers').mockRejectedValueOnce(new Error('lost'));
    await setBlock(pair.john, pair.ray);
    expect(listMembers).toHaveBeenCalledTimes(2);
    await expectBlocked(pair, pair.rays);
    expect(await pendingNotices()).toEqual([]);
  });

  test('where nobody has a socket, and the object was never opened', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await setBlock(john, ray);
    expect(await new Caller(conversationId, ray).send('are you there?')).toMatchObject({ status: 403 });
    expect((await storedMembers(conversationId)).get(john.id)).toMatchObject({ has_blocked: 1 });
  });
});

describe('a Worker that dies between the block and its delivery', () => {
  test('leaves it to the cron run', async () => {
    const { john, ray, johns, rays, conversationId } = await chatPair();
    await storeBlock(db, john.id, ray.id, Date.now());
    await cronRun();
    expect(await rays.refused({ type: 'send', text: 'are you there?' })).toBe('not_available');
    expect(await pendingNotices()).toEqual([]);

    await storeUnblock(db, john.id, ray.id, Date.now());
    expect(await rays.refused({ type: 'send', text: 'are you there?' })).toBe('not_available');
    await cronRun();
    await johns.say('Hello');
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });

  test('hides it from no request over HTTP', async () => {
    const { john, ray, conversationId } = await chatPair();
    await storeBlock(db, john.id, ray.id, Date.now());
    expect(await new Caller(conversationId, ray).send('are you there?')).toMatchObject({
      status: 403,
      body: { detail: NOT_AVAILABLE },
    });
  });
});

test('when a block is over, everything is as before it', async () => {
  const { john, ray, johns, rays } = await chatPair();
  await setBlock(john, ray);
  await setBlock(john, ray, false);
  const { n } = await rays.say('by ray');
  await johns.next('changes', ({ messages }) => messages.some(({ text }) => text === 'by ray'));
  await johns.ok({ type: 'react', n, emoji: '👍', on: true });
  await rays.ok({ type: 'edit', n, text: 'by ray, again' });
  await johns.say('by john', { reply_to: n });
  const reactions = [{ emoji: '👍', user_ids: [john.id] }];
  expect((await rays.sync(0)).flatMap(({ messages }) => messages).toSorted((a, b) => a.n - b.n)).toMatchObject([
    { sender_id: ray.id, text: 'by ray, again', reactions },
    { sender_id: john.id, text: 'by john', reply_to: n },
  ]);
});

test('a block of another user is nothing here', async () => {
  const { john, ray, johns, rays } = await chatPair();
  const other = await pairInConversation();
  await setBlock(john, other.john);
  await setBlock(other.ray, ray);
  await johns.say('Hello');
  await rays.say('Hello');
  expect(await told(johns, 'presence')).toEqual([came(ray)]);
});

test('a new name reaches both during a block, and changes nothing about it', async () => {
  const { john, ray, johns, rays } = await chatPair();
  await setBlock(john, ray);
  await api('/api/me/', { method: 'PATCH', token: ray.access, json: { first_name: 'Raymond' } });
  expect(await johns.next('changes')).toMatchObject({ members: [{ user_id: ray.id, first_name: 'Raymond' }] });
  expect(await rays.refused({ type: 'send', text: 'are you there?' })).toBe('not_available');
  expect((await told(johns, 'presence')).at(-1)).toEqual(went(ray));
});

test('who was blocked and signs in anew is as blocked as before', async () => {
  const { john, ray, conversationId } = await chatPair();
  await setBlock(john, ray);
  const again = await signedInAgain(ray);
  const rays = await openChat(conversationId, again.access);
  expect(await rays.refused({ type: 'send', text: 'are you there?' })).toBe('not_available');
});

describe('a store of an older release', () => {
  test('that knows no blocks is opened, blocks nobody, and can be blocked in', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await new Caller(conversationId, ray).say('before');
    await runInDurableObject(objectOf(conversationId), (_, { storage: { sql } }) => {
      for (const column of ['fed_rev', 'hides_presence']) sql.exec(`ALTER TABLE members DROP COLUMN ${column}`);
      sql.exec('ALTER TABLE directory DROP COLUMN members_rev');
      sql.exec('ALTER TABLE members DROP COLUMN has_blocked');
      sql.exec('DELETE FROM migrations WHERE step >= 2');
    });
    await evictDurableObject(objectOf(conversationId));
    const rays = await openChat(conversationId, ray.access);
    await rays.say('after');
    await setBlock(john, ray);
    expect(await rays.refused({ type: 'send', text: 'are you there?' })).toBe('not_available');
    expect(await storedTexts(conversationId)).toEqual(['before', 'after']);
  });

  test('of the first one too, also if the block came first', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await runInDurableObject(objectOf(conversationId), (_, { storage }) => {
      for (const statement of firstStore({ john: john.id, ray: ray.id })) storage.sql.exec(statement);
    });
    await storeBlock(db, john.id, ray.id, Date.now());
    const rays = await connect(conversationId, ray.access);
    rays.say('are you there?', john.id);
    expect(await rays.next()).toBe(`Error: ${NOT_AVAILABLE}`);
    expect(await historyOf(john, ray)).toHaveLength(3);
  });
});
