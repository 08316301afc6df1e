import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';
import { base64url, decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { randomId } from '../../src/auth/digest.ts';
import { readTokenKeys } from '../../src/auth/signatures.ts';
import { SESSION_LIFETIME_S } from '../../src/config.ts';
import { signToken, TokenRefused, verifyToken, type TokenClaims } from '../../src/auth/tokens.ts';

const NOW = 1_800_000_000;
const SECRET = 'the secret of this test, 32 bytes and more';
const OTHER_SECRET = 'somebody else has this one, 32 bytes too';
const KEYS = readTokenKeys({ jwtSecret: SECRET, jwtSecretPrevious: undefined });
const KID = KEYS.current.kid;
const USER = '8d0f4b1e-6b0c-4f6f-9a55-0a3c1f5d7e21';
const CLAIMS: TokenClaims = {
  token_type: 'access',
  jti: '0123456789abcdef0123456789abcdef',
  user_id: USER,
  session_id: '3f2b8c7a-1f0e-4b57-8f0e-6a1d2c3b4a59',
  exp: NOW + 60,
};
const INVALID = 'Token is invalid or expired';

type Claims = Record<string, unknown>;
type Forgery = { header?: Record<string, unknown>; secret?: string };

/** A token like ours, with changes (undefined: left out). */
async function forged(changes: Claims, { header = {}, secret = SECRET }: Forgery = {}): Promise<string> {
  const claims = { ...decodeJwt(await signToken(CLAIMS, NOW, KEYS)), ...changes };
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: KID, ...header })
    .sign(new TextEncoder().encode(secret));
}

const verified = (token: string) => verifyToken(token, 'access', NOW, KEYS);
const refusal = (message: string) => expect.objectContaining({ reason: 'token_not_valid', message });
const json = (value: unknown) => base64url.encode(JSON.stringify(value));

describe('a token of ours', () => {
  it("has simplejwt's claims, and names its session, its issuer and whom it is for", async () => {
    const token = await signToken(CLAIMS, NOW, KEYS);
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'HS256', typ: 'JWT', kid: KID });
    expect(decodeJwt(token)).toEqual({
      token_type: 'access',
      exp: NOW + 60,
      iat: NOW,
      jti: CLAIMS.jti,
      user_id: USER,
      sid: CLAIMS.session_id,
      iss: 'edge-chat',
      aud: 'api',
    });
  });

  it.each(['access', 'refresh'] as const)('verifies as what it is: %s', async (token_type) => {
    const claims = { ...CLAIMS, token_type };
    const token = await signToken(claims, NOW, KEYS);
    expect(await verifyToken(token, token_type, NOW, KEYS)).toEqual(claims);
  });

  it('verifies where either type will do', async () => {
    const claims = { ...CLAIMS, token_type: 'refresh' } as const;
    expect(await verifyToken(await signToken(claims, NOW, KEYS), undefined, NOW, KEYS)).toEqual(claims);
  });

  it('has an id of 128 random bits in 32 hexadecimal digits', () => {
    const ids = Array.from({ length: 50 }, randomId);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(ids)).toHaveLength(50);
  });
});

