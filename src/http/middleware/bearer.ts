import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import { authenticate, authenticateForConversation } from '../../auth/authenticate.ts';
import { TokenRefused } from '../../auth/tokens.ts';
import { directory } from '../../directory/database.ts';
import type { AppEnv } from '../app-env.ts';
import { notAMember, notFound, unauthorized, type ApiError } from '../errors.ts';

/** Lets a request pass whose `Authorization: Bearer` holds a good access token; the others are answered 401. */
export const bearer = createMiddleware<AppEnv>(async (c, next) => {
  // OPTIONS says what is allowed to anyone: a preflight carries no token.
  if (c.req.method !== 'OPTIONS' && !(await authenticateCaller(c))) {
    throw unauthorized('Authentication credentials were not provided.');
  }
  await next();
});

/** Lets a request pass whose caller is a member of the conversation that the path names. Needs `pathId` before it. */
export const member = createMiddleware<AppEnv>(async (c, next) => {
  if (c.req.method !== 'OPTIONS') {
    const caller = await withBearer(c, (token) =>
      authenticateForConversation(directory(c.env.DB), token, c.get('id'), Date.now()),
    );
    if (!caller) throw unauthorized('Authentication credentials were not provided.');
    const { claims, admission } = caller;
    c.set('caller', { user_id: claims.user_id, session_id: claims.session_id });
    if (!admission.inbox) throw new Error('A user was admitted whom the directory does not know.');
    c.set('inbox', admission.inbox);
    if (!admission.conversation) throw notFound('There is no such conversation.');
    if (!admission.isMember) throw notAMember();
    c.set('conversation', admission.conversation);
  }
  await next();
});

/** Lets a request without a bearer token pass too, but not one whose token is no good: as the original does. */
export const optionalBearer = createMiddleware<AppEnv>(async (c, next) => {
  if (c.req.method !== 'OPTIONS') await authenticateCaller(c);
  await next();
});

/**
 * The token of `Authorization: Bearer <token>`: empty if there is not exactly one, undefined if there is no such header
 * or it has another scheme.
 */
export function bearerToken(c: Context<AppEnv>): string | undefined {
  const [scheme, token, ...more] = (c.req.header('Authorization') ?? '').split(/\s+/).filter(Boolean);
  if (scheme !== 'Bearer') return undefined;
  return token === undefined || more.length > 0 ? '' : token;
}

/** @returns false if the request carries no bearer token */
async function authenticateCaller(c: Context<AppEnv>): Promise<boolean> {
  const caller = await withBearer(c, (token) => authenticate(directory(c.env.DB), token, Date.now()));
  if (!caller) return false;
  const { claims, inbox } = caller;
  c.set('caller', { user_id: claims.user_id, session_id: claims.session_id });
  c.set('inbox', inbox);
  return true;
}

/** What `verify` makes of the request's bearer token, its refusal as an answer; undefined if there is no token. */
async function withBearer<T>(c: Context<AppEnv>, verify: (token: string) => Promise<T>): Promise<T | undefined> {
  const token = bearerToken(c);
  if (token === undefined) return undefined;
  if (token === '') {
    throw unauthorized('Authorization header must contain two space-delimited values', 'bad_authorization_header');
  }
  try {
    return await verify(token);
  } catch (error) {
    throw error instanceof TokenRefused ? accessTokenRefused(error) : error;
  }
}

function accessTokenRefused({ reason, message }: TokenRefused): ApiError {
  switch (reason) {
    case 'user_not_found':
    case 'user_inactive':
      return unauthorized(message, reason);
    case 'no_user_id':
      return unauthorized(message, 'token_not_valid');
    case 'token_not_valid':
    case 'session_ended':
      return unauthorized('Given token not valid for any token type', 'token_not_valid', {
        messages: [{ token_class: 'AccessToken', token_type: 'access', message }],
      });
  }
}
