import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { randomId, sha256Hex } from '../../src/auth/digest.ts';
import { REFRESH_REUSE_GRACE_S } from '../../src/config.ts';
import { api } from '../helpers/api.ts';
import { deactivate, pairInConversation, signedIn, type Person } from '../helpers/people.ts';
import { connect } from '../helpers/socket.ts';
import { claimsOf, resign } from '../helpers/tokens.ts';

const refresh = (token: unknown) => api('/api/token/refresh/', { json: { refresh: token } });
const verify = (token: unknown) => api('/api/token/verify/', { json: { token } });
const refused = (detail: string) => ({ detail, code: 'token_not_valid' });

/** Lets the time pass in which a second use of a refresh token counts as a lost answer. */
async function graceIsOver(token: string): Promise<void> {
  await env.DB.prepare('UPDATE refresh_tokens SET used_at = used_at - ? WHERE jti_hash = ?')
    .bind(REFRESH_REUSE_GRACE_S * 1000 + 1, sha256Hex((await claimsOf(token)).jti))
    .run();
}

/** The ways in which somebody else's or a spoilt token looks. */
const SPOILT: [string, (person: Person) => Promise<string> | string, string][] = [
  ['garbage', () => 'garbage', 'Token is invalid or expired'],
  ['expired', (person) => resign(person.refresh, { exp: 1_700_000_000 }), 'Token is invalid or expired'],
  ['signed with another key', (person) => resign(person.refresh, {}, 'x'.repeat(40)), 'Token is invalid or expired'],
  ['never issued', (person) => resign(person.refresh, { jti: randomId() }), 'Token is invalid or expired'],
  ['without an id', (person) => resign(person.refresh, { jti: undefined }), 'Token has no id'],
  ['without exp', (person) => resign(person.refresh, { exp: undefined }), "Token has no 'exp' claim"],
  ['without a type', (person) => resign(person.refresh, { token_type: undefined }), 'Token has no type'],
  ['without a user', (person) => resign(person.refresh, { user_id: undefined }), 'Token is invalid or expired'],
  ['of nobody', (person) => resign(person.refresh, { user_id: randomId() }), 'Token is invalid or expired'],
];

