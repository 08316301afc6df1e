import { evictDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  REFRESH_TOKEN_LIFETIME_S,
  SESSION_LIFETIME_S,
  SESSIONS_PER_USER,
  USER_AGENT_MAX_LENGTH,
} from '../../src/config.ts';
import { conversationOf, cronRun, eventsOf, logIn, SIGNED_IN, SIGNED_OUT, standing } from '../helpers/accounts.ts';
import { api } from '../helpers/api.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { objectOf, open } from '../helpers/conversation.ts';
import { pendingNotices } from '../helpers/directory.ts';
import { finished } from '../helpers/finished.ts';
import { failAtNotices } from '../helpers/ill-objects.ts';
import { createPerson, endSession, pairInConversation, PASSWORD, signedIn, signIn } from '../helpers/people.ts';
import { dumpTables } from '../helpers/tables.ts';
import { claimsOf } from '../helpers/tokens.ts';

const SESSION_ENDED = { code: 4410, reason: 'The session has ended.' };
const NO_SUCH_SESSION = { detail: 'You have no such session.' };
const HOUR_MS = 60 * 60 * 1000;

type SignedIn = { access: string };
const list = ({ access }: SignedIn) => api('/api/me/sessions/', { token: access });
const end = ({ access }: SignedIn, id: string) =>
  finished(`/api/me/sessions/${id}/`, { method: 'DELETE', token: access });
const endOthers = ({ access }: SignedIn) => finished('/api/me/sessions/', { method: 'DELETE', token: access });
const refresh = ({ refresh: token }: { refresh: string }) => api('/api/token/refresh/', { json: { refresh: token } });
const sessionOf = async ({ access }: SignedIn) => (await claimsOf(access)).session_id;
const idsIn = (body: { id: string }[]) => body.map(({ id }) => id);

/** Device and `current` of the sessions in the list, in its order. */
const summaryFor = async (asking: SignedIn) =>
  (await list(asking)).body.map(({ device, current }: { device: string; current: boolean }) => [device, current]);

/** Has so many notices fail. */
function failFirst(times: number) {
  let calls = 0;
  return failAtNotices(() => (calls += 1) <= times);
}

