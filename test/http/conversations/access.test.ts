import { describe, expect, it } from 'vitest';
import { api, type ApiAnswer } from '../../helpers/api.ts';
import { Caller } from '../../helpers/caller.ts';
import { objectOf, query, storedTexts } from '../../helpers/conversation.ts';
import { countQueries } from '../../helpers/d1.ts';
import { rename, setLeft, touch, versionOf } from '../../helpers/directory.ts';
import { endSession, pairInConversation, signedIn } from '../../helpers/people.ts';
import { claimsOf, resign } from '../../helpers/tokens.ts';

type Request = (caller: Caller) => Promise<ApiAnswer>;

/** Every request, with the status that a member is answered who said the first message. */
const REQUESTS: [string, Request, number][] = [
  ['GET messages', (caller) => caller.messages(), 200],
  ['POST messages', (caller) => caller.send('another'), 201],
  ['PATCH a message', (caller) => caller.edit(1, 'edited'), 200],
  ['PUT a reaction', (caller) => caller.react(1, '👍'), 200],
  ['DELETE a reaction', (caller) => caller.unreact(1, '👍'), 200],
  ['PATCH marks', (caller) => caller.mark({ read: 1 }), 204],
  ['GET changes', (caller) => caller.changes(), 200],
  ['DELETE a message', (caller) => caller.remove(1), 200],
];

const allowed = ({ headers }: ApiAnswer) => headers.get('Allow')?.split(', ').toSorted();

/** A conversation in which john has said something. */
async function said() {
  const pair = await pairInConversation();
  const [johns, rays] = [new Caller(pair.conversationId, pair.john), new Caller(pair.conversationId, pair.ray)];
  await johns.say('a secret');
  return { ...pair, johns, rays };
}

/** Expects that a request is refused, and that neither is anything told nor anything changed. */
async function expectRefused(conversationId: string, request: () => Promise<ApiAnswer>, status: number) {
  const before = await query(conversationId, 'SELECT n, rev, text FROM messages');
  const answer = await request();
  expect(answer.status).toBe(status);
  expect(answer.text).not.toContain('a secret');
  expect(await query(conversationId, 'SELECT n, rev, text FROM messages')).toEqual(before);
  return answer;
}

describe.each(REQUESTS)('%s', (_, request, status) => {
  it('is for members, and costs one D1 statement in all', async () => {
    const { johns } = await said();
    let answer: ApiAnswer | undefined;
    expect(await countQueries(async () => (answer = await request(johns)))).toBe(1);
    expect(answer?.status).toBe(status);
  });

  it('without a token, or with one that is no good, is answered 401', async () => {
    const { john, conversationId } = await said();
    for (const access of [undefined, 'nonsense', await resign(john.access, { exp: 1 }), john.refresh]) {
      const caller = new Caller(conversationId, access === undefined ? undefined : { access });
      const { headers } = await expectRefused(conversationId, () => request(caller), 401);
      expect(headers.get('WWW-Authenticate')).toBe('Bearer realm="api"');
    }
  });

  it('in a session that has ended is answered 401', async () => {
    const { john, johns, conversationId } = await said();
    await endSession(await claimsOf(john.access), 'logout', Date.now());
    const { body } = await expectRefused(conversationId, () => request(johns), 401);
    expect(body).toMatchObject({ code: 'token_not_valid' });
  });

  it('of someone who is no member is answered 403', async () => {
    const { conversationId } = await said();
    const stranger = new Caller(conversationId, await signedIn('Stranger'));
    const { body } = await expectRefused(conversationId, () => request(stranger), 403);
    expect(body).toEqual({ detail: 'You are not a member of this conversation.', code: 'not_a_member' });
  });

  it('of someone who has left is answered 403, until they are back', async () => {
    const { john, johns, conversationId } = await said();
    await setLeft(conversationId, john.id, Date.now());
    const { body } = await expectRefused(conversationId, () => request(johns), 403);
    expect(body).toMatchObject({ code: 'not_a_member' });
    await setLeft(conversationId, john.id, null);
    expect((await request(johns)).status).toBe(status);
  });

  it('in a conversation that is not there is answered 404, and its object stores nothing', async () => {
    const [john, id] = [await signedIn(), crypto.randomUUID()];
    expect((await request(new Caller(id, john))).status).toBe(404);
    expect(await query(id, `SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf\\_%' ESCAPE '\\'`)).toEqual([]);
  });

  it('under an id that is none is answered 404', async () => {
    const john = await signedIn();
    for (const id of ['1', 'me', '00000000-0000-4000-8000', '%00', '%ff', '..%2f..']) {
      const { status: found, body } = await request(new Caller(id, john));
      expect([id, found]).toEqual([id, 404]);
      expect(body).toEqual({ detail: 'Not found.' });
    }
  });

  it('takes every spelling of the conversation’s id', async () => {
    const { john, conversationId } = await said();
    for (const id of [conversationId.toUpperCase(), conversationId.replaceAll('-', '')]) {
      expect((await request(new Caller(id, john))).status).toBe(status);
    }
  });
});

