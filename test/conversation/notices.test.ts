import { abortAllDurableObjects, createScheduledController, evictDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, test } from 'vitest';
import { ACCESS_TOKEN_LIFETIME_S, NOTICE_CONCURRENCY, NOTICES_PER_PORTION } from '../../src/config.ts';
import { deliverNoticesOf } from '../../src/deliver-notices.ts';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { dueNotices } from '../../src/directory/notices.ts';
import { notices } from '../../src/directory/schema.ts';
import worker from '../../src/worker.ts';
import { api } from '../helpers/api.ts';
import { objectOf, open, query, storedMembers, storedTexts, storedVersion } from '../helpers/conversation.ts';
import { pendingNotices, rename, setLeft } from '../helpers/directory.ts';
import { breakD1 } from '../helpers/faults.ts';
import { hangAtNotices } from '../helpers/ill-objects.ts';
import { createPerson, endSession, pairInConversation, type Person, signedIn } from '../helpers/people.ts';
import { upgrade, type TestSocket } from '../helpers/socket.ts';
import { claimsOf } from '../helpers/tokens.ts';

const db = directory(env.DB);

/** What the cron trigger does every minute. */
const cronRun = () => worker.scheduled(createScheduledController(), env);

/** Ends a session as a Worker does that dies right after its batch: nobody is told. */
async function endSessionAndDie(person: Person): Promise<void> {
  expect(await endSession(await claimsOf(person.access), 'logout', Date.now())).toBe(true);
}

/** Opens a person's conversation with someone new. */
async function anotherConversation(person: Person): Promise<{ id: string; peer: { id: string } }> {
  const peer = await createPerson('Selena');
  const conversation = await openDirectConversation(db, person.id, peer.id, Date.now());
  if (!conversation) throw new Error('There is no conversation.');
  return { id: conversation.id, peer };
}

/** Writes notices of so many ended sessions of nobody, in this order, the first one tried longest ago. */
async function writeNotices(conversationId: string, sessionIds: string[], triedAt = Date.now()): Promise<void> {
  await env.DB.prepare(
    `INSERT INTO notices (conversation_id, kind, session_id, remember_until, tried_at)
     SELECT ?, 'session_ended', value, ?, ? FROM json_each(?)`,
  )
    .bind(conversationId, Date.now() + 60_000, triedAt, JSON.stringify(sessionIds))
    .run();
}

const sessionIds = (count: number) => Array.from({ length: count }, () => crypto.randomUUID());

const endedSessions = async (conversationId: string): Promise<string[]> =>
  (
    await query<{ session_id: string }>(conversationId, 'SELECT session_id FROM ended_sessions ORDER BY session_id')
  ).map(({ session_id }) => session_id);

/** Damages a conversation's store so that it can't be opened, until `repair`. */
async function damage(conversationId: string): Promise<{ repair: () => Promise<void> }> {
  const change = async (sql: string) => {
    await query(conversationId, sql);
    await evictDurableObject(objectOf(conversationId));
  };
  await change("UPDATE migrations SET text = text || '-- edited'");
  return { repair: () => change("UPDATE migrations SET text = replace(text, '-- edited', '')") };
}

beforeEach(async () => {
  await db.delete(notices);
});

