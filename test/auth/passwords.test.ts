import * as argon2 from '@noble/hashes/argon2.js';
import { afterEach, beforeEach, describe, expect, it, vi, type MockInstance } from 'vitest';
import { HasherBusyError, hashPassword, verifyPassword } from '../../src/auth/passwords.ts';
import { ARGON2, HASHER_QUEUE_MAX } from '../../src/config.ts';

const PASSWORD = 'correct horse';
// Made by Node's crypto.argon2Sync, with today's parameters and with each of them another.
const STORED = '$argon2id$v=19$m=12288,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg$W2CvwLK2LDlk3BoCN5Nmrigs/uLQ3VdCUrYzjKQtTqo';
const STORED_OTHERWISE = [
  '$argon2id$v=19$m=7168,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg$Q1tQ9xeaDm3T8OkERK3d6A1qX0r0Oq6DhRH0pw1DyGc',
  '$argon2id$v=19$m=12288,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$F9ESL5dLuWZVqmwDQqKyMKEBL80JZvRhPIT6cVe1AKw',
  '$argon2id$v=19$m=12288,t=3,p=2$MDEyMzQ1Njc4OWFiY2RlZg$qhoDWSAH3MuXRCHpfn5SYg5HIpz8p9k8R0vg/bC9QQI',
];

// Watches the real function, it does not replace it.
let hasher: MockInstance<typeof argon2.argon2id>;

