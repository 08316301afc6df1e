import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { endSessions } from '../auth/end-sessions.ts';
import { countAttempt, uncount, welcomeHere, type Attempt, type Counted } from '../auth/login-attempts.ts';
import { HasherBusyError, hashPassword, verifyPassword } from '../auth/passwords.ts';
import { logEvent, storeForeignEvent, type Source } from '../auth/security-log.ts';
import { startSession } from '../auth/sessions.ts';
import { take, Throttled } from '../auth/throttle.ts';
import { LOGIN_PERIOD_S, SESSIONS_PER_USER } from '../config.ts';
import { deliverNoticesOf } from '../deliver-notices.ts';
import { directory, type Directory } from '../directory/database.ts';
import { findCredentials, upgradePasswordHash } from '../directory/users.ts';
import { logError } from '../log.ts';
import type { AppEnv } from './app-env.ts';
import { readFields } from './body.ts';
import { unauthorized } from './errors.ts';
import { passwordField, REQUIRED, textField } from './fields.ts';
import { credentialLimit } from './middleware/address-limit.ts';
import { describe, hasherBusy } from './openapi/describe.ts';
import { errorBody, schema, tokenPair } from './openapi/schemas.ts';
import { attemptOf, sourceOf } from './source.ts';

const credentials = schema(
  'Credentials',
  v.object({ email: textField({ describe: { format: 'email' } }), password: passwordField }, REQUIRED),
);

export const login = new Hono<AppEnv>();

login.use('/api/login', credentialLimit);

login.post(
  '/api/login',
  describe({
    summary: 'Sign in',
    description:
      'Starts a session of at most 30 days. The access token is good for 30 minutes, the refresh token for a day.',
    tags: ['Sessions'],
    bearer: false,
    body: credentials,
    responses: {
      200: { description: 'The tokens of the new session.', schema: tokenPair },
      401: { description: 'There is no active account with this address and password.', schema: errorBody },
      503: hasherBusy,
    },
  }),
  async (c) => {
    const db = directory(c.env.DB);
    const { email, password } = await readFields(c, credentials);
    const source = sourceOf(c);
    const attempt = attemptOf(email, source);
    const counted = await requireAttempt(c, attempt, source);
    const account = await findCredentials(db, attempt.email);
    // One hash in every case: the time of the answer must not tell whether there is such an account.
    const { valid, outdated } = await verifyPassword(password, account?.is_active ? account.password : null).catch(
      async (error: unknown) => {
        if (error instanceof HasherBusyError) await uncount(db, counted);
        throw error;
      },
    );
    if (!account || !valid) {
      logEvent('login_failed', source, { user_id: account?.id });
      if (account) {
        const event = { kind: 'login_failed', user_id: account.id, source, now: Date.now() } as const;
        c.executionCtx.waitUntil(storeForeignEvent(db, event));
      }
      throw noSuchAccount();
    }
    const stored = outdated ? await upgradeHash(db, { ...account, email: attempt.email }, password) : account.password;
    const tokens = await startSession(db, { userId: account.id, password: stored, source, now: Date.now() });
    if (!tokens) throw noSuchAccount();
    logEvent('login', source, { user_id: account.id });
    await welcomeHere(db, attempt, counted, Date.now());
    c.executionCtx.waitUntil(endSurplusSessions(c.env, account.id, source));
    return c.json(tokens);
  },
);

const noSuchAccount = () => unauthorized('No active account found with the given credentials');

/** Counts an attempt. @throws Throttled, after the user was told */
async function requireAttempt(c: Context<AppEnv>, attempt: Attempt, source: Source): Promise<Counted> {
  const db = directory(c.env.DB);
  try {
    return await countAttempt(db, attempt, Date.now());
  } catch (error) {
    if (error instanceof Throttled) {
      logEvent('login_throttled', source);
      c.executionCtx.waitUntil(storeThrottled(db, attempt.email, source));
    }
    throw error;
  }
}

/** Tells the user, if there is one, but not of every attempt: one who goes on must not fill their log. */
async function storeThrottled(db: Directory, email: string, source: Source): Promise<void> {
  try {
    const account = await findCredentials(db, email);
    if (!account) return;
    const now = Date.now();
    const rate = { limit: 1, periodMs: LOGIN_PERIOD_S * 1000 };
    const wait = await take(db, { what: 'login_throttled', whose: account.id, rate }, now);
    if (wait === 0) await storeForeignEvent(db, { kind: 'login_throttled', user_id: account.id, source, now });
  } catch (error) {
    logError('event_not_stored', error, { request_id: source.request_id });
  }
}

/** Ends the sessions that are too many, so that all of them can be ended whenever that is needed. */
async function endSurplusSessions(env: Env, userId: string, source: Source): Promise<void> {
  try {
    const which = { user_id: userId, beyond: SESSIONS_PER_USER };
    const ended = await endSessions(directory(env.DB), which, 'too_many', source, Date.now());
    if (ended.length > 0) await deliverNoticesOf(env, userId);
  } catch (error) {
    // The next login ends them.
    logError('sessions_not_ended', error, { user_id: userId });
  }
}

/** Stores a hash with today's parameters. @returns the hash that is stored now */
async function upgradeHash(
  db: Directory,
  account: { id: string; email: string; password: string },
  password: string,
): Promise<string> {
  try {
    const upgraded = await hashPassword(password);
    if (await upgradePasswordHash(db, account.id, account.password, upgraded)) return upgraded;
    // Another login may have upgraded it. Or the password was changed: then this one is no good any more.
    const current = (await findCredentials(db, account.email))?.password ?? account.password;
    return (await verifyPassword(password, current)).valid ? current : account.password;
  } catch (error) {
    // Whoever proved their password gets in; the next login upgrades the hash.
    if (!(error instanceof HasherBusyError)) throw error;
    return account.password;
  }
}
