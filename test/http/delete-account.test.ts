import { evictDurableObject, listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { changeEmail, changePassword, deleteAccount, verifyEmail } from '../../src/auth/accounts.ts';
import { storeForeignEvent } from '../../src/auth/security-log.ts';
import { startSession } from '../../src/auth/sessions.ts';
import { ACCESS_TOKEN_LIFETIME_S } from '../../src/config.ts';
import { directory } from '../../src/directory/database.ts';
import { renameUser, setPresence } from '../../src/directory/users.ts';
import {
  conversationOf,
  cronRun,
  dumpButAttempts,
  logIn,
  otherHash,
  SIGNED_IN,
  SIGNED_OUT,
  standing,
  storedHash,
} from '../helpers/accounts.ts';
import { api } from '../helpers/api.ts';
import { changesUpTo } from '../helpers/chat-pair.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { objectOf, open, query, storedMembers, storedMessages } from '../helpers/conversation.ts';
import { pendingNotices, versionOf } from '../helpers/directory.ts';
import { everyStore } from '../helpers/every-store.ts';
import { breakD1 } from '../helpers/faults.ts';
import { finished } from '../helpers/finished.ts';
import { failAtNotices } from '../helpers/ill-objects.ts';
import { subjectsTo, tokenTo, withSettings } from '../helpers/mailbox.ts';
import {
  createPerson,
  pairInConversation,
  PASSWORD,
  signedIn,
  signIn,
  SOURCE,
  type Person,
} from '../helpers/people.ts';
import { connect, upgrade, type TestSocket } from '../helpers/socket.ts';
import { dumpTables } from '../helpers/tables.ts';
import { claimsOf } from '../helpers/tokens.ts';

const db = directory(env.DB);
const SESSION_ENDED = { code: 4410, reason: 'The session has ended.' };
const DELETED = { first_name: 'Deleted user', last_name: '' };

const erase = ({ access }: { access: string }, json: unknown = { password: PASSWORD }) =>
  finished('/api/me/delete/', { token: access, json });

/** Deletes an account as a Worker does that dies right after its batch: nobody is told. */
const eraseAndDie = async ({ id }: { id: string }) =>
  expect(await deleteAccount(db, id, await storedHash(id), SOURCE, Date.now())).toBe(true);

async function block({ access }: { access: string }, { id }: { id: string }): Promise<void> {
  expect((await finished(`/api/users/${id}/block/`, { method: 'PUT', token: access })).status).toBe(204);
}

/** The members that a conversation's object shows, by user id, without what is of no matter here. */
async function shownMembers(conversationId: string) {
  const rows = await storedMembers(conversationId);
  return new Map([...rows].map(([id, { first_name, last_name, left_at }]) => [id, { first_name, last_name, left_at }]));
}

const headerNames = ({ headers }: { headers: Headers }) => [...headers.keys()];

beforeEach(async () => {
  await env.DB.prepare('DELETE FROM notices').run();
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('deleting an account', () => {
  it.each([
    ['no password', {}, { password: ['This field is required.'] }],
    ['a wrong one', { password: 'wrong horse battery' }, { password: ['This is not your password.'] }],
    ['a blank one', { password: '' }, { password: ['This field may not be blank.'] }],
  ])('takes the password: with %s nothing is changed', async (_, json, expected) => {
    const { john } = await pairInConversation();
    const before = await dumpButAttempts();
    const { status, body } = await erase(john, json);
    expect(status).toBe(400);
    expect(body).toEqual(expected);
    expect(await dumpButAttempts()).toEqual(before);
    expect(await standing(john)).toEqual(SIGNED_IN);
  });

  it('takes an access token', async () => {
    const ana = await signedIn();
    expect((await api('/api/me/delete/', { json: { password: PASSWORD } })).status).toBe(401);
    expect((await erase({ access: ana.refresh })).status).toBe(401);
    expect(await standing(ana)).toEqual(SIGNED_IN);
  });

  it('is not a way to guess the password', async () => {
    const ana = await signedIn();
    await withSettings({ loginAttempts: 1 }, async () => {
      expect((await erase(ana, { password: 'wrong horse battery' })).status).toBe(400);
      expect((await erase(ana)).status).toBe(429);
    });
    expect(await standing(ana)).toEqual(SIGNED_IN);
  });

  it('is not done if the password was changed meanwhile', async () => {
    const { john } = await pairInConversation();
    const before = await dumpTables();
    expect(await deleteAccount(db, john.id, otherHash(), SOURCE, Date.now())).toBe(false);
    expect(await dumpTables()).toEqual(before);
  });

  it('twice at once deletes it once', async () => {
    const { john, conversationId } = await pairInConversation();
    const answers = await Promise.all([erase(john), erase(john)]);
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
    expect([400, 401, 409]).toContain(answers.find(({ status }) => status !== 204)?.status);
    expect(await versionOf(conversationId)).toMatchObject({ version: 2 });
  });

  it('again changes nothing', async () => {
    const { john } = await pairInConversation();
    await eraseAndDie(john);
    const before = await dumpTables();
    expect(await deleteAccount(db, john.id, undefined, SOURCE, Date.now())).toBe(false);
    expect(await deleteAccount(db, john.id, '', SOURCE, Date.now())).toBe(false);
    expect(await dumpTables()).toEqual(before);
  });

  it('sends no mail', async () => {
    const ana = await signedIn();
    await erase(ana);
    expect(subjectsTo(ana.email)).toEqual([]);
  });
});

describe('whoever deleted their account', () => {
  it('is refused with every token that they had', async () => {
    const ana = await signedIn();
    const elsewhere = await signIn(ana.id);
    expect(await erase(ana)).toMatchObject({ status: 204, text: '' });
    expect(await standing(ana)).toEqual(SIGNED_OUT);
    expect(await standing(elsewhere)).toEqual(SIGNED_OUT);
  });

  it.each([
    ['GET', '/api/me/'],
    ['PATCH', '/api/me/'],
    ['POST', '/api/me/password/'],
    ['POST', '/api/me/delete/'],
    ['GET', '/api/me/sessions/'],
    ['DELETE', '/api/me/sessions/'],
    ['GET', '/api/me/security-events/'],
    ['GET', '/api/users/'],
    ['GET', '/api/users/<peer>/chat/'],
    ['GET', '/api/conversations/<conversation>/messages/'],
    ['POST', '/api/conversations/<conversation>/messages/'],
    ['POST', '/api/email-verification/'],
  ])('is answered 401: %s %s', async (method, path) => {
    const { john, ray, conversationId } = await pairInConversation();
    await eraseAndDie(john);
    const answer = await api(path.replace('<peer>', ray.id).replace('<conversation>', conversationId), {
      method,
      token: john.access,
    });
    expect(answer.status).toBe(401);
    expect(answer.body).toEqual({ detail: 'User not found', code: 'user_not_found' });
  });

  it('has their sockets closed with 4410, of both kinds, of all sessions, in every conversation', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const otherId = await conversationOf(john, await createPerson('Selena'));
    const elsewhere = await signIn(john.id);
    const closing = [
      await open(conversationId, john.access),
      await openChat(conversationId, elsewhere.access),
      await open(otherId, elsewhere.access),
      await openChat(otherId, john.access),
    ];
    const rays = await open(conversationId, ray.access);
    await erase(john);
    for (const socket of closing) expect(await socket.closed).toEqual(SESSION_ENDED);
    await rays.settled();
  });

  it('opens no socket any more, before the conversation has heard and afterwards', async () => {
    const { john, conversationId } = await pairInConversation();
    await eraseAndDie(john);
    expect((await upgrade(conversationId, john.access)).status).toBe(403);
    await cronRun();
    expect((await upgrade(conversationId, john.access)).status).toBe(403);
  });

  it('signs in like somebody who never was: the same answer', async () => {
    const ana = await signedIn();
    await erase(ana);
    const [deleted, unknown] = [await logIn(ana.email, PASSWORD), await logIn('nobody@example.org', PASSWORD)];
    expect(deleted.status).toBe(401);
    expect(deleted.body).toEqual(unknown.body);
    expect(headerNames(deleted)).toEqual(headerNames(unknown));
  });

  it('is not in the list of users', async () => {
    const [ana, bob] = [await signedIn('Ana'), await signedIn('Bob')];
    await erase(ana);
    const { body } = await api('/api/users/', { token: bob.access });
    expect(body.map(({ id }: { id: string }) => id)).not.toContain(ana.id);
    expect(JSON.stringify(body)).not.toContain('Deleted user');
  });

  it('gives their address back: a new account has it, and nothing of the old one', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await erase(john);
    const again = {
      first_name: 'Joan',
      last_name: 'Roe',
      email: john.email,
      password: PASSWORD,
      confirm_password: PASSWORD,
    };
    expect((await api('/api/register/', { json: again })).status).toBe(201);
    const { body } = await logIn(john.email, PASSWORD);
    const { user_id } = await claimsOf(body.access);
    expect(user_id).not.toBe(john.id);
    expect((await upgrade(conversationId, body.access)).status).toBe(403);
    expect((await api(`/api/users/${ray.id}/chat/`, { token: body.access })).body.data.id).not.toBe(conversationId);
  });
});

describe('what others see of them', () => {
  it('is "Deleted user", who has left, told to chat.v1 sockets at once', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    await erase(john);
    const [changes] = await changesUpTo(rays, rays.welcome.rev + 1);
    expect(changes?.members).toMatchObject([{ user_id: john.id, ...DELETED, left_at: expect.any(Number) }]);
    expect(changes?.messages).toEqual([]);
  });

  it('are their messages, which stay as they are, and whose they were', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    const rays = await openChat(conversationId, ray.access);
    await johns.say('I was here');
    const { n } = await rays.say('So was I');
    await johns.ok({ type: 'react', n, emoji: '👍', on: true });
    const before = await storedMessages(conversationId);
    await erase(john);
    expect(await storedMessages(conversationId)).toEqual(before);

    const { welcome } = await openChat(conversationId, ray.access);
    expect(welcome.snapshot?.messages).toMatchObject([
      { sender_id: john.id, text: 'I was here' },
      { sender_id: ray.id, text: 'So was I', reactions: [{ emoji: '👍', user_ids: [john.id] }] },
    ]);
    expect(welcome.snapshot?.members).toContainEqual(expect.objectContaining({ user_id: john.id, ...DELETED }));
    expect(welcome.last_seen).toEqual({});
  });

  it('is the same in the history of old clients', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await (await openChat(conversationId, john.access)).say('I was here');
    await erase(john);
    const { status, body } = await api(`/api/users/${john.id}/chat/`, { token: ray.access });
    expect(status).toBe(200);
    expect(body.data).toMatchObject({
      id: conversationId,
      messages: [{ text: 'I was here', sender: { id: john.id, ...DELETED } }],
    });
  });

  it('is nobody to begin a conversation with: 404, and none is made', async () => {
    const [ana, bob] = [await signedIn('Ana'), await signedIn('Bob')];
    await erase(ana);
    const before = await dumpTables();
    const { status, body } = await api(`/api/users/${ana.id}/chat/`, { token: bob.access });
    expect(status).toBe(404);
    expect(body).toEqual({ detail: 'No UserAccount matches the given query.' });
    expect(await dumpTables()).toEqual(before);
  });

  it('is not that they were blocked, or blocked someone', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await block(john, ray);
    await block(ray, john);
    await open(conversationId, ray.access);
    await erase(john);
    expect((await dumpTables())['blocks']).toEqual([]);
    const members = await query<{ has_blocked: number }>(conversationId, 'SELECT has_blocked FROM members');
    expect(members).toEqual([{ has_blocked: 0 }, { has_blocked: 0 }]);
  });
});

