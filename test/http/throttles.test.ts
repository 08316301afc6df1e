import * as argon2 from '@noble/hashes/argon2.js';
import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { sha256Hex } from '../../src/auth/digest.ts';
import * as passwords from '../../src/auth/passwords.ts';
import { settings } from '../../src/settings.ts';
import { dumpButAttempts } from '../helpers/accounts.ts';
import { api, type ApiAnswer } from '../helpers/api.ts';
import { finished } from '../helpers/finished.ts';
import { mailsTo, tokenTo } from '../helpers/mailbox.ts';
import { createPerson, deactivate, PASSWORD, signedIn } from '../helpers/people.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const standard = { ...settings };

let addresses = 0;
/** An address of IPv4 that nobody has used yet. */
function newAddress(): string {
  addresses += 1;
  return `198.18.${addresses >> 8}.${addresses & 255}`;
}

/** A network of IPv6 that nobody has used yet. */
function newNetwork(): string {
  addresses += 1;
  return `2001:db8:0:${addresses.toString(16)}`;
}

const from = (address: string) => ({ 'CF-Connecting-IP': address });
const logIn = (email: string, password: string, headers: Record<string, string> = {}) =>
  api('/api/login/', { json: { email, password }, headers });

/** The statuses of so many wrong passwords. */
async function guess(email: string, count: number, headers: Record<string, string> = {}): Promise<number[]> {
  const statuses: number[] = [];
  for (let i = 0; i < count; i += 1) statuses.push((await logIn(email, `wrong ${i}`, headers)).status);
  return statuses;
}

/** The statuses of answers to requests that were sent at the same time, the smallest first. */
const statusesOf = (answers: ApiAnswer[]) => answers.map(({ status }) => status).toSorted((a, b) => a - b);
const times = (count: number, status: number) => Array.from({ length: count }, () => status);

/** Spares the tests that are not about the hasher the time that a hash takes. */
function spareHashes(): void {
  vi.spyOn(passwords, 'verifyPassword').mockImplementation(async (password, stored) => ({
    valid: stored !== null && password === PASSWORD,
    outdated: false,
  }));
  vi.spyOn(passwords, 'hashPassword').mockImplementation(async () => `$argon2id$${crypto.randomUUID()}`);
}

function stopClock(): number {
  const now = Date.now();
  vi.useFakeTimers({ now, toFake: ['Date'] });
  return now;
}

/** Expects a refusal that says when to come back, in seconds. */
function expectThrottled({ status, headers, body }: ApiAnswer, seconds: number): void {
  expect({ status, body }).toEqual({
    status: 429,
    body: { detail: `Too many requests. Try again in ${seconds} s.`, code: 'rate_limited' },
  });
  expect(headers.get('Retry-After')).toBe(String(seconds));
}

async function countOf(table: string, where: string, ...values: unknown[]): Promise<number> {
  const row = await env.DB.prepare(`SELECT count(*) AS count FROM ${table} WHERE ${where}`)
    .bind(...values)
    .first<number>('count');
  return row ?? 0;
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  Object.assign(settings, standard);
});

