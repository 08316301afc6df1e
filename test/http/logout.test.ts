import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { randomId } from '../../src/auth/digest.ts';
import { app } from '../../src/http/app.ts';
import { api, HOST } from '../helpers/api.ts';
import { deactivate, pairInConversation, signedIn } from '../helpers/people.ts';
import { connect, upgrade } from '../helpers/socket.ts';
import { dumpTables } from '../helpers/tables.ts';
import { claimsOf, resign } from '../helpers/tokens.ts';

const logout = (refresh: unknown, headers: Record<string, string> = {}) =>
  api('/api/logout/', { json: { refresh }, headers });
const refreshed = async (refresh: string) => (await api('/api/token/refresh/', { json: { refresh } })).body;

const REFUSED = (detail: string) => ({ detail, code: 'token_not_valid' });

describe('signing out', () => {
  it('answers an empty object', async () => {
    const { refresh } = await signedIn();
    const { status, text } = await logout(refresh);
    expect(status).toBe(200);
    expect(text).toBe('{}');
  });

  it('refuses the access token at once', async () => {
    const { refresh, access } = await signedIn();
    expect((await api('/api/users/', { token: access })).status).toBe(200);
    await logout(refresh);
    const { status, body } = await api('/api/users/', { token: access });
    expect(status).toBe(401);
    expect(body).toEqual({
      detail: 'Given token not valid for any token type',
      code: 'token_not_valid',
      messages: [{ token_class: 'AccessToken', token_type: 'access', message: 'Token is invalid or expired' }],
    });
  });

  it('refuses the refresh token', async () => {
    const { refresh } = await signedIn();
    await logout(refresh);
    const { status, body } = await api('/api/token/refresh/', { json: { refresh } });
    expect(status).toBe(401);
    expect(body).toEqual(REFUSED('Token is blacklisted'));
  });

  it('refuses every access token that the session ever had', async () => {
    const first = await signedIn();
    const second = await refreshed(first.refresh);
    await logout(second.refresh);
    for (const token of [first.access, second.access]) {
      expect((await api('/api/users/', { token })).status).toBe(401);
    }
  });

  it('closes the open sockets of the session, and lets none in again', async () => {
    const { john, conversationId } = await pairInConversation();
    const socket = await connect(conversationId, john.access);
    await socket.settled();
    await logout(john.refresh);
    expect(await socket.closed).toMatchObject({ code: 4410 });
    expect((await upgrade(conversationId, john.access)).status).toBe(403);
  });

  it("leaves the user's other sessions and everybody else signed in", async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const socket = await connect(conversationId, ray.access);
    await logout(john.refresh);
    await socket.settled();
    expect((await api('/api/users/', { token: ray.access })).status).toBe(200);
  });

  it('works with a refresh token that was exchanged already: it still names the session', async () => {
    const first = await signedIn();
    const second = await refreshed(first.refresh);
    expect((await logout(first.refresh)).status).toBe(200);
    expect((await api('/api/users/', { token: second.access })).status).toBe(401);
  });

  it('works for someone who was deactivated', async () => {
    const { id, refresh } = await signedIn();
    await deactivate(id);
    expect((await logout(refresh)).status).toBe(200);
  });

  it.each(['Bearer nonsense', 'Basic x', 'Bearer'])('looks at no Authorization header: %s', async (Authorization) => {
    const { refresh } = await signedIn();
    expect((await logout(refresh, { Authorization })).status).toBe(200);
  });

  it('needs no token of its own: whoever holds the refresh token may end its session', async () => {
    const [owner, other] = [await signedIn(), await signedIn()];
    expect((await logout(owner.refresh, { Authorization: `Bearer ${other.access}` })).status).toBe(200);
    expect((await api('/api/users/', { token: other.access })).status).toBe(200);
  });

  it('leaves no notice behind once the conversations were told', async () => {
    const { john } = await pairInConversation();
    const request = new Request(`https://${HOST}/api/logout/`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ refresh: john.refresh }),
    });
    const context = createExecutionContext();
    expect((await app.fetch(request, env, context)).status).toBe(200);
    await waitOnExecutionContext(context);
    const { session_id } = await claimsOf(john.refresh);
    const left = env.DB.prepare('SELECT * FROM notices WHERE session_id = ?').bind(session_id);
    expect((await left.all()).results).toEqual([]);
  });
});

describe('a token that signs nobody out', () => {
  it('is one whose session has ended before', async () => {
    const { refresh } = await signedIn();
    await logout(refresh);
    const { status, body } = await logout(refresh);
    expect(status).toBe(401);
    expect(body).toEqual(REFUSED('Token is blacklisted'));
  });

  it.each<[string, (person: { refresh: string; access: string }) => Promise<string> | string, string]>([
    ['an access token', ({ access }) => access, 'Token has wrong type'],
    ['garbage', () => 'garbage', 'Token is invalid or expired'],
    ['an expired one', ({ refresh }) => resign(refresh, { exp: 1_700_000_000 }), 'Token is invalid or expired'],
    ['one of another key', ({ refresh }) => resign(refresh, {}, 'x'.repeat(40)), 'Token is invalid or expired'],
    ['one that was never issued', ({ refresh }) => resign(refresh, { jti: randomId() }), 'Token is invalid or expired'],
    ['one without an id', ({ refresh }) => resign(refresh, { jti: undefined }), 'Token has no id'],
    ['one without a user', ({ refresh }) => resign(refresh, { user_id: undefined }), 'Token is invalid or expired'],
    ['one of nobody', ({ refresh }) => resign(refresh, { user_id: 'nobody' }), 'Token is invalid or expired'],
  ])('is %s', async (_, make, detail) => {
    const person = await signedIn();
    const before = await dumpTables();
    const { status, body, headers } = await logout(await make(person));
    expect(status).toBe(401);
    expect(body).toEqual(REFUSED(detail));
    expect(headers.get('WWW-Authenticate')).toBe('Bearer realm="api"');
    expect(await dumpTables()).toEqual(before);
  });

  it("is one that names somebody else's session", async () => {
    const [thief, victim] = [await signedIn(), await signedIn()];
    const { session_id, user_id } = await claimsOf(victim.refresh);
    for (const changes of [{ sid: session_id }, { sid: session_id, user_id }]) {
      expect((await logout(await resign(thief.refresh, changes))).status).toBe(401);
    }
    expect((await api('/api/users/', { token: victim.access })).status).toBe(200);
  });

  it.each([
    [{}, 'This field is required.'],
    [{ refresh: null }, 'This field may not be null.'],
    [{ refresh: ' ' }, 'This field may not be blank.'],
    [{ refresh: ['x'] }, 'Not a valid string.'],
  ])('is none at all: %j', async (json, message) => {
    const { status, body } = await api('/api/logout/', { json });
    expect(status).toBe(400);
    expect(body).toEqual({ refresh: [message] });
  });
});
