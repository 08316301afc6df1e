import * as argon2 from '@noble/hashes/argon2.js';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi, type MockInstance } from 'vitest';
import * as passwords from '../../src/auth/passwords.ts';
import { HASHER_QUEUE_MAX } from '../../src/config.ts';
import { api, type ApiAnswer } from '../helpers/api.ts';
import { finished } from '../helpers/finished.ts';
import { createPerson, deactivate, PASSWORD } from '../helpers/people.ts';
import { dumpTables } from '../helpers/tables.ts';
import { claimsOf } from '../helpers/tokens.ts';

// What an older release made of PASSWORD: m=7168, t=2.
const OUTDATED = '$argon2id$v=19$m=7168,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$rjhl2Kg1Bval9VKjSf+nYo5eumQvHhNOA8mgULiIRrg';
const OTHER_HASH = '$argon2id$v=19$m=12288,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const NO_ACCOUNT = { detail: 'No active account found with the given credentials' };

const { argon2id } = argon2;
// Counts the runs of the real function, it does not replace it.
let hasher: MockInstance<typeof argon2.argon2id>;

beforeEach(() => {
  hasher = vi.spyOn(argon2, 'argon2id');
});

afterEach(() => {
  vi.restoreAllMocks();
});

const login = (email: unknown, password: unknown, headers: Record<string, string> = {}) =>
  api('/api/login/', { json: { email, password }, headers });

async function storedHash(id: string): Promise<string> {
  return (await env.DB.prepare('SELECT password FROM users WHERE id = ?').bind(id).first<string>('password')) ?? '';
}

const storeHash = (id: string, hash: string) =>
  env.DB.prepare('UPDATE users SET password = ? WHERE id = ?').bind(hash, id).run();

describe('signing in', () => {
  it('answers a refresh and an access token of a new session, in this order', async () => {
    const { id, email } = await createPerson();
    const { status, body } = await login(email, PASSWORD);
    expect(status).toBe(200);
    expect(Object.keys(body)).toEqual(['refresh', 'access']);
    const [refresh, access] = [await claimsOf(body.refresh), await claimsOf(body.access)];
    expect(refresh).toMatchObject({ token_type: 'refresh', user_id: id });
    expect(access).toMatchObject({ token_type: 'access', user_id: id, session_id: refresh.session_id });
    expect((await api('/api/users/', { token: body.access })).status).toBe(200);
  });

  it('leaves earlier sessions signed in', async () => {
    const { email } = await createPerson();
    const first = await login(email, PASSWORD);
    await login(email, PASSWORD);
    expect((await api('/api/users/', { token: first.body.access })).status).toBe(200);
  });

  it('takes the address in any case and padded', async () => {
    const { email } = await createPerson();
    expect((await login(`  ${email.toUpperCase()} `, PASSWORD)).status).toBe(200);
  });

  it('takes the password in composed and in decomposed characters', async () => {
    const { id, email } = await createPerson();
    // Made by Node's crypto.argon2Sync of the composed form.
    await storeHash(
      id,
      '$argon2id$v=19$m=12288,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$fJ3rtjO3VHvevaou1DXXlWuI7U0dfxredaZ6F3LxOZw',
    );
    expect((await login(email, 'pässwörd'.normalize('NFD'))).status).toBe(200);
  });

  it('looks at no Authorization header, not even at a bad one', async () => {
    const { email } = await createPerson();
    expect((await login(email, PASSWORD, { Authorization: 'Bearer nonsense' })).status).toBe(200);
  });

  it('keeps what the client calls itself', async () => {
    const { id, email } = await createPerson();
    await login(email, PASSWORD, { 'User-Agent': 'a phone' });
    const agent = await env.DB.prepare('SELECT user_agent FROM sessions WHERE user_id = ?').bind(id).first();
    expect(agent).toEqual({ user_agent: 'a phone' });
  });
});

/** Tries to sign in, and waits for what the Worker does behind its answer. */
const attempt = (email: string, password: string) => finished('/api/login/', { json: { email, password } });

/** Logins that must not succeed. */
async function attempts(): Promise<Record<string, () => Promise<ApiAnswer>>> {
  const [known, inactive] = [await createPerson(), await createPerson()];
  await deactivate(inactive.id);
  return {
    'a wrong password': () => attempt(known.email, 'wrong'),
    'an unknown address': () => attempt(`${crypto.randomUUID()}@example.org`, PASSWORD),
    'an inactive account': () => attempt(inactive.email, PASSWORD),
    'something that is no address': () => attempt(crypto.randomUUID(), PASSWORD),
  };
}

const headersOf = ({ headers }: ApiAnswer) => JSON.stringify([...headers].filter(([name]) => name !== 'x-request-id'));