describe('wrong passwords for one account from one address', () => {
  it('are checked 5 times; then even the right one is refused, without a hash and without a session', async () => {
    const hasher = vi.spyOn(argon2, 'argon2id');
    stopClock();
    const { id, email } = await createPerson();
    const headers = from(newAddress());
    expect(await guess(email, 5, headers)).toEqual(times(5, 401));
    expect(hasher).toHaveBeenCalledTimes(5);
    expectThrottled(await logIn(email, PASSWORD, headers), 60);
    expect(hasher).toHaveBeenCalledTimes(5);
    expect(await countOf('sessions', 'user_id = ?', id)).toBe(0);
  });

  describe('without the time that hashes take', () => {
    beforeEach(spareHashes);

    it('let the right one in after exactly the time that is told, and not before', async () => {
      const now = stopClock();
      const { email } = await createPerson();
      const headers = from(newAddress());
      await guess(email, 5, headers);
      vi.setSystemTime(now + 20_500);
      // Rounded up: whoever waits as many seconds gets in.
      expectThrottled(await logIn(email, PASSWORD, headers), 40);
      vi.setSystemTime(now + MINUTE - 1);
      expectThrottled(await logIn(email, PASSWORD, headers), 1);
      vi.setSystemTime(now + MINUTE);
      expect((await logIn(email, PASSWORD, headers)).status).toBe(200);
    });

    it('come back one a minute, and all 5 after 5 minutes', async () => {
      const now = stopClock();
      const { email } = await createPerson();
      const headers = from(newAddress());
      await guess(email, 5, headers);
      vi.setSystemTime(now + MINUTE);
      expect(await guess(email, 2, headers)).toEqual([401, 429]);
      vi.setSystemTime(now + 6 * MINUTE);
      expect(await guess(email, 6, headers)).toEqual([...times(5, 401), 429]);
    });

    it('of 20 at the same time are checked 5 times', async () => {
      const { email } = await createPerson();
      const headers = from(newAddress());
      const answers = await Promise.all(Array.from({ length: 20 }, () => logIn(email, 'wrong', headers)));
      expect(statusesOf(answers)).toEqual([...times(5, 401), ...times(15, 429)]);
      expect(passwords.verifyPassword).toHaveBeenCalledTimes(5);
    });

    it('keep nobody else out who comes from there', async () => {
      const [guessed, other] = [await createPerson(), await createPerson()];
      const headers = from(newAddress());
      expect(await guess(guessed.email, 6, headers)).toEqual([...times(5, 401), 429]);
      expect((await logIn(other.email, PASSWORD, headers)).status).toBe(200);
    });

    it('do not keep out its user who comes from elsewhere', async () => {
      const { email } = await createPerson();
      expect(await guess(email, 6, from(newAddress()))).toEqual([...times(5, 401), 429]);
      expect((await logIn(email, PASSWORD, from(newAddress()))).status).toBe(200);
    });

    it('are as many as the deployment says', async () => {
      Object.assign(settings, { loginAttempts: 2 });
      stopClock();
      const { email } = await createPerson();
      const headers = from(newAddress());
      expect(await guess(email, 2, headers)).toEqual(times(2, 401));
      expectThrottled(await logIn(email, PASSWORD, headers), 150);
    });

    it('are one account’s, however the address is typed', async () => {
      const { email } = await createPerson();
      const headers = from(newAddress());
      for (const typed of [email, email.toUpperCase(), ` ${email}`, `${email}\n`, `\t${email.toUpperCase()} `]) {
        expect(await guess(typed, 1, headers)).toEqual([401]);
      }
      expect((await logIn(email, PASSWORD, headers)).status).toBe(429);
    });

    it('are forgotten by a login that succeeds, from there and from everywhere', async () => {
      Object.assign(settings, { loginAttemptsPerHour: 6 });
      const { email } = await createPerson();
      const headers = from(newAddress());
      expect(await guess(email, 4, headers)).toEqual(times(4, 401));
      expect((await logIn(email, PASSWORD, headers)).status).toBe(200);
      expect(await guess(email, 6, headers)).toEqual([...times(5, 401), 429]);
    });

    it('are not forgotten where a login succeeds from elsewhere', async () => {
      const { email } = await createPerson();
      const guesser = from(newAddress());
      await guess(email, 4, guesser);
      expect((await logIn(email, PASSWORD, from(newAddress()))).status).toBe(200);
      expect(await guess(email, 2, guesser)).toEqual([401, 429]);
    });

    it('are none where nothing was tried: a form that is wrong is not counted', async () => {
      const { email } = await createPerson();
      const headers = from(newAddress());
      for (let i = 0; i < 6; i += 1) {
        expect((await logIn(email, '', headers)).status).toBe(400);
        expect((await api('/api/login/', { json: { email }, headers })).status).toBe(400);
      }
      expect(await guess(email, 5, headers)).toEqual(times(5, 401));
    });

    it('come from one address if they come from one /64 of IPv6, and the next /64 is another one', async () => {
      const { email } = await createPerson();
      const [network, next] = [newNetwork(), newNetwork()];
      for (const host of ['::1', ':0:0:0:2', ':ffff::', ':1:2:3:4', '::FFFF']) {
        expect(await guess(email, 1, from(`${network}${host}`))).toEqual([401]);
      }
      expect((await logIn(email, PASSWORD, from(`${network}::abcd`))).status).toBe(429);
      expect((await logIn(email, PASSWORD, from(`${next}::1`))).status).toBe(200);
    });

    it('come from where Cloudflare says, whatever the client says of itself', async () => {
      const { email } = await createPerson();
      const headers = () => ({ 'X-Forwarded-For': newAddress(), 'X-Real-IP': newAddress(), Forwarded: 'for=9.9.9.9' });
      const address = from(newAddress());
      for (let i = 0; i < 5; i += 1) expect(await guess(email, 1, { ...headers(), ...address })).toEqual([401]);
      expect((await logIn(email, PASSWORD, { ...headers(), ...address })).status).toBe(429);
    });

    it('come from one place if nobody says from where', async () => {
      const { email } = await createPerson();
      expect(await guess(email, 5)).toEqual(times(5, 401));
      expect((await logIn(email, PASSWORD, { 'X-Forwarded-For': newAddress() })).status).toBe(429);
    });

    it('are not to be had by an account whose name is made up to be counted as another’s', async () => {
      const { email } = await createPerson();
      const [victims, guessers] = [newAddress(), newAddress()];
      await guess(`${email}\n${victims}`, 5, from(guessers));
      expect(await guess(email, 5, from(victims))).toEqual(times(5, 401));
    });
  });
});