describe('a Worker that dies between its batch and the notice changes nothing in the end', () => {
  test('the sockets of the ended session are closed by the cron run, in every conversation', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const other = await anotherConversation(john);
    const sockets = [await open(conversationId, john.access), await open(other.id, john.access)];
    const rays = await open(conversationId, ray.access);

    await endSessionAndDie(john);
    for (const socket of sockets) await socket.settled();
    // One for each conversation, and one for the inbox.
    expect(await pendingNotices()).toHaveLength(3);

    await cronRun();
    for (const socket of sockets) expect(await socket.closed).toEqual({ code: 4410, reason: 'The session has ended.' });
    await rays.settled();
    expect(await pendingNotices()).toEqual([]);
  });

  test('the ended session is refused meanwhile, and afterwards', async () => {
    const { john, conversationId } = await pairInConversation();
    await open(conversationId, john.access);
    await endSessionAndDie(john);
    expect((await upgrade(conversationId, john.access)).status).toBe(403);
    await cronRun();
    expect((await upgrade(conversationId, john.access)).status).toBe(403);
  });

  test('the members that changed are copied by the cron run', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await open(conversationId, john.access);
    await rename(conversationId, ray.id, 'Raymond');
    await johns.settled();
    expect((await storedMembers(conversationId)).get(ray.id)).toMatchObject({ first_name: 'Ray' });

    await cronRun();
    expect((await storedMembers(conversationId)).get(ray.id)).toMatchObject({ first_name: 'Raymond' });
    expect(await storedVersion(conversationId)).toEqual({ version: 2, epoch: 1 });
    expect(await pendingNotices()).toEqual([]);
  });

  test('the sockets of a member who left are closed by the cron run', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const [johns, rays] = [await open(conversationId, john.access), await open(conversationId, ray.access)];
    await setLeft(conversationId, ray.id, Date.now());
    await rays.settled();

    await cronRun();
    expect(await rays.closed).toMatchObject({ code: 4403 });
    await johns.settled();
    expect(await pendingNotices()).toEqual([]);
  });

  test('the object hibernates meanwhile', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await open(conversationId, john.access);
    await endSessionAndDie(john);
    await evictDurableObject(objectOf(conversationId));
    await cronRun();
    expect(await johns.closed).toMatchObject({ code: 4410 });
    expect(await pendingNotices()).toEqual([]);
  });

  test('the object dies, too', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await open(conversationId, john.access);
    await endSessionAndDie(john);
    await abortAllDurableObjects();
    await johns.closed;
    await cronRun();
    expect(await endedSessions(conversationId)).toEqual([(await claimsOf(john.access)).session_id]);
    expect(await pendingNotices()).toEqual([]);
  });

  test('several things happened to one conversation', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const [johns, rays] = [await open(conversationId, john.access), await open(conversationId, ray.access)];
    await endSessionAndDie(john);
    await rename(conversationId, john.id, 'Johnny');
    await setLeft(conversationId, ray.id, Date.now());
    await cronRun();
    expect(await johns.closed).toMatchObject({ code: 4410 });
    expect(await rays.closed).toMatchObject({ code: 4403 });
    expect((await storedMembers(conversationId)).get(john.id)).toMatchObject({ first_name: 'Johnny' });
    expect(await pendingNotices()).toEqual([]);
  });

  test('it died after the delivery: the conversation hears it twice, and nothing more happens', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await open(conversationId, john.access);
    const rays = await open(conversationId, ray.access);
    await rename(conversationId, ray.id, 'Raymond');
    const written = await pendingNotices();
    await cronRun();
    const after = await storedMembers(conversationId);
    await db.insert(notices).values(written);
    await cronRun();
    expect(await storedMembers(conversationId)).toEqual(after);
    await rays.settled();
    expect(rays.pending).toEqual([]);
  });
});

test('a session that ends twice is one notice for each conversation, and one for the inbox', async () => {
  const { john } = await pairInConversation();
  await anotherConversation(john);
  const claims = await claimsOf(john.access);
  const ends = await Promise.all([1, 2, 3].map(() => endSession(claims, 'logout', Date.now())));
  expect(ends.filter(Boolean)).toHaveLength(1);
  expect(await pendingNotices()).toHaveLength(3);
});

test('a session is remembered for as long as its last access token is good', async () => {
  const { john, conversationId } = await pairInConversation();
  await open(conversationId, john.access);
  await endSessionAndDie(john);
  await cronRun();
  const [ended] = await query<{ remember_until: number }>(conversationId, 'SELECT * FROM ended_sessions');
  expect(ended?.remember_until).toBeGreaterThanOrEqual((await claimsOf(john.access)).exp * 1000);
});

test('a run with nothing to deliver does nothing', async () => {
  await expect(cronRun()).resolves.toBeUndefined();
});

test('the Worker delivers at once when it lives, and leaves nothing for the cron run', async () => {
  const { john, conversationId } = await pairInConversation();
  await anotherConversation(john);
  const johns = await open(conversationId, john.access);
  const claims = await claimsOf(john.access);
  await endSessionAndDie(john);
  await deliverNoticesOf(env, claims.user_id);
  expect(await johns.closed).toMatchObject({ code: 4410 });
  expect(await pendingNotices()).toEqual([]);
});

test('the Worker and the cron run may deliver at the same time', async () => {
  const { john, conversationId } = await pairInConversation();
  const johns = await open(conversationId, john.access);
  const { session_id } = await claimsOf(john.access);
  await endSessionAndDie(john);
  await Promise.all([deliverNoticesOf(env, john.id), cronRun(), cronRun()]);
  expect(await johns.closed).toMatchObject({ code: 4410 });
  expect(await endedSessions(conversationId)).toEqual([session_id]);
  expect(await pendingNotices()).toEqual([]);
});

test('a fault of D1 during the delivery leaves it to the cron run', async () => {
  const { john, conversationId } = await pairInConversation();
  const johns = await open(conversationId, john.access);
  await endSessionAndDie(john);
  const d1 = breakD1();
  await deliverNoticesOf(env, john.id);
  d1.restore();
  await johns.settled();
  await cronRun();
  expect(await johns.closed).toMatchObject({ code: 4410 });
});

