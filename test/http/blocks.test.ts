import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { BLOCKS_MAX, PAGE_SIZE } from '../../src/config.ts';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { api, type ApiAnswer } from '../helpers/api.ts';
import { Caller, nextOf } from '../helpers/caller.ts';
import { historyOf } from '../helpers/conversation.ts';
import { pendingNotices } from '../helpers/directory.ts';
import { dumpObject } from '../helpers/object-tables.ts';
import { createPerson, deactivate, pairInConversation, signedIn, type Person } from '../helpers/people.ts';

type SignedIn = { access: string };
type User = { id: string; first_name: string; last_name: string };

const block = ({ access }: SignedIn, id: string) => api(`/api/users/${id}/block/`, { method: 'PUT', token: access });
const unblock = ({ access }: SignedIn, id: string) =>
  api(`/api/users/${id}/block/`, { method: 'DELETE', token: access });
const list = ({ access }: SignedIn, query = '') => api(`/api/me/blocks/${query}`, { token: access });
const openChatWith = ({ access }: SignedIn, { id }: { id: string }) => api(`/api/users/${id}/chat/`, { token: access });

const NOT_AVAILABLE = { detail: 'This user is not available.', code: 'not_available' };
const OWN_BLOCK = { detail: 'You have blocked this user. Unblock them to write to them.', code: 'not_available' };

/** Expects a refusal that no waiting helps against. */
function expectNotAvailable({ status, body, headers }: ApiAnswer, expected: object = NOT_AVAILABLE): void {
  expect({ status, body }).toEqual({ status: 403, body: expected });
  expect(headers.has('Retry-After')).toBe(false);
}

async function blockRows(person: { id: string }) {
  const { results } = await env.DB.prepare('SELECT * FROM blocks WHERE user_id = ?').bind(person.id).all();
  return results;
}

/** Stores so many users whom somebody has blocked, all at the same time. Returns their ids in the order of the list. */
async function blockMany(person: { id: string }, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => crypto.randomUUID()).sort();
  await env.DB.batch([
    env.DB.prepare(
      `INSERT INTO users (id, email, password, first_name, last_name, created_at)
       SELECT value, value, '', 'Many', 'Doe', 0 FROM json_each(?)`,
    ).bind(JSON.stringify(ids)),
    env.DB.prepare('INSERT INTO blocks (user_id, blocked_id, created_at) SELECT ?, value, 1 FROM json_each(?)').bind(
      person.id,
      JSON.stringify(ids),
    ),
  ]);
  return ids;
}

/** Every page of somebody's list. */
async function pages(person: SignedIn): Promise<User[][]> {
  const found: User[][] = [];
  for (let path: string | undefined = '/api/me/blocks/'; path !== undefined;) {
    const answer: ApiAnswer = await api(path, { token: person.access });
    found.push(answer.body);
    path = nextOf(answer);
  }
  return found;
}