describe('wrong passwords for one account from everywhere', () => {
  beforeEach(spareHashes);

  it('are checked 100 times an hour; then even the right one is refused from an address that never tried', async () => {
    const now = stopClock();
    const { email } = await createPerson();
    const addressesOfGuessers = Array.from({ length: 20 }, newAddress);
    const guesses = await Promise.all(addressesOfGuessers.map((address) => guess(email, 5, from(address))));
    expect(guesses.flat()).toEqual(times(100, 401));
    expectThrottled(await logIn(email, PASSWORD, from(newAddress())), 36);
    vi.setSystemTime(now + 36_000 - 1);
    expectThrottled(await logIn(email, PASSWORD, from(newAddress())), 1);
    vi.setSystemTime(now + 36_000);
    expect((await logIn(email, PASSWORD, from(newAddress()))).status).toBe(200);
    // It is not counted, but forgets nothing of what others have tried.
    expect(await guess(email, 2, from(newAddress()))).toEqual([401, 429]);
  }, 20_000);

  it('keep nobody out who comes from where they have signed in before, or have reset their password', async () => {
    Object.assign(settings, { loginAttemptsPerHour: 3 });
    stopClock();
    const { email } = await createPerson();
    const [home, elsewhere, guessers] = [from(newAddress()), from(newAddress()), from(newAddress())];
    expect((await logIn(email, PASSWORD, home)).status).toBe(200);
    expect(await guess(email, 4, guessers)).toEqual([401, 401, 401, 429]);
    expect((await logIn(email, PASSWORD, home)).status).toBe(200);
    expect((await logIn(email, PASSWORD, elsewhere)).status).toBe(429);
    await finished('/api/password-reset/', { json: { email } });
    const reset = {
      token: tokenTo(email),
      password: 'incorrect zebra staple',
      confirm_password: 'incorrect zebra staple',
    };
    expect((await api('/api/password-reset/confirm/', { json: reset, headers: elsewhere })).status).toBe(204);
    // The hasher that stands in here knows one password.
    expect((await logIn(email, PASSWORD, elsewhere)).status).toBe(200);
    // But they cannot be guessed at from there either.
    expect(await guess(email, 6, home)).toEqual([...times(5, 401), 429]);
  });

  it('are not counted for the address that is refused for what others have done', async () => {
    Object.assign(settings, { loginAttemptsPerHour: 1 });
    const now = stopClock();
    const { email } = await createPerson();
    expect(await guess(email, 1, from(newAddress()))).toEqual([401]);
    const owner = from(newAddress());
    expect(await guess(email, 8, owner)).toEqual(times(8, 429));
    vi.setSystemTime(now + 3600_000);
    expect((await logIn(email, PASSWORD, owner)).status).toBe(200);
  });

  it('are as many as the deployment says, and another account has its own', async () => {
    Object.assign(settings, { loginAttemptsPerHour: 3 });
    stopClock();
    const [guessed, other] = [await createPerson(), await createPerson()];
    const headers = from(newAddress());
    for (let i = 0; i < 3; i += 1) expect(await guess(guessed.email, 1, from(newAddress()))).toEqual([401]);
    expectThrottled(await logIn(guessed.email, PASSWORD, headers), 1200);
    expect((await logIn(other.email, PASSWORD, headers)).status).toBe(200);
  });
});

