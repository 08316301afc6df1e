import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import {
  badAccess,
  badRefresh,
  bearer,
  BLANK,
  call,
  described,
  differs,
  exchange,
  FORM,
  get,
  invalid,
  NOT_A_STRING,
  notAllowed,
  notAnObject,
  NULL,
  ok,
  options,
  page,
  parseError,
  post,
  POST_ONLY,
  postRaw,
  REQUIRED,
  wrong,
  type Exchange,
} from './exchange.ts';
import { loginAs } from './login.ts';
import { usersBut } from './users.ts';
import { newTokenId, now, resign, type World } from './world.ts';

const PATH = '/api/logout/';
const DONE = ok({});

const logout = (refresh: unknown, headers?: Readonly<Record<string, string>>) => post(PATH, { refresh }, headers);

/** A logout with a changed form of john's refresh token. */
const withToken = (changes: () => Readonly<Record<string, unknown>>) => async (world: World) =>
  logout(await resign(world.refresh('john'), changes(), world.server));

export const LOGOUT: readonly Exchange[] = [
  exchange(
    'O01.missing',
    'without refresh',
    (world) => post(PATH, {}, bearer(world.access('john'))),
    wrong({ refresh: REQUIRED }),
  ),
  exchange('O01.blank', 'blank refresh', logout(''), wrong({ refresh: BLANK })),
  exchange('O01.null', 'null refresh', logout(null), wrong({ refresh: NULL })),
  exchange('O01.number', 'a number as refresh', logout(5), badRefresh()),
  exchange('O01.list', 'a list as refresh', logout(['a']), wrong({ refresh: NOT_A_STRING })),
  exchange('O01.nothing', 'no body', call('POST', PATH), wrong({ refresh: REQUIRED })),
  exchange('O01.array', 'an array', postRaw(PATH, '[]'), notAnObject('list')),
  exchange(
    'O01.truncated',
    'JSON that ends early',
    postRaw(PATH, '{'),
    parseError('Expecting property name enclosed in double quotes: line 1 column 2 (char 1)'),
    differs('json-parse-error', invalid({ detail: expect.stringMatching(/^JSON parse error - ./) })),
  ),
  exchange('O02', 'no token', (world) => logout('nonsense', bearer(world.access('john'))), badRefresh()),
  exchange(
    'O03',
    'an access token',
    (world) => logout(world.access('john'), bearer(world.access('john'))),
    badRefresh('Token has wrong type'),
  ),
  exchange(
    'O04.expired',
    'an expired token',
    withToken(() => ({ exp: now() - 1 })),
    badRefresh(),
  ),
  exchange(
    'O04.key',
    'a token signed with another key',
    async (world) =>
      logout(
        await resign(world.refresh('john'), {}, { secret: `not ${world.server.secret}`, kidOf: world.server.secret }),
      ),
    badRefresh(),
  ),
  exchange(
    'O04.jti',
    'a token without jti',
    withToken(() => ({ jti: undefined })),
    page(500),
    differs('no-500', badRefresh('Token has no id')),
  ),
  exchange(
    'O04.unissued',
    'a well-signed token that was never issued',
    withToken(() => ({ jti: newTokenId() })),
    DONE,
    differs('unissued-refresh', badRefresh()),
  ),
  exchange(
    'O04.unknown-user',
    'a well-signed token of nobody',
    withToken(() => ({ jti: newTokenId(), user_id: randomUUID() })),
    DONE,
    differs('unissued-refresh', badRefresh()),
  ),
  exchange('O05', 'a token', (world) => logout(world.refresh('john'), bearer(world.access('john'))), DONE),
  exchange(
    'O06',
    'the same token again',
    (world) => logout(world.refresh('john'), bearer(world.access('john'))),
    badRefresh('Token is blacklisted'),
  ),
  exchange(
    'O07',
    'the access token of that login',
    (world) => get('/api/users/', bearer(world.access('john'))),
    usersBut('john'),
    differs('access-after-logout', badAccess()),
  ),
  loginAs('O08.login', 'john'),
  exchange('O08', 'a token, without Authorization', (world) => logout(world.refresh('john')), DONE),
  loginAs('O09.login', 'john'),
  exchange(
    'O09',
    'a token, with a bad Authorization',
    (world) => logout(world.refresh('john'), bearer('nonsense')),
    DONE,
  ),
  loginAs('O10.login', 'john'),
  exchange(
    'O10',
    "a token, with someone else's Authorization",
    (world) => logout(world.refresh('john'), bearer(world.access('ray'))),
    DONE,
  ),
  loginAs('O11.login', 'john'),
  exchange('O11', 'a form', (world) => postRaw(PATH, `refresh=${world.refresh('john')}`, FORM), DONE),
  exchange('O12.GET', 'GET', get(PATH), notAllowed('GET', POST_ONLY)),
  exchange('O12.DELETE', 'DELETE', call('DELETE', PATH), notAllowed('DELETE', POST_ONLY)),
  exchange(
    'O12.OPTIONS',
    'OPTIONS',
    call('OPTIONS', PATH),
    described(POST_ONLY, { name: 'Token Blacklist' }),
    differs('json-only', options(POST_ONLY)),
  ),
];