beforeEach(async () => {
  await env.DB.prepare('DELETE FROM notices').run();
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('the list of sessions', () => {
  it('has what tells them apart', async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const { id, email } = await createPerson();
    const { body: tokens } = await logIn(email, PASSWORD, { 'User-Agent': 'a phone' });
    vi.setSystemTime(now + 60_000);
    const { body: later } = await refresh(tokens);
    const { status, body } = await list(later);
    expect(status).toBe(200);
    expect(body).toEqual([
      {
        id: (await claimsOf(tokens.access)).session_id,
        device: 'a phone',
        created_at: new Date(now).toISOString(),
        last_used_at: new Date(now + 60_000).toISOString(),
        expires_at: new Date(now + SESSION_LIFETIME_S * 1000).toISOString(),
        current: true,
      },
    ]);
    expect(JSON.stringify(body)).not.toContain(id);
  });

  it('has the one that asks marked, and the one used last first', async () => {
    const { id } = await createPerson();
    const now = Date.now();
    const [first, second, third] = [
      await signIn(id, 'first', now - 3000),
      await signIn(id, 'second', now - 2000),
      await signIn(id, 'third', now - 1000),
    ];
    expect(await summaryFor(second)).toEqual([
      ['third', false],
      ['second', true],
      ['first', false],
    ]);
    vi.setSystemTime(now + 60_000);
    await refresh(first);
    expect(await summaryFor(third)).toEqual([
      ['first', false],
      ['third', true],
      ['second', false],
    ]);
  });

  it('leaves out those that have ended', async () => {
    const ana = await signedIn();
    const [loggedOut, ended] = [await signIn(ana.id), await signIn(ana.id)];
    await api('/api/logout/', { json: { refresh: loggedOut.refresh } });
    await endSession(await claimsOf(ended.access), 'ended_by_user', Date.now());
    expect(idsIn((await list(ana)).body)).toEqual([await sessionOf(ana)]);
  });

  it('leaves out those whose refresh token has expired unused, from that time on', async () => {
    const { id } = await createPerson();
    const now = Date.now();
    const old = await signIn(id, 'old', now);
    vi.setSystemTime(now + REFRESH_TOKEN_LIFETIME_S * 1000 - 1);
    const young = await signIn(id, 'young');
    expect(idsIn((await list(young)).body)).toEqual([await sessionOf(young), await sessionOf(old)]);
    vi.setSystemTime(now + REFRESH_TOKEN_LIFETIME_S * 1000);
    expect(idsIn((await list(young)).body)).toEqual([await sessionOf(young)]);
  });

  it('leaves out those that are 30 days old, however often they were refreshed', async () => {
    const { id } = await createPerson();
    const now = Date.now();
    let tokens = await signIn(id, 'old', now);
    const old = await sessionOf(tokens);
    for (let at = 0; at + 23 * HOUR_MS < SESSION_LIFETIME_S * 1000; at += 23 * HOUR_MS) {
      vi.setSystemTime(now + at + 23 * HOUR_MS);
      tokens = (await refresh(tokens)).body;
    }
    vi.setSystemTime(now + SESSION_LIFETIME_S * 1000 - 1000);
    const young = await signIn(id, 'young');
    expect(idsIn((await list(young)).body)).toContain(old);
    vi.setSystemTime(now + SESSION_LIFETIME_S * 1000);
    expect(idsIn((await list(young)).body)).not.toContain(old);
  });

  it('has nothing of anybody else', async () => {
    const [ana, bob] = [await signedIn('Ana'), await signedIn('Bob')];
    expect(idsIn((await list(ana)).body)).toEqual([await sessionOf(ana)]);
    expect(idsIn((await list(bob)).body)).toEqual([await sessionOf(bob)]);
  });

  it(`has no more than ${USER_AGENT_MAX_LENGTH} characters of a device, and none of one that does not say`, async () => {
    const { email } = await createPerson();
    const { body: tokens } = await logIn(email, PASSWORD, { 'User-Agent': 'x'.repeat(500) });
    const [long] = (await list(tokens)).body;
    expect(long.device).toBe('x'.repeat(USER_AGENT_MAX_LENGTH));
    const { body: silent } = await finished('/api/login/', { json: { email, password: PASSWORD } });
    const devices = (await list(silent)).body.map(({ device }: { device: string }) => device);
    expect(devices).toContain('');
  });

  it('is nobody’s without a token', async () => {
    expect((await api('/api/me/sessions/')).status).toBe(401);
    expect((await api('/api/me/sessions/', { method: 'DELETE' })).status).toBe(401);
    const ana = await signedIn();
    expect((await api(`/api/me/sessions/${await sessionOf(ana)}/`, { method: 'DELETE' })).status).toBe(401);
    expect(await standing(ana)).toEqual(SIGNED_IN);
  });
});

describe('more sessions than one user may have', () => {
  it('cost the one that was used longest ago, whose sockets close, when another begins', async () => {
    const { john, conversationId } = await pairInConversation();
    const socket = await open(conversationId, john.access);
    const now = Date.now();
    for (let i = 1; i < SESSIONS_PER_USER; i += 1) await signIn(john.id, 'another', now + i);
    expect((await list(john)).body).toHaveLength(SESSIONS_PER_USER);
    const { body: tokens } = await logIn(john.email, PASSWORD);
    expect((await list(tokens)).body).toHaveLength(SESSIONS_PER_USER);
    expect(await standing(john)).toEqual(SIGNED_OUT);
    expect(await socket.closed).toEqual(SESSION_ENDED);
    expect((await eventsOf(john.id)).filter((kind) => kind.startsWith('session_ended'))).toEqual([
      'session_ended: too_many',
    ]);
  });
});

describe('ending one session', () => {
  it('has its tokens refused, and no others', async () => {
    const ana = await signedIn();
    const [phone, desk] = [await signIn(ana.id), await signIn(ana.id)];
    expect(await end(ana, await sessionOf(phone))).toMatchObject({ status: 204, text: '' });
    expect(await standing(phone)).toEqual(SIGNED_OUT);
    expect(await standing(desk)).toEqual(SIGNED_IN);
    expect(await standing(ana)).toEqual(SIGNED_IN);
    expect(await eventsOf(ana.id)).toEqual(['login', 'login', 'login', 'session_ended: ended_by_user']);
  });

  it('closes its sockets with 4410, of both kinds, in every conversation, and no others', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const otherId = await conversationOf(john, await createPerson('Selena'));
    const phone = await signIn(john.id);
    const closing = [
      await open(conversationId, phone.access),
      await openChat(conversationId, phone.access),
      await open(otherId, phone.access),
      await openChat(otherId, phone.access),
    ];
    const staying = [await open(conversationId, john.access), await open(otherId, john.access)];
    const rays = await open(conversationId, ray.access);
    await end(john, await sessionOf(phone));
    for (const socket of closing) expect(await socket.closed).toEqual(SESSION_ENDED);
    for (const socket of [...staying, rays]) await socket.settled();
    expect(await pendingNotices()).toEqual([]);
  });

  it('may end the one that asks', async () => {
    const ana = await signedIn();
    expect((await end(ana, await sessionOf(ana))).status).toBe(204);
    expect(await standing(ana)).toEqual(SIGNED_OUT);
  });

  it.each([
    ['in upper case', (id: string) => id.toUpperCase()],
    ['without dashes', (id: string) => id.replaceAll('-', '')],
  ])('takes its id %s too', async (_, spell) => {
    const ana = await signedIn();
    const phone = await signIn(ana.id);
    expect((await end(ana, spell(await sessionOf(phone)))).status).toBe(204);
    expect(await standing(phone)).toEqual(SIGNED_OUT);
  });

  it.each([
    ['nobody’s', () => crypto.randomUUID()],
    ['somebody else’s', (_: string, others: string) => others],
    ['one that has ended before', (ended: string) => ended],
  ])('is answered 404 and changes nothing if it is %s', async (_, pick) => {
    const [ana, bob] = [await signedIn('Ana'), await signedIn('Bob')];
    const ended = await signIn(ana.id);
    await end(ana, await sessionOf(ended));
    const before = await dumpTables();
    const { status, body } = await end(ana, pick(await sessionOf(ended), await sessionOf(bob)));
    expect(status).toBe(404);
    expect(body).toEqual(NO_SUCH_SESSION);
    expect(await dumpTables()).toEqual(before);
    expect(await standing(bob)).toEqual(SIGNED_IN);
  });

  it('is answered 404 for an id that is none', async () => {
    const ana = await signedIn();
    const { status, body } = await end(ana, 'current');
    expect(status).toBe(404);
    expect(body).toEqual({ detail: 'Not found.' });
  });

  it('leaves the sockets of somebody else whose session was named', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const rays = await open(conversationId, ray.access);
    await end(john, await sessionOf(ray));
    expect(await pendingNotices()).toEqual([]);
    await rays.settled();
  });

  it('twice at once ends it once', async () => {
    const ana = await signedIn();
    const phone = await sessionOf(await signIn(ana.id));
    const answers = await Promise.all([end(ana, phone), end(ana, phone)]);
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([204, 404]);
    expect((await eventsOf(ana.id)).filter((event) => event.startsWith('session_ended'))).toHaveLength(1);
  });
});

