import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { endSessions } from '../auth/end-sessions.ts';
import { liveSessions } from '../auth/sessions.ts';
import { ACCESS_TOKEN_LIFETIME_S } from '../config.ts';
import { deliverNoticesOf } from '../deliver-notices.ts';
import { directory } from '../directory/database.ts';
import type { AppEnv } from './app-env.ts';
import { notFound } from './errors.ts';
import { bearer } from './middleware/bearer.ts';
import { pathId } from './middleware/path-id.ts';
import { describe } from './openapi/describe.ts';
import { errorBody, isoTime, schema } from './openapi/schemas.ts';
import { sourceOf } from './source.ts';

/** A session as its user and the operator see it. */
export const session = schema(
  'Session',
  v.strictObject({
    id: v.pipe(v.string(), v.uuid()),
    device: v.pipe(v.string(), v.description('The `User-Agent` that signed in.')),
    created_at: isoTime,
    last_used_at: v.pipe(
      isoTime,
      v.description(`To within ${ACCESS_TOKEN_LIFETIME_S / 60} minutes: when it last got an access token.`),
    ),
    expires_at: isoTime,
    current: v.pipe(v.boolean(), v.description('Whether it is the one that asks.')),
  }),
);

export const mySessions = new Hono<AppEnv>();

mySessions.use('/api/me/sessions', bearer);
mySessions.use('/api/me/sessions/:id', pathId, bearer);

mySessions.get(
  '/api/me/sessions',
  describe({
    summary: 'Where you are signed in',
    description: 'The sessions that may still be used, the one used last first; at most the last 100.',
    tags: ['Sessions'],
    bearer: true,
    responses: { 200: { description: 'The sessions.', schema: v.array(session) } },
  }),
  async (c) => {
    const { user_id, session_id } = c.get('caller');
    return c.json(await shownSessions(c, user_id, session_id));
  },
);

mySessions.delete(
  '/api/me/sessions',
  describe({
    summary: 'Sign out everywhere else',
    description: 'Ends all sessions but the one that asks: tokens are refused and sockets close at once.',
    tags: ['Sessions'],
    bearer: true,
    responses: { 204: { description: 'They have ended.' } },
  }),
  async (c) => {
    const { user_id, session_id } = c.get('caller');
    const which = { user_id, except: session_id };
    await endSessions(directory(c.env.DB), which, 'ended_by_user', sourceOf(c), Date.now());
    c.executionCtx.waitUntil(deliverNoticesOf(c.env, user_id));
    return c.body(null, 204);
  },
);

mySessions.delete(
  '/api/me/sessions/:id',
  describe({
    summary: 'End one of your sessions',
    description: 'Its tokens are refused and its sockets close at once.',
    tags: ['Sessions'],
    bearer: true,
    responses: {
      204: { description: 'It has ended.' },
      404: { description: 'You have no such session, or not any more.', schema: errorBody },
    },
  }),
  async (c) => {
    const { user_id } = c.get('caller');
    const which = { user_id, only: c.get('id') };
    const ended = await endSessions(directory(c.env.DB), which, 'ended_by_user', sourceOf(c), Date.now());
    if (ended.length === 0) throw notFound('You have no such session.');
    c.executionCtx.waitUntil(deliverNoticesOf(c.env, user_id));
    return c.body(null, 204);
  },
);

/** A user's sessions that may still be used, the one used last first. @param current id of the one that asks */
export async function shownSessions(c: Context<AppEnv>, userId: string, current?: string) {
  const sessions = await liveSessions(directory(c.env.DB), userId, Date.now());
  return sessions.map(({ id, user_agent, created_at, last_used_at, expires_at }) => ({
    id,
    device: user_agent,
    created_at: new Date(created_at).toISOString(),
    last_used_at: new Date(last_used_at).toISOString(),
    expires_at: new Date(expires_at).toISOString(),
    current: id === current,
  }));
}
