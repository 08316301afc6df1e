import type { Context } from 'hono';
import { passwordProblems } from '../auth/password-rules.ts';
import { HasherBusyError, verifyPassword } from '../auth/passwords.ts';
import { logEvent, storeForeignEvent } from '../auth/security-log.ts';
import { forgive, giveBack, requireAll } from '../auth/throttle.ts';
import { LOGIN_PERIOD_S } from '../config.ts';
import { directory } from '../directory/database.ts';
import { findAccount } from '../directory/users.ts';
import { settings } from '../settings.ts';
import type { AppEnv } from './app-env.ts';
import { invalid, unauthorized } from './errors.ts';
import { PASSWORDS_DIFFER } from './fields.ts';
import { sourceOf } from './source.ts';

/** The caller's account. */
export async function callersAccount(c: Context<AppEnv>) {
  const account = await findAccount(directory(c.env.DB), { id: c.get('caller').user_id });
  // It was there when the token was verified.
  if (!account) throw unauthorized('User not found', 'user_not_found');
  return account;
}

/**
 * Lets a request go on whose caller knows their password: a stolen access token is not enough.
 * @param field where the request has it
 * @throws ApiError 400 if it is wrong; Throttled after some wrong ones
 */
export async function requirePassword(
  c: Context<AppEnv>,
  account: { id: string; password: string },
  password: string,
  field: string,
): Promise<void> {
  const db = directory(c.env.DB);
  const rate = { limit: settings.loginAttempts, periodMs: LOGIN_PERIOD_S * 1000 };
  const attempts = [{ what: 'password', whose: account.id, rate }];
  await requireAll(db, attempts, Date.now());
  const { valid } = await verifyPassword(password, account.password).catch(async (error: unknown) => {
    // Nothing was checked, so nothing was guessed.
    if (error instanceof HasherBusyError) await giveBack(db, attempts);
    throw error;
  });
  if (!valid) {
    const { user_id, session_id } = c.get('caller');
    const source = sourceOf(c);
    logEvent('wrong_password', source, { user_id, session_id });
    const event = { kind: 'wrong_password', user_id, session_id, source, now: Date.now() } as const;
    c.executionCtx.waitUntil(storeForeignEvent(db, event));
    throw invalid({ [field]: ['This is not your password.'] });
  }
  await forgive(db, attempts);
}

/** @throws ApiError 400 with everything that is wrong with a new password */
export function checkNewPassword(
  password: string,
  confirmation: string,
  person: { first_name: string; last_name: string; email: string },
): void {
  if (password !== confirmation) throw invalid({ password: [PASSWORDS_DIFFER] });
  const problems = passwordProblems(password, person);
  if (problems.length > 0) throw invalid({ password: problems });
}

/** Counts a change that conversations hear of. @throws Throttled */
export async function requireProfileChange(c: Context<AppEnv>): Promise<void> {
  const rate = { limit: settings.profileChangesPerHour, periodMs: 60 * 60 * 1000 };
  await requireAll(directory(c.env.DB), [{ what: 'profile', whose: c.get('caller').user_id, rate }], Date.now());
}
