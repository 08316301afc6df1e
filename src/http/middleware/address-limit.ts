import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import { ADDRESS_PERIOD_S } from '../../config.ts';
import type { AppEnv } from '../app-env.ts';
import { tooManyRequests } from '../errors.ts';
import { addressOf, networkOf } from '../source.ts';

/**
 * Whether the request's address has made more requests than wrangler.toml allows one. A coarse filter against floods:
 * it counts in each of Cloudflare's locations, and costs no query.
 */
export async function isOverAddressLimit(c: Context<AppEnv>, limit: RateLimit): Promise<boolean> {
  const address = addressOf(c);
  // Cloudflare names the address of every request. Nobody's address is not one that many could share.
  return address !== undefined && !(await limit.limit({ key: networkOf(address) })).success;
}

/** Refuses requests of an address that makes too many. */
export const addressLimit = createMiddleware<AppEnv>(async (c, next) => {
  if (await isOverAddressLimit(c, c.env.REQUEST_LIMIT)) throw tooManyRequests(ADDRESS_PERIOD_S * 1000);
  await next();
});

const HARMLESS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** The same for what may cost a password hash or a mail, of which nobody needs many. */
export const credentialLimit = createMiddleware<AppEnv>(async (c, next) => {
  const isOver = !HARMLESS.has(c.req.method) && (await isOverAddressLimit(c, c.env.CREDENTIAL_LIMIT));
  if (isOver) throw tooManyRequests(ADDRESS_PERIOD_S * 1000);
  await next();
});