it('nobody can tell from the answers to wrong passwords, nor from when they begin to be refused, who has an account', async () => {
  spareHashes();
  const now = stopClock();
  const [known, inactive] = [await createPerson(), await createPerson()];
  await deactivate(inactive.id);
  const emails = [known.email, inactive.email, `${crypto.randomUUID()}@example.org`];
  const sources = [newAddress(), newAddress()].map(from);
  for (const headers of sources) {
    for (let attempt = 0; attempt < 8; attempt += 1) {
      vi.setSystemTime(now + attempt * 7001);
      const answers: string[] = [];
      for (const email of emails) {
        const { status, text, headers: answered } = await logIn(email, 'wrong', headers);
        const told = [...answered].filter(([name]) => name !== 'x-request-id');
        answers.push(JSON.stringify({ status, text, told }));
      }
      expect(new Set(answers).size).toBe(1);
      expect(answers[0]).toContain(attempt < 5 ? '"status":401' : '"status":429');
    }
  }
});

const register = (headers: Record<string, string> = {}, more: object = {}) =>
  api('/api/register/', {
    json: {
      first_name: 'Ana',
      last_name: 'Doe',
      email: `${crypto.randomUUID()}@example.org`,
      password: PASSWORD,
      confirm_password: PASSWORD,
      ...more,
    },
    headers,
  });

describe('accounts made from one address', () => {
  beforeEach(spareHashes);

  it('are as many a day as the deployment says; the next one is refused and not made, until the time that is told', async () => {
    Object.assign(settings, { registrationsPerDay: 2 });
    const now = stopClock();
    const headers = from(newAddress());
    for (let i = 0; i < 2; i += 1) expect((await register(headers)).status).toBe(201);
    const before = await dumpButAttempts();
    expectThrottled(await register(headers), 12 * 3600);
    expect(await dumpButAttempts()).toEqual(before);
    vi.setSystemTime(now + 12 * HOUR - 1);
    expectThrottled(await register(headers), 1);
    vi.setSystemTime(now + 12 * HOUR);
    expect((await register(headers)).status).toBe(201);
  });

  it('are 300 a day unless it says otherwise', () => {
    expect(settings.registrationsPerDay).toBe(300);
  });

  it('of 10 at the same time are as many as may be', async () => {
    Object.assign(settings, { registrationsPerDay: 3 });
    const headers = from(newAddress());
    const answers = await Promise.all(Array.from({ length: 10 }, () => register(headers)));
    expect(statusesOf(answers)).toEqual([...times(3, 201), ...times(7, 429)]);
  });

  it('keep nobody out who comes from another address; one /64 is one, and what a client says of itself is nothing', async () => {
    Object.assign(settings, { registrationsPerDay: 1 });
    const network = newNetwork();
    expect((await register(from(`${network}::1`))).status).toBe(201);
    expect((await register({ ...from(`${network}::2`), 'X-Forwarded-For': newAddress() })).status).toBe(429);
    expect((await register(from(`${newNetwork()}::2`))).status).toBe(201);
    expect((await register(from(newAddress()))).status).toBe(201);
  });

  it('are only counted if they would be made, or tell of an account that is there', async () => {
    Object.assign(settings, { registrationsPerDay: 2 });
    const headers = from(newAddress());
    const { email } = await createPerson();
    for (const wrong of [{ password: 'short' }, { confirm_password: 'another one' }, { first_name: '' }]) {
      expect((await register(headers, wrong)).status).toBe(400);
    }
    expect((await register(headers, { email })).status).toBe(400);
    expect((await register(headers)).status).toBe(201);
    expect((await register(headers, { email })).status).toBe(429);
  });

  it('of nobody’s address are not counted: many share it, and Cloudflare names every address', async () => {
    Object.assign(settings, { registrationsPerDay: 1 });
    for (let i = 0; i < 3; i += 1) expect((await register()).status).toBe(201);
  });
});