describe('whoever may not sign in', () => {
  it.each([
    ['a wrong password', 1],
    ['an unknown address', 0],
    ['an inactive account', 1],
    ['something that is no address', 0],
  ])(
    'is refused at the cost of one hash, and starts no session: %s; the attempt is counted, and %d event is stored',
    async (what, stored) => {
      const unwelcome = (await attempts())[what];
      const { throttles: countedBefore = [], security_events: eventsBefore = [], ...before } = await dumpTables();
      const answer = await unwelcome?.();
      expect(answer?.status).toBe(401);
      expect(answer?.headers.get('WWW-Authenticate')).toBe('Bearer realm="api"');
      expect(hasher).toHaveBeenCalledTimes(1);
      const { throttles = [], security_events = [], ...after } = await dumpTables();
      expect(after).toEqual(before);
      expect(security_events.slice(0, eventsBefore.length)).toEqual(eventsBefore);
      expect(security_events.slice(eventsBefore.length).map(({ kind }) => kind)).toEqual(
        Array.from({ length: stored }, () => 'login_failed'),
      );
      expect(throttles).toEqual(expect.arrayContaining(countedBefore));
      const keys = new Set(countedBefore.map(({ key }) => key));
      const counted = throttles.filter(({ key }) => !keys.has(key));
      expect(counted).toHaveLength(2);
      expect(counted.map(({ key }) => String(key).replace(/[0-9a-f]{64}$/, '')).sort()).toEqual([
        'login:',
        'login_from_anywhere:',
      ]);
    },
  );

  it('cannot tell from the answer why', async () => {
    const answers: ApiAnswer[] = [];
    for (const unwelcome of Object.values(await attempts())) answers.push(await unwelcome());
    expect(new Set(answers.map(({ text }) => text))).toEqual(new Set([JSON.stringify(NO_ACCOUNT)]));
    expect(new Set(answers.map(headersOf))).toHaveLength(1);
  });

  it.each([
    [{}, { email: ['This field is required.'], password: ['This field is required.'] }],
    [
      { email: '', password: ' ' },
      { email: ['This field may not be blank.'], password: ['This field may not be blank.'] },
    ],
    [
      { email: [], password: null },
      { email: ['Not a valid string.'], password: ['This field may not be null.'] },
    ],
    [
      { email: 'a@example.org', password: 'x'.repeat(129) },
      { password: ['Ensure this field has no more than 128 characters.'] },
    ],
  ])('is told what is wrong without a hash: %j', async (json, errors) => {
    const { status, body } = await api('/api/login/', { json });
    expect(status).toBe(400);
    expect(body).toEqual(errors);
    expect(hasher).not.toHaveBeenCalled();
  });
});

describe('a password that was stored with older parameters', () => {
  it('is stored with those of today after a good login', async () => {
    const { id, email } = await createPerson();
    await storeHash(id, OUTDATED);
    expect((await login(email, PASSWORD)).status).toBe(200);
    const hash = await storedHash(id);
    expect(hash).toMatch(/^\$argon2id\$v=19\$m=12288,t=3,p=1\$/);
    expect(await passwords.verifyPassword(PASSWORD, hash)).toEqual({ valid: true, outdated: false });
  });

  it('stays as it is after a wrong one', async () => {
    const { id, email } = await createPerson();
    await storeHash(id, OUTDATED);
    expect((await login(email, 'wrong')).status).toBe(401);
    expect(await storedHash(id)).toBe(OUTDATED);
  });

  it('does not come back over one that was changed in the meantime', async () => {
    const { id, email } = await createPerson();
    await storeHash(id, OUTDATED);
    // The change is on its way while the login hashes, and arrives before the login stores anything.
    hasher.mockImplementationOnce((...input) => {
      void storeHash(id, OTHER_HASH);
      return argon2id(...input);
    });
    // Nor does who knew the old one get in.
    expect((await login(email, PASSWORD)).status).toBe(401);
    expect(hasher).toHaveBeenCalledTimes(3);
    expect(await storedHash(id)).toBe(OTHER_HASH);
    const { sessions = [] } = await dumpTables();
    expect(sessions.filter(({ user_id }) => user_id === id)).toEqual([]);
  });

  it('is upgraded by one of several logins at the same time, and all of them get in', async () => {
    const { id, email } = await createPerson();
    await storeHash(id, OUTDATED);
    const answers = await Promise.all([1, 2, 3].map(() => login(email, PASSWORD)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it('stays as it is when the hasher is busy: whoever proved their password gets in', async () => {
    const { id, email } = await createPerson();
    await storeHash(id, OUTDATED);
    vi.spyOn(passwords, 'hashPassword').mockRejectedValueOnce(new passwords.HasherBusyError());
    expect((await login(email, PASSWORD)).status).toBe(200);
    expect(await storedHash(id)).toBe(OUTDATED);
  });

  it('of today stays as it is', async () => {
    const { id, email } = await createPerson();
    const before = await storedHash(id);
    await login(email, PASSWORD);
    expect(await storedHash(id)).toBe(before);
    expect(hasher).toHaveBeenCalledTimes(1);
  });
});

describe('20 logins at the same time', () => {
  it(
    'are answered as far as the hasher’s queue goes; the others are told to come back, without a hash',
    { timeout: 30_000 },
    async () => {
      // Of different people: one account has fewer attempts than that.
      const people = await Promise.all(Array.from({ length: 20 }, () => createPerson()));
      const answers = await Promise.all(people.map(({ email }) => login(email, PASSWORD)));
      const busy = answers.filter(({ status }) => status === 503);
      const good = answers.filter(({ status }) => status === 200);
      expect(busy.length + good.length).toBe(20);
      expect(good).toHaveLength(1 + HASHER_QUEUE_MAX);
      expect(hasher).toHaveBeenCalledTimes(good.length);
      for (const { headers, body } of busy) {
        expect(headers.get('Retry-After')).toBe('1');
        expect(body).toEqual({
          detail: 'Too many passwords are being checked at the moment. Try again in a second.',
          code: 'busy',
        });
      }
    },
  );

  it('leave room for the next one', async () => {
    const { email } = await createPerson();
    expect((await login(email, PASSWORD)).status).toBe(200);
  });
});
