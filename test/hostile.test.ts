import { exports } from 'cloudflare:workers';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { HOST } from './helpers/api.ts';
import { pairInConversation, type Person } from './helpers/people.ts';
import { pathOf, routesOf } from './helpers/routes.ts';
import { dumpTables } from './helpers/tables.ts';
import { resign } from './helpers/tokens.ts';

const RUNS = { numRuns: 200 };
const TIMEOUT = { timeout: 60_000 };

/** What refutes a property: the smallest input, with the seed and the path that repeat it; undefined if nothing does. */
async function refutation<T>(property: fc.IAsyncProperty<T>, runs = RUNS): Promise<string | undefined> {
  return fc.asyncDefaultReportMessage(await fc.check(property, runs));
}

let john: Person;
let ray: Person;
let conversationId: string;

beforeAll(async () => {
  ({ john, ray, conversationId } = await pairInConversation());
});

type Hostile = { method?: string; path: string; headers?: Record<string, string>; body?: BodyInit };

/** Sends a request. The runtime refuses to make some: then there is nothing to be tried. */
async function send({ method = 'GET', path, headers = {}, body }: Hostile) {
  const withBody = body !== undefined && method !== 'GET' && method !== 'HEAD';
  let request: Request | undefined;
  try {
    const init = { method, headers, redirect: 'manual', ...(withBody ? { body } : {}) } as const;
    request = new Request(`https://${HOST}${path}`, init);
  } catch {
    request = undefined;
  }
  fc.pre(request !== undefined);
  const answer = await exports.default.fetch(request);
  const text = answer.webSocket ? '' : await answer.text();
  answer.webSocket?.accept();
  answer.webSocket?.close();
  return { status: answer.status, text };
}

/** Throws unless the server survives the request: it does not fail, and stores nothing of what it refuses. */
async function survives(hostile: Hostile): Promise<void> {
  const before = JSON.stringify(await dumpTables());
  const { status, text } = await send(hostile);
  if (status >= 500) throw new Error(`The server failed: ${status} ${text}`);
  if (status < 400) return;
  if (JSON.stringify(await dumpTables()) !== before) throw new Error(`Something was stored: ${status} ${text}`);
  if (text !== '') JSON.parse(text);
}

const POSTS = routesOf().filter(({ method }) => method === 'POST');
const GETS = routesOf().filter(({ method }) => method === 'GET');

const path = (routes: typeof POSTS) =>
  fc
    .constantFrom(...routes)
    .map((route) => () => pathOf(route, route.path.startsWith('/ws/') ? conversationId : ray.id));

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.constantFrom(
    '',
    '\0',
    '\ud800',
    "'; DROP TABLE users; --",
    '__proto__',
    'null',
    'NaN',
    '-1',
    '1e400',
    '%00',
    '../'.repeat(20),
    'ı'.repeat(201),
    '\u202e',
    'a@b.example\0',
  ),
);
const value = fc.oneof({ weight: 3, arbitrary: text }, { weight: 1, arbitrary: fc.jsonValue() }, fc.double());
/** What a header can hold. */
const headerText = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 200,
});
const characters = (of: string) => fc.string({ unit: fc.constantFrom(...of.split('')), maxLength: 40 });