beforeEach(() => {
  hasher = vi.spyOn(argon2, 'argon2id');
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('a stored password', () => {
  it('is a PHC string with the parameters of config.ts, a salt of 16 bytes and a hash of 32', async () => {
    const { m, t, p } = ARGON2;
    expect(await hashPassword(PASSWORD)).toMatch(
      new RegExp(`^\\$argon2id\\$v=19\\$m=${m},t=${t},p=${p}\\$[A-Za-z0-9+/]{22}\\$[A-Za-z0-9+/]{43}$`),
    );
  });

  it('is salted: the same password never gives the same string', async () => {
    expect(await hashPassword(PASSWORD)).not.toBe(await hashPassword(PASSWORD));
  });
});

describe('verifying', () => {
  it('accepts the password that was hashed', async () => {
    expect(await verifyPassword(PASSWORD, await hashPassword(PASSWORD))).toEqual({ valid: true, outdated: false });
  });

  it('accepts what another implementation of argon2id stored', async () => {
    expect(await verifyPassword(PASSWORD, STORED)).toEqual({ valid: true, outdated: false });
  });

  it.each(['Correct horse', 'correct horse ', 'correct hors', ''])('refuses any other: %j', async (password) => {
    expect(await verifyPassword(password, STORED)).toEqual({ valid: false, outdated: false });
  });

  it.each(STORED_OTHERWISE)('accepts a password stored with other parameters, and tells so: %s', async (stored) => {
    expect(await verifyPassword(PASSWORD, stored)).toEqual({ valid: true, outdated: true });
  });

  it('takes composed and decomposed characters for the same', async () => {
    const stored = await hashPassword('pässwörd'.normalize('NFC'));
    expect(await verifyPassword('pässwörd'.normalize('NFD'), stored)).toMatchObject({ valid: true });
  });

  it('keeps characters apart that only look alike', async () => {
    const stored = await hashPassword('ﬁsh and chips');
    expect(await verifyPassword('fish and chips', stored)).toMatchObject({ valid: false });
  });

  it('refuses every password for nobody', async () => {
    expect(await verifyPassword(PASSWORD, null)).toEqual({ valid: false, outdated: false });
  });

  it.each([
    ['empty', ''],
    ['plain text', PASSWORD],
    ["Django's", 'pbkdf2_sha256$600000$salt$aGFzaA=='],
    ['another kind of argon2', STORED.replace('argon2id', 'argon2i')],
    ['another version', STORED.replace('v=19', 'v=16')],
    ['padded', `${STORED}=`],
    ['with a line break at the end', `${STORED}\n`],
    ['in another alphabet', STORED.slice(0, -1) + '-'],
    ['short of a character', STORED.slice(0, -1)],
    ['too costly in memory', STORED.replace('m=12288', 'm=65537')],
    ['too costly in time', STORED.replace('t=3', 't=11')],
    ['too costly in lanes', STORED.replace('p=1', 'p=5')],
    ['of a size beyond any number', STORED.replace('m=12288', `m=${'9'.repeat(400)}`)],
    ['without memory', STORED.replace('m=12288', 'm=7')],
    ['without passes', STORED.replace('t=3', 't=0')],
    ['negative', STORED.replace('t=3', 't=-3')],
  ])('refuses a stored string that is %s, at the cost of one hash with the parameters of today', async (_, stored) => {
    expect(await verifyPassword(PASSWORD, stored)).toEqual({ valid: false, outdated: false });
    expect(hasher).toHaveBeenCalledTimes(1);
    expect(hasher.mock.calls[0]?.[2]).toMatchObject(ARGON2);
  });
});

describe('the time of an answer', () => {
  it.each([
    ['the right password', PASSWORD, STORED],
    ['a wrong password', 'wrong', STORED],
    ['nobody', PASSWORD, null],
  ])('is that of one hash with the parameters of today: %s', async (_, password, stored) => {
    await verifyPassword(password, stored);
    expect(hasher).toHaveBeenCalledTimes(1);
    expect(hasher.mock.calls[0]?.[2]).toMatchObject(ARGON2);
  });
});

// Up to ten real hashes in one test, on a machine that may be busy.
describe('many passwords at once', { timeout: 30_000 }, () => {
  it('are answered one by one, in order', async () => {
    const answered: number[] = [];
    const runsAtAnswer: number[] = [];
    await Promise.all(
      [0, 1, 2, 3].map(async (i) => {
        await verifyPassword(PASSWORD, STORED);
        answered.push(i);
        // An answer leaves on a turn of the event loop; the next hash must not have begun by then.
        await new Promise((resolve) => setTimeout(resolve, 0));
        runsAtAnswer.push(hasher.mock.calls.length);
      }),
    );
    expect(answered).toEqual([0, 1, 2, 3]);
    expect(runsAtAnswer).toEqual([1, 2, 3, 4]);
  });

  it('are refused beyond one at work and HASHER_QUEUE_MAX waiting, without hashing', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => hashPassword(PASSWORD)));
    const refusals = outcomes.filter((outcome) => outcome.status === 'rejected').map((outcome) => outcome.reason);
    expect(outcomes.slice(0, 1 + HASHER_QUEUE_MAX).map((outcome) => outcome.status)).not.toContain('rejected');
    expect(refusals).toHaveLength(20 - 1 - HASHER_QUEUE_MAX);
    for (const refusal of refusals) {
      expect(refusal).toBeInstanceOf(HasherBusyError);
      expect(refusal).toMatchObject({ retryAfterSeconds: 1 });
    }
    expect(hasher).toHaveBeenCalledTimes(1 + HASHER_QUEUE_MAX);
  });

  it('leave room for others once they are answered', async () => {
    await Promise.all(Array.from({ length: 1 + HASHER_QUEUE_MAX }, () => hashPassword(PASSWORD)));
    await expect(verifyPassword(PASSWORD, STORED)).resolves.toMatchObject({ valid: true });
  });

  it('whose requests were cancelled while they waited keep nobody out for more than a second', async () => {
    // What a cancelled request waits for never happens: nothing fires these timers.
    vi.useFakeTimers({ now: Date.now() - 1001 });
    for (let i = 0; i < 1 + HASHER_QUEUE_MAX; i++) void hashPassword(PASSWORD);
    await expect(hashPassword(PASSWORD)).rejects.toBeInstanceOf(HasherBusyError);
    vi.useRealTimers();
    await expect(verifyPassword(PASSWORD, STORED)).resolves.toMatchObject({ valid: true });
    expect(hasher).toHaveBeenCalledTimes(1);
  });
});
