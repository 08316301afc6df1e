import { findDenial } from '../directory/access.ts';
import type { Directory } from '../directory/database.ts';
import { refusedFor, verifyToken, type TokenClaims } from './tokens.ts';

/**
 * Verifies an access token, and looks up its user and session in one query. `now` is in milliseconds since 1970.
 * @throws TokenRefused
 */
export async function authenticate(db: Directory, token: string, now: number): Promise<TokenClaims> {
  const claims = await verifyToken(token, 'access', Math.floor(now / 1000));
  const denial = await findDenial(db, claims, now);
  if (denial) throw refusedFor(denial);
  return claims;
}
