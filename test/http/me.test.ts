import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { changePassword } from '../../src/auth/accounts.ts';
import { startSession } from '../../src/auth/sessions.ts';
import { EMAIL_MAX_LENGTH, NAME_MAX_LENGTH } from '../../src/config.ts';
import { directory } from '../../src/directory/database.ts';
import { listMembers } from '../../src/directory/conversations.ts';
import * as users from '../../src/directory/users.ts';
import {
  conversationOf,
  dumpButAttempts,
  eventsOf,
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
import { open, storedMembers } from '../helpers/conversation.ts';
import { pendingNotices, versionOf } from '../helpers/directory.ts';
import { finished } from '../helpers/finished.ts';
import { linkIn, mailsTo, subjectsTo, withSettings } from '../helpers/mailbox.ts';
import { createPerson, pairInConversation, PASSWORD, signedIn, signIn, SOURCE } from '../helpers/people.ts';
import { dumpTables } from '../helpers/tables.ts';

const db = directory(env.DB);
const NEW_PASSWORD = 'incorrect zebra staple';
const SESSION_ENDED = { code: 4410, reason: 'The session has ended.' };
const TAKEN = { email: ['user account with this email already exists.'] };
const REQUIRED = 'This field is required.';

type SignedIn = { access: string };
const see = ({ access }: SignedIn) => api('/api/me/', { token: access });
const patch = ({ access }: SignedIn, json: unknown) => finished('/api/me/', { method: 'PATCH', token: access, json });
const move = (person: SignedIn, email: string) => patch(person, { email, current_password: PASSWORD });
const changeTo = ({ access }: SignedIn, password: string, more: object = {}) =>
  finished('/api/me/password/', {
    token: access,
    json: { current_password: PASSWORD, password, confirm_password: password, ...more },
  });
const newAddress = () => `${crypto.randomUUID()}@example.org`;

afterEach(() => {
  vi.restoreAllMocks();
});

describe('GET /api/me/', () => {
  it("answers the caller's account, without anything of its password", async () => {
    const { id, email, access } = await signedIn('Ana');
    const { status, body } = await see({ access });
    expect(status).toBe(200);
    expect(body).toEqual({
      id,
      first_name: 'Ana',
      last_name: 'Doe',
      email,
      email_verified: false,
      show_presence: 'contacts',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
  });

  it('says that the address is verified', async () => {
    const ana = await signedIn();
    await env.DB.prepare('UPDATE users SET email_verified_at = 1 WHERE id = ?').bind(ana.id).run();
    expect((await see(ana)).body.email_verified).toBe(true);
  });

  it.each(['GET', 'PATCH'])('is nobody’s without a token: %s', async (method) => {
    expect((await api('/api/me/', { method })).status).toBe(401);
  });
});

describe('another name', () => {
  it('is answered, and what was left out stays', async () => {
    const ana = await signedIn('Ana');
    const before = (await see(ana)).body;
    const { status, body } = await patch(ana, { first_name: '  Anna ' });
    expect(status).toBe(200);
    expect(body).toEqual({ ...before, first_name: 'Anna' });
    expect((await see(ana)).body).toEqual(body);
    expect((await patch(ana, { last_name: 'Roe' })).body).toEqual({ ...before, first_name: 'Anna', last_name: 'Roe' });
  });

  it('is what others find', async () => {
    const { john, ray } = await pairInConversation();
    await patch(john, { first_name: 'Johnny' });
    const { body } = await api('/api/users/', { token: ray.access });
    expect(body).toContainEqual({ id: john.id, first_name: 'Johnny', last_name: 'Doe' });
  });

  it("moves the member row's rev in every conversation, and chat.v1 sockets are told of the row at once", async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const selena = await signedIn('Selena');
    const otherId = await conversationOf(john, selena);
    const sockets = [await openChat(conversationId, ray.access), await openChat(otherId, selena.access)];
    const own = await openChat(conversationId, john.access);

    await patch(john, { first_name: 'Johnny', last_name: 'Roe' });
    for (const socket of [...sockets, own]) {
      const [changes] = await changesUpTo(socket, socket.welcome.rev + 1);
      expect(changes?.messages).toEqual([]);
      expect(changes?.members).toMatchObject([
        { user_id: john.id, first_name: 'Johnny', last_name: 'Roe', rev: socket.welcome.rev + 1 },
      ]);
    }
  });

  it('reaches a conversation that sleeps, before it is opened again', async () => {
    const { john, conversationId } = await pairInConversation();
    await patch(john, { first_name: 'Johnny' });
    expect((await storedMembers(conversationId)).get(john.id)).toMatchObject({ first_name: 'Johnny' });
    expect((await dumpTables())['notices']).toEqual([]);
  });

  it.each([
    ['the same name', { first_name: 'John', last_name: 'Doe' }],
    ['the same name, padded', { first_name: ' John ' }],
    ['nothing', {}],
  ])('raises no version and writes nothing if it is none: %s', async (_, json) => {
    const { john, conversationId } = await pairInConversation();
    const [before, version] = [await dumpTables(), await versionOf(conversationId)];
    const { status, body } = await patch(john, json);
    expect(status).toBe(200);
    expect(body).toMatchObject({ first_name: 'John', last_name: 'Doe' });
    expect(await versionOf(conversationId)).toEqual(version);
    expect(await dumpTables()).toEqual(before);
  });

  it('ends no session', async () => {
    const ana = await signedIn();
    const elsewhere = await signIn(ana.id);
    await patch(ana, { first_name: 'Anna' });
    expect(await standing(ana)).toEqual(SIGNED_IN);
    expect(await standing(elsewhere)).toEqual(SIGNED_IN);
  });

  it.each([
    [
      { first_name: 'x'.repeat(NAME_MAX_LENGTH + 1) },
      `Ensure this field has no more than ${NAME_MAX_LENGTH} characters.`,
    ],
    [
      { last_name: 'x'.repeat(NAME_MAX_LENGTH + 1) },
      `Ensure this field has no more than ${NAME_MAX_LENGTH} characters.`,
    ],
    [{ first_name: '' }, 'This field may not be blank.'],
    [{ last_name: '   ' }, 'This field may not be blank.'],
    [{ first_name: null }, 'This field may not be null.'],
    [{ first_name: ['Ana'] }, 'Not a valid string.'],
    [{ last_name: 'a\0b' }, 'Null characters are not allowed.'],
  ])('is refused, and nothing is changed: %j', async (json, message) => {
    const ana = await signedIn();
    const before = await dumpTables();
    const { status, body } = await patch(ana, { first_name: 'Anna', ...json });
    expect(status).toBe(400);
    expect(body).toEqual({ [Object.keys(json)[0] ?? '']: [message] });
    expect(await dumpTables()).toEqual(before);
  });

  it(`may have ${NAME_MAX_LENGTH} characters, whatever they are made of`, async () => {
    const ana = await signedIn();
    const name = '🦋'.repeat(NAME_MAX_LENGTH);
    expect((await patch(ana, { first_name: name })).body.first_name).toBe(name);
  });

  it('cannot be given too often: 429, nothing is changed, and an address counts as well', async () => {
    const ana = await signedIn('Ana');
    await withSettings({ profileChangesPerHour: 2 }, async () => {
      expect((await patch(ana, { first_name: 'Anna' })).status).toBe(200);
      expect((await move(ana, newAddress())).status).toBe(200);
      const { status, headers, body } = await patch(ana, { first_name: 'Anne' });
      expect(status).toBe(429);
      expect(body.code).toBe('rate_limited');
      expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0);
      expect((await see(ana)).body.first_name).toBe('Anna');
      expect((await patch(ana, { first_name: 'Anna' })).status).toBe(200);
    });
  });
});

const hide = (person: SignedIn) => patch(person, { show_presence: 'nobody' });

/** The members of a conversation who hide their presence, as the directory has them. */
async function hidden(conversationId: string): Promise<string[]> {
  const members = (await listMembers(db, conversationId))?.members ?? [];
  return members.filter(({ hides_presence }) => hides_presence).map(({ user_id }) => user_id);
}

describe('who sees whether they are online', () => {
  it('is answered, stays when something else is changed, and can be taken back', async () => {
    const ana = await signedIn('Ana');
    const before = (await see(ana)).body;
    const { status, body } = await hide(ana);
    expect(status).toBe(200);
    expect(body).toEqual({ ...before, show_presence: 'nobody' });
    expect((await see(ana)).body).toEqual(body);
    expect((await patch(ana, { first_name: 'Anna' })).body).toEqual({ ...body, first_name: 'Anna' });
    expect((await patch(ana, { show_presence: 'contacts' })).body.show_presence).toBe('contacts');
  });

  it('is what the directory says of them to each of their conversations, and of nobody else', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const otherId = await conversationOf(john, await createPerson('Selena'));
    expect(await hidden(conversationId)).toEqual([]);
    await hide(john);
    for (const id of [conversationId, otherId]) expect(await hidden(id)).toEqual([john.id]);
    await hide(ray);
    await patch(john, { show_presence: 'contacts' });
    expect(await hidden(conversationId)).toEqual([ray.id]);
  });

  it('raises the version of each of their conversations, in the batch that writes a notice for it', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const otherId = await conversationOf(john, await createPerson('Selena'));
    const foreignId = await conversationOf(ray, await createPerson('Mia'));
    const ids = [conversationId, otherId, foreignId];
    const before = await Promise.all(ids.map(versionOf));
    await env.DB.prepare('DELETE FROM notices').run();

    await users.setPresence(db, john.id, 'nobody', 5);
    const after = await Promise.all(ids.map(versionOf));
    expect(after.map(({ version }, i) => version - (before[i]?.version ?? 0))).toEqual([1, 1, 0]);
    const notices = await pendingNotices();
    expect(notices).toHaveLength(3);
    const told = notices.map(({ conversation_id, kind }) => `${kind} ${conversation_id}`);
    expect(new Set(told)).toEqual(
      new Set([`members_changed ${conversationId}`, `members_changed ${otherId}`, 'user_changed null']),
    );
    for (const notice of notices) expect(notice).toMatchObject({ user_id: john.id, tried_at: 5 });
    await env.DB.prepare('DELETE FROM notices').run();
  });

  it('leaves no notice behind: they are delivered when it is answered', async () => {
    const { john } = await pairInConversation();
    await hide(john);
    expect((await dumpTables())['notices']).toEqual([]);
  });

  it.each(['contacts', 'nobody'] as const)(
    'raises no version and writes nothing if it is so already: %s',
    async (who) => {
      const { john, conversationId } = await pairInConversation();
      await patch(john, { show_presence: who });
      const [before, version] = [await dumpTables(), await versionOf(conversationId)];
      expect((await patch(john, { show_presence: who })).body.show_presence).toBe(who);
      await users.setPresence(db, john.id, who, Date.now());
      expect(await versionOf(conversationId)).toEqual(version);
      expect(await dumpTables()).toEqual(before);
    },
  );

  it('may be changed together with the name', async () => {
    const { john, conversationId } = await pairInConversation();
    const { body } = await patch(john, { first_name: 'Johnny', show_presence: 'nobody' });
    expect(body).toMatchObject({ first_name: 'Johnny', show_presence: 'nobody' });
    expect(await hidden(conversationId)).toEqual([john.id]);
    expect((await storedMembers(conversationId)).get(john.id)).toMatchObject({ first_name: 'Johnny' });
  });

  it.each([
    ['everybody', '"everybody" is not a valid choice.'],
    ['Nobody', '"Nobody" is not a valid choice.'],
    ['', '"" is not a valid choice.'],
    ['\0', '"\0" is not a valid choice.'],
    [true, '"true" is not a valid choice.'],
    [0, '"0" is not a valid choice.'],
    [['nobody'], '"["nobody"]" is not a valid choice.'],
    [null, 'This field may not be null.'],
  ])('is refused if it is nothing to choose, and nothing is changed: %j', async (value, message) => {
    const ana = await signedIn();
    const before = await dumpTables();
    const { status, body } = await patch(ana, { first_name: 'Anna', show_presence: value });
    expect(status).toBe(400);
    expect(body).toEqual({ show_presence: [message] });
    expect(await dumpTables()).toEqual(before);
  });

  it('cannot be changed too often: each change is told to conversations', async () => {
    const ana = await signedIn('Ana');
    await withSettings({ profileChangesPerHour: 1 }, async () => {
      expect((await hide(ana)).status).toBe(200);
      expect((await patch(ana, { show_presence: 'contacts' })).status).toBe(429);
      expect((await hide(ana)).status).toBe(200);
      expect((await see(ana)).body.show_presence).toBe('nobody');
    });
  });

  it('may come in a form', async () => {
    const ana = await signedIn();
    const { status, body } = await finished('/api/me/', {
      method: 'PATCH',
      token: ana.access,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      body: 'show_presence=nobody',
    });
    expect([status, body.show_presence]).toEqual([200, 'nobody']);
  });
});

