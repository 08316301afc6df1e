import { env } from 'cloudflare:workers';
import { decodeJwt, UnsecuredJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { emailState, passwordState, readLink, signLink, type LinkPurpose } from '../../src/auth/links.ts';
import { verifyToken } from '../../src/auth/tokens.ts';
import { signedIn } from '../helpers/people.ts';
import { resign } from '../helpers/tokens.ts';

const NOW = Date.UTC(2026, 5, 1, 12);
const LINK = { user_id: '6a4de6a1-2a53-4d0c-9a4c-1d1f6f1b9c11', state: 'ab'.repeat(32) };
const PURPOSES: LinkPurpose[] = ['password_reset', 'email_verification'];

const sign = (purpose: LinkPurpose = 'password_reset') => signLink(purpose, LINK, 3600, NOW);
const read = (token: string, now = NOW) => readLink('password_reset', token, now);

describe('a link', () => {
  it.each(PURPOSES)('says of whom it is and what state it is bound to: %s', async (purpose) => {
    expect(await readLink(purpose, await sign(purpose), NOW)).toEqual(LINK);
  });

  it('has nothing else in it, above all neither an address nor a hash', async () => {
    expect(decodeJwt(await sign())).toEqual({
      token_type: 'password_reset',
      ...LINK,
      iss: 'edge-chat',
      aud: 'password_reset',
      iat: NOW / 1000,
      exp: NOW / 1000 + 3600,
    });
  });

  it('fits into an address as it is', async () => {
    expect(await sign()).toMatch(/^[\w.-]+$/);
  });

  it('is good to the last second of its life', async () => {
    const token = await sign();
    expect(await read(token, NOW + 3600_000 - 1)).toEqual(LINK);
    expect(await read(token, NOW + 3600_000)).toBeUndefined();
  });

  it('is not good before it was made, but for the difference of two clocks', async () => {
    const token = await sign();
    expect(await read(token, NOW - 5000)).toEqual(LINK);
    expect(await read(token, NOW - 60_000)).toBeUndefined();
  });

  it('is for one purpose', async () => {
    expect(await readLink('email_verification', await sign('password_reset'), NOW)).toBeUndefined();
    expect(await readLink('password_reset', await sign('email_verification'), NOW)).toBeUndefined();
  });

  it.each([
    ['another purpose', { token_type: 'email_verification' }],
    ['another audience', { aud: 'email_verification' }],
    ['another issuer', { iss: 'somebody' }],
    ['no state', { state: undefined }],
    ['no user', { user_id: undefined }],
    ['something that is no user id', { user_id: "' OR 1=1 --" }],
    ['no expiry', { exp: undefined }],
  ])('is not good with %s in it, well signed as it may be', async (_, changes) => {
    const token = await sign();
    expect(await read(await resign(token, {}))).toEqual(LINK);
    expect(await read(await resign(token, changes))).toBeUndefined();
  });

  it('is not good if anything in it was changed', async () => {
    const token = await sign();
    const [header = '', payload = '', signature = ''] = token.split('.');
    const forged = btoa(JSON.stringify({ ...decodeJwt(token), user_id: crypto.randomUUID() })).replace(/=+$/, '');
    const first = signature.startsWith('A') ? 'B' : 'A';
    for (const changed of [
      [header, forged, signature],
      [header, payload, first + signature.slice(1)],
      [header, payload, ''],
      [header, payload],
      [],
    ]) {
      expect(await read(changed.join('.'))).toBeUndefined();
    }
  });

  it('is not good if it is signed with another secret, or not at all', async () => {
    const token = await sign();
    expect(await read(await resign(token, {}, `${env.JWT_SECRET}x`))).toBeUndefined();
    expect(await read(new UnsecuredJWT(decodeJwt(token)).encode())).toBeUndefined();
  });

  it.each(['', 'nonsense', 'a.b.c', '…'])('is not just any text: %j', async (text) => {
    expect(await read(text)).toBeUndefined();
  });

  it('is no token of a session, and a token of a session is no link', async () => {
    const { access, refresh } = await signedIn();
    for (const purpose of PURPOSES) {
      for (const token of [access, refresh]) expect(await readLink(purpose, token, Date.now())).toBeUndefined();
      const link = await signLink(purpose, LINK, 3600, Date.now());
      for (const type of ['access', 'refresh', undefined] as const) {
        await expect(verifyToken(link, type, Math.floor(Date.now() / 1000))).rejects.toMatchObject({
          reason: 'token_not_valid',
        });
      }
    }
  });
});

describe('what a link is bound to', () => {
  const account = { email: 'ana@example.org', password: '$argon2id$one' };

  it('is password and address, if it changes the password', () => {
    expect(passwordState({ ...account })).toBe(passwordState(account));
    expect(passwordState({ ...account, password: '$argon2id$two' })).not.toBe(passwordState(account));
    expect(passwordState({ ...account, email: 'anna@example.org' })).not.toBe(passwordState(account));
  });

  it('is the address, if it verifies that', () => {
    expect(emailState({ ...account })).toBe(emailState(account));
    expect(emailState({ email: 'anna@example.org' })).not.toBe(emailState(account));
  });

  it.each([
    ['password', passwordState(account)],
    ['address', emailState(account)],
  ])('is a hash, which shows neither: %s', (_, state) => {
    expect(state).toMatch(/^[0-9a-f]{64}$/);
  });
});