describe('a forged token is refused', () => {
  const good = signToken(CLAIMS, NOW, KEYS);
  const parts = async () => (await good).split('.') as [string, string, string];

  it.each<[string, () => Promise<string>]>([
    ['unsigned', async () => `${json({ alg: 'none', typ: 'JWT', kid: KID })}.${(await parts())[1]}.`],
    [
      'said to be unsigned, with our signature',
      async () => {
        const [, payload, signature] = await parts();
        return `${json({ alg: 'none', typ: 'JWT', kid: KID })}.${payload}.${signature}`;
      },
    ],
    ['signed by HS384', () => forged({}, { header: { alg: 'HS384' } })],
    ['signed by HS512', () => forged({}, { header: { alg: 'HS512' } })],
    [
      'said to be signed by RS256',
      async () => {
        const [, payload, signature] = await parts();
        return `${json({ alg: 'RS256', typ: 'JWT', kid: KID })}.${payload}.${signature}`;
      },
    ],
    [
      'with another payload',
      async () => {
        const [header, , signature] = await parts();
        return `${header}.${json({ ...decodeJwt(await good), user_id: randomId() })}.${signature}`;
      },
    ],
    [
      'with another header',
      async () => {
        const [, payload, signature] = await parts();
        return `${json({ alg: 'HS256', typ: 'JWT', kid: KID, x: 1 })}.${payload}.${signature}`;
      },
    ],
    ['signed with another secret', () => forged({}, { secret: OTHER_SECRET })],
    [
      'signed with another secret, which its kid names',
      () => signToken(CLAIMS, NOW, readTokenKeys({ jwtSecret: OTHER_SECRET, jwtSecretPrevious: undefined })),
    ],
    [
      'signed with a key that it brings along',
      () => forged({}, { secret: OTHER_SECRET, header: { jwk: { kty: 'oct', k: base64url.encode(OTHER_SECRET) } } }),
    ],
    [
      'with the kid of another secret',
      () =>
        forged(
          {},
          { header: { kid: readTokenKeys({ jwtSecret: OTHER_SECRET, jwtSecretPrevious: undefined }).current.kid } },
        ),
    ],
    ['with a kid that is unknown', () => forged({}, { header: { kid: '../../dev/null' } })],
    ['with an empty kid', () => forged({}, { header: { kid: '' } })],
    ['without a kid', () => forged({}, { header: { kid: undefined } })],
    [
      'with an extension that must be understood',
      async () => {
        const header = { alg: 'HS256', typ: 'JWT', kid: KID, crit: ['policy'], policy: 'none' };
        const signed = `${json(header)}.${(await parts())[1]}`;
        return `${signed}.${base64url.encode(hmac(sha256, utf8ToBytes(SECRET), utf8ToBytes(signed)))}`;
      },
    ],
    ['short of its last character', async () => (await good).slice(0, -1)],
    ['without a signature', async () => (await good).split('.').slice(0, 2).join('.')],
    ['with an empty signature', async () => `${(await good).split('.').slice(0, 2).join('.')}.`],
    ['of four parts', async () => `${await good}.x`],
    ['not a token', async () => 'not a token'],
    ['three dots', async () => '...'],
    ['empty', async () => ''],
    ['not ASCII', async () => 'é.é.é'],
  ])('%s', async (_, make) => {
    await expect(verified(await make())).rejects.toEqual(refusal(INVALID));
  });
});

describe('a well-signed token is refused for what it says', () => {
  it.each<[string, Claims, string]>([
    ['no exp', { exp: undefined }, "Token has no 'exp' claim"],
    ['an exp that is text', { exp: String(NOW + 60) }, INVALID],
    ['an exp that no session reaches', { exp: NOW + SESSION_LIFETIME_S + 1 }, INVALID],
    ['an exp beyond all numbers', { exp: 1e300 }, INVALID],
    ['expired a second ago', { exp: NOW - 1 }, INVALID],
    ['expired at exactly this second', { exp: NOW }, INVALID],
    ['no jti', { jti: undefined }, 'Token has no id'],
    ['an empty jti', { jti: '' }, 'Token has no id'],
    ['a jti that is a number', { jti: 5 }, 'Token has no id'],
    ['no token_type', { token_type: undefined }, 'Token has no type'],
    ['a token_type of null', { token_type: null }, 'Token has wrong type'],
    ['another token_type', { token_type: 'sliding' }, 'Token has wrong type'],
    ['no sid', { sid: undefined }, INVALID],
    ['a sid that is a number', { sid: 5 }, INVALID],
    ['no iss', { iss: undefined }, INVALID],
    ['another iss', { iss: 'https://elsewhere.example' }, INVALID],
    ['no aud', { aud: undefined }, INVALID],
    ['another aud', { aud: 'elsewhere' }, INVALID],
    ['the aud of the other type', { aud: 'token' }, INVALID],
    ['our aud among others', { aud: ['api', 'elsewhere'] }, INVALID],
    ['an iat 11 s in the future', { iat: NOW + 11 }, INVALID],
    ['an iat that is text', { iat: 'now' }, INVALID],
    ['an nbf in the future', { nbf: NOW + 1 }, INVALID],
  ])('%s', async (_, changes, message) => {
    await expect(verified(await forged(changes))).rejects.toEqual(refusal(message));
  });

  it.each([
    ['a refresh token where an access token is due', 'refresh', 'access'],
    ['an access token where a refresh token is due', 'access', 'refresh'],
  ] as const)('%s', async (_, token_type, due) => {
    const token = await signToken({ ...CLAIMS, token_type }, NOW, KEYS);
    await expect(verifyToken(token, due, NOW, KEYS)).rejects.toEqual(refusal('Token has wrong type'));
  });

  it('a refresh token whose type alone was changed', async () => {
    const token = await forged({ aud: 'token', token_type: 'access' });
    await expect(verified(token)).rejects.toEqual(refusal(INVALID));
  });

  it("the first thing that is wrong, in simplejwt's order", async () => {
    const nothing = { exp: undefined, jti: undefined, token_type: undefined, user_id: undefined, sid: undefined };
    await expect(verified(await forged({ ...nothing, exp: NOW - 1 }))).rejects.toEqual(refusal(INVALID));
    await expect(verified(await forged(nothing))).rejects.toEqual(refusal("Token has no 'exp' claim"));
    await expect(verified(await forged({ ...nothing, exp: NOW + 1 }))).rejects.toEqual(refusal('Token has no id'));
    await expect(verified(await forged({ ...nothing, exp: NOW + 1, jti: 'x' }))).rejects.toEqual(
      refusal('Token has no type'),
    );
    await expect(
      verified(await forged({ ...nothing, exp: NOW + 1, jti: 'x', token_type: 'access' })),
    ).rejects.toMatchObject({ reason: 'no_user_id' });
  });
});

