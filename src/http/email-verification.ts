import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { verifyEmail } from '../auth/accounts.ts';
import { emailState, readLink, signLink } from '../auth/links.ts';
import { VERIFICATION_LINK_LIFETIME_S } from '../config.ts';
import { directory } from '../directory/database.ts';
import { findAccount } from '../directory/users.ts';
import { verificationLetter } from '../mail/letters.ts';
import { sendMail, sendsMail } from '../mail/mail.ts';
import type { AppEnv } from './app-env.ts';
import { readFields } from './body.ts';
import { callersAccount } from './account-checks.ts';
import { invalid } from './errors.ts';
import { REQUIRED, textField } from './fields.ts';
import { LINK_IS_DEAD, linkTo, mailOff, mayMailTo, requireMail, requireMailTo } from './mail-links.ts';
import { credentialLimit } from './middleware/address-limit.ts';
import { bearer } from './middleware/bearer.ts';
import { describe } from './openapi/describe.ts';
import { schema } from './openapi/schemas.ts';
import { sourceOf } from './source.ts';

/** `{"token": …}`. */
export const linkToken = schema('LinkToken', v.object({ token: textField() }, REQUIRED));

export const emailVerification = new Hono<AppEnv>();

emailVerification.use('/api/email-verification', credentialLimit, bearer);

emailVerification.post(
  '/api/email-verification',
  describe({
    summary: 'Ask for the mail that verifies your address',
    description: 'Registration and a change of address send it too.',
    tags: ['Accounts'],
    bearer: true,
    responses: { 202: { description: 'It is on its way, unless the address is verified.' }, 501: mailOff },
  }),
  async (c) => {
    requireMail();
    const account = await callersAccount(c);
    if (account.email_verified_at === null) {
      await requireMailTo(c, account.email);
      await send(c, account);
    }
    return c.body(null, 202);
  },
);

emailVerification.post(
  '/api/email-verification/confirm',
  describe({
    summary: 'Verify an address',
    tags: ['Accounts'],
    bearer: false,
    body: linkToken,
    responses: { 204: { description: 'It is verified.' } },
  }),
  async (c) => {
    const { token } = await readFields(c, linkToken);
    await confirmEmail(c, token);
    return c.body(null, 204);
  },
);

/**
 * Sends the mail that verifies a new address, behind the answer. None where no mail is sent, or if the address has been
 * sent too many: its user can ask for one later.
 */
export async function mailVerification(c: Context<AppEnv>, account: { id: string; email: string }): Promise<void> {
  if (sendsMail() && (await mayMailTo(c, account.email))) await send(c, account);
}

async function send(c: Context<AppEnv>, account: { id: string; email: string }): Promise<void> {
  const link = { user_id: account.id, state: emailState(account) };
  const token = await signLink('email_verification', link, VERIFICATION_LINK_LIFETIME_S, Date.now());
  const letter = verificationLetter(linkTo(c, 'verify-email', token));
  c.executionCtx.waitUntil(sendMail(c.env, { to: account.email, ...letter }));
}

/** Does what the link in the mail is for. @throws ApiError 400 if the link is not good, or not any more */
export async function confirmEmail(c: Context<AppEnv>, token: string): Promise<void> {
  const db = directory(c.env.DB);
  const now = Date.now();
  const link = await readLink('email_verification', token, now);
  const account = link && (await findAccount(db, { id: link.user_id }));
  const isGood =
    account !== undefined &&
    link?.state === emailState(account) &&
    (await verifyEmail(db, { user_id: account.id, email: account.email }, sourceOf(c), now));
  if (!isGood) throw invalid({ token: [LINK_IS_DEAD] });
}
