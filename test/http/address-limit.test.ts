import { env, exports } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi, type MockInstance } from 'vitest';
import { CLOSE } from '../../src/protocol/close-codes.ts';
import { api, HOST, type ApiAnswer } from '../helpers/api.ts';
import { ChatSocket, openChat } from '../helpers/chat-socket.ts';
import { countQueries } from '../helpers/d1.ts';
import { pairInConversation, signedIn } from '../helpers/people.ts';
import { connect, upgrade } from '../helpers/socket.ts';

const ADDRESS = '203.0.113.7';
const FROM = { 'CF-Connecting-IP': ADDRESS };
const TOO_MANY = { detail: 'Too many requests. Try again in 60 s.', code: 'rate_limited' };

/** The limit of wrangler.toml, in a minute. */
const CREDENTIAL_LIMIT = 300;

function expectRefused({ status, body, headers }: ApiAnswer): void {
  expect({ status, body }).toEqual({ status: 429, body: TOO_MANY });
  expect(headers.get('Retry-After')).toBe('60');
}

afterEach(() => {
  vi.restoreAllMocks();
});

// An empty form costs a request and nothing else.
const knock = (headers: Record<string, string> = {}) => api('/api/login/', { json: {}, headers });

describe('the credential limit of wrangler.toml, as it is', () => {
  it('refuses what is more than that from one /64, lets others pass, and leaves alone what is cheap', async () => {
    let [passed, refused] = [0, 0];
    let last = await knock();
    // Windows begin with the minute, wherever that is in between: twice as many are too many in any case.
    for (let i = 1; i <= 2 * CREDENTIAL_LIMIT + 1 && refused === 0; i += 1) {
      last = await knock({ 'CF-Connecting-IP': `2001:db8:aa:bb:${i.toString(16)}::1` });
      if (last.status === 429) refused += 1;
      if (last.status === 400) passed += 1;
    }
    expect(refused).toBe(1);
    expectRefused(last);
    expect(passed).toBeGreaterThanOrEqual(CREDENTIAL_LIMIT);
    const same = { 'CF-Connecting-IP': '2001:db8:aa:bb::1' };
    expect((await knock({ 'CF-Connecting-IP': '2001:db8:aa:bc::1' })).status).toBe(400);
    expect((await knock(FROM)).status).toBe(400);
    expect((await knock()).status).toBe(400);
    expect((await api('/api/login/', { headers: same })).status).toBe(405);
    expect((await api('/api/login/', { method: 'OPTIONS', headers: same })).status).toBe(204);
    expect((await api('/api/health/', { headers: same })).status).toBe(200);
  }, 60_000);

  it('does not count requests of nobody’s address', async () => {
    const limit = vi.spyOn(env.CREDENTIAL_LIMIT, 'limit');
    for (let i = 0; i < 3; i += 1) expect((await knock({ 'X-Forwarded-For': ADDRESS })).status).toBe(400);
    expect(limit).not.toHaveBeenCalled();
  });
});

describe('what counts for the credential limit', () => {
  let limit: MockInstance<RateLimit['limit']>;

  beforeEach(() => {
    limit = vi.spyOn(env.CREDENTIAL_LIMIT, 'limit').mockResolvedValue({ success: false });
  });

  it.each([
    ['POST', '/api/login/'],
    ['POST', '/api/login'],
    ['POST', '/api/register/'],
    ['POST', '/api/me/password/'],
    ['POST', '/api/me/delete/'],
    ['PATCH', '/api/me/'],
    ['POST', '/api/password-reset/'],
    ['POST', '/api/password-reset/confirm/'],
    ['POST', '/api/email-verification/'],
  ])('is what may cost a hash or a mail: %s %s, before anybody looks who asks', async (method, path) => {
    let answer: ApiAnswer | undefined;
    const queries = await countQueries(async () => {
      answer = await api(path, { method, json: {}, headers: FROM });
    });
    if (answer) expectRefused(answer);
    expect(answer).toBeDefined();
    expect(queries).toBe(0);
    expect(limit.mock.calls).toEqual([[{ key: ADDRESS }]]);
  });

  it.each(['/reset-password/', '/verify-email/'])('is the form of a page too: POST %s', async (path) => {
    const headers = { ...FROM, 'Content-Type': 'application/x-www-form-urlencoded' };
    expect((await api(path, { body: 'token=x', headers })).status).toBe(429);
  });

  it.each(['/api/token/refresh/', '/api/token/verify/', '/api/logout/'])('is not POST %s', async (path) => {
    expect((await api(path, { json: {}, headers: FROM })).status).toBe(400);
    expect(limit).not.toHaveBeenCalled();
  });

  it.each(['/api/login/', '/api/me/', '/api/password-reset/', '/reset-password/'])(
    'is no request that only looks: %s',
    async (path) => {
      for (const method of ['GET', 'HEAD', 'OPTIONS']) {
        expect((await api(path, { method, headers: FROM })).status).not.toBe(429);
      }
      expect(limit).not.toHaveBeenCalled();
    },
  );

  it('is told to a page of an allowed origin, which can read it', async () => {
    const headers = { ...FROM, Origin: 'http://localhost:5173' };
    const answer = await api('/api/login/', { json: {}, headers });
    expectRefused(answer);
    expect(answer.headers.get('Access-Control-Allow-Origin')).toBe('http://localhost:5173');
  });
});

