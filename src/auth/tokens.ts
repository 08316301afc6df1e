import { bytesToHex, randomBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { base64url, errors, jwtVerify, SignJWT, type JWTPayload } from 'jose';
import { ISSUED_AT_TOLERANCE_S, SESSION_LIFETIME_S } from '../config.ts';
import type { Denial } from '../directory/access.ts';
import { parseUuid } from '../protocol/uuid.ts';
import { settings, type Settings } from '../settings.ts';

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
const ISSUER = 'edge-chat';
const AUDIENCE: Record<TokenType, string> = { access: 'api', refresh: 'token' };

/** A new token id: 128 random bits. */
export function newTokenId(): string {
  return bytesToHex(randomBytes(16));
}

/** What is stored of a token: a leak of the database must not yield token ids. */
export function hashTokenId(jti: string): string {
  return bytesToHex(sha256(utf8ToBytes(jti)));
}

/** Signs a token. `issuedAt` and `claims.exp` are seconds since 1970. */
export async function signToken(claims: TokenClaims, issuedAt: number, keys: TokenKeys = tokenKeys): Promise<string> {
  return new SignJWT({
    token_type: claims.token_type,
    exp: claims.exp,
    iat: issuedAt,
    jti: claims.jti,
    user_id: claims.user_id,
    sid: claims.session_id,
    iss: ISSUER,
    aud: AUDIENCE[claims.token_type],
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: keys.current.kid })
    .sign(keys.current.secret);
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

async function verifySignature(token: string, now: number, keys: TokenKeys): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(
      token,
      (header) => {
        const key = [keys.current, keys.previous].find((candidate) => candidate?.kid === header.kid);
        if (!key) throw new errors.JWKSNoMatchingKey();
        return key.secret;
      },
      { algorithms: ['HS256'], currentDate: new Date(now * 1000) },
    );
    // jose looks at `iat` only when told a maximum age.
    if (payload.iat !== undefined && payload.iat > now + ISSUED_AT_TOLERANCE_S) throw invalid();
    return payload;
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) throw invalid();
    throw error;
  }
}

function invalid(): TokenRefused {
  return new TokenRefused('token_not_valid', TOKEN_INVALID);
}

type Key = { readonly kid: string; readonly secret: Uint8Array };

/** The keys that verify; the first one also signs. */
export type TokenKeys = { readonly current: Key; readonly previous: Key | undefined };

/**
 * Derives the keys from the secrets. The `kid` in a token's header picks one of them and can pick nothing else:
 * `jku`, `jwk` and `x5u` headers are never read.
 */
export function readTokenKeys({
  jwtSecret,
  jwtSecretPrevious,
}: Pick<Settings, 'jwtSecret' | 'jwtSecretPrevious'>): TokenKeys {
  return {
    current: readKey(jwtSecret),
    previous: jwtSecretPrevious === undefined ? undefined : readKey(jwtSecretPrevious),
  };
}

function readKey(secret: string): Key {
  const kid = base64url.encode(sha256(utf8ToBytes(`kid${secret}`))).slice(0, 8);
  return { kid, secret: utf8ToBytes(secret) };
}

const tokenKeys = readTokenKeys(settings);
