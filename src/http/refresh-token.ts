import * as v from 'valibot';
import { TokenError, TokenUserError, verifyToken, type TokenClaims, type TokenType } from '../auth/tokens.ts';
import { refreshTokenRefused, unauthorized } from './errors.ts';
import { REQUIRED, textField } from './fields.ts';
import { schema } from './schemas.ts';

/** `{"refresh": …}`. */
export const refreshBody = schema('RefreshToken', v.object({ refresh: textField() }, REQUIRED));

/**
 * Verifies a token that a client sent in a body; without a `type` both are accepted.
 * @throws ApiError 401 in the words of simplejwt 5.3.1
 */
export async function readToken(token: string, type: TokenType | undefined): Promise<TokenClaims> {
  try {
    return await verifyToken(token, type, Math.floor(Date.now() / 1000));
  } catch (error) {
    if (error instanceof TokenError) throw refreshTokenRefused(error.message);
    if (error instanceof TokenUserError) throw refreshTokenRefused('Token is invalid or expired');
    throw error;
  }
}

/** 401 for a refresh token that was used before or whose session has ended. */
export const tokenBlacklisted = () => refreshTokenRefused('Token is blacklisted');

/** 401 for a well-signed token that was never issued, or not any more. */
export const tokenUnknown = () => refreshTokenRefused('Token is invalid or expired');

/** 401 for a refresh token of someone who may not sign in any more. */
export const noActiveAccount = () => unauthorized('No active account found for the given token.', 'no_active_account');