const open = (person: { access: string }, peer: { id: string }) =>
  api(`/api/users/${peer.id}/chat/`, { token: person.access });

describe('conversations that a user begins', () => {
  it('are as many a day as the deployment says; the next one is refused and not made', async () => {
    Object.assign(settings, { conversationsPerDay: 2 });
    stopClock();
    const john = await signedIn('John');
    for (let i = 0; i < 2; i += 1) expect((await open(john, await createPerson())).status).toBe(200);
    const peer = await createPerson();
    expectThrottled(await open(john, peer), 12 * 3600);
    expect(await countOf('conversations', 'pair LIKE ?', `%${peer.id}%`)).toBe(0);
    expect(await countOf('members', 'user_id = ?', peer.id)).toBe(0);
  });

  it('may go on after the time that is told, and not before', async () => {
    // A quarter of an hour for each, so that the access token is still good then.
    Object.assign(settings, { conversationsPerDay: 96 });
    const now = stopClock();
    const john = await signedIn('John');
    await env.DB.prepare('INSERT INTO throttles (key, paid_at) VALUES (?, ?)')
      .bind(`conversation:${sha256Hex(john.id)}`, now + 24 * HOUR)
      .run();
    const peer = await createPerson();
    expectThrottled(await open(john, peer), 900);
    vi.setSystemTime(now + 15 * MINUTE - 1);
    expectThrottled(await open(john, peer), 1);
    vi.setSystemTime(now + 15 * MINUTE);
    expect((await open(john, peer)).status).toBe(200);
  });

  it('are 200 a day unless it says otherwise', () => {
    expect(settings.conversationsPerDay).toBe(200);
  });

  it('of 8 at the same time are as many as may be', async () => {
    Object.assign(settings, { conversationsPerDay: 3 });
    const john = await signedIn('John');
    const peers = await Promise.all(Array.from({ length: 8 }, () => createPerson()));
    const answers = await Promise.all(peers.map((peer) => open(john, peer)));
    expect(statusesOf(answers)).toEqual([...times(3, 200), ...times(5, 429)]);
  });

  it('cost nothing when they are opened again, and are never refused then', async () => {
    Object.assign(settings, { conversationsPerDay: 2 });
    const john = await signedIn('John');
    const [first, second, third] = [await createPerson(), await createPerson(), await createPerson()];
    await open(john, first);
    for (let i = 0; i < 5; i += 1) expect((await open(john, first)).status).toBe(200);
    expect((await open(john, second)).status).toBe(200);
    expect((await open(john, third)).status).toBe(429);
    for (const peer of [first, second]) expect((await open(john, peer)).status).toBe(200);
  });

  it('do not count for whom they are begun with, who opens them although they may begin none', async () => {
    Object.assign(settings, { conversationsPerDay: 1 });
    const [john, ray, selena] = [await signedIn('John'), await signedIn('Ray'), await signedIn('Selena')];
    expect((await open(ray, selena)).status).toBe(200);
    expect((await open(john, ray)).status).toBe(200);
    expect((await open(ray, john)).status).toBe(200);
    expect((await open(ray, await createPerson())).status).toBe(429);
  });

  it('are only counted if they would be begun: not with oneself, nor with nobody', async () => {
    Object.assign(settings, { conversationsPerDay: 1 });
    const john = await signedIn('John');
    expect((await open(john, john)).status).toBe(400);
    for (let i = 0; i < 3; i += 1) expect((await open(john, { id: crypto.randomUUID() })).status).toBe(404);
    expect((await open(john, await createPerson())).status).toBe(200);
  });
});