/** What a person leaves behind everywhere, and who cannot be mistaken. */
const NOBODY_ELSE = {
  first_name: 'Xaverine',
  last_name: 'Quuxington',
  email: 'xaverine.unmistakable@quuxmail.example',
  user_agent: 'Zyzzyva/7.3 (one of its kind)',
  address: '203.0.113.77',
};

/** Their name as searches find it. */
const SEARCHED = 'xaverine quuxington';

/** Signs a person in over HTTP and has them leave traces wherever something is stored of anybody, and deletes them. */
async function comeAndGo() {
  const { user_agent, address, ...person } = NOBODY_ELSE;
  const headers = { 'User-Agent': user_agent, 'CF-Connecting-IP': address };
  const registered = { ...person, password: PASSWORD, confirm_password: PASSWORD };
  expect((await finished('/api/register/', { json: registered, headers })).status).toBe(201);
  const logInAs = (password: string) => finished('/api/login/', { json: { email: person.email, password }, headers });
  await logInAs('wrong horse battery');
  const { body: phone } = await logInAs(PASSWORD);
  const { body: desk } = await logInAs(PASSWORD);
  const { user_id: id, session_id } = await claimsOf(desk.access);
  const self = { id, ...desk };
  const act = (path: string, init: object) => finished(path, { token: desk.access, headers, ...init });

  const [ray, selena, troll] = [await signedIn('Ray'), await signedIn('Selena'), await signedIn('Troll')];
  const conversationIds: string[] = [];
  for (const peer of [ray, selena, troll]) conversationIds.push(await conversationOf(self, peer));
  for (const [i, peer] of [ray, selena, troll].entries()) {
    const conversationId = conversationIds[i] ?? '';
    const theirs = await openChat(conversationId, peer.access);
    const own = await openChat(conversationId, desk.access);
    const plain = await connect(conversationId, phone.access);
    plain.say('hello from the phone', peer.id);
    await plain.next();
    const { n } = await own.say('and from the desk');
    await theirs.ok({ type: 'react', n, emoji: '👋', on: true });
    own.close();
    plain.close();
    await theirs.next('presence', (frame) => frame.user_id === id && !frame.online);
  }
  await block(self, troll);
  await block(selena, self);
  await act('/api/me/', { method: 'PATCH', json: { first_name: 'Xaverina', show_presence: 'nobody' } });
  await act('/api/me/', { method: 'PATCH', json: { first_name: person.first_name } });
  await finished('/api/password-reset/', { json: { email: person.email }, headers });
  const token = tokenTo(person.email);
  await finished('/api/email-verification/confirm/', { json: { token }, headers });
  const { body: sessions } = await act('/api/me/sessions/', {});
  const hash = await storedHash(id);

  const traces = [
    ...Object.values(NOBODY_ELSE),
    SEARCHED,
    hash,
    ...sessions.map((session: { id: string }) => session.id),
  ];
  const store = await everyStore();
  for (const trace of traces) expect(store).toContain(trace);
  expect((await act('/api/me/delete/', { json: { password: PASSWORD } })).status).toBe(204);
  return { hash, session_id, sessionIds: sessions.map((session: { id: string }) => session.id) as string[], id };
}

