import { exports } from 'cloudflare:workers';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { api, HOST, type ApiInit } from '../helpers/api.ts';
import { open } from '../helpers/conversation.ts';
import { breakD1 } from '../helpers/faults.ts';
import { operatorKey } from '../helpers/operator.ts';
import { pairInConversation, signedIn, signIn, type Person } from '../helpers/people.ts';
import { pathOf, routesOf } from '../helpers/routes.ts';
import { claimsOf } from '../helpers/tokens.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const OWN_ORIGIN = `https://${HOST}`;

let john: Person;
let ray: Person;
let conversationId: string;
let operator: string;

beforeAll(async () => {
  ({ john, ray, conversationId } = await pairInConversation());
  operator = await operatorKey();
  // The message that paths name.
  const socket = await open(conversationId, john.access);
  socket.say('Hello', ray.id);
  await socket.next();
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** The paths that exist, with the methods of each, and ids in them that name something. */
const PATHS = [...Map.groupBy(routesOf(), ({ path }) => path)].map(([path, routes]) => {
  const methods = routes.map(({ method }) => method);
  const allow = [...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'];
  return { path, allow, methods: new Set(allow) };
});

const concrete = (path: string, sessionId?: string) =>
  pathOf({ method: 'GET', path }, { userId: ray.id, conversationId, ...(sessionId !== undefined && { sessionId }) });
/** What opens a path to whoever may use it. */
const tokenFor = (path: string) => (path.startsWith('/api/admin/') ? operator : john.access);

/** A further session of john's. */
async function newSession(): Promise<string> {
  const { access } = await signIn(john.id);
  return (await claimsOf(access)).session_id;
}

const allowed = (headers: Headers) => new Set(headers.get('Allow')?.split(', '));

/** An answer as it is, for paths and types that the API's description does not cover. */
const raw = (path: string, init: RequestInit = {}) => exports.default.fetch(new Request(OWN_ORIGIN + path, init));

/** Headers without those that differ from answer to answer. */
const comparable = (headers: Headers) =>
  [...headers].filter(([name]) => name !== 'x-request-id' && name !== 'content-length');

const preflight = (origin: string, path = '/api/users/') =>
  raw(path, {
    method: 'OPTIONS',
    headers: {
      Origin: origin,
      'Access-Control-Request-Method': 'GET',
      'Access-Control-Request-Headers': 'authorization,content-type,idempotency-key',
    },
  });
const corsHeaders = (headers: Headers) => [...headers.keys()].filter((name) => name.startsWith('access-control-'));

describe('a path', () => {
  it.each(PATHS.filter(({ path }) => path !== '/'))(
    'works with and without a trailing slash: $path',
    async ({ path, allow, methods }) => {
      const method = methods.has('GET') ? 'GET' : (allow[0] ?? '');
      const init: ApiInit = { method, token: tokenFor(path), ...(method !== 'GET' && { json: {} }) };
      // A session ends but once.
      const [one, another] = [concrete(path, await newSession()), concrete(path, await newSession())];
      const [without, slashed] = [await api(one, init), await api(`${another}/`, init)];
      expect(without.status).not.toBe(404);
      expect({ status: slashed.status, body: slashed.body }).toEqual({ status: without.status, body: without.body });
    },
  );

  it.each([
    '/nothing',
    '/api/',
    '/api/nothing/',
    '/api/user/',
    '/api/users/x/',
    '/api/users//chat/',
    '/api//users/',
    '/api/users//',
    '/api/users/x/block/',
    '/api/me/nothing/',
    '/api/me/sessions/x/',
    '/api/conversations/x/',
    '/api/conversations/x/messages/',
    '/api/conversations//messages/',
    '/api/conversations/x/messages/1/',
    '/api/conversations/x/marks/',
    '/api/conversations/x/changes/',
    '/API/USERS/',
    '/api/users/../../etc/passwd',
    '/admin/',
    '/ws/',
    '/ws/chat/',
    '/ws/chat/a/b/',
    '/.dev.vars',
    '/%2e%2e/wrangler.toml',
    '/%',
    '/%ff',
  ])('that names nothing is answered 404, with a token and without: %s', async (path) => {
    for (const token of [undefined, john.access]) {
      const { status, body } = await api(path, token === undefined ? {} : { token });
      expect(status).toBe(404);
      expect(body).toEqual({ detail: 'Not found.' });
    }
  });

  it('of the operator that names nothing is answered 404, but to the operator only', async () => {
    for (const path of ['/api/admin/', '/api/admin/nothing/', '/api/admin/users/x/', '/api/admin/users/x/sessions/']) {
      expect(await api(path, { token: operator })).toMatchObject({ status: 404, body: { detail: 'Not found.' } });
      expect(await raw(path, { headers: { Authorization: `Bearer ${john.access}` } })).toMatchObject({ status: 401 });
    }
  });

  it('keeps its query from the routes: it names nothing', async () => {
    expect((await api('/api/health/?/api/nothing')).status).toBe(200);
  });

  it('/ leads to the documentation', async () => {
    const { status, headers } = await api('/');
    expect(status).toBe(302);
    expect(headers.get('Location')).toBe('/api/docs/');
  });
});

describe('a method', () => {
  const wrong = PATHS.flatMap(({ path, allow, methods }) =>
    METHODS.filter((method) => !methods.has(method)).map((method) => ({ method, path, allow })),
  );

  it.each(wrong)(
    'that a path does not have is answered 405, with those that it has: $method $path',
    async ({ method, path, allow }) => {
      const { status, body, headers } = await api(concrete(path), { method, token: tokenFor(path) });
      expect(status).toBe(405);
      expect(allowed(headers)).toEqual(new Set(allow));
      // HEAD has no body.
      expect(body ?? { detail: `Method "${method}" not allowed.` }).toEqual({
        detail: `Method "${method}" not allowed.`,
      });
    },
  );

  it.each(['/api/users/', '/api/users/00000000-0000-4000-8000-000000000000/chat/', '/api/me/', '/api/admin/users/'])(
    'comes after the token, where one is needed: %s',
    async (path) => {
      expect((await api(path, { method: 'DELETE' })).status).toBe(401);
    },
  );

  it('comes after the membership, in a conversation', async () => {
    const { access } = await signedIn();
    for (const { path } of PATHS.filter((one) => one.path.startsWith('/api/conversations/'))) {
      expect(await api(concrete(path), { method: 'POST', json: { text: 'x' } })).toMatchObject({ status: 401 });
      expect(await api(concrete(path), { method: 'POST', json: { text: 'x' }, token: access })).toMatchObject({
        status: 403,
        body: { code: 'not_a_member' },
      });
    }
  });

  it.each(PATHS)('OPTIONS tells anyone, 204, what a path has: $path', async ({ path, allow }) => {
    const { status, text, headers } = await api(concrete(path), { method: 'OPTIONS' });
    expect(status).toBe(204);
    expect(text).toBe('');
    expect(allowed(headers)).toEqual(new Set(allow));
  });

  it('OPTIONS on a path that names nothing is answered 404', async () => {
    expect((await api('/api/nothing/', { method: 'OPTIONS' })).status).toBe(404);
  });

  it.each(PATHS.filter(({ methods }) => methods.has('GET')))(
    'HEAD is GET without the body: $path',
    async ({ path }) => {
      const [get, head] = [
        await api(concrete(path), { token: tokenFor(path) }),
        await api(concrete(path), { token: tokenFor(path), method: 'HEAD' }),
      ];
      expect(head.text).toBe('');
      expect(head.status).toBe(get.status);
      expect(comparable(head.headers)).toEqual(comparable(get.headers));
    },
  );
});

describe('another origin', () => {
  const ALLOWED = [OWN_ORIGIN, 'http://localhost:5173', 'http://127.0.0.1', 'http://[::1]:8080', 'HTTP://LOCALHOST:1'];
  const FOREIGN = [
    'null',
    'https://evil.example',
    `http://${HOST}`,
    `https://${HOST}:8443`,
    `https://${HOST}.evil.example`,
    `https://sub.${HOST}`,
    'http://localhost.evil.example',
    'http://127.0.0.1.evil.example',
    'localhost:5173',
    'file://',
    '*',
  ];

  it.each(ALLOWED)('may use the API if it is allowed: %s', async (origin) => {
    const { status, headers } = await preflight(origin);
    expect(status).toBe(204);
    expect(headers.get('Access-Control-Allow-Origin')).toBe(origin);
    expect(headers.get('Access-Control-Allow-Methods')?.split(',')).toEqual(METHODS);
    expect(headers.get('Access-Control-Allow-Headers')).toBe('Authorization,Content-Type,Idempotency-Key');
    expect(headers.get('Vary')).toContain('Origin');
  });

  it.each(FOREIGN)('may not otherwise: %s', async (origin) => {
    for (const answer of [await preflight(origin), await raw('/api/health/', { headers: { Origin: origin } })]) {
      expect(corsHeaders(answer.headers)).toEqual([]);
    }
  });

  it('is never let in with cookies', async () => {
    expect((await preflight(OWN_ORIGIN)).headers.has('Access-Control-Allow-Credentials')).toBe(false);
  });

  it('may read our own headers, and the answers that refuse it too', async () => {
    for (const [path, status] of [
      ['/api/health/', 200],
      ['/api/users/', 401],
      ['/api/nothing/', 404],
      ['/api/login/', 405],
    ] as const) {
      const answer = await raw(path, { headers: { Origin: OWN_ORIGIN } });
      expect(answer.status).toBe(status);
      expect(answer.headers.get('Access-Control-Allow-Origin')).toBe(OWN_ORIGIN);
      expect(answer.headers.get('Access-Control-Expose-Headers')).toBe('Link,Retry-After,X-Request-Id');
    }
  });
});

const health = (origin: string) => exports.default.fetch(new Request(`${origin}/api/health/`));

describe('the host of a request', () => {
  // The suite runs as development does. A deployment is reached under its own names only.
  it.each(['http://localhost', 'http://localhost:8787', 'http://127.0.0.1:1234', 'http://[::1]:8787', OWN_ORIGIN])(
    'is, in development, this machine or an allowed origin: %s',
    async (origin) => {
      expect((await health(origin)).status).toBe(200);
    },
  );

  it.each(['http://evil.example', 'http://localhost.evil.example', `https://${HOST}:8443`, `http://${HOST}`])(
    'is refused 400 otherwise, since a page could have made its name resolve to here: %s',
    async (origin) => {
      const answer = await health(origin);
      expect(answer.status).toBe(400);
      expect(await answer.json()).toMatchObject({ code: 'host_not_allowed' });
    },
  );
});

describe('every answer', () => {
  const SECURITY = {
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'same-origin',
    'strict-transport-security': 'max-age=31536000; includeSubDomains',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
  };

  const ANSWERS: [number, string, () => Promise<Response>][] = [
    [200, 'GET /api/health/', () => raw('/api/health/')],
    [204, 'OPTIONS /api/users/', () => raw('/api/users/', { method: 'OPTIONS' })],
    [302, 'GET /', () => raw('/', { redirect: 'manual' })],
    [400, 'POST /api/login/', () => raw('/api/login/', { method: 'POST' })],
    [401, 'GET /api/users/', () => raw('/api/users/')],
    [
      403,
      'GET /ws/chat/:id/ without a token',
      () => raw(`/ws/chat/${conversationId}/`, { headers: { Upgrade: 'websocket' } }),
    ],
    [404, 'GET /nothing', () => raw('/nothing')],
    [405, 'DELETE /api/login/', () => raw('/api/login/', { method: 'DELETE' })],
    [413, 'POST /api/login/', () => raw('/api/login/', { method: 'POST', body: 'x'.repeat(70_000) })],
    [415, 'POST /api/login/', () => raw('/api/login/', { method: 'POST', body: 'x' })],
    [426, 'GET /ws/chat/:id/', () => raw(`/ws/chat/${conversationId}/`)],
    [
      500,
      'GET /api/users/ without a database',
      async () => {
        breakD1();
        return raw('/api/users/', { headers: { Authorization: `Bearer ${john.access}` } });
      },
    ],
  ];

  it.each(ANSWERS)('%d has the security headers: %s', async (status, _, ask) => {
    const answer = await ask();
    expect(answer.status).toBe(status);
    expect(Object.fromEntries(answer.headers)).toMatchObject(SECURITY);
  });

  it.each(ANSWERS)('%d has an id of its own: %s', async (_, __, ask) => {
    const ids = [(await ask()).headers.get('X-Request-Id'), (await ask()).headers.get('X-Request-Id')];
    for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(new Set(ids)).toHaveLength(2);
  });

  it.each(ANSWERS.filter(([status]) => status >= 400))('%d is JSON: %s', async (_, __, ask) => {
    const answer = await ask();
    expect(answer.headers.get('Content-Type')).toBe('application/json');
    expect(await answer.json()).toBeTypeOf('object');
  });

  it('takes no id from the client', async () => {
    const answer = await raw('/api/health/', { headers: { 'X-Request-Id': 'mine' } });
    expect(answer.headers.get('X-Request-Id')).not.toBe('mine');
  });

  it('says nothing of what serves it', async () => {
    const { headers } = await raw('/api/health/');
    for (const name of ['Server', 'X-Powered-By']) expect(headers.has(name)).toBe(false);
  });
});

describe('a fault of ours', () => {
  it('is answered 500 with the id of the request, and without what went wrong', async () => {
    const error = vi.spyOn(console, 'error');
    const person = await signedIn();
    breakD1();
    const { status, body, headers } = await api('/api/users/', { token: person.access });
    expect(status).toBe(500);
    expect(body).toEqual({
      detail: 'Internal server error.',
      code: 'internal_error',
      request_id: headers.get('X-Request-Id'),
    });
    expect(error).toHaveBeenCalledTimes(1);
    expect(JSON.parse(error.mock.calls[0]?.[0])).toMatchObject({
      event: 'request_failed',
      request_id: body.request_id,
    });
  });

  it('is answered 500 on a socket’s upgrade, too', async () => {
    breakD1();
    const answer = await raw(`/ws/chat/${conversationId}/?token=${john.access}`, { headers: { Upgrade: 'websocket' } });
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({ code: 'internal_error' });
  });
});
