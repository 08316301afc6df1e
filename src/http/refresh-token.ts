import * as v from 'valibot';
import { TOKEN_INVALID, TokenRefused, verifyToken, type TokenClaims, type TokenType } from '../auth/tokens.ts';
import { refreshTokenRefused, unauthorized } from './errors.ts';
import { REQUIRED, textField } from './fields.ts';
import { schema } from './openapi/schemas.ts';

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
    if (!(error instanceof TokenRefused)) throw error;
    throw refreshTokenRefused(error.reason === 'token_not_valid' ? error.message : TOKEN_INVALID);
  }
}

/** 401 for a refresh token that was used before or whose session has ended. */
export const tokenBlacklisted = () => refreshTokenRefused('Token is blacklisted');

/** 401 for a well-signed token that was never issued, or not any more. */
export const tokenUnknown = () => refreshTokenRefused(TOKEN_INVALID);

/** 401 for a refresh token of someone who may not sign in any more. */
export const noActiveAccount = () => unauthorized('No active account found for the given token.', 'no_active_account');
