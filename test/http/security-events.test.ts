import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as passwords from '../../src/auth/passwords.ts';
import { REFRESH_REUSE_GRACE_S, FOREIGN_EVENTS_PER_USER, USER_AGENT_MAX_LENGTH } from '../../src/config.ts';
import { settings } from '../../src/settings.ts';
import { cronRun } from '../helpers/accounts.ts';
import { api, type ApiAnswer, type ApiInit } from '../helpers/api.ts';
import { nextOf } from '../helpers/caller.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { open } from '../helpers/conversation.ts';
import { breakD1 } from '../helpers/faults.ts';
import { finished } from '../helpers/finished.ts';
import { tokenTo } from '../helpers/mailbox.ts';
import { operatorKey } from '../helpers/operator.ts';
import { createPerson, deactivate, pairInConversation, PASSWORD, signedIn, signIn } from '../helpers/people.ts';
import { claimsOf } from '../helpers/tokens.ts';

type Line = Record<string, unknown>;

const METHODS = ['log', 'info', 'warn', 'error', 'debug'] as const;
const DAY = 24 * 60 * 60 * 1000;
const NEW_PASSWORD = 'incorrect zebra staple';
const ADDRESS = '203.0.113.7';
const FROM = { 'CF-Connecting-IP': ADDRESS, 'User-Agent': 'a phone' };
const standard = { ...settings };
let written: string[];

beforeEach(() => {
  written = [];
  for (const method of METHODS) {
    vi.spyOn(console, method).mockImplementation((...values: unknown[]) => {
      written.push(values.map(String).join(' '));
    });
  }
  // Hashing takes 0.2 s, and nothing here is about it.
  vi.spyOn(passwords, 'verifyPassword').mockImplementation(async (password, stored) => ({
    valid: stored !== null && password === PASSWORD,
    outdated: false,
  }));
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  Object.assign(settings, standard);
});

/** The security lines written so far. */
const securityLines = (): Line[] =>
  written.map((line) => JSON.parse(line) as Line).filter(({ event }) => event === 'security');

/** Sends a request from {@link ADDRESS}, and waits for what comes behind the answer. */
const send = (path: string, init: ApiInit = {}) => finished(path, { ...init, headers: { ...FROM, ...init.headers } });
const logIn = (email: string, password: string, headers: Record<string, string> = {}) =>
  send('/api/login/', { json: { email, password }, headers });

/** What a user reads of what happened to their account, without the sign-in of the reading itself. */
async function eventsOf({ id }: { id: string }, query = ''): Promise<ApiAnswer & { events: Line[] }> {
  const { access } = await signIn(id);
  const { session_id } = await claimsOf(access);
  const answer = await api(`/api/me/security-events/${query}`, { token: access });
  expect(answer.status).toBe(200);
  const events = (answer.body as Line[]).filter(
    (event) => event['session_id'] !== session_id && event['user_agent'] !== 'test',
  );
  return { ...answer, events };
}

/** An event as its user reads it, and its line, of a request of {@link send}. */
function expected(kind: string, user: { id: string }, { headers }: ApiAnswer, more: Line = {}) {
  return {
    event: {
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      kind,
      session_id: null,
      reason: null,
      address: ADDRESS,
      user_agent: 'a phone',
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      ...more,
    },
    line: { event: 'security', kind, request_id: headers.get('X-Request-Id'), user_id: user.id, ...more },
  };
}

const sessionsEnded = (rows: Line[]) =>
  new Set(rows.filter(({ kind }) => kind === 'session_ended').map((row) => row['session_id']));