describe('ending all other sessions', () => {
  it('has their tokens refused and their sockets closed, and leaves the one that asks', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const others = [await signIn(john.id), await signIn(john.id)];
    const closing = [];
    for (const { access } of others)
      closing.push(await open(conversationId, access), await openChat(conversationId, access));
    const own = await open(conversationId, john.access);
    expect(await endOthers(john)).toMatchObject({ status: 204, text: '' });
    for (const socket of closing) expect(await socket.closed).toEqual(SESSION_ENDED);
    for (const session of others) expect(await standing(session)).toEqual(SIGNED_OUT);
    await own.settled();
    expect(idsIn((await list(john)).body)).toEqual([await sessionOf(john)]);
    expect(await standing(john)).toEqual(SIGNED_IN);
    expect(await standing(ray)).toEqual(SIGNED_IN);
  });

  it('changes nothing if there are none', async () => {
    const { john } = await pairInConversation();
    const before = await dumpTables();
    expect((await endOthers(john)).status).toBe(204);
    expect(await dumpTables()).toEqual(before);
  });
});

describe('the sockets of an ended session', () => {
  it('are closed by an object that slept', async () => {
    const { john, conversationId } = await pairInConversation();
    const phone = await signIn(john.id);
    const [plain, chat] = [await open(conversationId, phone.access), await openChat(conversationId, phone.access)];
    await evictDurableObject(objectOf(conversationId));
    await end(john, await sessionOf(phone));
    expect(await plain.closed).toEqual(SESSION_ENDED);
    expect(await chat.closed).toEqual(SESSION_ENDED);
  });

  it('are closed within the same delivery by an object that fails once', async () => {
    const { john, conversationId } = await pairInConversation();
    const phone = await signIn(john.id);
    const socket = await open(conversationId, phone.access);
    const notify = failFirst(1);
    expect((await end(john, await sessionOf(phone))).status).toBe(204);
    expect(await socket.closed).toEqual(SESSION_ENDED);
    expect(notify).toHaveBeenCalledTimes(2);
    expect(await pendingNotices()).toEqual([]);
  });

  it('are closed by the cron run if the object fails twice; its tokens are refused meanwhile', async () => {
    const { john, conversationId } = await pairInConversation();
    const phone = await signIn(john.id);
    const socket = await open(conversationId, phone.access);
    const notify = failFirst(2);
    expect((await end(john, await sessionOf(phone))).status).toBe(204);
    expect(notify).toHaveBeenCalledTimes(2);
    expect(await standing(phone)).toEqual(SIGNED_OUT);
    expect(await pendingNotices()).toMatchObject([{ conversation_id: conversationId }]);
    await socket.settled();

    await cronRun();
    expect(await socket.closed).toEqual(SESSION_ENDED);
    expect(await pendingNotices()).toEqual([]);
  });

  it('of other conversations do not wait for an object that fails', async () => {
    const { john, conversationId } = await pairInConversation();
    const otherId = await conversationOf(john, await createPerson('Selena'));
    const phone = await signIn(john.id);
    const sockets = [await open(conversationId, phone.access), await open(otherId, phone.access)];
    const illness = failAtNotices((id) => id === conversationId);
    await end(john, await sessionOf(phone));
    expect(await sockets[1]?.closed).toEqual(SESSION_ENDED);
    illness.mockRestore();
    await cronRun();
    expect(await sockets[0]?.closed).toEqual(SESSION_ENDED);
  });
});
