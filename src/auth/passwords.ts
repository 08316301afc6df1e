import { argon2id } from '@noble/hashes/argon2.js';
import { randomBytes } from '@noble/hashes/utils.js';
import { ARGON2, ARGON2_CEILING, HASHER_QUEUE_MAX, HASHER_WAITING_SILENCE_MS } from '../config.ts';

/** Too many passwords wait to be hashed. Nothing was hashed; the same request may succeed later. */
export class HasherBusyError extends Error {
  override readonly name = 'HasherBusyError';
  /** Seconds: what the hashes that wait take, about. */
  readonly retryAfterSeconds = 1;
  constructor() {
    super('Too many passwords are being checked at the moment. Try again in a second.');
  }
}

type Cost = { readonly m: number; readonly t: number; readonly p: number };
type StoredPassword = Cost & { readonly salt: Uint8Array; readonly hash: Uint8Array };

const SALT_BYTES = 16;
const HASH_BYTES = 32;
const VERSION = 0x13;

// Nobody's password. What it costs to refuse somebody with it follows today's parameters.
const NOBODY: StoredPassword = { ...ARGON2, salt: new Uint8Array(SALT_BYTES), hash: new Uint8Array(HASH_BYTES) };

/**
 * Hashes a new password, of at most PASSWORD_MAX_LENGTH characters, for storage: argon2id with a random salt, as a PHC
 * string (https://github.com/P-H-C/phc-string-format). The password counts in Unicode normalisation form C (NIST SP
 * 800-63B-4).
 * @throws HasherBusyError
 */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await inTurn(() => argon2(password, salt, ARGON2));
  return `$argon2id$v=${VERSION}$m=${ARGON2.m},t=${ARGON2.t},p=${ARGON2.p}$${toBase64(salt)}$${toBase64(hash)}`;
}

/**
 * Compares a password with what hashPassword made of the right one, or with nobody's if `stored` is null. `outdated`
 * means that hashPassword would use other parameters today. Every call hashes once, also one that cannot succeed, so that
 * the time it takes does not tell whether there is such an account (while all hashes have today's parameters).
 * @throws HasherBusyError
 */
export async function verifyPassword(
  password: string,
  stored: string | null,
): Promise<{ valid: boolean; outdated: boolean }> {
  const parsed = stored === null ? null : parsePhc(stored);
  const expected = parsed ?? NOBODY;
  const hash = await inTurn(() => argon2(password, expected.salt, expected));
  const equal = constantTimeEqual(hash, expected.hash);
  const outdated = expected.m !== ARGON2.m || expected.t !== ARGON2.t || expected.p !== ARGON2.p;
  return { valid: equal && parsed !== null, outdated };
}

function argon2(password: string, salt: Uint8Array, { m, t, p }: Cost): Uint8Array {
  return argon2id(password.normalize('NFC'), salt, { m, t, p, dkLen: HASH_BYTES, version: VERSION });
}

const PHC = /^\$argon2id\$v=19\$m=([1-9]\d{0,4}),t=([1-9]\d?),p=([1-9])\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/;

function parsePhc(text: string): StoredPassword | null {
  const [, m, t, p, salt = '', hash = ''] = PHC.exec(text) ?? [];
  const cost = { m: Number(m), t: Number(t), p: Number(p) };
  const inRange = cost.m <= ARGON2_CEILING.m && cost.t <= ARGON2_CEILING.t && cost.p <= ARGON2_CEILING.p;
  // RFC 9106, 3.1: at least eight blocks a lane.
  return inRange && cost.m >= 8 * cost.p ? { ...cost, salt: fromBase64(salt), hash: fromBase64(hash) } : null;
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/=+$/, '');
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function constantTimeEqual(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  a.forEach((byte, i) => (difference |= byte ^ (b[i] ?? 0)));
  return difference === 0;
}

/** The calls that wait for their turn, each with the time, in ms since 1970, at which it last gave a sign of life. */
const waiting = new Set<{ seenAt: number }>();
let hashes = 0;

/**
 * Runs `hash` when no other one ran since the event loop last turned, so that between two hashes the answer to the first
 * and whatever else arrived get the thread. At most one call at work and HASHER_QUEUE_MAX others wait.
 *
 * A request whose client hangs up ends wherever it waits: neither what follows its `await` nor its `finally` ever runs.
 * So there is nothing here that a request must give back: no promise that others wait for, no lock, no count. Each waits
 * on timers of its own, and one that has fallen silent is no longer counted.
 * @throws HasherBusyError
 */
async function inTurn<T>(hash: () => T): Promise<T> {
  for (const call of waiting) if (Date.now() - call.seenAt > HASHER_WAITING_SILENCE_MS) waiting.delete(call);
  if (waiting.size > HASHER_QUEUE_MAX) throw new HasherBusyError();
  const self = { seenAt: Date.now() };
  waiting.add(self);
  let before: number;
  do {
    before = hashes;
    await new Promise((resolve) => setTimeout(resolve, 0));
    self.seenAt = Date.now();
  } while (hashes !== before);
  waiting.delete(self);
  hashes += 1;
  return hash();
}