describe('is written down, for the operator and for the user', () => {
  it('a login, with its session', async () => {
    const person = await createPerson();
    const before = Date.now();
    const answer = await logIn(person.email, PASSWORD);
    const { session_id } = await claimsOf(answer.body.access);
    const { event, line } = expected('login', person, answer);
    expect(securityLines()).toEqual([line]);
    const { events } = await eventsOf(person);
    expect(events).toEqual([{ ...event, session_id }]);
    const at = Date.parse(String(events[0]?.['at']));
    expect(at).toBeGreaterThanOrEqual(before);
    expect(at).toBeLessThanOrEqual(Date.now());
  });

  it('a wrong password', async () => {
    const person = await createPerson();
    const answer = await logIn(person.email, 'wrong');
    const { event, line } = expected('login_failed', person, answer);
    expect(securityLines()).toEqual([line]);
    expect((await eventsOf(person)).events).toEqual([event]);
  });

  it('an attempt at an account that was deactivated', async () => {
    const person = await createPerson();
    await deactivate(person.id);
    expect((await logIn(person.email, PASSWORD)).status).toBe(401);
    await deactivate(person.id, false);
    expect((await eventsOf(person)).events).toMatchObject([{ kind: 'login_failed' }]);
  });

  it('that attempts are refused: a line for each, but one event in 5 minutes', async () => {
    const now = Date.now();
    vi.useFakeTimers({ now, toFake: ['Date'] });
    Object.assign(settings, { loginAttempts: 1 });
    const person = await createPerson();
    await logIn(person.email, 'wrong');
    for (let i = 0; i < 4; i += 1) expect((await logIn(person.email, PASSWORD)).status).toBe(429);
    const refused = securityLines().slice(1);
    expect(refused).toHaveLength(4);
    for (const line of refused) {
      expect(line).toEqual({ event: 'security', kind: 'login_throttled', request_id: expect.any(String) });
    }
    // Also where they come from somewhere else.
    await logIn(person.email, 'wrong', { 'CF-Connecting-IP': '203.0.113.8' });
    await logIn(person.email, 'wrong', { 'CF-Connecting-IP': '203.0.113.8' });
    const kinds = async () => (await eventsOf(person)).events.map(({ kind }) => kind);
    expect(await kinds()).toEqual(['login_failed', 'login_throttled', 'login_failed']);

    vi.setSystemTime(now + 5 * 60_000 - 1);
    await logIn(person.email, PASSWORD);
    expect(await kinds()).toHaveLength(3);
    vi.setSystemTime(now + 5 * 60_000);
    await logIn(person.email, 'wrong');
    await logIn(person.email, PASSWORD);
    expect(await kinds()).toEqual([
      'login_throttled',
      'login_failed',
      'login_failed',
      'login_throttled',
      'login_failed',
    ]);
  });

  it.each([
    ['logout', (person: { refresh: string }) => send('/api/logout/', { json: { refresh: person.refresh } })],
    [
      'ended_by_user',
      async (person: { id: string; access: string }) => {
        const { session_id } = await claimsOf(person.access);
        const other = await signIn(person.id);
        return send(`/api/me/sessions/${session_id}/`, { method: 'DELETE', token: other.access });
      },
    ],
    [
      'operator',
      async (person: { id: string }) =>
        send(`/api/admin/users/${person.id}/sessions/`, {
          method: 'DELETE',
          headers: { Authorization: `Bearer ${await operatorKey()}` },
        }),
    ],
  ])('the end of a session, with its reason: %s', async (reason, end) => {
    const person = await signedIn();
    const { session_id } = await claimsOf(person.access);
    const answer = await end(person);
    expect(answer.status).toBeLessThan(300);
    // Nothing of the operator is anybody's business.
    const where = reason === 'operator' ? { address: null, user_agent: null } : {};
    const { event, line } = expected('session_ended', person, answer, { session_id, reason });
    expect(securityLines()).toContainEqual(line);
    expect((await eventsOf(person)).events).toContainEqual({ ...event, ...where });
  });

  it('each session that ends, when all others are ended at once', async () => {
    const person = await signedIn();
    const others = [await signIn(person.id), await signIn(person.id)];
    const ids = await Promise.all(others.map(async ({ access }) => (await claimsOf(access)).session_id));
    await send('/api/me/sessions/', { method: 'DELETE', token: person.access });
    expect(securityLines()).toHaveLength(2);
    expect(sessionsEnded(securityLines())).toEqual(new Set(ids));
    expect(sessionsEnded((await eventsOf(person)).events)).toEqual(new Set(ids));
  });

  it('a changed password, and the end of the other sessions', async () => {
    const person = await signedIn();
    const other = await claimsOf((await signIn(person.id)).access);
    // As a login would find it, so that the list can be read afterwards.
    const hash = await env.DB.prepare('SELECT password FROM users WHERE id = ?')
      .bind(person.id)
      .first<string>('password');
    const json = { current_password: PASSWORD, password: NEW_PASSWORD, confirm_password: NEW_PASSWORD };
    const answer = await send('/api/me/password/', { token: person.access, json });
    expect(answer.status).toBe(204);
    await env.DB.prepare('UPDATE users SET password = ? WHERE id = ?').bind(hash, person.id).run();
    const changed = expected('password_changed', person, answer);
    const about = { session_id: other.session_id, reason: 'password_changed' };
    expect((await eventsOf(person)).events).toEqual([
      changed.event,
      expected('session_ended', person, answer, about).event,
    ]);
    expect(securityLines()).toContainEqual(changed.line);
  });

  it('a password that was chosen anew by mail', async () => {
    const person = await signedIn();
    const { session_id } = await claimsOf(person.access);
    const hash = await env.DB.prepare('SELECT password FROM users WHERE id = ?')
      .bind(person.id)
      .first<string>('password');
    await send('/api/password-reset/', { json: { email: person.email } });
    const json = { token: tokenTo(person.email), password: NEW_PASSWORD, confirm_password: NEW_PASSWORD };
    const answer = await send('/api/password-reset/confirm/', { json });
    expect(answer.status).toBe(204);
    await env.DB.prepare('UPDATE users SET password = ? WHERE id = ?').bind(hash, person.id).run();
    const reset = expected('password_reset', person, answer);
    const about = { session_id, reason: 'password_reset' };
    expect((await eventsOf(person)).events).toEqual([
      reset.event,
      expected('session_ended', person, answer, about).event,
    ]);
    expect(securityLines()).toContainEqual(reset.line);
  });

  it('another e-mail address, and that it was verified', async () => {
    const person = await signedIn();
    const email = `new.${person.email}`;
    const json = { email, current_password: PASSWORD };
    const moved = await send('/api/me/', { method: 'PATCH', token: person.access, json });
    expect(moved.status).toBe(200);
    const verified = await send('/api/email-verification/confirm/', { json: { token: tokenTo(email) } });
    expect(verified.status).toBe(204);
    const [change, verification] = [
      expected('email_changed', person, moved),
      expected('email_verified', person, verified),
    ];
    expect(securityLines()).toEqual([change.line, verification.line]);
    expect((await eventsOf(person)).events).toEqual([verification.event, change.event]);
  });

  it('that the operator deactivates and activates an account, of whom nothing else is kept', async () => {
    const person = await signedIn();
    const { session_id } = await claimsOf(person.access);
    const headers = { Authorization: `Bearer ${await operatorKey()}` };
    const set = (is_active: boolean) =>
      send(`/api/admin/users/${person.id}/`, { method: 'PATCH', json: { is_active }, headers });
    const [off, on] = [await set(false), await set(true)];
    const nowhere = { address: null, user_agent: null };
    const [deactivated, activated] = [
      expected('account_deactivated', person, off),
      expected('account_activated', person, on),
    ];
    expect((await eventsOf(person)).events).toEqual([
      { ...activated.event, ...nowhere },
      { ...expected('session_ended', person, off, { session_id, reason: 'deactivated' }).event, ...nowhere },
      { ...deactivated.event, ...nowhere },
    ]);
    expect(securityLines()).toEqual(expect.arrayContaining([deactivated.line, activated.line]));
  });
});

