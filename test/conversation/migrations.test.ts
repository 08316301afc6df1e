import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, test } from 'vitest';
import { connectRequest } from '../../src/conversation/connection.ts';
import { migrate } from '../../src/objects/migrate.ts';
import { ConversationStore } from '../../src/conversation/store.ts';
import { openChat } from '../helpers/chat-socket.ts';
import {
  connectOf,
  historyOf,
  objectOf,
  query,
  storedMembers,
  storedMessages,
  storedVersion,
} from '../helpers/conversation.ts';
import { pairInConversation } from '../helpers/people.ts';
import { connect } from '../helpers/socket.ts';
import { firstStore } from './fixtures/first-store.ts';

/** Runs `work` on the storage of an object that nothing else uses. */
async function onFreshStorage<T>(work: (storage: DurableObjectStorage) => T | Promise<T>): Promise<T> {
  return runInDurableObject(objectOf(crypto.randomUUID()), (_, { storage }) => work(storage));
}

const tablesOf = ({ sql }: DurableObjectStorage): string[] =>
  sql
    .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    .toArray()
    .map(({ name }) => name)
    .filter((name) => !name.startsWith('_cf_'));

const stepsOf = ({ sql }: DurableObjectStorage) =>
  sql.exec('SELECT step, text FROM migrations ORDER BY step').toArray();

/** john and ray, whose conversation's object has such a store and was not opened yet. */
async function oldConversation() {
  const pair = await pairInConversation();
  await runInDurableObject(objectOf(pair.conversationId), (_, { storage }) => {
    for (const statement of firstStore({ john: pair.john.id, ray: pair.ray.id })) storage.sql.exec(statement);
  });
  return pair;
}

/** The tables of an object. */
const tables = (id: string) => runInDurableObject(objectOf(id), (_, { storage }) => tablesOf(storage));

const A = 'CREATE TABLE a (x INTEGER)';
const B = 'CREATE TABLE b (x INTEGER); INSERT INTO a VALUES (1), (2)';
const C = 'CREATE TABLE c (x INTEGER)';

describe('a store', () => {
  test('that is new gets every step, in order, and keeps their texts', async () => {
    await onFreshStorage((storage) => {
      migrate(storage, [A, B]);
      expect(tablesOf(storage)).toEqual(['a', 'b', 'migrations']);
      expect(stepsOf(storage)).toEqual([
        { step: 0, text: A },
        { step: 1, text: B },
      ]);
    });
  });

  test('that is opened again gets no step twice', async () => {
    await onFreshStorage((storage) => {
      migrate(storage, [A, B]);
      migrate(storage, [A, B]);
      expect(storage.sql.exec('SELECT count(*) AS count FROM a').one()).toEqual({ count: 2 });
    });
  });

  test('that is older gets only the steps that it lacks', async () => {
    await onFreshStorage((storage) => {
      migrate(storage, [A]);
      storage.sql.exec('INSERT INTO a VALUES (0)');
      migrate(storage, [A, B, C]);
      expect(tablesOf(storage)).toEqual(['a', 'b', 'c', 'migrations']);
      expect(storage.sql.exec('SELECT x FROM a ORDER BY x').toArray()).toEqual([{ x: 0 }, { x: 1 }, { x: 2 }]);
    });
  });

  test('that applied a step which was edited since is not opened, and nothing else is applied', async () => {
    await onFreshStorage((storage) => {
      migrate(storage, [A, B]);
      expect(() => migrate(storage, [A, `${B};`, C])).toThrow('Step 1 was edited after this store applied it.');
      expect(tablesOf(storage)).toEqual(['a', 'b', 'migrations']);
    });
  });

  test('of a newer release is not opened', async () => {
    await onFreshStorage((storage) => {
      migrate(storage, [A, B]);
      expect(() => migrate(storage, [A])).toThrow('The store is at step 2, this release knows 1. Deploy a newer one.');
    });
  });

  test('whose step fails stays as it was, with none of the steps of that opening', async () => {
    await onFreshStorage((storage) => {
      migrate(storage, [A]);
      expect(() => migrate(storage, [A, B, 'CREATE TABLE a (x INTEGER)'])).toThrow('already exists');
      expect(tablesOf(storage)).toEqual(['a', 'migrations']);
      expect(stepsOf(storage)).toEqual([{ step: 0, text: A }]);
      expect(storage.sql.exec('SELECT count(*) AS count FROM a').one()).toEqual({ count: 0 });
    });
  });
});

