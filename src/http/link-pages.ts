import { Hono, type Context } from 'hono';
import { html } from 'hono/html';
import * as v from 'valibot';
import { HasherBusyError } from '../auth/passwords.ts';
import { PASSWORD_MIN_LENGTH } from '../config.ts';
import type { AppEnv } from './app-env.ts';
import { readFields, readQuery } from './body.ts';
import { confirmEmail, linkToken } from './email-verification.ts';
import { ApiError } from './errors.ts';
import { passwordField, REQUIRED } from './fields.ts';
import { smallPage, type Html } from './html.ts';
import { LINK_IS_DEAD } from './mail-links.ts';
import { credentialLimit } from './middleware/address-limit.ts';
import { describe } from './openapi/describe.ts';
import { accountOfLink, resetPassword } from './password-reset.ts';

/**
 * The pages that the links in mails lead to. They have no script. Looking at one changes nothing, because programs that
 * check mail look at links too: only the button does.
 */
export const linkPages = new Hono<AppEnv>();

const query = v.object({ token: v.pipe(v.optional(v.string(), ''), v.description('From the mail.')) });
const newPassword = v.object({ password: passwordField, confirm_password: passwordField }, REQUIRED);
const page = { description: 'A page.', schema: v.string() };

linkPages.use('/reset-password', credentialLimit);
linkPages.use('/verify-email', credentialLimit);

linkPages.get(
  '/reset-password',
  describe({
    summary: 'The page to choose a new password',
    tags: ['Accounts'],
    bearer: false,
    produces: 'text/html',
    query,
    responses: { 200: page, 400: { description: 'A page: the link is not good (any more).', schema: v.string() } },
  }),
  async (c) => {
    const { token } = readQuery(c, query);
    return resetForm(c, token);
  },
);

linkPages.post(
  '/reset-password',
  describe({
    summary: 'Choose a new password on the page',
    tags: ['Accounts'],
    bearer: false,
    produces: 'text/html',
    query,
    body: newPassword,
    responses: {
      200: page,
      400: { description: 'A page that says what is wrong.', schema: v.string() },
      503: { description: 'The page again: too many passwords are being hashed.', schema: v.string() },
    },
  }),
  async (c) => {
    const { token } = readQuery(c, query);
    try {
      await resetPassword(c, { token, ...(await readFields(c, newPassword)) });
    } catch (error) {
      if (error instanceof HasherBusyError) {
        c.header('Retry-After', String(error.retryAfterSeconds));
        return await resetForm(c, token, [error.message], 503);
      }
      const problems = problemsOf(error);
      if (!problems) throw error;
      return await resetForm(c, token, Object.values(problems).flat().map(String), 400);
    }
    const content = html`<p>Your password is changed. Sign in with the new one. Everywhere else you were signed out.</p>`;
    return smallPage(c, 'Done', content);
  },
);

linkPages.get(
  '/verify-email',
  describe({
    summary: 'The page to verify an e-mail address',
    tags: ['Accounts'],
    bearer: false,
    produces: 'text/html',
    query,
    responses: { 200: page },
  }),
  (c) => {
    const { token } = readQuery(c, query);
    const content = html`<form method="post" action="/verify-email/">
      <input type="hidden" name="token" value="${token}" />
      <p>Is this address yours, and did you give it here?</p>
      <button>Yes, confirm it</button>
    </form>`;
    return smallPage(c, 'Confirm your e-mail address', content);
  },
);

linkPages.post(
  '/verify-email',
  describe({
    summary: 'Verify an e-mail address on the page',
    tags: ['Accounts'],
    bearer: false,
    produces: 'text/html',
    body: linkToken,
    responses: { 200: page, 400: { description: 'A page: the link is not good (any more).', schema: v.string() } },
  }),
  async (c) => {
    try {
      const { token } = await readFields(c, linkToken);
      await confirmEmail(c, token);
    } catch (error) {
      if (!problemsOf(error)) throw error;
      return deadLink(c);
    }
    return smallPage(c, 'Done', html`<p>Your e-mail address is confirmed.</p>`);
  },
);

/** The form, if the link is good. */
async function resetForm(
  c: Context<AppEnv>,
  token: string,
  problems: readonly string[] = [],
  status: 200 | 400 | 503 = 200,
) {
  const account = await accountOfLink(c, token);
  if (!account) return deadLink(c);
  const errors: Html[] = problems.map((problem) => html`<p class="error" role="alert">${problem}</p>`);
  const content = html`<form method="post" action="/reset-password/?token=${token}">
    ${errors}
    <!-- For password managers. -->
    <input type="text" name="username" autocomplete="username" value="${account.email}" readonly hidden />
    <label for="password">New password, at least ${PASSWORD_MIN_LENGTH} characters</label>
    <input id="password" name="password" type="password" autocomplete="new-password" required autofocus />
    <label for="confirm">The same again</label>
    <input id="confirm" name="confirm_password" type="password" autocomplete="new-password" required />
    <button>Change it</button>
  </form>`;
  return smallPage(c, 'Choose a new password', content, status);
}

function deadLink(c: Context<AppEnv>) {
  return smallPage(c, 'This does not work', html`<p>${LINK_IS_DEAD}</p>`, 400);
}

/** What is wrong with a form, by field; undefined for an error of another kind. */
function problemsOf(error: unknown): Record<string, unknown> | undefined {
  return error instanceof ApiError && error.status === 400 ? error.body : undefined;
}