describe('the end of a session is a line of its own, not only an event, when it comes with', () => {
  it.each([
    [
      'password_changed',
      async (person: { id: string; access: string }) => {
        const json = { current_password: PASSWORD, password: NEW_PASSWORD, confirm_password: NEW_PASSWORD };
        await send('/api/me/password/', { token: (await signIn(person.id)).access, json });
      },
    ],
    [
      'password_reset',
      async (person: { email: string }) => {
        await send('/api/password-reset/', { json: { email: person.email } });
        const json = { token: tokenTo(person.email), password: NEW_PASSWORD, confirm_password: NEW_PASSWORD };
        await send('/api/password-reset/confirm/', { json });
      },
    ],
    [
      'deactivated',
      async (person: { id: string }) => {
        const headers = { Authorization: `Bearer ${await operatorKey()}` };
        await send(`/api/admin/users/${person.id}/`, { method: 'PATCH', json: { is_active: false }, headers });
      },
    ],
  ])('%s', async (reason, end) => {
    const person = await signedIn();
    const { session_id } = await claimsOf(person.access);
    await end(person);
    const ended = securityLines().filter(({ kind }) => kind === 'session_ended');
    expect(ended).toMatchObject([{ user_id: person.id, session_id, reason }]);
  });
});

const rotate = (refresh: string) => send('/api/token/refresh/', { json: { refresh } });

