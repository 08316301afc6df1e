import { createMiddleware } from 'hono/factory';
import { log } from '../../log.ts';
import type { AppEnv } from '../app-env.ts';

/**
 * Names each request and writes one line about it: the path without its query, which may hold a token, and without the
 * emoji that someone reacts with. A 101 keeps its headers as the conversation made them, because the runtime refuses to
 * change them.
 */
export const requestLog = createMiddleware<AppEnv>(async (c, next) => {
  const start = Date.now();
  c.set('requestId', crypto.randomUUID());
  await next();
  if (c.res.status !== 101) c.res.headers.set('X-Request-Id', c.get('requestId'));
  log('request', {
    request_id: c.get('requestId'),
    method: c.req.method,
    path: c.req.path.replace(/\/reactions\/.*/, '/reactions/…'),
    status: c.res.status,
    duration_ms: Date.now() - start,
    user_id: c.get('caller')?.user_id,
  });
});