describe('a delivery that fails', () => {
  test('leaves its notice, and does not hold up those behind it', async () => {
    const { john, ray, conversationId: broken } = await pairInConversation();
    const other = await anotherConversation(ray);
    const rays = await open(other.id, ray.access);
    await open(broken, john.access);
    const { repair } = await damage(broken);

    await endSessionAndDie(john);
    await endSessionAndDie(ray);
    await cronRun();
    expect(await rays.closed).toMatchObject({ code: 4410 });
    expect(await pendingNotices()).toMatchObject([{ conversation_id: broken }, { conversation_id: broken }]);

    await repair();
    await cronRun();
    expect(await pendingNotices()).toEqual([]);
    expect(await endedSessions(broken)).toHaveLength(2);
  });

  test('goes to the end of the queue', async () => {
    const { john, conversationId: broken } = await pairInConversation();
    const { ray, conversationId: healthy } = await pairInConversation();
    await open(broken, john.access);
    await open(healthy, ray.access);
    await damage(broken);

    const longAgo = Date.now() - 60_000;
    await writeNotices(broken, sessionIds(2), longAgo);
    await writeNotices(healthy, sessionIds(NOTICES_PER_PORTION - 1), longAgo + 1);
    await cronRun();
    expect((await pendingNotices()).map(({ conversation_id }) => conversation_id)).toEqual([broken, broken]);
  });

  test('does not end the session less: the answer to a logout is 200', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await open(conversationId, john.access);
    johns.say('before', ray.id);
    await johns.next();
    const { repair } = await damage(conversationId);
    expect((await api('/api/logout/', { json: { refresh: john.refresh } })).status).toBe(200);
    expect((await upgrade(conversationId, john.access)).status).toBe(403);
    await repair();
    await cronRun();
    expect(await johns.closed).toMatchObject({ code: 4410 });
    expect(await storedTexts(conversationId)).toEqual(['before']);
  });
});

test('an object that hangs holds up no other conversation', async () => {
  const john = await signedIn('John');
  const sockets: TestSocket[] = [];
  const ids: string[] = [];
  for (let i = 0; i < NOTICE_CONCURRENCY + 3; i += 1) {
    const { id } = await anotherConversation(john);
    ids.push(id);
    sockets.push(await open(id, john.access));
  }
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const spy = hangAtNotices(ids[0] ?? '', released);
  await endSessionAndDie(john);
  const delivery = deliverNoticesOf(env, john.id);
  for (const socket of sockets.slice(1)) expect(await socket.closed).toMatchObject({ code: 4410 });
  release();
  await delivery;
  spy.mockRestore();
  expect(await sockets[0]?.closed).toMatchObject({ code: 4410 });
}, 30_000);

test('a session that can have no good access token any more leaves no notice', async () => {
  const { john } = await pairInConversation();
  const now = Date.now() + ACCESS_TOKEN_LIFETIME_S * 1000;
  expect(await endSession(await claimsOf(john.access), 'logout', now)).toBe(true);
  expect(await pendingNotices()).toEqual([]);
});

describe('many notices', () => {
  test('are delivered in one run if they are more than a portion', async () => {
    const { john, conversationId } = await pairInConversation();
    await open(conversationId, john.access);
    const ids = sessionIds(2 * NOTICES_PER_PORTION + 10);
    await writeNotices(conversationId, ids, Date.now());
    await cronRun();
    expect(await pendingNotices()).toEqual([]);
    expect(await endedSessions(conversationId)).toEqual(ids.toSorted());
  });

  test('are told in the order in which they have waited', async () => {
    const { john, conversationId } = await pairInConversation();
    await open(conversationId, john.access);
    const [old, young] = [sessionIds(NOTICES_PER_PORTION), sessionIds(1)];
    await writeNotices(conversationId, young, Date.now());
    await writeNotices(conversationId, old, Date.now() - 1000);
    const first = await dueNotices(db, { limit: NOTICES_PER_PORTION });
    expect(first.map(({ session_id }) => session_id)).toEqual(old);
  });

  test('more than D1 takes parameters, about one conversation, are delivered in one call', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await open(conversationId, john.access);
    const others = sessionIds(150);
    await writeNotices(conversationId, others);
    await endSessionAndDie(john);
    await cronRun();
    expect(await johns.closed).toMatchObject({ code: 4410 });
    expect(await endedSessions(conversationId)).toEqual([...others, (await claimsOf(john.access)).session_id].sort());
    expect(await pendingNotices()).toEqual([]);
  });

  test('and more than D1 takes parameters are postponed when they fail', async () => {
    const { john, conversationId } = await pairInConversation();
    await open(conversationId, john.access);
    const { repair } = await damage(conversationId);
    await writeNotices(conversationId, sessionIds(150), 1);
    await cronRun();
    const postponed = await pendingNotices();
    expect(postponed).toHaveLength(150);
    expect(postponed.every(({ tried_at }) => tried_at > 1)).toBe(true);
    await repair();
    await cronRun();
    expect(await pendingNotices()).toEqual([]);
  });

  test('about more conversations than are told at the same time reach all of them', async () => {
    const john = await signedIn('John');
    const sockets: TestSocket[] = [];
    for (let i = 0; i < NOTICE_CONCURRENCY + 3; i += 1) {
      const { id } = await anotherConversation(john);
      sockets.push(await open(id, john.access));
    }
    expect((await api('/api/logout/', { json: { refresh: john.refresh } })).status).toBe(200);
    for (const socket of sockets) expect(await socket.closed).toMatchObject({ code: 4410 });
  }, 30_000);
});