describe('no store has anything left that tells who they were', () => {
  it('neither name, address, password hash, device nor IP address', async () => {
    const { hash, id } = await comeAndGo();
    expect(await listDurableObjectIds(env.CONVERSATIONS)).not.toHaveLength(0);
    const store = await everyStore();
    for (const trace of [...Object.values(NOBODY_ELSE), SEARCHED, 'quuxington', 'Xaverina', hash])
      expect(store).not.toContain(trace);
    expect(store).toContain(id);
    const { users } = await dumpTables();
    const row = users?.find((user) => user['id'] === id);
    expect(row).toMatchObject({ name_key: '', last_name_key: '', show_presence: 'contacts' });
  }, 30_000);

  it('nor when they were last seen', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await openChat(conversationId, john.access);
    await johns.settled();
    expect((await storedMembers(conversationId)).get(john.id)?.last_seen).toEqual(expect.any(Number));
    await erase(john);
    await johns.closed;
    johns.close();
    await (await openChat(conversationId, (await signedInPeer(conversationId, john)).access)).settled();
    expect((await storedMembers(conversationId)).get(john.id)?.last_seen).toBeNull();
  });

  it('nor their sessions', async () => {
    const { john, conversationId } = await pairInConversation();
    const { session_id } = await claimsOf(john.access);
    await open(conversationId, john.access);
    await erase(john);
    expect(await everyStore()).not.toContain(session_id);
  });
});