describe('a conversation', () => {
  test('has its own store with these tables', async () => {
    await onFreshStorage((storage) => {
      new ConversationStore(storage).allMembers();
      expect(tablesOf(storage)).toEqual([
        'directory',
        'ended_sessions',
        'members',
        'messages',
        'migrations',
        'operations',
        'reactions',
      ]);
    });
  });

  test('whose store is damaged is not opened; repaired, it has lost nothing', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await connect(conversationId, john.access);
    johns.say('Hello', ray.id);
    await johns.next();
    const edit = async (sql: string) => {
      await query(conversationId, sql);
      await evictDurableObject(objectOf(conversationId));
    };
    await edit("UPDATE migrations SET text = '-- ' || text WHERE step = 1");
    johns.say('lost?', ray.id);
    expect(await johns.closed).toEqual({
      code: 1011,
      reason: 'The server failed. Connect again and look at the history.',
    });

    await edit('UPDATE migrations SET text = substr(text, 4) WHERE step = 1');
    expect(await historyOf(ray, john)).toEqual(['Hello']);
  });
});

describe('a store that the first release wrote', () => {
  const ROWS = [
    { n: 1, rev: 3, id: '8a0c6d52-56a1-4a55-8f5e-0d7d8f6f7c01', text: 'Hello', created_at: 1763900000000 },
    { n: 2, rev: 4, id: '8a0c6d52-56a1-4a55-8f5e-0d7d8f6f7c02', text: 'Grüße 😀', created_at: 1763900000001 },
    { n: 3, rev: 5, id: '8a0c6d52-56a1-4a55-8f5e-0d7d8f6f7c03', text: 'a\0b', created_at: 1763900003000 },
  ];

  test('is opened by this release, with its history', async () => {
    const { john, ray } = await oldConversation();
    expect(await historyOf(john, ray)).toEqual(['Hello', 'Grüße 😀', 'a\0b']);
  });

  test('goes on where it was: n, rev, members, version', async () => {
    const { john, ray, conversationId } = await oldConversation();
    const johns = await connect(conversationId, john.access);
    johns.say('after the update', ray.id);
    await johns.next();
    expect((await storedMessages(conversationId)).at(-1)).toMatchObject({
      n: 4,
      rev: 6,
      sender_id: john.id,
      ref: null,
      text: 'after the update',
    });
    expect((await storedMembers(conversationId)).get(ray.id)).toMatchObject({
      first_name: 'Ray',
      rev: 2,
      left_at: null,
    });
    expect(await storedVersion(conversationId)).toEqual({ version: 1, epoch: 1 });
    expect(await historyOf(ray, john)).toEqual(['Hello', 'Grüße 😀', 'a\0b', 'after the update']);
  });

  test('has the tables of a new one, with every row, but for refs that no client ever knew', async () => {
    const { john, ray, conversationId } = await oldConversation();
    await historyOf(john, ray);
    const fresh = await pairInConversation();
    await historyOf(fresh.john, fresh.ray);
    expect(await tables(conversationId)).toEqual(await tables(fresh.conversationId));
    const same = { ref: null, reply_to: null, edited_at: null, deleted_at: null };
    expect(await storedMessages(conversationId)).toEqual([
      { ...same, ...ROWS[0], sender_id: john.id },
      { ...same, ...ROWS[1], sender_id: ray.id },
      { ...same, ...ROWS[2], sender_id: john.id },
    ]);
    expect([...(await storedMembers(conversationId)).values()].map(({ rev, last_seen }) => [rev, last_seen])).toEqual(
      expect.arrayContaining([
        [1, null],
        [2, null],
      ]),
    );
  });

  test('welcomes a socket of chat.v1 with all that it has', async () => {
    const { john, ray, conversationId } = await oldConversation();
    const { welcome } = await openChat(conversationId, ray.access);
    expect(welcome).toMatchObject({ epoch: 1, rev: 5, resumed: false });
    const same = { ref: null, reply_to: null, edited_at: null, deleted_at: null, reactions: [] };
    expect(welcome.snapshot?.messages).toEqual([
      { ...same, ...ROWS[0], sender_id: john.id },
      { ...same, ...ROWS[1], sender_id: ray.id },
      { ...same, ...ROWS[2], sender_id: john.id },
    ]);
    const person = { last_name: 'Doe', role: 'member', read: 0, delivered: 0, left_at: null };
    expect(welcome.snapshot?.members.toSorted((a, b) => a.rev - b.rev)).toEqual([
      { ...person, user_id: john.id, rev: 1, first_name: 'John' },
      { ...person, user_id: ray.id, rev: 2, first_name: 'Ray' },
    ]);
  });

  test('lets chat.v1 do with its messages what it may do with any', async () => {
    const { john, ray, conversationId } = await oldConversation();
    const johns = await openChat(conversationId, john.access);
    const rays = await openChat(conversationId, ray.access);
    expect(await rays.say('after the update', { ref: 'one', reply_to: 1 })).toMatchObject({ n: 4, rev: 6 });
    expect(await rays.say('and again', { ref: 'one' })).toMatchObject({ n: 4, rev: 6, duplicate: true });
    expect(await johns.ok({ type: 'edit', n: 1, text: 'Good day' })).toMatchObject({ n: 1, rev: 7 });
    expect(await rays.ok({ type: 'react', n: 1, emoji: '👍', on: true })).toMatchObject({ n: 1, rev: 8 });
    expect(await rays.ok({ type: 'delete', n: 2 })).toMatchObject({ n: 2, rev: 9 });
    johns.send({ type: 'mark', read: 4 });
    const [changes] = await johns.sync(5);
    expect(changes).toMatchObject({
      after: 5,
      rev: 10,
      more: false,
      messages: [
        { n: 4, rev: 6, text: 'after the update', ref: 'one', reply_to: 1 },
        { n: 1, rev: 8, text: 'Good day', reactions: [{ emoji: '👍', user_ids: [ray.id] }] },
        { n: 2, rev: 9, text: null },
      ],
      members: [{ user_id: john.id, rev: 10, read: 4, delivered: 4 }],
    });
  });

  test('is gone on from by a cursor', async () => {
    const { john, conversationId } = await oldConversation();
    const johns = await openChat(conversationId, john.access, { cursor: { after: 4, epoch: 1 } });
    expect(johns.welcome).toMatchObject({ resumed: true, rev: 5 });
    expect(johns.welcome.snapshot).toBeUndefined();
    expect(await johns.sync(4)).toMatchObject([{ rev: 5, messages: [{ n: 3, text: 'a\0b' }], members: [] }]);
  });

  test('still knows which sessions have ended', async () => {
    const { john, conversationId } = await oldConversation();
    const connecting = await connectOf(john, conversationId);
    const ended = { ...connecting, session_id: '0d4c1f0e-0000-4000-8000-000000000001' };
    expect((await objectOf(conversationId).fetch(connectRequest(ended))).status).toBe(403);
    const answer = await objectOf(conversationId).fetch(connectRequest(connecting));
    expect(answer.status).toBe(101);
    answer.webSocket?.accept();
  });
});

describe('an id that the directory has not confirmed has no SQL done for it', () => {
  test('when the object is only asked whether it can be reached', async () => {
    const id = crypto.randomUUID();
    expect(await objectOf(id).ping()).toBe('pong');
    expect(await tables(id)).toEqual([]);
  });

  test('when a connect is not the word of the Worker', async () => {
    const id = crypto.randomUUID();
    const answer = await objectOf(id).fetch('https://conversation/connect', { headers: { Upgrade: 'websocket' } });
    expect(answer.status).toBe(400);
    expect(await tables(id)).toEqual([]);
  });

  test('when a connect names another conversation', async () => {
    const { john, conversationId } = await pairInConversation();
    const id = crypto.randomUUID();
    const answer = await objectOf(id).fetch(connectRequest(await connectOf(john, conversationId)));
    expect(answer.status).toBe(400);
    expect(await tables(id)).toEqual([]);
  });
});
