import { KNOWN_NETWORK_LIFETIME_S, LOGIN_PERIOD_S } from '../config.ts';
import type { Directory } from '../directory/database.ts';
import { settings } from '../settings.ts';
import { forgive, giveBack, isNoted, note, take, Throttled, type Note, type Throttle } from './throttle.ts';

/** A login that is tried: the address that was typed, in lower case, and the network that it came from, if known. */
export type Attempt = { readonly email: string; readonly network: string | undefined };

/** What an attempt has counted as. */
export type Counted = readonly Throttle[];

/**
 * Counts an attempt, before anything is hashed, and alike for accounts that there are not: one for the account from this
 * network, and, where nobody has signed in to it from there, one for the account from everywhere. So one machine can
 * neither guess much nor keep the account's user out.
 * @throws Throttled
 */
export async function countAttempt(db: Directory, attempt: Attempt, now: number): Promise<Counted> {
  const [fromHere, fromAnywhere] = [throttleHere(attempt), throttleAnywhere(attempt)];
  const wait = await take(db, fromHere, now);
  if (wait > 0) throw new Throttled(wait);
  if (await isNoted(db, knownNetwork(attempt), now)) return [fromHere];
  const longerWait = await take(db, fromAnywhere, now);
  if (longerWait === 0) return [fromHere, fromAnywhere];
  await giveBack(db, [fromHere]);
  throw new Throttled(longerWait);
}

/** Takes an attempt back at which nothing was checked, so nothing was guessed. */
export async function uncount(db: Directory, counted: Counted): Promise<void> {
  await giveBack(db, counted);
}

/**
 * Whoever proved that the account is theirs did not guess: what was counted here is forgotten, and this is a network from
 * which they sign in. What others have counted elsewhere stays.
 */
export async function welcomeHere(db: Directory, attempt: Attempt, counted: Counted, now: number): Promise<void> {
  await forgive(db, [throttleHere(attempt)]);
  await giveBack(db, counted.slice(1));
  if (attempt.network === undefined) return;
  await note(db, knownNetwork(attempt), now + KNOWN_NETWORK_LIFETIME_S * 1000);
}

const placeOf = ({ email, network = '' }: Attempt) => `${email}\n${network}`;

const throttleHere = (attempt: Attempt): Throttle => ({
  what: 'login',
  whose: placeOf(attempt),
  rate: { limit: settings.loginAttempts, periodMs: LOGIN_PERIOD_S * 1000 },
});

const throttleAnywhere = ({ email }: Attempt): Throttle => ({
  what: 'login_from_anywhere',
  whose: email,
  rate: { limit: settings.loginAttemptsPerHour, periodMs: 60 * 60 * 1000 },
});

const knownNetwork = (attempt: Attempt): Note => ({ what: 'known_network', whose: placeOf(attempt) });