describe('POST /api/token/refresh/', () => {
  it('exchanges a refresh token for a new pair', async () => {
    const person = await signedIn();
    const { status, body } = await refresh(person.refresh);
    expect(status).toBe(200);
    expect(Object.keys(body)).toEqual(['refresh', 'access']);
    expect(body.refresh).not.toBe(person.refresh);
    expect((await api('/api/users/', { token: body.access })).status).toBe(200);
    expect((await refresh(body.refresh)).status).toBe(200);
  });

  it('leaves the access token before it good until it expires', async () => {
    const person = await signedIn();
    await refresh(person.refresh);
    expect((await api('/api/users/', { token: person.access })).status).toBe(200);
  });

  it('of 20 exchanges of one token at the same time, lets exactly one succeed, and the session lives on', async () => {
    const person = await signedIn();
    const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(person.refresh)));
    const winners = answers.filter(({ status }) => status === 200);
    expect(winners).toHaveLength(1);
    for (const { status, body } of answers.filter((answer) => !winners.includes(answer))) {
      expect({ status, body }).toEqual({ status: 401, body: refused('Token is blacklisted') });
    }
    expect((await api('/api/users/', { token: winners[0]?.body.access })).status).toBe(200);
    expect((await refresh(winners[0]?.body.refresh)).status).toBe(200);
  });

  it('refuses a token that comes again within 10 s, but leaves the session alone', async () => {
    const person = await signedIn();
    const { body: next } = await refresh(person.refresh);
    expect(await refresh(person.refresh)).toMatchObject({ status: 401, body: refused('Token is blacklisted') });
    expect((await api('/api/users/', { token: next.access })).status).toBe(200);
    expect((await refresh(next.refresh)).status).toBe(200);
  });

  it('ends the session when a token comes again later: its access tokens and the successor are refused', async () => {
    const person = await signedIn();
    const { body: next } = await refresh(person.refresh);
    await graceIsOver(person.refresh);
    expect(await refresh(person.refresh)).toMatchObject({ status: 401, body: refused('Token is blacklisted') });
    expect(await refresh(next.refresh)).toMatchObject({ status: 401, body: refused('Token is blacklisted') });
    for (const token of [person.access, next.access]) {
      expect((await api('/api/users/', { token })).status).toBe(401);
    }
  });

  it('ends the session also if the request with the old token was begun before the token was used', async () => {
    const person = await signedIn();
    const body = new TextEncoder().encode(JSON.stringify({ refresh: person.refresh }));
    const { readable, writable } = new IdentityTransformStream();
    // With its length, so that it is the route itself that waits for the body.
    const headers = { 'Content-Type': 'application/json', 'Content-Length': String(body.length) };
    const slow = api('/api/token/refresh/', { body: readable, headers });
    // Some time passes.
    await api('/api/health/');
    const { body: next } = await refresh(person.refresh);
    await graceIsOver(person.refresh);
    const upload = writable.getWriter();
    await upload.write(body);
    await upload.close();
    expect(await slow).toMatchObject({ status: 401, body: refused('Token is blacklisted') });
    expect((await api('/api/users/', { token: next.access })).status).toBe(401);
  });

  it('ends the session when an older token comes again, even at once', async () => {
    const person = await signedIn();
    const { body: second } = await refresh(person.refresh);
    const { body: third } = await refresh(second.refresh);
    expect((await refresh(person.refresh)).status).toBe(401);
    expect((await api('/api/users/', { token: third.access })).status).toBe(401);
    expect((await refresh(third.refresh)).status).toBe(401);
  });

  it('closes the sockets of a session that it ends', async () => {
    const { john, conversationId } = await pairInConversation();
    const socket = await connect(conversationId, john.access);
    await socket.settled();
    await refresh(john.refresh);
    await graceIsOver(john.refresh);
    await refresh(john.refresh);
    expect(await socket.closed).toMatchObject({ code: 4410 });
  });

  it('refuses an access token', async () => {
    const { access } = await signedIn();
    expect(await refresh(access)).toMatchObject({ status: 401, body: refused('Token has wrong type') });
  });

  it.each(SPOILT)('refuses a token that is %s', async (_, make, detail) => {
    const { status, body, headers } = await refresh(await make(await signedIn()));
    expect(status).toBe(401);
    expect(body).toEqual(refused(detail));
    expect(headers.get('WWW-Authenticate')).toBe('Bearer realm="api"');
  });

  it('refuses someone who was deactivated, and takes the token again when they are back', async () => {
    const person = await signedIn();
    await deactivate(person.id);
    expect(await refresh(person.refresh)).toMatchObject({
      status: 401,
      body: { detail: 'No active account found for the given token.', code: 'no_active_account' },
    });
    await deactivate(person.id, false);
    expect((await refresh(person.refresh)).status).toBe(200);
  });

  it('tells that the field is missing', async () => {
    expect(await api('/api/token/refresh/', { json: {} })).toMatchObject({
      status: 400,
      body: { refresh: ['This field is required.'] },
    });
  });

  it('looks at no Authorization header', async () => {
    const person = await signedIn();
    const answer = await api('/api/token/refresh/', { json: { refresh: person.refresh }, token: 'nonsense' });
    expect(answer.status).toBe(200);
  });
});

describe('POST /api/token/verify/', () => {
  it.each(['access', 'refresh'] as const)('answers {} for a good token: %s', async (type) => {
    const { status, text } = await verify((await signedIn())[type]);
    expect({ status, text }).toEqual({ status: 200, text: '{}' });
  });

  it('uses nothing up', async () => {
    const person = await signedIn();
    await verify(person.refresh);
    expect((await refresh(person.refresh)).status).toBe(200);
  });

  it.each(SPOILT)('refuses a token that is %s', async (_, make, detail) => {
    expect(await verify(await make(await signedIn()))).toMatchObject({ status: 401, body: refused(detail) });
  });

  it('refuses an access token whose session has ended', async () => {
    const person = await signedIn();
    await api('/api/logout/', { json: { refresh: person.refresh } });
    expect(await verify(person.access)).toMatchObject({ status: 401, body: refused('Token is invalid or expired') });
  });

  it("refuses a refresh token whose session has ended, in simplejwt's shape", async () => {
    const person = await signedIn();
    await api('/api/logout/', { json: { refresh: person.refresh } });
    expect(await verify(person.refresh)).toMatchObject({
      status: 400,
      body: { non_field_errors: ['Token is blacklisted'] },
    });
  });

  it('refuses a refresh token that was exchanged', async () => {
    const person = await signedIn();
    await refresh(person.refresh);
    expect(await verify(person.refresh)).toMatchObject({
      status: 400,
      body: { non_field_errors: ['Token is blacklisted'] },
    });
  });

  it.each(['access', 'refresh'] as const)('refuses the %s token of someone who was deactivated', async (type) => {
    const person = await signedIn();
    await deactivate(person.id);
    expect((await verify(person[type])).status).toBe(401);
  });

  it('tells that the field is missing', async () => {
    expect(await api('/api/token/verify/', { json: {} })).toMatchObject({
      status: 400,
      body: { token: ['This field is required.'] },
    });
  });
});