describe('a refresh token that comes again', () => {
  it('11 s after it was exchanged ends the session: tokens are refused, sockets of both kinds close, the user reads it', async () => {
    const now = Date.now();
    const { john, conversationId } = await pairInConversation();
    const { session_id } = await claimsOf(john.access);
    const sockets = [await open(conversationId, john.access), await openChat(conversationId, john.access)];
    vi.useFakeTimers({ now: now + 1000, toFake: ['Date'] });
    const { body: next } = await rotate(john.refresh);
    vi.setSystemTime(now + 12_000);
    const answer = await rotate(john.refresh);
    expect(answer).toMatchObject({ status: 401, body: { detail: 'Token is blacklisted', code: 'token_not_valid' } });

    for (const socket of sockets) expect(await socket.closed).toMatchObject({ code: 4410 });
    for (const token of [john.access, next.access]) expect((await api('/api/users/', { token })).status).toBe(401);
    for (const refresh of [john.refresh, next.refresh]) expect((await rotate(refresh)).status).toBe(401);
    const [ended, reused] = [
      expected('session_ended', john, answer, { session_id, reason: 'token_reuse' }),
      expected('token_reused', john, answer, { session_id }),
    ];
    expect(securityLines()).toEqual([reused.line, ended.line]);
    expect((await eventsOf(john)).events).toEqual([ended.event, reused.event]);
  });

  it('is a theft from the first millisecond after 10 s on', async () => {
    const now = Date.now();
    vi.useFakeTimers({ now, toFake: ['Date'] });
    const person = await signedIn();
    const { body: next } = await rotate(person.refresh);
    vi.setSystemTime(now + REFRESH_REUSE_GRACE_S * 1000);
    expect((await rotate(person.refresh)).status).toBe(401);
    expect((await eventsOf(person)).events).toEqual([]);
    expect((await api('/api/users/', { token: next.access })).status).toBe(200);
    vi.setSystemTime(now + REFRESH_REUSE_GRACE_S * 1000 + 1);
    expect((await rotate(person.refresh)).status).toBe(401);
    expect((await eventsOf(person)).events).toMatchObject([{ kind: 'session_ended' }, { kind: 'token_reused' }]);
    expect((await api('/api/users/', { token: next.access })).status).toBe(401);
  });

  it('again and again is told once', async () => {
    const now = Date.now();
    vi.useFakeTimers({ now, toFake: ['Date'] });
    const person = await signedIn();
    await rotate(person.refresh);
    vi.setSystemTime(now + 11_000);
    await Promise.all(Array.from({ length: 5 }, () => rotate(person.refresh)));
    await rotate(person.refresh);
    const kinds = (await eventsOf(person)).events.map(({ kind }) => kind);
    expect(kinds).toEqual(['session_ended', 'token_reused']);
    expect(securityLines().map(({ kind }) => kind)).toEqual(['token_reused', 'session_ended']);
  });
});

const countEvents = () => env.DB.prepare('SELECT count(*) AS count FROM security_events').first<number>('count');
const countEventsOf = ({ id }: { id: string }) =>
  env.DB.prepare('SELECT count(*) AS count FROM security_events WHERE user_id = ?').bind(id).first<number>('count');

describe('a login at an address that has no account', () => {
  it('is a line without a user, and no event', async () => {
    const before = await countEvents();
    Object.assign(settings, { loginAttempts: 1 });
    const email = `${crypto.randomUUID()}@example.org`;
    const answers = [await logIn(email, 'wrong'), await logIn(email, 'wrong')];
    expect(answers.map(({ status }) => status)).toEqual([401, 429]);
    expect(securityLines()).toEqual(
      ['login_failed', 'login_throttled'].map((kind, i) => ({
        event: 'security',
        kind,
        request_id: answers[i]?.headers.get('X-Request-Id'),
      })),
    );
    expect(await countEvents()).toBe(before);
  });
});

