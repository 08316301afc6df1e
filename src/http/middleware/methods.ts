import type { Hono } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import type { AppEnv } from '../app-env.ts';

/** Answers 405, and OPTIONS, on the paths that exist: both say in `Allow` what is allowed there. */
export function otherMethods(app: Hono<AppEnv>) {
  return methodNotAllowed({
    app,
    onMethodNotAllowed: (c, methods) => {
      const allow = [...methods, 'OPTIONS'].join(', ');
      if (c.req.method === 'OPTIONS') {
        // Of the 404 that this answer replaces.
        c.res.headers.delete('Content-Type');
        return c.body(null, 204, { Allow: allow });
      }
      return c.json({ detail: `Method "${c.req.method}" not allowed.` }, 405, { Allow: allow });
    },
  });
}