describe('blocking', () => {
  it('is answered 204, and the list has who they are and nothing else', async () => {
    const [john, ray] = [await signedIn('John'), await createPerson('Ray')];
    expect(await block(john, ray.id)).toMatchObject({ status: 204, text: '' });
    const { status, body } = await list(john);
    expect(status).toBe(200);
    expect(body).toEqual([{ id: ray.id, first_name: 'Ray', last_name: 'Doe' }]);
  });

  it('the same user again changes nothing', async () => {
    const [john, ray] = [await signedIn('John'), await createPerson('Ray')];
    await block(john, ray.id);
    const rows = await blockRows(john);
    for (const spelled of [ray.id, ray.id.toUpperCase(), ray.id.replaceAll('-', '')]) {
      expect((await block(john, spelled)).status).toBe(204);
    }
    expect(await blockRows(john)).toEqual(rows);
    expect(rows).toHaveLength(1);
  });

  it('is taken back, also if there is nothing to take back', async () => {
    const [john, ray] = [await signedIn('John'), await createPerson('Ray')];
    await block(john, ray.id);
    for (let i = 0; i < 2; i += 1) expect(await unblock(john, ray.id)).toMatchObject({ status: 204, text: '' });
    expect((await unblock(john, crypto.randomUUID())).status).toBe(204);
    expect((await list(john)).body).toEqual([]);
  });

  it('oneself is refused', async () => {
    const john = await signedIn('John');
    expect(await block(john, john.id)).toMatchObject({
      status: 400,
      body: { detail: 'You cannot block yourself.', code: 'own_account' },
    });
    expect(await blockRows(john)).toEqual([]);
  });

  it('nobody, or somebody who deleted their account, is refused', async () => {
    const [john, ray] = [await signedIn('John'), await createPerson('Ray')];
    await env.DB.prepare('UPDATE users SET deleted_at = 1 WHERE id = ?').bind(ray.id).run();
    for (const id of [crypto.randomUUID(), ray.id]) {
      expect(await block(john, id)).toMatchObject({ status: 404, body: { detail: 'There is no such user.' } });
    }
    expect(await blockRows(john)).toEqual([]);
  });

  it('somebody who was deactivated is possible: they may come back', async () => {
    const [john, ray] = [await signedIn('John'), await createPerson('Ray')];
    await deactivate(ray.id);
    expect((await block(john, ray.id)).status).toBe(204);
    expect(await blockRows(john)).toHaveLength(1);
  });

  it('takes an id, and a caller', async () => {
    const [john, ray] = [await signedIn('John'), await createPerson('Ray')];
    expect((await block(john, 'ray')).status).toBe(404);
    for (const method of ['PUT', 'DELETE']) {
      expect((await api(`/api/users/${ray.id}/block/`, { method })).status).toBe(401);
    }
    expect((await api('/api/me/blocks/')).status).toBe(401);
  });

  it('leaves no notice behind: it is delivered when it is answered', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await block(john, ray.id);
    await unblock(john, ray.id);
    const pending = (await pendingNotices()).filter(({ conversation_id }) => conversation_id === conversationId);
    expect(pending).toEqual([]);
  });

  it('makes no conversation', async () => {
    const [john, ray] = [await signedIn('John'), await createPerson('Ray')];
    await block(john, ray.id);
    const count = await env.DB.prepare('SELECT count(*) AS count FROM members WHERE user_id IN (?, ?)')
      .bind(john.id, ray.id)
      .first<number>('count');
    expect(count).toBe(0);
  });
});

describe('the list of whom somebody has blocked', () => {
  it('is their own: nobody finds themselves on another’s', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    await block(john, ray.id);
    expect((await list(ray)).body).toEqual([]);
    await block(ray, john.id);
    await unblock(john, ray.id);
    expect((await list(ray)).body).toMatchObject([{ id: john.id }]);
    expect((await list(john)).body).toEqual([]);
  });

  it('begins with whom they blocked first', async () => {
    const john = await signedIn('John');
    const others = [await createPerson('Zoe'), await createPerson('Ana'), await createPerson('Mia')];
    for (const { id } of others) await block(john, id);
    await env.DB.prepare('UPDATE blocks SET created_at = 3 WHERE blocked_id = ?').bind(others[0]?.id).run();
    await env.DB.prepare('UPDATE blocks SET created_at = 1 WHERE blocked_id = ?').bind(others[1]?.id).run();
    await env.DB.prepare('UPDATE blocks SET created_at = 2 WHERE blocked_id = ?').bind(others[2]?.id).run();
    expect((await list(john)).body.map(({ first_name }: User) => first_name)).toEqual(['Ana', 'Mia', 'Zoe']);
  });

  it('comes in pages, each user once, also if all were blocked in one millisecond', async () => {
    const john = await signedIn('John');
    const ids = await blockMany(john, 2 * PAGE_SIZE + 5);
    const found = await pages(john);
    expect(found.map((page) => page.length)).toEqual([PAGE_SIZE, PAGE_SIZE, 5]);
    expect(found.flat().map(({ id }) => id)).toEqual(ids);
  });

  it('has no link when exactly a page is there', async () => {
    const john = await signedIn('John');
    await blockMany(john, PAGE_SIZE);
    const answer = await list(john);
    expect(answer.body).toHaveLength(PAGE_SIZE);
    expect(nextOf(answer)).toBeUndefined();
  });

  it('shows the name that they have now', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    await block(john, ray.id);
    await api('/api/me/', { method: 'PATCH', token: ray.access, json: { first_name: 'Raymond' } });
    expect((await list(john)).body).toMatchObject([{ first_name: 'Raymond' }]);
  });

  it('refuses to go on after somebody who is not on it, whoever has blocked them', async () => {
    const [john, ray, selena] = [await signedIn('John'), await signedIn('Ray'), await createPerson('Selena')];
    await block(ray, selena.id);
    for (const id of [selena.id, john.id, crypto.randomUUID()]) {
      expect(await list(john, `?after=${id}`)).toMatchObject({
        status: 400,
        body: { after: ['You have not blocked this user.'] },
      });
    }
    expect((await list(john, '?after=5')).body).toEqual({ after: ['“5” is not a valid UUID.'] });
  });
});

