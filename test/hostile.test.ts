import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { settings } from '../src/settings.ts';
import { open } from './helpers/conversation.ts';
import * as hostile from './helpers/hostile.ts';
import { characters, headerText, refutation, segment, text, value } from './helpers/hostile.ts';
import { pairInConversation, type Person } from './helpers/people.ts';
import { pathOf, routesOf, type Route } from './helpers/routes.ts';
import { resign } from './helpers/tokens.ts';

/** How many messages there are to be edited and deleted. */
const MESSAGES = 50;
const TIMEOUT = { timeout: 60_000 };
const JSON_TYPE = { 'Content-Type': 'application/json' };

let john: Person;
let ray: Person;
let conversationId: string;
const present = { ...settings };

beforeAll(async () => {
  ({ john, ray, conversationId } = await pairInConversation());
  // The messages that paths name are john's own, and he is never too fast: what he sends is looked at.
  const socket = await open(conversationId, john.access);
  for (let n = 1; n <= MESSAGES; n += 1) socket.say('Hello', ray.id);
  await socket.take(MESSAGES);
  Object.assign(settings, { rateBurst: 1e9 });
});

afterAll(() => {
  Object.assign(settings, present);
});

const survives = (request: hostile.Hostile) => hostile.survives(conversationId, request);
const authorized = () => ({ Authorization: `Bearer ${john.access}` });

const ROUTES = routesOf();
const GETS = ROUTES.filter(({ method }) => method === 'GET');
const WITH_BODY = ROUTES.filter(({ method }) => method === 'POST' || method === 'PATCH');
const IN_CONVERSATION = ROUTES.filter(({ path }) => path.startsWith('/api/conversations/'));

/** One of some routes: its method, and a path that names something that exists. */
const target = (routes: Route[]) =>
  fc.constantFrom(...routes).map((route) => () => ({
    method: route.method,
    path: pathOf(route, { userId: ray.id, conversationId }),
  }));

const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS');

describe('the server survives', () => {
  it('any JSON in a body', TIMEOUT, async () => {
    expect(
      await refutation(
        fc.asyncProperty(target(WITH_BODY), fc.jsonValue({ maxDepth: 6 }), async (at, json) => {
          await survives({ ...at(), headers: { ...JSON_TYPE, ...authorized() }, body: JSON.stringify(json) });
        }),
      ),
    ).toBeUndefined();
  });

  it('anything in a token’s field', TIMEOUT, async () => {
    const routes = WITH_BODY.filter(({ path }) => /token|logout/.test(path));
    expect(
      await refutation(
        fc.asyncProperty(target(routes), value, async (at, token) => {
          await survives({ ...at(), headers: JSON_TYPE, body: JSON.stringify({ token, refresh: token }) });
        }),
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
      ),
    ).toBeUndefined();
  });

  it('anything in the fields of a message, an edit or a mark, and for its key', TIMEOUT, async () => {
    const routes = IN_CONVERSATION.filter((route) => WITH_BODY.includes(route));
    const number = fc.oneof(value, fc.integer({ min: -2, max: 5 }), fc.integer({ min: -2, max: 5 }).map(String));
    const fields = fc.record({ text: value, reply_to: number, read: number, delivered: number }, { requiredKeys: [] });
    const key = fc.option(fc.oneof(headerText, fc.string({ minLength: 1, maxLength: 64 })));
    expect(
      await refutation(
        fc.asyncProperty(target(routes), fields, key, async (at, json, idempotencyKey) => {
          const headers = {
            ...JSON_TYPE,
            ...authorized(),
            ...(idempotencyKey !== null && { 'Idempotency-Key': idempotencyKey }),
          };
          await survives({ ...at(), headers, body: JSON.stringify(json) });
        }),
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
        fc.asyncProperty(target(WITH_BODY), type, bytes, async (at, contentType, body) => {
          await survives({ ...at(), headers: { 'Content-Type': contentType, ...authorized() }, body });
        }),
      ),
    ).toBeUndefined();
  });

  it('anything for an id in a path', TIMEOUT, async () => {
    const template = fc.constantFrom('/api/users/:id', '/:id', '/api/:id/', ...ROUTES.map(({ path }) => path));
    expect(
      await refutation(
        fc.asyncProperty(template, segment, method, fc.boolean(), async (at, spelled, verb, upgrade) => {
          await survives({
            method: verb,
            path: at.replace(/:id|:n|:emoji/g, () => spelled),
            headers: { ...authorized(), ...(upgrade ? { Upgrade: 'websocket' } : {}) },
          });
        }),
      ),
    ).toBeUndefined();
  });

  it('anything for a message or an emoji in the path of a conversation of one’s own', TIMEOUT, async () => {
    const routes = IN_CONVERSATION.filter(({ path }) => path.includes(':n'));
    const number = fc.oneof({ weight: 2, arbitrary: fc.integer({ min: 1, max: MESSAGES }).map(String) }, segment);
    const emoji = fc.oneof(
      segment,
      fc
        .constantFrom('👍', '👍🏿', '👩‍👩‍👧‍👦', '🇩🇪', '1️⃣', '❤', '❤️', '👍👍', '🏿', '\ufe0f', '\u200d')
        .map(encodeURIComponent),
    );
    const body = JSON.stringify({ text: 'edited' });
    expect(
      await refutation(
        fc.asyncProperty(fc.constantFrom(...routes), number, emoji, async (route, n, spelled) => {
          const path = route.path
            .replace(':id', conversationId)
            .replace(':n', () => n)
            .replace(':emoji', () => spelled);
          await survives({ method: route.method, path, headers: { ...JSON_TYPE, ...authorized() }, body });
        }),
      ),
    ).toBeUndefined();
  });

  it('any query', TIMEOUT, async () => {
    const name = fc.oneof(fc.constantFrom('after', 'before', 'around', 'epoch', 'token', 'limit', 'format'), text);
    const query = fc.oneof(
      fc
        .array(fc.tuple(name, fc.oneof(text, fc.bigInt().map(String), fc.nat(200).map(String), fc.uuid())), {
          maxLength: 4,
        })
        .map((pairs) =>
          pairs.map((pair) => pair.map((some) => encodeURIComponent(some.toWellFormed())).join('=')).join('&'),
        ),
      fc.webQueryParameters(),
      characters('after=before&limit=around&epoch=%?;+0123456789'),
    );
    expect(
      await refutation(
        fc.asyncProperty(target(GETS), query, fc.boolean(), async (at, search, upgrade) => {
          const headers = {
            ...authorized(),
            ...(upgrade && { Upgrade: 'websocket', 'Sec-WebSocket-Protocol': 'chat.v1' }),
          };
          await survives({ path: `${at().path}/?${search}`, headers });
        }),
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
      'Idempotency-Key',
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
    const headersOf = fc.dictionary(name, content);
    expect(
      await refutation(
        fc.asyncProperty(target(ROUTES), method, headersOf, fc.boolean(), async (at, verb, headers, own) => {
          const route = at();
          await survives({
            method: own ? route.method : verb,
            path: route.path,
            headers: { ...(own ? authorized() : {}), ...headers },
          });
        }),
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
        fc.asyncProperty(target(ROUTES), claims, fc.boolean(), async (at, changes, upgrade) => {
          const token = await resign(john.access, changes).catch(() => undefined);
          fc.pre(token !== undefined);
          await survives({
            ...at(),
            headers: { Authorization: `Bearer ${token}`, ...(upgrade ? { Upgrade: 'websocket' } : {}) },
          });
        }),
      ),
    ).toBeUndefined();
  });
});
