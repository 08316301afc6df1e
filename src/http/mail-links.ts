import type { Context } from 'hono';
import { requireAll, take, type Throttle } from '../auth/throttle.ts';
import { directory } from '../directory/database.ts';
import { sendsMail } from '../mail/mail.ts';
import { settings } from '../settings.ts';
import type { AppEnv } from './app-env.ts';
import { ApiError } from './errors.ts';
import { errorBody } from './openapi/schemas.ts';

/** What is said of a link that was used, is too old, or is not one of ours. */
export const LINK_IS_DEAD = 'This link is not good any more. Ask for a new one.';

/** The answer where no mail is sent. */
export const mailOff = { description: 'This deployment sends no mail.', schema: errorBody };

/** @throws ApiError 501 where no mail is sent */
export function requireMail(): void {
  if (sendsMail()) return;
  throw new ApiError(501, {
    detail: 'This server sends no e-mail, so addresses cannot be verified and passwords cannot be reset by mail.',
    code: 'mail_off',
  });
}

/** Counts a mail that somebody asks for. @throws Throttled, for addresses that have an account and others alike */
export async function requireMailTo(c: Context<AppEnv>, email: string): Promise<void> {
  await requireAll(directory(c.env.DB), [mailsTo(email)], Date.now());
}

/** Counts a mail that something else brings about. @returns false if it is too much */
export async function mayMailTo(c: Context<AppEnv>, email: string): Promise<boolean> {
  return (await take(directory(c.env.DB), mailsTo(email), Date.now())) === 0;
}

const mailsTo = (email: string): Throttle => ({
  what: 'mail',
  whose: email,
  rate: { limit: settings.mailsPerHour, periodMs: 60 * 60 * 1000 },
});

/**
 * The address of the page that a mail leads to: on the host that the mail was asked for from, which is one of ours. Not
 * by the scheme and the port that were asked, which are anybody's choice.
 */
export function linkTo(c: Context<AppEnv>, page: 'reset-password' | 'verify-email', token: string): string {
  const { origin, hostname } = new URL(c.req.url);
  return `${settings.development ? origin : `https://${hostname}`}/${page}/?token=${token}`;
}