const rename = ({ access }: { access: string }, first_name: string) =>
  api('/api/me/', { method: 'PATCH', token: access, json: { first_name } });

const block = ({ access }: { access: string }, { id }: { id: string }, method = 'PUT') =>
  api(`/api/users/${id}/block/`, { method, token: access });

describe('changes of a profile', () => {
  it('are as many an hour as the deployment says, names and blocks together; the next one is refused and changes nothing', async () => {
    Object.assign(settings, { profileChangesPerHour: 3 });
    const now = stopClock();
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    expect((await rename(john, 'Johnny')).status).toBe(200);
    expect((await block(john, ray)).status).toBe(204);
    expect((await block(john, ray, 'DELETE')).status).toBe(204);
    const before = await dumpButAttempts();
    expectThrottled(await rename(john, 'Jack'), 1200);
    expectThrottled(await block(john, ray), 1200);
    expectThrottled(await block(john, ray, 'DELETE'), 1200);
    expect(await dumpButAttempts()).toEqual(before);
    vi.setSystemTime(now + 20 * MINUTE - 1);
    expectThrottled(await rename(john, 'Jack'), 1);
    vi.setSystemTime(now + 20 * MINUTE);
    expect((await rename(john, 'Jack')).status).toBe(200);
  });

  it('are 60 an hour unless it says otherwise', () => {
    expect(settings.profileChangesPerHour).toBe(60);
  });

  it('are each user’s own, and what changes nothing is none', async () => {
    Object.assign(settings, { profileChangesPerHour: 1 });
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    for (let i = 0; i < 3; i += 1) expect((await rename(john, 'John')).status).toBe(200);
    expect((await block(john, john)).status).toBe(400);
    expect((await rename(john, 'Johnny')).status).toBe(200);
    expect((await rename(john, 'Jack')).status).toBe(429);
    expect((await rename(ray, 'Raymond')).status).toBe(200);
  });
});

const change = ({ access }: { access: string }, current_password: string) =>
  api('/api/me/password/', {
    token: access,
    json: { current_password, password: 'incorrect zebra staple', confirm_password: 'incorrect zebra staple' },
  });