/** The other member of john's conversation, signed in. */
async function signedInPeer(conversationId: string, john: { id: string }) {
  const peer = [...(await storedMembers(conversationId)).keys()].find((id) => id !== john.id) ?? '';
  return signIn(peer);
}

describe('a Worker that dies right after its batch', () => {
  it('has the rest done by the cron run: members, sockets, in every conversation', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const otherId = await conversationOf(john, await createPerson('Selena'));
    const johns = [await open(conversationId, john.access), await openChat(otherId, john.access)];
    const rays = await open(conversationId, ray.access);
    await eraseAndDie(john);
    expect((await shownMembers(conversationId)).get(john.id)).toMatchObject({ first_name: 'John' });

    await cronRun();
    for (const socket of johns) expect(await socket.closed).toEqual(SESSION_ENDED);
    for (const id of [conversationId, otherId]) {
      expect((await shownMembers(id)).get(john.id)).toEqual({ ...DELETED, left_at: expect.any(Number) });
    }
    await rays.settled();
    expect(await pendingNotices()).toEqual([]);
  });

  it('is no matter to whoever asks meanwhile: they see "Deleted user" at once', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await (await openChat(conversationId, john.access)).say('I was here');
    await eraseAndDie(john);
    const { body } = await api(`/api/users/${john.id}/chat/`, { token: ray.access });
    expect(body.data.messages).toMatchObject([{ sender: DELETED }]);
  });

  it('finds objects that sleep', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await open(conversationId, john.access);
    await eraseAndDie(john);
    await evictDurableObject(objectOf(conversationId));
    await cronRun();
    expect(await johns.closed).toEqual(SESSION_ENDED);
    expect((await shownMembers(conversationId)).get(john.id)).toMatchObject(DELETED);
  });

  it('is made up for by later runs if an object fails in the first ones', async () => {
    const { john, conversationId: failing } = await pairInConversation();
    const healthy = await conversationOf(john, await createPerson('Selena'));
    const johns = await open(failing, john.access);
    await open(healthy, john.access);
    await eraseAndDie(john);

    const illness = failAtNotices((id) => id === failing);
    await cronRun();
    await cronRun();
    expect((await shownMembers(healthy)).get(john.id)).toMatchObject(DELETED);
    expect((await shownMembers(failing)).get(john.id)).toMatchObject({ first_name: 'John' });
    expect((await pendingNotices()).every(({ conversation_id }) => conversation_id === failing)).toBe(true);

    illness.mockRestore();
    await cronRun();
    expect(await johns.closed).toEqual(SESSION_ENDED);
    expect((await shownMembers(failing)).get(john.id)).toMatchObject(DELETED);
    expect(await pendingNotices()).toEqual([]);
  });

  it('is made up for if D1 fails in the first run', async () => {
    const { john, conversationId } = await pairInConversation();
    const johns = await open(conversationId, john.access);
    await eraseAndDie(john);
    const d1 = breakD1();
    await cronRun();
    d1.restore();
    await johns.settled();
    await cronRun();
    expect(await johns.closed).toEqual(SESSION_ENDED);
    expect((await shownMembers(conversationId)).get(john.id)).toMatchObject(DELETED);
  });

  it('is made up for once: another run changes nothing', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await openChat(conversationId, ray.access);
    await eraseAndDie(john);
    const written = await pendingNotices();
    await cronRun();
    const [, store] = [await changesUpTo(rays, rays.welcome.rev + 1), await everyStore()];
    await cronRun();
    expect(await everyStore()).toBe(store);
    for (const { conversation_id, kind, user_id, session_id, remember_until, tried_at } of written) {
      await env.DB.prepare(
        `INSERT INTO notices (conversation_id, kind, user_id, session_id, remember_until, tried_at)
         VALUES (?, ?, ?, ?, ?, ?)`,
      )
        .bind(conversation_id, kind, user_id, session_id, remember_until, tried_at)
        .run();
    }
    await cronRun();
    expect(await everyStore()).toBe(store);
    await rays.settled();
    expect(rays.pending.filter(({ type }) => type === 'changes')).toEqual([]);
  });
});