const list = (token: string, query = '') => api(`/api/me/security-events/${query}`, { token });

/** Stores so many events of a user, the first of them at `at`, one a millisecond. */
async function storeMany(user: { id: string }, count: number, at: number, kind = 'login'): Promise<void> {
  await env.DB.prepare(
    `INSERT INTO security_events (id, user_id, kind, at)
     WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
     SELECT lower(hex(randomblob(16))), ?1, ?4, ?3 + i FROM n`,
  )
    .bind(user.id, count, at, kind)
    .run();
}

describe('the list', () => {
  it('comes newest first, in pages that link to the next one, each event once', async () => {
    const person = await signedIn();
    await storeMany(person, 7, 1000);
    let path: string | undefined = '/api/me/security-events/?limit=3';
    const found: Line[][] = [];
    while (path !== undefined) {
      const answer: ApiAnswer = await api(path, { token: person.access });
      found.push(answer.body);
      path = nextOf(answer);
    }
    expect(found.map((page) => page.length)).toEqual([3, 3, 2]);
    const times = found.flat().map(({ at }) => Date.parse(String(at)));
    expect(times.slice(0, 7)).toEqual([1006, 1005, 1004, 1003, 1002, 1001, 1000]);
    expect(new Set(found.flat().map(({ id }) => id)).size).toBe(8);
  });

  it('has 100 a page unless fewer are asked for, and no more', async () => {
    const person = await signedIn();
    await storeMany(person, 105, 1000);
    const answer = await list(person.access);
    expect(answer.body).toHaveLength(100);
    expect(nextOf(answer)).toMatch(/^\/api\/me\/security-events\/\?before=[0-9a-f]{32}&limit=100$/);
    for (const limit of ['0', '101', '-1', 'many', '']) {
      const { status, body } = await list(person.access, `?limit=${limit}`);
      expect(status).toBe(400);
      expect(Object.keys(body)).toEqual(['limit']);
    }
  });

  it('has nothing of anybody else', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    await storeMany(ray, 3, 1000);
    const { body } = await list(john.access);
    expect(body).toHaveLength(1);
    const { body: rays } = await list(ray.access);
    expect(rays).toHaveLength(4);
    const { status, body: refusal } = await list(john.access, `?before=${rays[0].id}`);
    expect(status).toBe(400);
    expect(refusal).toEqual({ before: ['There is no such event.'] });
    expect((await list(john.access, '?before=nonsense')).body).toEqual(refusal);
  });

  it('is for who is signed in', async () => {
    expect((await api('/api/me/security-events/')).status).toBe(401);
  });

  it('forgets what is older than 90 days, by the cron run', async () => {
    const person = await signedIn();
    const now = Date.now();
    await storeMany(person, 1, now - 90 * DAY - 1000);
    await storeMany(person, 1, now - 90 * DAY + 60_000);
    await cronRun();
    const { body } = await list(person.access);
    expect(body).toHaveLength(2);
    expect(Date.parse(body[0].at)).toBe(now - 90 * DAY + 60_000);
  });

  it('keeps the newest of what others do, and everything that its user does', async () => {
    const [john, ray] = [await createPerson('John'), await createPerson('Ray')];
    for (const person of [john, ray]) await storeMany(person, FOREIGN_EVENTS_PER_USER + 10, 1000, 'login_failed');
    await logIn(john.email, PASSWORD);
    expect(await countEventsOf(john)).toBe(FOREIGN_EVENTS_PER_USER + 11);
    await logIn(john.email, 'wrong');
    expect(await countEventsOf(john)).toBe(FOREIGN_EVENTS_PER_USER + 1);
    expect(await countEventsOf(ray)).toBe(FOREIGN_EVENTS_PER_USER + 10);
  });
});