describe('the object', () => {
  it('looks at the directory once more only after something has changed there', async () => {
    const { rays, ray, conversationId } = await said();
    await rays.changes();
    await rename(conversationId, ray.id, 'Raymond');
    expect(await countQueries(() => rays.say('Hello'))).toBe(2);
    expect(await countQueries(() => rays.say('Hello'))).toBe(1);
    await touch(conversationId);
    expect(await countQueries(() => rays.mark({ read: 1 }))).toBe(2);
    expect(await countQueries(() => rays.mark({ read: 1 }))).toBe(1);
  });

  it('refuses someone who has left while their request was on its way', async () => {
    const { ray, rays, conversationId } = await said();
    await rays.changes();
    const onItsWay = await versionOf(conversationId);
    await setLeft(conversationId, ray.id, Date.now());
    const object = objectOf(conversationId);
    await object.notify(await versionOf(conversationId), { ended_sessions: [] });
    const send = { type: 'send', ref: 'late', text: 'too late' } as const;
    expect(await object.request(onItsWay, ray.id, send)).toBeUndefined();
    expect(await object.request(onItsWay, ray.id, { type: 'history', ref: '', limit: 1 })).toBeUndefined();
    expect(await object.request(onItsWay, ray.id, { type: 'mark', read: 1 })).toBeUndefined();
    expect(await object.catchUp(onItsWay, ray.id, undefined)).toBeUndefined();
    expect(await storedTexts(conversationId)).toEqual(['a secret']);
  });
});

describe('other methods', () => {
  const EMOJI = encodeURIComponent('👍');
  const PATHS: [string, string[]][] = [
    ['messages', ['GET', 'HEAD', 'POST', 'OPTIONS']],
    ['messages/1', ['PATCH', 'DELETE', 'OPTIONS']],
    [`messages/1/reactions/${EMOJI}`, ['PUT', 'DELETE', 'OPTIONS']],
    ['marks', ['PATCH', 'OPTIONS']],
    ['changes', ['GET', 'HEAD', 'OPTIONS']],
  ];
  const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

  it.each(PATHS)('on %s are answered 405 with those that are allowed, and change nothing', async (path, allow) => {
    const { johns, conversationId } = await said();
    for (const method of METHODS.filter((other) => !allow.includes(other))) {
      const answer = await expectRefused(conversationId, () => johns.ask(`${path}/`, { method }), 405);
      expect(answer.body).toEqual({ detail: `Method "${method}" not allowed.` });
      expect(allowed(answer)).toEqual(allow.toSorted());
    }
  });

  it.each(PATHS)('OPTIONS on %s is answered to anyone', async (path, allow) => {
    const { conversationId } = await said();
    const answer = await api(`/api/conversations/${conversationId}/${path}`, { method: 'OPTIONS' });
    expect(answer.status).toBe(204);
    expect(allowed(answer)).toEqual(allow.toSorted());
  });

  it.each(['messages/1/reactions', 'messages/1/2', 'messages/1/reactions/👍/👍', 'marks/1'])(
    'and other paths are answered 404: %s',
    async (path) => {
      const { johns } = await said();
      const { status, body } = await johns.ask(path);
      expect(status).toBe(404);
      expect(body).toEqual({ detail: 'Not found.' });
    },
  );
});

it('a page of another origin that is allowed may send a key, and read where a list goes on', async () => {
  const { conversationId } = await said();
  const { headers } = await api(`/api/conversations/${conversationId}/messages/`, {
    method: 'OPTIONS',
    headers: {
      Origin: 'http://localhost:5173',
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'Authorization, Content-Type, Idempotency-Key',
    },
  });
  expect(headers.get('Access-Control-Allow-Origin')).toBe('http://localhost:5173');
  expect(headers.get('Access-Control-Allow-Headers')?.split(',')).toContain('Idempotency-Key');
  for (const method of ['PUT', 'PATCH', 'DELETE']) {
    expect(headers.get('Access-Control-Allow-Methods')?.split(',')).toContain(method);
  }
});
