import {
  badAccess,
  bearer,
  call,
  differs,
  EMPTY,
  exchange,
  get,
  GET_ONLY,
  NO_CREDENTIALS,
  notAcceptable,
  notAllowed,
  ok,
  options,
  page,
  post,
  REDIRECT,
  unauthorized,
  type Call,
  type Exchange,
} from './exchange.ts';
import { now, resign, unsign, type Name, type World } from './world.ts';

const PATH = '/api/users/';
const HOUR = 3600;

/** Everyone but the caller, in order of registration. */
export const usersBut = (caller: Name) => ok((world: World) => world.others(caller));

const list = (token: string): Call => get(PATH, bearer(token));
const asJohn =
  (path = PATH, headers: Call['headers'] = {}) =>
  (world: World) =>
    get(path, { ...bearer(world.access('john')), ...headers });

/** The list, asked for with a changed form of john's access token. */
function withToken(
  id: string,
  name: string,
  changes: (world: World) => Readonly<Record<string, unknown>>,
  original: Exchange['original'],
): Exchange {
  return exchange(
    id,
    name,
    async (world) => list(await resign(world.access('john'), changes(world), world.server)),
    original,
  );
}

export const USERS: readonly Exchange[] = [
  exchange('U01', 'no token', get(PATH), NO_CREDENTIALS),
  withToken('U03', 'an expired token', () => ({ exp: now() - 1 }), badAccess()),
  exchange('U04', 'a refresh token', (world) => list(world.refresh('john')), badAccess('Token has wrong type')),
  exchange(
    'U05.key',
    'a token signed with another key',
    async (world) =>
      list(
        await resign(world.access('john'), {}, { secret: `not ${world.server.secret}`, kidOf: world.server.secret }),
      ),
    badAccess(),
  ),
  exchange('U05.none', 'an unsigned token', (world) => list(unsign(world.access('john'))), badAccess()),
  exchange(
    'U05.HS512',
    'a token signed with HS512',
    async (world) => list(await resign(world.access('john'), {}, { secret: world.server.secret, alg: 'HS512' })),
    badAccess(),
  ),
  withToken('U06.exp', 'a token without exp', () => ({ exp: undefined }), badAccess("Token has no 'exp' claim")),
  withToken('U06.jti', 'a token without jti', () => ({ jti: undefined }), badAccess('Token has no id')),
  withToken(
    'U06.no-user',
    'a token without user_id',
    () => ({ user_id: undefined }),
    unauthorized({ detail: 'Token contained no recognizable user identification', code: 'token_not_valid' }),
  ),
  withToken(
    'U06.number',
    'a token whose user_id is a number',
    () => ({ user_id: 5 }),
    unauthorized({ detail: 'User not found', code: 'user_not_found' }),
  ),
  withToken(
    'U06.spelling',
    'a token whose user_id is in upper case and without dashes',
    (world) => ({ user_id: world.id('john').replaceAll('-', '').toUpperCase() }),
    usersBut('john'),
  ),
  withToken('U06.iat', 'a token from the future', () => ({ iat: now() + HOUR }), badAccess()),
  withToken('U06.text-exp', 'a token whose exp is text', () => ({ exp: String(now() + HOUR) }), badAccess()),
  exchange(
    'U07.alone',
    'Bearer and nothing else',
    get(PATH, { Authorization: 'Bearer' }),
    unauthorized({
      detail: 'Authorization header must contain two space-delimited values',
      code: 'bad_authorization_header',
    }),
  ),
  exchange(
    'U07.lower',
    'bearer in lower case is another scheme',
    (world) => get(PATH, { Authorization: `bearer ${world.access('john')}` }),
    NO_CREDENTIALS,
  ),
  exchange(
    'U07.scheme',
    'another scheme',
    (world) => get(PATH, { Authorization: `Token ${world.access('john')}` }),
    NO_CREDENTIALS,
  ),
  exchange(
    'U07.query',
    'a token in the query',
    (world) => get(`${PATH}?token=${world.access('john')}`),
    NO_CREDENTIALS,
  ),
  exchange('U07.non-ascii', 'a token that is not ASCII', list('é'), badAccess()),
  exchange(
    'U09.get',
    'without the last slash',
    asJohn('/api/users'),
    REDIRECT,
    differs('trailing-slash', usersBut('john')),
  ),
  exchange(
    'U09.post',
    'POST without the last slash',
    (world) => post('/api/users', {}, bearer(world.access('john'))),
    page(500),
    differs('trailing-slash', notAllowed('POST', GET_ONLY)),
  ),
  ...['POST', 'PUT', 'DELETE'].map((method) =>
    exchange(
      `U10.${method}`,
      method,
      (world) => call(method, PATH, bearer(world.access('john'))),
      notAllowed(method, GET_ONLY),
    ),
  ),
  exchange('U10.HEAD', 'HEAD', (world) => call('HEAD', PATH, bearer(world.access('john'))), ok(EMPTY)),
  exchange(
    'U10.OPTIONS',
    'OPTIONS without a token',
    call('OPTIONS', PATH),
    NO_CREDENTIALS,
    differs('json-only', options(GET_ONLY)),
  ),
  exchange(
    'U11.html',
    'Accept: text/html',
    asJohn(PATH, { Accept: 'text/html' }),
    page(200),
    differs('json-only', usersBut('john')),
  ),
  exchange(
    'U11.browser',
    "a browser's Accept",
    asJohn(PATH, { Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }),
    page(200),
    differs('json-only', usersBut('john')),
  ),
  exchange(
    'U11.xml',
    'Accept: application/xml',
    asJohn(PATH, { Accept: 'application/xml' }),
    notAcceptable({ detail: 'Could not satisfy the request Accept header.' }),
    differs('json-only', usersBut('john')),
  ),
  exchange('U11.format', '?format=json', asJohn(`${PATH}?format=json`), usersBut('john')),
  exchange(
    'U11.indent',
    'Accept: application/json; indent=4',
    asJohn(PATH, { Accept: 'application/json; indent=4' }),
    usersBut('john'),
  ),
  exchange(
    'U12',
    'unknown parameters are ignored',
    asJohn(`${PATH}?limit=1&page=9&search=x`),
    usersBut('john'),
    differs(
      'users-search',
      ok((world: World) => world.others('john').filter((it) => (it as { first_name: string }).first_name === 'X')),
    ),
  ),
];
