import { Hono } from 'hono';
import * as v from 'valibot';
import { endSessions } from '../auth/end-sessions.ts';
import { refreshTokenState } from '../auth/sessions.ts';
import { deliverNoticesOf } from '../deliver-notices.ts';
import { directory } from '../directory/database.ts';
import type { AppEnv } from './app-env.ts';
import { readFields } from './body.ts';
import { describe } from './openapi/describe.ts';
import { errorBody } from './openapi/schemas.ts';
import { readToken, refreshBody, tokenBlacklisted, tokenUnknown } from './refresh-token.ts';
import { sourceOf } from './source.ts';

export const logout = new Hono<AppEnv>();

logout.post(
  '/api/logout',
  describe({
    summary: 'Sign out',
    description: 'Ends the session of the refresh token: its access tokens are refused and its sockets close at once.',
    tags: ['Sessions'],
    bearer: false,
    body: refreshBody,
    responses: {
      200: { description: 'Signed out.', schema: v.strictObject({}) },
      401: { description: 'The token is invalid, expired or its session had ended before.', schema: errorBody },
    },
  }),
  async (c) => {
    const db = directory(c.env.DB);
    const { refresh } = await readFields(c, refreshBody);
    const now = Date.now();
    const claims = await readToken(refresh, 'refresh');
    // A used token is good enough to end its own session with: it is an old copy of what the client holds, or a stolen one.
    if ((await refreshTokenState(db, claims, now)) === 'unknown') throw tokenUnknown();
    const { user_id, session_id } = claims;
    const ended = await endSessions(db, { user_id, only: session_id }, 'logout', sourceOf(c), now);
    if (ended.length === 0) throw tokenBlacklisted();
    c.executionCtx.waitUntil(deliverNoticesOf(c.env, user_id));
    return c.json({});
  },
);
