import { bytesToHex, randomBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { base64url, errors, jwtVerify, SignJWT, type JWTPayload } from 'jose';
import { ISSUED_AT_TOLERANCE_S } from '../config.ts';
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

/** Why a token is refused, in the words and with the codes of simplejwt 5.3.1, which the clients know. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
}

/** A well-signed token whose `user_id` can name nobody: absent, or not an id. */
export class TokenUserError extends Error {
  override readonly name = 'TokenUserError';
  constructor(readonly problem: 'absent' | 'unknown') {
    super(`user_id is ${problem}`);
  }
}

const INVALID = 'Token is invalid or expired';
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
 * @throws TokenError in simplejwt's words and order; TokenUserError for a strange or absent user_id
 */
export async function verifyToken(
  token: string,
  type: TokenType | undefined,
  now: number,
  keys: TokenKeys = tokenKeys,
): Promise<TokenClaims> {
  const payload = await verifySignature(token, now, keys);
  if (payload.exp === undefined) throw new TokenError("Token has no 'exp' claim");
  if (!Number.isSafeInteger(payload.exp)) throw new TokenError(INVALID);
  if (typeof payload.jti !== 'string' || payload.jti === '') throw new TokenError('Token has no id');
  const tokenType = payload['token_type'];
  if (tokenType === undefined) throw new TokenError('Token has no type');
  if ((tokenType !== 'access' && tokenType !== 'refresh') || (type !== undefined && tokenType !== type)) {
    throw new TokenError('Token has wrong type');
  }
  const userId = payload['user_id'];
  if (userId === undefined) throw new TokenUserError('absent');
  const canonicalUserId = typeof userId === 'string' ? parseUuid(userId) : undefined;
  if (canonicalUserId === undefined) throw new TokenUserError('unknown');
  const sessionId = payload['sid'];
  if (payload.iss !== ISSUER || payload.aud !== AUDIENCE[tokenType] || typeof sessionId !== 'string') {
    throw new TokenError(INVALID);
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
    if (payload.iat !== undefined && payload.iat > now + ISSUED_AT_TOLERANCE_S) throw new TokenError(INVALID);
    return payload;
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) throw new TokenError(INVALID);
    throw error;
  }
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