describe('fields that nobody may set', () => {
  it('are ignored', async () => {
    const ana = await signedIn();
    const before = await dumpTables();
    const { status } = await patch(ana, {
      id: crypto.randomUUID(),
      seq: 1,
      is_active: false,
      email_verified: true,
      email_verified_at: 1,
      password: 'something else entirely',
      created_at: 0,
      deleted_at: 1,
      name_key: 'eve',
      last_name_key: 'eve',
      inbox_epoch: 2,
      __proto__: { first_name: 'Eve' },
    });
    expect(status).toBe(200);
    expect(await dumpTables()).toEqual(before);
  });

  it('are ignored beside others', async () => {
    const ana = await signedIn('Ana');
    const hash = await storedHash(ana.id);
    const { body } = await patch(ana, { first_name: 'Anna', is_active: false, password: 'x', email_verified: true });
    expect(body).toMatchObject({ id: ana.id, first_name: 'Anna', email_verified: false });
    expect(await storedHash(ana.id)).toBe(hash);
    expect(await standing(ana)).toEqual(SIGNED_IN);
  });
});

describe('another e-mail address', () => {
  it('is answered in lower case, and counts as not verified', async () => {
    const ana = await signedIn();
    await env.DB.prepare('UPDATE users SET email_verified_at = 1 WHERE id = ?').bind(ana.id).run();
    const email = newAddress();
    const { status, body } = await move(ana, ` ${email.toUpperCase()} `);
    expect(status).toBe(200);
    expect(body).toMatchObject({ email, email_verified: false });
    expect((await see(ana)).body).toEqual(body);
  });

  it.each([
    ['is missing', {}, REQUIRED],
    ['is wrong', { current_password: 'wrong horse battery' }, 'This is not your password.'],
    ['is blank', { current_password: '' }, 'This field may not be blank.'],
  ])('is refused if the current password %s: nothing is changed, nobody gets mail', async (_, proof, message) => {
    const ana = await signedIn();
    const [before, email] = [await dumpButAttempts(), newAddress()];
    const { status, body } = await patch(ana, { email, first_name: 'Anna', ...proof });
    expect(status).toBe(400);
    expect(body).toEqual({ current_password: [message] });
    expect(await dumpButAttempts()).toEqual(before);
    expect([...subjectsTo(email), ...subjectsTo(ana.email)]).toEqual([]);
  });

  it('is what they sign in with from then on; the old one is nobody’s', async () => {
    const ana = await signedIn();
    const email = newAddress();
    await move(ana, email);
    expect((await logIn(email, PASSWORD)).status).toBe(200);
    expect((await logIn(ana.email, PASSWORD)).status).toBe(401);
  });

  it('is told to the old one by mail, and gets a mail itself whose link verifies it', async () => {
    const ana = await signedIn();
    const email = newAddress();
    await move(ana, email);
    expect(subjectsTo(ana.email)).toEqual(['Your e-mail address was changed']);
    expect(subjectsTo(email)).toEqual(['Confirm your e-mail address']);
    expect(mailsTo(ana.email)[0]?.text).not.toContain(email);
    const { token } = linkIn(mailsTo(email)[0] ?? { text: '' });
    expect((await api('/api/email-verification/confirm/', { json: { token } })).status).toBe(204);
    expect((await see(ana)).body).toMatchObject({ email, email_verified: true });
  });

  it('is an event, and ends no session', async () => {
    const ana = await signedIn();
    await move(ana, newAddress());
    expect(await eventsOf(ana.id)).toEqual(['login', 'email_changed']);
    expect(await standing(ana)).toEqual(SIGNED_IN);
  });

  it.each([
    ['as it is', (email: string) => email],
    ['in another case', (email: string) => email.toUpperCase()],
  ])('is refused if it is taken: %s', async (_, spell) => {
    const [ana, bob] = [await signedIn(), await createPerson('Bob')];
    const before = await dumpButAttempts();
    const { status, body } = await patch(ana, {
      email: spell(bob.email),
      first_name: 'Anna',
      current_password: PASSWORD,
    });
    expect(status).toBe(400);
    expect(body).toEqual(TAKEN);
    expect(await dumpButAttempts()).toEqual(before);
    expect([...subjectsTo(bob.email), ...subjectsTo(ana.email)]).toEqual([]);
  });

  it('that two ask for at once goes to one of them', async () => {
    const [ana, bob] = [await signedIn('Ana'), await signedIn('Bob')];
    const email = newAddress();
    const answers = await Promise.all([move(ana, email), move(bob, email)]);
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 400]);
    expect(answers.find(({ status }) => status === 400)?.body).toEqual(TAKEN);
    const owners = [(await see(ana)).body, (await see(bob)).body].filter((account) => account.email === email);
    expect(owners).toHaveLength(1);
    expect(subjectsTo(email)).toEqual(['Confirm your e-mail address']);
  });

  it('is not theirs if the password was changed after it had been found right', async () => {
    const ana = await signedIn();
    const email = newAddress();
    vi.spyOn(users, 'emailTaken').mockImplementationOnce(async () => {
      await env.DB.prepare('UPDATE users SET password = ? WHERE id = ?').bind(otherHash(), ana.id).run();
      return false;
    });
    expect((await move(ana, email)).status).toBe(409);
    expect((await see(ana)).body.email).toBe(ana.email);
    expect(subjectsTo(email)).toEqual([]);
  });

  it('that another request has changed to meanwhile is no second event', async () => {
    const ana = await signedIn();
    const email = newAddress();
    vi.spyOn(users, 'emailTaken').mockImplementationOnce(async () => {
      await env.DB.prepare('UPDATE users SET email = ? WHERE id = ?').bind(email, ana.id).run();
      return false;
    });
    await move(ana, email);
    expect((await see(ana)).body.email).toBe(email);
    expect(await eventsOf(ana.id)).toEqual(['login']);
  });

  it('that is the present one in another case is none: it takes no password, and nothing is changed', async () => {
    const ana = await signedIn();
    await env.DB.prepare('UPDATE users SET email_verified_at = 1 WHERE id = ?').bind(ana.id).run();
    const before = await dumpTables();
    const { status, body } = await patch(ana, { email: ana.email.toUpperCase() });
    expect(status).toBe(200);
    expect(body).toMatchObject({ email: ana.email, email_verified: true });
    expect(await dumpTables()).toEqual(before);
    expect(subjectsTo(ana.email)).toEqual([]);
  });

  it.each([
    ['nobody', 'Enter a valid email address.'],
    [`deleted:${crypto.randomUUID()}`, 'Enter a valid email address.'],
    ['ana@example.org\r\nBcc: bob@example.org', 'Enter a valid email address.'],
    [
      `${'a'.repeat(EMAIL_MAX_LENGTH)}@example.org`,
      `Ensure this field has no more than ${EMAIL_MAX_LENGTH} characters.`,
    ],
  ])('must be one: %j', async (email, message) => {
    const ana = await signedIn();
    const before = await dumpTables();
    const { status, body } = await move(ana, email);
    expect(status).toBe(400);
    expect(body.email).toContain(message);
    expect(await dumpTables()).toEqual(before);
  });

  it('and another name may come together', async () => {
    const { john, conversationId } = await pairInConversation();
    const email = newAddress();
    const { body } = await patch(john, { first_name: 'Johnny', email, current_password: PASSWORD });
    expect(body).toMatchObject({ first_name: 'Johnny', email });
    expect((await storedMembers(conversationId)).get(john.id)).toMatchObject({ first_name: 'Johnny' });
  });

  it('is not guessed at: wrong passwords are throttled, and the right one then too', async () => {
    const ana = await signedIn();
    await withSettings({ loginAttempts: 2 }, async () => {
      const guess = () => patch(ana, { email: newAddress(), current_password: 'wrong horse battery' });
      for (const status of [400, 400, 429]) expect((await guess()).status).toBe(status);
      const { status, headers } = await move(ana, newAddress());
      expect(status).toBe(429);
      expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0);
    });
    expect((await see(ana)).body.email).toBe(ana.email);
  });
});

