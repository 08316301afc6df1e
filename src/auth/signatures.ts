import { sha256 } from '@noble/hashes/sha2.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';
import { base64url, errors, jwtVerify, SignJWT, type JWTPayload } from 'jose';
import { ISSUED_AT_TOLERANCE_S } from '../config.ts';
import { settings, type Settings } from '../settings.ts';

/** The `iss` of everything that is signed here. */
export const ISSUER = 'edge-chat';

/** Signs claims as a JWT with the current key. */
export async function signClaims(claims: JWTPayload, keys: TokenKeys = tokenKeys): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: keys.current.kid })
    .sign(keys.current.secret);
}

/**
 * The claims of a JWT that one of the keys has signed and that has not expired; undefined for anything else.
 * @param now seconds since 1970
 */
export async function verifySignature(
  token: string,
  now: number,
  keys: TokenKeys = tokenKeys,
): Promise<JWTPayload | undefined> {
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
    return payload.iat !== undefined && payload.iat > now + ISSUED_AT_TOLERANCE_S ? undefined : payload;
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined;
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

/** The keys of this deployment. */
export const tokenKeys = readTokenKeys(settings);
