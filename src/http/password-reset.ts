import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { changePassword } from '../auth/accounts.ts';
import { passwordState, readLink, signLink } from '../auth/links.ts';
import { welcomeHere } from '../auth/login-attempts.ts';
import { hashPassword } from '../auth/passwords.ts';
import { RESET_LINK_LIFETIME_S } from '../config.ts';
import { deliverNoticesOf } from '../deliver-notices.ts';
import { directory } from '../directory/database.ts';
import { findAccount } from '../directory/users.ts';
import { logError } from '../log.ts';
import { passwordChangedLetter, passwordResetLetter } from '../mail/letters.ts';
import { sendMail } from '../mail/mail.ts';
import type { AppEnv } from './app-env.ts';
import { readFields } from './body.ts';
import { invalid } from './errors.ts';
import { passwordField, REQUIRED, textField } from './fields.ts';
import { LINK_IS_DEAD, linkTo, mailOff, requireMail, requireMailTo } from './mail-links.ts';
import { checkNewPassword } from './account-checks.ts';
import { credentialLimit } from './middleware/address-limit.ts';
import { describe, hasherBusy } from './openapi/describe.ts';
import { schema } from './openapi/schemas.ts';
import { attemptOf, sourceOf } from './source.ts';

const request = schema(
  'PasswordResetRequest',
  v.object({ email: textField({ describe: { format: 'email' } }) }, REQUIRED),
);

const passwordReset = schema(
  'PasswordReset',
  v.object({ token: textField(), password: passwordField, confirm_password: passwordField }, REQUIRED),
);

export const passwordResets = new Hono<AppEnv>();

passwordResets.use('/api/password-reset/*', credentialLimit);

passwordResets.post(
  '/api/password-reset',
  describe({
    summary: 'Ask for a mail to choose a new password',
    description: 'The answer is the same whether there is such an account or not.',
    tags: ['Accounts'],
    bearer: false,
    body: request,
    responses: { 202: { description: 'If there is such an account, a mail is on its way.' }, 501: mailOff },
  }),
  async (c) => {
    requireMail();
    const { email } = await readFields(c, request);
    const address = email.toLowerCase();
    await requireMailTo(c, address);
    // Behind the answer, whose time must not tell whether there is such an account.
    c.executionCtx.waitUntil(mailReset(c, address));
    return c.body(null, 202);
  },
);

passwordResets.post(
  '/api/password-reset/confirm',
  describe({
    summary: 'Choose a new password',
    description: 'With the token of the mail, which is good for one change. Ends every session of the account.',
    tags: ['Accounts'],
    bearer: false,
    body: passwordReset,
    responses: { 204: { description: 'It is changed.' }, 503: hasherBusy },
  }),
  async (c) => {
    await resetPassword(c, await readFields(c, passwordReset));
    return c.body(null, 204);
  },
);

async function mailReset(c: Context<AppEnv>, email: string): Promise<void> {
  try {
    const account = await findAccount(directory(c.env.DB), { email });
    if (!account?.is_active) return;
    const link = { user_id: account.id, state: passwordState(account) };
    const token = await signLink('password_reset', link, RESET_LINK_LIFETIME_S, Date.now());
    await sendMail(c.env, { to: account.email, ...passwordResetLetter(linkTo(c, 'reset-password', token)) });
  } catch (error) {
    logError('password_reset_failed', error, { request_id: c.get('requestId') });
  }
}

/** Does what the link in the mail is for. @throws ApiError 400 if the link or the password is not good */
export async function resetPassword(
  c: Context<AppEnv>,
  { token, password, confirm_password }: v.InferOutput<typeof passwordReset>,
): Promise<void> {
  const account = await accountOfLink(c, token);
  if (!account) throw invalid({ token: [LINK_IS_DEAD] });
  checkNewPassword(password, confirm_password, account);
  const change = {
    kind: 'password_reset',
    user_id: account.id,
    email: account.email,
    from: account.password,
    to: await hashPassword(password),
  } as const;
  // Of two that use the same link at once, the first one wins.
  if (!(await changePassword(directory(c.env.DB), change, sourceOf(c), Date.now()))) {
    throw invalid({ token: [LINK_IS_DEAD] });
  }
  // Wrong passwords that others try must not keep out whoever has just shown that the account is theirs.
  await welcomeHere(directory(c.env.DB), attemptOf(account.email, sourceOf(c)), [], Date.now());
  c.executionCtx.waitUntil(deliverNoticesOf(c.env, account.id));
  c.executionCtx.waitUntil(sendMail(c.env, { to: account.email, ...passwordChangedLetter() }));
}

/** The account whose password the token of a mail can change; undefined if it is not good (any more). */
export async function accountOfLink(c: Context<AppEnv>, token: string) {
  const link = await readLink('password_reset', token, Date.now());
  const account = link && (await findAccount(directory(c.env.DB), { id: link.user_id }));
  return account?.is_active && link?.state === passwordState(account) ? account : undefined;
}
