import { cors } from 'hono/cors';
import { createMiddleware } from 'hono/factory';
import { secureHeaders } from 'hono/secure-headers';
import type { AppEnv } from '../app-env.ts';
import { ApiError } from '../errors.ts';
import { isAllowedHost, isAllowedOrigin } from './origin.ts';

/**
 * Headers of every answer but a socket's. Answers are data, which no page may frame, run or keep; the pages that there
 * are state their own policies.
 */
export const securityHeaders = createMiddleware<AppEnv>(async (c, next) => {
  await next();
  // The runtime forbids changing the headers of an open socket's answer.
  if (c.res.status === 101) return;
  await strictHeaders(c, async () => {});
  c.header('Cache-Control', 'no-store');
  if (!c.res.headers.has('Content-Security-Policy')) {
    c.header('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'");
  }
});

const strictHeaders = secureHeaders({
  strictTransportSecurity: 'max-age=31536000; includeSubDomains',
  xFrameOptions: 'DENY',
  referrerPolicy: 'same-origin',
});

/** CORS for the origins that may use the API. Bearer tokens need no credentials mode, so none is allowed. */
export const corsHeaders = createMiddleware<AppEnv>(async (c, next) => {
  const origin = c.req.header('Origin');
  return origin !== undefined && isAllowedOrigin(origin, c.req.url) ? withCors(c, next) : next();
});

const withCors = cors({
  origin: (origin) => origin,
  allowMethods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
  allowHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key'],
  exposeHeaders: ['Link', 'Retry-After', 'X-Request-Id'],
  maxAge: 86_400,
});

/** Refuses requests that name a host which is not ours. */
export const refuseForeignHosts = createMiddleware<AppEnv>(async (c, next) => {
  if (!isAllowedHost(c.req.url)) {
    const detail = 'In development only localhost, 127.0.0.1, [::1] and the hosts in ALLOWED_ORIGINS are served.';
    throw new ApiError(400, { detail, code: 'host_not_allowed' });
  }
  await next();
});