describe('wrong proofs of one’s own password', () => {
  beforeEach(spareHashes);

  it('are checked 5 times; then even the right one is refused, unchecked, until the time that is told', async () => {
    const now = stopClock();
    const john = await signedIn('John');
    for (let i = 0; i < 5; i += 1) {
      expect(await change(john, `wrong ${i}`)).toMatchObject({
        status: 400,
        body: { current_password: ['This is not your password.'] },
      });
    }
    const before = await dumpButAttempts();
    expectThrottled(await change(john, PASSWORD), 60);
    expect(passwords.verifyPassword).toHaveBeenCalledTimes(5);
    expect(await dumpButAttempts()).toEqual(before);
    vi.setSystemTime(now + MINUTE - 1);
    expectThrottled(await change(john, PASSWORD), 1);
    vi.setSystemTime(now + MINUTE);
    expect((await change(john, PASSWORD)).status).toBe(204);
  });

  it('are one user’s, from wherever they come, and for whatever a password is asked', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    const prove = (address: string) =>
      api('/api/me/delete/', { token: john.access, json: { password: 'wrong' }, headers: from(address) });
    for (let i = 0; i < 5; i += 1) expect((await prove(newAddress())).status).toBe(400);
    expect((await change(john, PASSWORD)).status).toBe(429);
    expect((await change(ray, PASSWORD)).status).toBe(204);
  });

  it('leave signing in alone, and wrong logins leave them alone', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    for (let i = 0; i < 6; i += 1) await change(john, 'wrong');
    expect((await change(john, PASSWORD)).status).toBe(429);
    expect((await logIn(john.email, PASSWORD)).status).toBe(200);
    expect((await change(john, PASSWORD)).status).toBe(429);
    await guess(ray.email, 6);
    expect((await change(ray, PASSWORD)).status).toBe(204);
  });

  it('are forgotten by a right one', async () => {
    const john = await signedIn('John');
    for (let i = 0; i < 4; i += 1) await change(john, 'wrong');
    // The password is right, the new one is not: nothing changes.
    const tooShort = { current_password: PASSWORD, password: 'short', confirm_password: 'short' };
    expect((await api('/api/me/password/', { token: john.access, json: tooShort })).status).toBe(400);
    for (let i = 0; i < 5; i += 1) expect((await change(john, 'wrong')).status).toBe(400);
    expect((await change(john, PASSWORD)).status).toBe(429);
  });
});

const askForReset = (email: string) => finished('/api/password-reset/', { json: { email } });

const askForVerification = ({ access }: { access: string }) =>
  finished('/api/email-verification/', { method: 'POST', token: access });

describe('mails to one address', () => {
  it('are as many an hour as the deployment says, of all kinds together; then none is sent until the time that is told', async () => {
    Object.assign(settings, { mailsPerHour: 2 });
    const now = stopClock();
    const john = await signedIn('John');
    expect((await askForReset(john.email)).status).toBe(202);
    expect((await askForVerification(john)).status).toBe(202);
    expectThrottled(await askForReset(john.email.toUpperCase()), 1800);
    expectThrottled(await askForVerification(john), 1800);
    expect(mailsTo(john.email)).toHaveLength(2);
    vi.setSystemTime(now + 30 * MINUTE - 1);
    expectThrottled(await askForReset(john.email), 1);
    vi.setSystemTime(now + 30 * MINUTE);
    expect((await askForReset(john.email)).status).toBe(202);
    expect(mailsTo(john.email)).toHaveLength(3);
  });

  it('are 5 an hour unless it says otherwise', () => {
    expect(settings.mailsPerHour).toBe(5);
  });

  it('are refused alike whether the address has an account or not', async () => {
    stopClock();
    const { email } = await createPerson();
    const unknown = `${crypto.randomUUID()}@example.org`;
    for (let i = 0; i < 7; i += 1) {
      const answers: string[] = [];
      for (const address of [email, unknown]) {
        const { status, text, headers } = await askForReset(address);
        const told = [...headers].filter(([name]) => name !== 'x-request-id');
        answers.push(JSON.stringify({ status, text, told }));
      }
      expect(new Set(answers).size).toBe(1);
      expect(answers[0]).toContain(i < 5 ? '"status":202' : '"status":429');
    }
  });

  it('keep no other address from its own', async () => {
    Object.assign(settings, { mailsPerHour: 1 });
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    await askForReset(john.email);
    expect((await askForReset(john.email)).status).toBe(429);
    expect((await askForReset(ray.email)).status).toBe(202);
  });

  it('are not counted where none is needed: the address is verified', async () => {
    Object.assign(settings, { mailsPerHour: 1 });
    const john = await signedIn('John');
    await env.DB.prepare('UPDATE users SET email_verified_at = 1 WHERE id = ?').bind(john.id).run();
    for (let i = 0; i < 3; i += 1) expect((await askForVerification(john)).status).toBe(202);
    expect((await askForReset(john.email)).status).toBe(202);
  });
});