describe('another password', () => {
  it('is what they sign in with from then on', async () => {
    const ana = await signedIn();
    const { status, text } = await changeTo(ana, NEW_PASSWORD);
    expect([status, text]).toEqual([204, '']);
    expect((await logIn(ana.email, NEW_PASSWORD)).status).toBe(200);
    expect((await logIn(ana.email, PASSWORD)).status).toBe(401);
  });

  it.each([
    [
      'the current one is wrong',
      { current_password: 'wrong horse battery' },
      { current_password: ['This is not your password.'] },
    ],
    ['the current one is missing', { current_password: undefined }, { current_password: [REQUIRED] }],
    ['its confirmation is missing', { confirm_password: undefined }, { confirm_password: [REQUIRED] }],
    ['the two differ', { confirm_password: `${NEW_PASSWORD}!` }, { password: ["Password fields didn't match."] }],
    [
      'it is too short',
      both('x7!'),
      { password: ['This password is too short. It must contain at least 8 characters.'] },
    ],
    ['it is common', both('password'), { password: ['This password is too common.'] }],
    ['it is a number', both('7391046285'.repeat(4)), { password: ['This password is entirely numeric.'] }],
    ['it is their name', both('Annabelle1'), { password: ['The password is too similar to the first name.'] }],
  ])('is refused, and nothing is changed, if %s', async (_, more, expected) => {
    const ana = await signedIn('Annabelle');
    const elsewhere = await signIn(ana.id);
    const before = await dumpButAttempts();
    const { status, body } = await changeTo(ana, NEW_PASSWORD, more);
    expect(status).toBe(400);
    expect(body).toEqual(expected);
    expect(await dumpButAttempts()).toEqual(before);
    expect(subjectsTo(ana.email)).toEqual([]);
    expect((await see(elsewhere)).status).toBe(200);
  });

  it.each([
    ['no token', () => ({}), 401],
    ['a refresh token', ({ refresh }: { refresh: string }) => ({ token: refresh }), 401],
  ])('takes an access token: %s is not enough', async (_, credentials, status) => {
    const ana = await signedIn();
    const json = { current_password: PASSWORD, password: NEW_PASSWORD, confirm_password: NEW_PASSWORD };
    expect((await api('/api/me/password/', { json, ...credentials(ana) })).status).toBe(status);
  });

  it('ends every other session and not this one: tokens are refused', async () => {
    const ana = await signedIn();
    const others = [await signIn(ana.id), await signIn(ana.id)];
    const bob = await signedIn('Bob');
    await changeTo(ana, NEW_PASSWORD);
    for (const session of others) expect(await standing(session)).toEqual(SIGNED_OUT);
    expect(await standing(ana)).toEqual(SIGNED_IN);
    expect(await standing(bob)).toEqual(SIGNED_IN);
  });

  it('closes the sockets of the other sessions, of both kinds, in every conversation, and no others', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const otherId = await conversationOf(john, await createPerson('Selena'));
    const elsewhere = await signIn(john.id);
    const closing = [
      await open(conversationId, elsewhere.access),
      await openChat(conversationId, elsewhere.access),
      await open(otherId, elsewhere.access),
      await openChat(otherId, elsewhere.access),
    ];
    const staying = [await open(conversationId, john.access), await open(otherId, john.access)];
    const rays = await open(conversationId, ray.access);
    await changeTo(john, NEW_PASSWORD);
    for (const socket of closing) expect(await socket.closed).toEqual(SESSION_ENDED);
    for (const socket of [...staying, rays]) await socket.settled();
  });

  it('is an event, and so is the end of each other session, and a mail says so', async () => {
    const ana = await signedIn();
    await signIn(ana.id);
    await changeTo(ana, NEW_PASSWORD);
    expect(await eventsOf(ana.id)).toEqual(['login', 'login', 'session_ended: password_changed', 'password_changed']);
    expect(subjectsTo(ana.email)).toEqual(['Your password was changed']);
  });

  it('does not verify the address', async () => {
    const ana = await signedIn();
    await changeTo(ana, NEW_PASSWORD);
    expect((await see(ana)).body.email_verified).toBe(false);
  });

  it('leaves no session to a login whose old password was found right just before', async () => {
    const ana = await signedIn();
    const proved = await storedHash(ana.id);
    await changeTo(ana, NEW_PASSWORD);
    const before = await dumpTables();
    const start = { userId: ana.id, password: proved, source: SOURCE, now: Date.now() };
    expect(await startSession(db, start)).toBeUndefined();
    expect(await dumpTables()).toEqual(before);
  });

  it('that is changed twice at once is changed once: the other is told so', async () => {
    const ana = await signedIn();
    const elsewhere = await signIn(ana.id);
    const passwords = [NEW_PASSWORD, 'yet another sentence'];
    const answers = await Promise.all([changeTo(ana, passwords[0] ?? ''), changeTo(elsewhere, passwords[1] ?? '')]);
    const winner = answers.findIndex(({ status }) => status === 204);
    const loser = answers[1 - winner];
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
    expect([
      { status: 409, body: expect.objectContaining({ code: 'changed_meanwhile' }) },
      { status: 400, body: { current_password: ['This is not your password.'] } },
    ]).toContainEqual({ status: loser?.status, body: loser?.body });
    expect((await logIn(ana.email, passwords[winner] ?? '')).status).toBe(200);
    expect((await logIn(ana.email, passwords[1 - winner] ?? '')).status).toBe(401);
    const sessions = [ana, elsewhere];
    expect(await standing(sessions[winner] ?? ana)).toEqual(SIGNED_IN);
    expect(await standing(sessions[1 - winner] ?? ana)).toEqual(SIGNED_OUT);
  }, 30_000);

  it('that was changed meanwhile stays, and ends no session, and nothing is written', async () => {
    const ana = await signedIn();
    await signIn(ana.id);
    const { session_id, from } = { session_id: crypto.randomUUID(), from: otherHash() };
    const change = { kind: 'password_changed', user_id: ana.id, session_id, from, to: otherHash() } as const;
    const before = await dumpTables();
    expect(await changePassword(db, change, SOURCE, Date.now())).toBe(false);
    expect(await dumpTables()).toEqual(before);
  });

  it('is not guessed at: wrong current ones are throttled, together with those for an address', async () => {
    const ana = await signedIn();
    await withSettings({ loginAttempts: 2 }, async () => {
      const wrong = { current_password: 'wrong horse battery' };
      expect((await changeTo(ana, NEW_PASSWORD, wrong)).status).toBe(400);
      expect((await patch(ana, { email: newAddress(), ...wrong })).status).toBe(400);
      expect((await changeTo(ana, NEW_PASSWORD)).status).toBe(429);
    });
    expect(await standing(ana)).toEqual(SIGNED_IN);
  });
});

function both(password: string) {
  return { password, confirm_password: password };
}