describe('the server survives', () => {
  it('any JSON in a body', TIMEOUT, async () => {
    expect(
      await refutation(
        fc.asyncProperty(path(POSTS), fc.jsonValue({ maxDepth: 6 }), async (at, json) => {
          await survives({
            method: 'POST',
            path: at(),
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify(json),
          });
        }),
        RUNS,
      ),
    ).toBeUndefined();
  });

  it('anything in a token’s field', TIMEOUT, async () => {
    const routes = POSTS.filter(({ path: at }) => /token|logout/.test(at));
    expect(
      await refutation(
        fc.asyncProperty(path(routes), value, async (at, token) => {
          await survives({
            method: 'POST',
            path: at(),
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify({ token, refresh: token }),
          });
        }),
        RUNS,
      ),
    ).toBeUndefined();
  });

  it('anything in the fields of a registration', TIMEOUT, async () => {
    // Two passwords that differ are noticed last, and cost no hash.
    const registration = fc.record(
      { first_name: value, last_name: value, email: fc.oneof(value, fc.emailAddress()), password: value },
      { requiredKeys: [] },
    );
    expect(
      await refutation(
        fc.asyncProperty(registration, async (fields) => {
          await survives({
            method: 'POST',
            path: '/api/register/',
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify({ ...fields, confirm_password: 'not the same, whatever it is' }),
          });
        }),
        RUNS,
      ),
    ).toBeUndefined();
  });

  it('anything in the fields of a login', TIMEOUT, async () => {
    expect(
      await refutation(
        fc.asyncProperty(value, value, async (email, password) => {
          await survives({
            method: 'POST',
            path: '/api/login/',
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify({ email, password }),
          });
        }),
        // Most of these cost a hash, 0.2 s each.
        { numRuns: 15 },
      ),
    ).toBeUndefined();
  });

  it('any person who may register', TIMEOUT, async () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
    expect(
      await refutation(
        fc.asyncProperty(
          name,
          name,
          fc.emailAddress(),
          fc.string({ unit: 'grapheme', minLength: 8, maxLength: 40 }),
          async (first_name, last_name, email, password) => {
            await survives({
              method: 'POST',
              path: '/api/register/',
              headers: { 'Content-Type': 'application/json' },
              body: JSON.stringify({ first_name, last_name, email, password, confirm_password: password }),
            });
          },
        ),
        { numRuns: 8 },
      ),
    ).toBeUndefined();
  });

  it('any bytes of any type in a body', TIMEOUT, async () => {
    const type = fc.oneof(
      fc.constantFrom(
        'application/json',
        'application/x-www-form-urlencoded',
        'multipart/form-data',
        'multipart/form-data; boundary=x',
        'multipart/form-data; boundary=""',
        'text/plain',
      ),
      headerText,
    );
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 500 }),
      text.map((some) =>
        new TextEncoder().encode(`--x\r\nContent-Disposition: form-data; name="${some}"\r\n\r\n${some}\r\n--x--`),
      ),
      text.map((some) => new TextEncoder().encode(`{"token":"${some}"}`)),
      text.map((some) => new TextEncoder().encode(`token=${some}&refresh=${some}`)),
    );
    expect(
      await refutation(
        fc.asyncProperty(path(POSTS), type, bytes, async (at, contentType, body) => {
          await survives({ method: 'POST', path: at(), headers: { 'Content-Type': contentType }, body });
        }),
        RUNS,
      ),
    ).toBeUndefined();
  });

  it('anything for an id in a path', TIMEOUT, async () => {
    const id = fc.oneof(
      text.map((some) => encodeURIComponent(some.toWellFormed())),
      fc.webSegment(),
      fc.uuid(),
      fc.uuid().map((some) => some.toUpperCase()),
      characters('0123456789abcdefABCDEF-{}%:'),
    );
    const template = fc.constantFrom('/api/users/:id/chat/', '/ws/chat/:id/', '/api/users/:id', '/:id', '/api/:id/');
    const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS');
    expect(
      await refutation(
        fc.asyncProperty(template, id, method, fc.boolean(), async (at, spelled, verb, upgrade) => {
          await survives({
            method: verb,
            path: at.replace(':id', () => spelled),
            headers: { Authorization: `Bearer ${john.access}`, ...(upgrade ? { Upgrade: 'websocket' } : {}) },
          });
        }),
        RUNS,
      ),
    ).toBeUndefined();
  });

  it('any query', TIMEOUT, async () => {
    const name = fc.oneof(fc.constantFrom('after', 'before', 'token', 'limit', 'format'), text);
    const query = fc.oneof(
      fc
        .array(fc.tuple(name, fc.oneof(text, fc.bigInt().map(String), fc.uuid())), { maxLength: 4 })
        .map((pairs) =>
          pairs.map((pair) => pair.map((some) => encodeURIComponent(some.toWellFormed())).join('=')).join('&'),
        ),
      fc.webQueryParameters(),
      characters('after=before&%?;+0123456789'),
    );
    expect(
      await refutation(
        fc.asyncProperty(path(GETS), query, async (at, search) => {
          await survives({ path: `${at()}/?${search}`, headers: { Authorization: `Bearer ${john.access}` } });
        }),
        RUNS,
      ),
    ).toBeUndefined();
  });

  it('any headers', TIMEOUT, async () => {
    const name = fc.constantFrom(
      'Authorization',
      'Accept',
      'Content-Type',
      'Origin',
      'Upgrade',
      'Sec-WebSocket-Protocol',
      'Sec-WebSocket-Key',
      'User-Agent',
      'Access-Control-Request-Method',
      'X-Request-Id',
      'X-Edge-Chat-Connect',
      'X-HTTP-Method-Override',
      'X-Forwarded-For',
      'If-None-Match',
      'Range',
      'Cookie',
    );
    const content = fc.oneof(
      headerText,
      headerText.map((some) => `Bearer ${some}`),
      headerText.map((some) => `chat.v1, bearer.${some}`),
      fc.constantFrom('websocket', 'null', 'https://chat.example.org', 'http://localhost:1', 'chat.v1', '{}'),
    );
    const method = fc.constantFrom('GET', 'HEAD', 'POST', 'OPTIONS');
    expect(
      await refutation(
        fc.asyncProperty(path(routesOf()), method, fc.dictionary(name, content), async (at, verb, headers) => {
          await survives({ method: verb, path: at(), headers });
        }),
        RUNS,
      ),
    ).toBeUndefined();
  });

  it('any claims in a token, even well signed', TIMEOUT, async () => {
    const claim = fc.constantFrom(
      'exp',
      'iat',
      'nbf',
      'jti',
      'token_type',
      'user_id',
      'sid',
      'iss',
      'aud',
      '__proto__',
    );
    const claims = fc.dictionary(claim, fc.oneof(fc.jsonValue(), text, fc.uuid(), fc.constant(undefined)), {
      minKeys: 1,
    });
    expect(
      await refutation(
        fc.asyncProperty(path(GETS), claims, fc.boolean(), async (at, changes, upgrade) => {
          const token = await resign(john.access, changes).catch(() => undefined);
          fc.pre(token !== undefined);
          await survives({
            path: at(),
            headers: { Authorization: `Bearer ${token}`, ...(upgrade ? { Upgrade: 'websocket' } : {}) },
          });
        }),
        RUNS,
      ),
    ).toBeUndefined();
  });
});
