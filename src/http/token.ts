import { Hono } from 'hono';
import * as v from 'valibot';
import { REFRESH_REUSE_GRACE_S } from '../config.ts';
import { findStanding } from '../directory/access.ts';
import { refreshTokenState, rotateRefreshToken } from '../auth/sessions.ts';
import { deliverNoticesOf } from '../deliver-notices.ts';
import { directory } from '../directory/database.ts';
import type { AppEnv } from './app-env.ts';
import { readFields } from './body.ts';
import { invalid } from './errors.ts';
import { REQUIRED, textField } from './fields.ts';
import { describe } from './openapi/describe.ts';
import { errorBody, fieldErrorsOrError, schema, tokenPair } from './openapi/schemas.ts';
import { noActiveAccount, readToken, refreshBody, tokenBlacklisted, tokenUnknown } from './refresh-token.ts';
import { sourceOf } from './source.ts';

const verifyBody = schema('Token', v.object({ token: textField() }, REQUIRED));
const empty = v.strictObject({});
const refused = { description: 'The token is invalid, expired, used or its session has ended.', schema: errorBody };

export const token = new Hono<AppEnv>();

token.post(
  '/api/token/refresh',
  describe({
    summary: 'Exchange a refresh token for a new pair',
    description:
      'A refresh token is good for one exchange. Using it again ends the session: somebody has a copy. ' +
      `Only within ${REFRESH_REUSE_GRACE_S} s, while the new token is unused, it is merely refused: take the pair that the other request got.`,
    tags: ['Sessions'],
    bearer: false,
    body: refreshBody,
    responses: { 200: { description: 'The new tokens.', schema: tokenPair }, 401: refused },
  }),
  async (c) => {
    const db = directory(c.env.DB);
    const { refresh } = await readFields(c, refreshBody);
    const now = Date.now();
    const claims = await readToken(refresh, 'refresh');
    const rotation = await rotateRefreshToken(db, claims, sourceOf(c), now);
    switch (rotation.outcome) {
      case 'rotated':
        return c.json(rotation.tokens);
      case 'unknown':
        throw tokenUnknown();
      case 'user_inactive':
        throw noActiveAccount();
      case 'session_ended':
      case 'used_moments_ago':
        throw tokenBlacklisted();
      case 'reused': {
        c.executionCtx.waitUntil(deliverNoticesOf(c.env, claims.user_id));
        throw tokenBlacklisted();
      }
    }
  },
);

token.post(
  '/api/token/verify',
  describe({
    summary: 'Ask whether a token is good',
    tags: ['Sessions'],
    bearer: false,
    body: verifyBody,
    responses: {
      200: { description: 'It is.', schema: empty },
      400: {
        description: 'A refresh token that was used or whose session has ended; or a field is wrong.',
        schema: fieldErrorsOrError,
      },
      401: { description: 'The token is invalid or expired, or its session has ended.', schema: errorBody },
    },
  }),
  async (c) => {
    const db = directory(c.env.DB);
    const { token: text } = await readFields(c, verifyBody);
    const now = Date.now();
    const claims = await readToken(text, undefined);
    if (claims.token_type === 'refresh') {
      const state = await refreshTokenState(db, claims, now);
      if (state === 'unknown') throw tokenUnknown();
      if (state !== 'current') throw invalid({ non_field_errors: ['Token is blacklisted'] });
    }
    if ((await findStanding(db, claims, now)).denial) throw tokenUnknown();
    return c.json({});
  },
);
