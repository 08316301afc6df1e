import { Hono } from 'hono';
import * as v from 'valibot';
import { HasherBusyError, hashPassword, verifyPassword } from '../auth/passwords.ts';
import { startSession } from '../auth/sessions.ts';
import { directory, type Directory } from '../directory/database.ts';
import { findCredentials, upgradePasswordHash } from '../directory/users.ts';
import type { AppEnv } from './app-env.ts';
import { readFields } from './body.ts';
import { unauthorized } from './errors.ts';
import { passwordField, REQUIRED, textField } from './fields.ts';
import { describe, hasherBusy } from './openapi/describe.ts';
import { errorBody, schema, tokenPair } from './openapi/schemas.ts';

const credentials = schema(
  'Credentials',
  v.object({ email: textField({ describe: { format: 'email' } }), password: passwordField }, REQUIRED),
);

export const login = new Hono<AppEnv>();

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
    const account = await findCredentials(db, email.toLowerCase());
    // One hash in every case: the time of the answer must not tell whether there is such an account.
    const { valid, outdated } = await verifyPassword(password, account?.is_active ? account.password : null);
    if (!account || !valid) throw unauthorized('No active account found with the given credentials');
    if (outdated) await upgradeHash(db, account, password);
    const userAgent = c.req.header('User-Agent') ?? '';
    return c.json(await startSession(db, { userId: account.id, userAgent, now: Date.now() }));
  },
);

async function upgradeHash(db: Directory, account: { id: string; password: string }, password: string): Promise<void> {
  try {
    await upgradePasswordHash(db, account.id, account.password, await hashPassword(password));
  } catch (error) {
    // Whoever proved their password gets in; the next login upgrades the hash.
    if (!(error instanceof HasherBusyError)) throw error;
  }
}