describe('what a client calls itself', () => {
  it('is kept up to a length, and is in no line', async () => {
    const person = await createPerson();
    const agent = 'a very long name '.repeat(50);
    await logIn(person.email, 'wrong', { 'User-Agent': agent });
    expect((await eventsOf(person)).events).toMatchObject([{ user_agent: agent.slice(0, USER_AGENT_MAX_LENGTH) }]);
    expect(written.join('\n')).not.toContain('a very long name');
  });

  it('breaks no line, whatever is in it', async () => {
    const person = await createPerson();
    const forged = '{"event":"security","kind":"login","user_id":"forged"}';
    for (const separator of ['\r\n', '\n', '\r', '\u2028', '\u0085', '\\n']) {
      // The runtime refuses to make some of these requests: then there is nothing that could be broken.
      await logIn(person.email, 'wrong', { 'User-Agent': `x${separator}${forged}` }).catch((error: unknown) => {
        if (!(error instanceof TypeError)) throw error;
      });
    }
    for (const line of written) {
      expect(line).not.toMatch(/[\r\n\u2028\u0085]/);
      expect(JSON.parse(line)).not.toHaveProperty('user_id', 'forged');
    }
    expect(securityLines().length).toBeGreaterThan(0);
  });
});

describe('no line ever holds', () => {
  it('an address, a password or a token, whatever happens to an account', async () => {
    const person = await signedIn();
    const wrong = 'not my pass phrase at all';
    const moved = `new.${person.email}`;
    const headers = { Authorization: `Bearer ${await operatorKey()}` };
    await logIn(person.email, wrong);
    const { body: tokens } = await logIn(person.email.toUpperCase(), PASSWORD);
    for (let i = 0; i < 7; i += 1) await logIn(person.email, wrong);
    const token = person.access;
    await send('/api/me/', { method: 'PATCH', token, json: { email: moved, current_password: wrong } });
    await send('/api/me/', { method: 'PATCH', token, json: { email: moved, current_password: PASSWORD } });
    const link = tokenTo(moved);
    await send('/api/email-verification/confirm/', { json: { token: link } });
    await send('/api/password-reset/', { json: { email: moved } });
    const reset = tokenTo(moved);
    const anew = { password: NEW_PASSWORD, confirm_password: NEW_PASSWORD };
    await send('/api/me/password/', { token, json: { current_password: wrong, ...anew } });
    await send('/api/logout/', { json: { refresh: tokens.refresh } });
    await send('/api/password-reset/confirm/', { json: { token: reset, ...anew } });
    await send(`/api/admin/users/${person.id}/`, { method: 'PATCH', json: { is_active: false }, headers });
    await send(`/api/admin/users/${person.id}/`, { method: 'DELETE', headers });
    const kinds = new Set(securityLines().map(({ kind }) => kind));
    const all = new Set([
      'account_deactivated',
      'account_deleted',
      'email_changed',
      'email_verified',
      'login',
      'login_failed',
      'login_throttled',
      'password_reset',
      'session_ended',
      'wrong_password',
    ]);
    expect(kinds).toEqual(all);
    const output = written.join('\n').toLowerCase();
    const secrets = [person.email, moved, PASSWORD, NEW_PASSWORD, wrong, ADDRESS, 'a phone', headers.Authorization];
    for (const secret of [...secrets, token, tokens.access, tokens.refresh, link, reset, '$argon2id$']) {
      expect(output).not.toContain(secret.toLowerCase());
    }
  });
});

it('a wrong password is answered as always when its event cannot be stored, which is written down', async () => {
  const person = await createPerson();
  const prepare = env.DB.prepare.bind(env.DB);
  vi.spyOn(env.DB, 'prepare').mockImplementation((sql) =>
    prepare(sql.includes('insert into "security_events"') ? 'SELECT * FROM no_such_table' : sql),
  );
  const answer = await logIn(person.email, 'wrong');
  expect(answer.status).toBe(401);
  const lines = written.map((line) => JSON.parse(line) as Line);
  expect(lines.filter(({ event }) => event === 'event_not_stored')).toMatchObject([{ user_id: person.id }]);
  expect(written.join('\n')).not.toContain(person.email);
});

it('nothing of a login that fails for a fault of ours is written as one that failed for its password', async () => {
  const person = await createPerson();
  const d1 = breakD1();
  const answer = await logIn(person.email, PASSWORD);
  d1.restore();
  expect(answer.status).toBe(500);
  expect(securityLines()).toEqual([]);
});