it('a person of 60 conversations is deleted in each', async () => {
  const john = await signedIn('John');
  const conversationIds: string[] = [];
  const sockets: TestSocket[] = [];
  for (let i = 0; i < 60; i += 1) {
    const id = await conversationOf(john, await createPerson());
    conversationIds.push(id);
    sockets.push(await open(id, john.access));
  }
  expect((await erase(john)).status).toBe(204);
  for (const socket of sockets) expect(await socket.closed).toEqual(SESSION_ENDED);
  for (const id of conversationIds) {
    expect((await shownMembers(id)).get(john.id)).toEqual({ ...DELETED, left_at: expect.any(Number) });
  }
  expect(await pendingNotices()).toEqual([]);
}, 30_000);

describe('what was on its way when the account was deleted', () => {
  it.each([
    ['a new name', ({ id }: Person) => renameUser(db, id, { first_name: 'Back' }, Date.now())],
    ['a hidden presence', ({ id }: Person) => setPresence(db, id, 'nobody', Date.now())],
    [
      'a new address',
      ({ id }: Person, password: string) =>
        changeEmail(db, { user_id: id, email: `${id}@back.example`, password }, SOURCE, Date.now()),
    ],
    [
      'the verification of the address',
      ({ id, email }: Person) => verifyEmail(db, { user_id: id, email }, SOURCE, Date.now()),
    ],
    [
      'a new password',
      ({ id, email }: Person, hash: string) =>
        changePassword(
          db,
          { kind: 'password_reset', user_id: id, email, from: hash, to: otherHash() },
          SOURCE,
          Date.now(),
        ),
    ],
    [
      'a login',
      ({ id }: Person, hash: string) =>
        startSession(db, { userId: id, password: hash, source: SOURCE, now: Date.now() }),
    ],
    [
      'the event of a failed login',
      ({ id }: Person) => storeForeignEvent(db, { kind: 'login_failed', user_id: id, source: SOURCE, now: Date.now() }),
    ],
  ])('brings nothing of it back: %s', async (_, arrive) => {
    const ana = await signedIn();
    await conversationOf(ana, await createPerson('Bob'));
    const hash = await storedHash(ana.id);
    await eraseAndDie(ana);
    const before = await dumpTables();
    await arrive(ana, hash);
    expect(await dumpTables()).toEqual(before);
  });

  it('is no use to whoever has the old mails', async () => {
    const ana = await signedIn();
    await finished('/api/email-verification/', { method: 'POST', token: ana.access });
    const verification = tokenTo(ana.email);
    await finished('/api/password-reset/', { json: { email: ana.email } });
    const reset = tokenTo(ana.email);
    await erase(ana);
    const before = await dumpTables();
    const passwords = { password: 'incorrect zebra staple', confirm_password: 'incorrect zebra staple' };
    expect((await api('/api/password-reset/confirm/', { json: { token: reset, ...passwords } })).status).toBe(400);
    expect((await api('/api/email-verification/confirm/', { json: { token: verification } })).status).toBe(400);
    expect(await dumpTables()).toEqual(before);
  });

  it('is no use to whoever signs in with what the row holds instead of an address', async () => {
    const ana = await signedIn();
    await erase(ana);
    const before = await dumpButAttempts();
    const answer = await finished('/api/login/', { json: { email: `deleted:${ana.id}`, password: PASSWORD } });
    expect(answer.status).toBe(401);
    expect(await dumpButAttempts()).toEqual(before);
  });
});

it('sessions that ended are forgotten by the conversation when their last token has expired', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  const { session_id } = await claimsOf(john.access);
  await open(conversationId, john.access);
  await erase(john);
  vi.setSystemTime(Date.now() + ACCESS_TOKEN_LIFETIME_S * 1000 + 1000);
  await finished('/api/me/', {
    method: 'PATCH',
    token: (await signIn(ray.id)).access,
    json: { first_name: 'Raymond' },
  });
  expect(await everyStore()).not.toContain(session_id);
});