describe('time', () => {
  it('a token is good until the second before exp', async () => {
    expect(await verified(await forged({ exp: NOW + 1 }))).toMatchObject({ exp: NOW + 1 });
  });

  it.each([9, 10])('a token may come from %d s in the future: the clocks of two machines', async (seconds) => {
    expect(await verified(await forged({ iat: NOW + seconds }))).toMatchObject({ user_id: USER });
  });
});

describe('the user of a token', () => {
  it.each([
    ['in upper case', USER.toUpperCase()],
    ['without dashes', USER.replaceAll('-', '')],
    ['in upper case without dashes', USER.replaceAll('-', '').toUpperCase()],
  ])('may be spelled %s, and is read in the canonical spelling', async (_, user_id) => {
    expect(await verified(await forged({ user_id }))).toMatchObject({ user_id: USER });
  });

  it('must be there', async () => {
    await expect(verified(await forged({ user_id: undefined }))).rejects.toEqual(
      expect.objectContaining({ reason: 'no_user_id' }),
    );
  });

  it.each([null, 5, true, '', 'me', [USER], { id: USER }, `${USER}\n`, `{${USER}}`])(
    'must be an id: %j',
    async (user_id) => {
      await expect(verified(await forged({ user_id }))).rejects.toEqual(
        expect.objectContaining({ reason: 'user_not_found' }),
      );
    },
  );
});

describe('a change of the secret', () => {
  const changed = readTokenKeys({ jwtSecret: OTHER_SECRET, jwtSecretPrevious: SECRET });

  it('leaves tokens of the previous secret good', async () => {
    expect(await verifyToken(await signToken(CLAIMS, NOW, KEYS), 'access', NOW, changed)).toEqual(CLAIMS);
  });

  it('signs with the new secret', async () => {
    const token = await signToken(CLAIMS, NOW, changed);
    expect(decodeProtectedHeader(token).kid).toBe(changed.current.kid);
    await expect(verified(token)).rejects.toEqual(refusal(INVALID));
  });

  it('ends with the previous secret removed, and its tokens refused', async () => {
    const removed = readTokenKeys({ jwtSecret: OTHER_SECRET, jwtSecretPrevious: undefined });
    const token = await signToken(CLAIMS, NOW, KEYS);
    await expect(verifyToken(token, 'access', NOW, removed)).rejects.toBeInstanceOf(TokenRefused);
  });

  it('is not undone by a token that names the one secret and is signed with the other', async () => {
    const token = await forged({}, { header: { kid: changed.current.kid } });
    await expect(verifyToken(token, 'access', NOW, changed)).rejects.toEqual(refusal(INVALID));
  });
});
