import type { Directory } from '../directory/database.ts';
import { checkStanding, type Standing } from './identity.ts';
import { TokenError, TokenUserError, verifyToken, type TokenClaims } from './tokens.ts';

/** An access token that opens nothing. `reason` is for code, the message in simplejwt's words for people. */
export class AccessDenied extends Error {
  override readonly name = 'AccessDenied';
  constructor(
    readonly reason: 'token_not_valid' | 'no_user_id' | Exclude<Standing, 'ok'>,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Verifies an access token's signature and claims, without looking anything up. `now` is in milliseconds.
 * @throws AccessDenied
 */
export async function verifyAccessToken(token: string, now: number): Promise<TokenClaims> {
  try {
    return await verifyToken(token, 'access', Math.floor(now / 1000));
  } catch (error) {
    if (error instanceof TokenError) throw new AccessDenied('token_not_valid', error.message);
    if (error instanceof TokenUserError) {
      throw error.problem === 'absent'
        ? new AccessDenied('no_user_id', 'Token contained no recognizable user identification')
        : deniedFor('user_not_found');
    }
    throw error;
  }
}

/**
 * Verifies an access token and looks up its user and session, in one query.
 * @throws AccessDenied
 */
export async function authenticate(db: Directory, token: string, now: number): Promise<TokenClaims> {
  const claims = await verifyAccessToken(token, now);
  const standing = await checkStanding(db, claims, now);
  if (standing !== 'ok') throw deniedFor(standing);
  return claims;
}

/** What to tell someone whose account or session may not act. */
export function deniedFor(standing: Exclude<Standing, 'ok'>): AccessDenied {
  switch (standing) {
    case 'user_not_found':
      return new AccessDenied(standing, 'User not found');
    case 'user_inactive':
      return new AccessDenied(standing, 'User is inactive');
    case 'session_ended':
      return new AccessDenied(standing, 'Token is invalid or expired');
  }
}