describe(`more than ${BLOCKS_MAX} blocks`, () => {
  const FULL = { detail: `You can block ${BLOCKS_MAX} users. Unblock one first.`, code: 'too_many' };

  it('are refused; those that there are may be repeated, and one that is taken back makes room', async () => {
    const [john, ray] = [await signedIn('John'), await createPerson('Ray')];
    const [first = ''] = await blockMany(john, BLOCKS_MAX);
    expect(await block(john, ray.id)).toMatchObject({ status: 409, body: FULL });
    expect(await blockRows(john)).toHaveLength(BLOCKS_MAX);
    expect((await block(john, first)).status).toBe(204);
    expect((await block(john, crypto.randomUUID())).status).toBe(404);
    await unblock(john, first);
    expect((await block(john, ray.id)).status).toBe(204);
    expect(await blockRows(john)).toHaveLength(BLOCKS_MAX);
  });

  it('are not to be had at the same time either', async () => {
    const john = await signedIn('John');
    await blockMany(john, BLOCKS_MAX - 1);
    const others = await Promise.all(Array.from({ length: 5 }, () => createPerson()));
    const answers = await Promise.all(others.map(({ id }) => block(john, id)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([204, 409, 409, 409, 409]);
    expect(await blockRows(john)).toHaveLength(BLOCKS_MAX);
  });

  it('of another user count for them', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    await blockMany(john, BLOCKS_MAX);
    expect((await block(ray, john.id)).status).toBe(204);
  });
});

/** john and ray, each with a message, and john has blocked ray. */
async function blockedPair() {
  const pair = await pairInConversation();
  const [johns, rays] = [new Caller(pair.conversationId, pair.john), new Caller(pair.conversationId, pair.ray)];
  await johns.say('by john', 'john 1');
  await rays.say('by ray', 'ray 1');
  await block(pair.john, pair.ray.id);
  return { ...pair, johns, rays };
}

describe('two of whom one has blocked the other', () => {
  it('begin no conversation, whoever asks, and nothing is stored; after the block they do', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    await block(john, ray.id);
    expectNotAvailable(await openChatWith(ray, john));
    expectNotAvailable(await openChatWith(john, ray));
    const pair = await env.DB.prepare('SELECT count(*) AS count FROM conversations WHERE pair LIKE ?')
      .bind(`%${john.id}%`)
      .first<number>('count');
    expect(pair).toBe(0);
    await unblock(john, ray.id);
    expect((await openChatWith(ray, john)).status).toBe(200);
  });

  it('cannot tell from the answer which of them it is, when there is no conversation yet', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    await block(john, ray.id);
    expect((await openChatWith(john, ray)).text).toBe((await openChatWith(ray, john)).text);
  });

  it('still open a conversation that they have, and read it', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await new Caller(conversationId, john).say('Hello');
    await block(john, ray.id);
    for (const [reader, peer] of [
      [john, ray],
      [ray, john],
    ] as const) {
      expect(await historyOf(reader, peer)).toEqual(['Hello']);
      const { status, body } = await new Caller(conversationId, reader).messages();
      expect(status).toBe(200);
      expect(body.messages).toMatchObject([{ text: 'Hello' }]);
    }
  });

  it('send, edit and react to nothing, and nothing is stored', async () => {
    const { johns, rays, conversationId } = await blockedPair();
    const before = await dumpObject(conversationId);
    for (const [caller, own, theirs, expected] of [
      [johns, 1, 2, OWN_BLOCK],
      [rays, 2, 1, NOT_AVAILABLE],
    ] as const) {
      expectNotAvailable(await caller.send('are you there?', crypto.randomUUID()), expected);
      expectNotAvailable(await caller.send('are you there?'), expected);
      expectNotAvailable(await caller.send('as an answer', undefined, { reply_to: 1 }), expected);
      expectNotAvailable(await caller.edit(own, 'are you there?'), expected);
      expectNotAvailable(await caller.edit(theirs, 'are you there?'), expected);
      expectNotAvailable(await caller.react(own, '👍'), expected);
      expectNotAvailable(await caller.react(theirs, '👍', 'a key'), expected);
      expectNotAvailable(await caller.unreact(theirs, '👍'), expected);
    }
    expect(await dumpObject(conversationId)).toEqual(before);
  });

  it('still take back what they said', async () => {
    const { john, ray, johns, rays } = await blockedPair();
    expect((await johns.remove(1)).status).toBe(200);
    expect((await rays.remove(2)).status).toBe(200);
    expect((await johns.remove(2)).body).toMatchObject({ code: 'not_your_message' });
    expect(await historyOf(ray, john)).toEqual([]);
  });

  it('get the first answer to what was done before the block', async () => {
    const { johns, rays, conversationId } = await blockedPair();
    const before = await dumpObject(conversationId);
    for (const [caller, key, n] of [
      [johns, 'john 1', 1],
      [rays, 'ray 1', 2],
    ] as const) {
      expect(await caller.send('now something else', key)).toMatchObject({ status: 200, body: { n, duplicate: true } });
    }
    expect(await dumpObject(conversationId)).toEqual(before);
  });

  it('may use a key again that was refused, when the block is over', async () => {
    const { john, ray, rays } = await blockedPair();
    expectNotAvailable(await rays.send('are you there?', 'a key'));
    await unblock(john, ray.id);
    expect(await rays.send('are you there?', 'a key')).toMatchObject({ status: 201, body: { n: 3 } });
  });

  it('learn no more if both have blocked the other; it is over when both have taken it back', async () => {
    const { john, ray, johns, rays } = await blockedPair();
    await block(ray, john.id);
    expectNotAvailable(await johns.send('are you there?'));
    expectNotAvailable(await rays.send('are you there?'));
    await unblock(john, ray.id);
    expectNotAvailable(await johns.send('are you there?'));
    expectNotAvailable(await rays.send('are you there?'), OWN_BLOCK);
    await unblock(ray, john.id);
    expect((await johns.send('are you there?')).status).toBe(201);
    expect((await rays.send('yes')).status).toBe(201);
  });

  it('write to everybody else as before', async () => {
    const { john, ray } = await blockedPair();
    const selena = await signedIn('Selena');
    const db = directory(env.DB);
    for (const person of [john, ray] as Person[]) {
      const conversation = await openDirectConversation(db, person.id, selena.id, Date.now());
      expect((await new Caller(conversation?.id ?? '', person).send('Hello')).status).toBe(201);
      expect((await new Caller(conversation?.id ?? '', selena).send('Hello')).status).toBe(201);
      expect((await openChatWith(selena, person)).status).toBe(200);
    }
  });
});
