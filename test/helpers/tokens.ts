import { env } from 'cloudflare:workers';
import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';
import { verifyToken, type TokenClaims } from '../../src/auth/tokens.ts';

/** What a good token says. */
export async function claimsOf(token: string): Promise<TokenClaims> {
  return verifyToken(token, undefined, decodeJwt(token).iat ?? 0);
}

/** A copy of a token with some claims changed (undefined: left out), signed by the suite's secret or by another one. */
export async function resign(
  token: string,
  changes: Record<string, unknown> = {},
  secret: string = env.JWT_SECRET,
): Promise<string> {
  const { alg = 'HS256', ...header } = decodeProtectedHeader(token);
  return new SignJWT({ ...decodeJwt(token), ...changes })
    .setProtectedHeader({ ...header, alg })
    .sign(new TextEncoder().encode(secret));
}
