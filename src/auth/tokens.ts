import { SESSION_LIFETIME_S } from '../config.ts';
import type { Denial } from '../directory/access.ts';
import { parseUuid } from '../protocol/uuid.ts';
import { ISSUER, signClaims, tokenKeys, verifySignature, type TokenKeys } from './signatures.ts';

/** `access` opens the API and the sockets; `refresh` is good for a new pair and for logout, nothing else. */
export type TokenType = 'access' | 'refresh';

/** What a token of ours says, once its signature and every claim were checked. */
export type TokenClaims = {
  readonly token_type: TokenType;
  /** 32 hexadecimal digits, 128 random bits. */
  readonly jti: string;
  readonly user_id: string;
  readonly session_id: string;
  /** Seconds since 1970. The token is refused from this second on. */
  readonly exp: number;
};

/**
 * A token that opens nothing. The message is for people, in the words of simplejwt 5.3.1, which the clients know; the
 * reason is for code.
 */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused';
  constructor(
    readonly reason: 'token_not_valid' | 'no_user_id' | Denial,
    message: string,
  ) {
    super(message);
  }
}

/** What is said of a token that is wrong in a way that is nobody's business. */
export const TOKEN_INVALID = 'Token is invalid or expired';

/** The refusal of a good token whose user or session may not act. */
export function refusedFor(denial: Denial): TokenRefused {
  return new TokenRefused(denial, DENIAL_MESSAGES[denial]);
}

const DENIAL_MESSAGES: Record<Denial, string> = {
  user_not_found: 'User not found',
  user_inactive: 'User is inactive',
  session_ended: TOKEN_INVALID,
};
const AUDIENCE: Record<TokenType, string> = { access: 'api', refresh: 'token' };

/** Signs a token. `issuedAt` and `claims.exp` are seconds since 1970. */
export async function signToken(claims: TokenClaims, issuedAt: number, keys: TokenKeys = tokenKeys): Promise<string> {
  return signClaims(
    {
      token_type: claims.token_type,
      exp: claims.exp,
      iat: issuedAt,
      jti: claims.jti,
      user_id: claims.user_id,
      sid: claims.session_id,
      iss: ISSUER,
      aud: AUDIENCE[claims.token_type],
    },
    keys,
  );
}

/**
 * Verifies a token of the given type, or of either type if none is given. Whether its session lives is not known here.
 * @param now seconds since 1970
 * @throws TokenRefused for the first thing that is wrong, in simplejwt's order
 */
export async function verifyToken(
  token: string,
  type: TokenType | undefined,
  now: number,
  keys: TokenKeys = tokenKeys,
): Promise<TokenClaims> {
  const payload = await verifySignature(token, now, keys);
  if (!payload) throw invalid();
  if (payload.exp === undefined) throw new TokenRefused('token_not_valid', "Token has no 'exp' claim");
  // No token of ours outlives a session.
  if (!Number.isSafeInteger(payload.exp) || payload.exp > now + SESSION_LIFETIME_S) throw invalid();
  if (typeof payload.jti !== 'string' || payload.jti === '')
    throw new TokenRefused('token_not_valid', 'Token has no id');
  const tokenType = payload['token_type'];
  if (tokenType === undefined) throw new TokenRefused('token_not_valid', 'Token has no type');
  if ((tokenType !== 'access' && tokenType !== 'refresh') || (type !== undefined && tokenType !== type)) {
    throw new TokenRefused('token_not_valid', 'Token has wrong type');
  }
  const userId = payload['user_id'];
  if (userId === undefined) throw new TokenRefused('no_user_id', 'Token contained no recognizable user identification');
  const canonicalUserId = typeof userId === 'string' ? parseUuid(userId) : undefined;
  if (canonicalUserId === undefined) throw refusedFor('user_not_found');
  const sessionId = payload['sid'];
  if (payload.iss !== ISSUER || payload.aud !== AUDIENCE[tokenType] || typeof sessionId !== 'string') {
    throw invalid();
  }
  return {
    token_type: tokenType,
    jti: payload.jti,
    user_id: canonicalUserId,
    session_id: sessionId,
    exp: payload.exp,
  };
}

function invalid(): TokenRefused {
  return new TokenRefused('token_not_valid', TOKEN_INVALID);
}