describe('the limit of all requests', () => {
  let limit: MockInstance<RateLimit['limit']>;

  beforeEach(() => {
    limit = vi.spyOn(env.REQUEST_LIMIT, 'limit').mockResolvedValue({ success: false });
  });

  it.each([
    ['GET', '/api/users/'],
    ['POST', '/api/login/'],
    ['GET', '/api/health/'],
    ['GET', '/api/schema/'],
    ['GET', '/nothing'],
    ['OPTIONS', '/api/login/'],
    ['GET', '/api/admin/users/'],
  ])('refuses any of them, without a query: %s %s', async (method, path) => {
    const { access } = await signedIn();
    let status = 0;
    const queries = await countQueries(async () => {
      const init = { method, headers: { ...FROM, Authorization: `Bearer ${access}` } };
      const answer = await exports.default.fetch(new Request(`https://${HOST}${path}`, init));
      status = answer.status;
      expect(answer.headers.get('Retry-After')).toBe('60');
      expect(answer.headers.get('X-Request-Id')).toMatch(/^[0-9a-f-]{36}$/);
      expect(await answer.json()).toEqual(TOO_MANY);
    });
    expect(status).toBe(429);
    expect(queries).toBe(0);
  });

  it('counts each request once, by its address or its /64', async () => {
    limit.mockResolvedValue({ success: true });
    await api('/api/health/', { headers: FROM });
    await api('/api/health/', {
      headers: { 'CF-Connecting-IP': '2001:DB8:aa:bb:1:2:3:4', 'X-Forwarded-For': '9.9.9.9' },
    });
    expect(limit.mock.calls).toEqual([[{ key: ADDRESS }], [{ key: '2001:db8:aa:bb::/64' }]]);
  });

  it('counts no request without an address, whatever it says of itself: it passes', async () => {
    expect((await api('/api/health/', { headers: { 'X-Forwarded-For': ADDRESS } })).status).toBe(200);
    expect(limit).not.toHaveBeenCalled();
  });

  it.each(['https://chat.example.org', 'http://localhost:5173'])(
    'is told to a page of an allowed origin, which can read it and when to come back: %s',
    async (origin) => {
      const answer = await api('/api/users/', { headers: { ...FROM, Origin: origin } });
      expectRefused(answer);
      expect(answer.headers.get('Access-Control-Allow-Origin')).toBe(origin);
      expect(answer.headers.get('Access-Control-Expose-Headers')).toContain('Retry-After');
    },
  );

  it('is told to no other page', async () => {
    const answer = await api('/api/users/', { headers: { ...FROM, Origin: 'https://evil.example' } });
    expectRefused(answer);
    expect(answer.headers.has('Access-Control-Allow-Origin')).toBe(false);
  });

  describe('and sockets', () => {
    it('refuses a plain one with its status', async () => {
      const { john, conversationId } = await pairInConversation();
      const answer = await upgrade(conversationId, john.access, { headers: FROM });
      expect(answer.status).toBe(429);
      expect(answer.headers.get('Retry-After')).toBe('60');
      expect(await answer.json()).toEqual({ detail: 'You connect too often.', code: 'rate_limited' });
    });

    it('refuses one of chat.v1 with an error frame that says when to come back, and a close code', async () => {
      const { john, conversationId } = await pairInConversation();
      const protocols = ['chat.v1', `bearer.${john.access}`];
      const socket = new ChatSocket(await connect(conversationId, undefined, { protocols, headers: FROM }));
      expect(await socket.next('error')).toEqual({
        type: 'error',
        code: 'rate_limited',
        message: 'You connect too often.',
        retry_after_ms: 60_000,
      });
      expect(await socket.closed).toEqual({ code: CLOSE.tooManyRequests, reason: 'You connect too often.' });
      expect(CLOSE.tooManyRequests).toBe(4429);
    });

    it('refuses them before anything else is looked at, without a query', async () => {
      const { conversationId } = await pairInConversation();
      const evil = { headers: { ...FROM, Origin: 'https://evil.example' } };
      const queries = await countQueries(async () => {
        expect((await upgrade(conversationId, 'nonsense', evil)).status).toBe(429);
      });
      expect(queries).toBe(0);
    });

    it('counts each once, with the requests of the same address', async () => {
      limit.mockResolvedValue({ success: true });
      const { john, ray, conversationId } = await pairInConversation();
      const answer = await upgrade(conversationId, john.access, { headers: FROM });
      expect(answer.status).toBe(101);
      answer.webSocket?.accept();
      expect(limit.mock.calls).toEqual([[{ key: ADDRESS }]]);
      await openChat(conversationId, ray.access);
      expect(limit).toHaveBeenCalledTimes(1);
    });
  });
});
