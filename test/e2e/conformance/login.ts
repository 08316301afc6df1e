import { expect } from 'vitest';
import {
  BLANK,
  call,
  described,
  differs,
  EMPTY,
  exchange,
  FORM,
  invalid,
  NOT_A_STRING,
  notAllowed,
  NULL,
  NULL_CHARACTER,
  ok,
  options,
  parseError,
  post,
  POST_ONLY,
  postRaw,
  REQUIRED,
  unauthorized,
  unsupported,
  wrong,
  type Exchange,
} from './exchange.ts';
import { address, PASSWORD } from './register.ts';
import { RUN, type Name } from './world.ts';

const PATH = '/api/login/';
const JWT = expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/);

const login = (body: unknown) => post(PATH, body);
const credentials = (email: string, password = PASSWORD) => login({ email, password });
const PAIR = ok({ refresh: JWT, access: JWT });
export const NO_ACCOUNT = unauthorized({ detail: 'No active account found with the given credentials' });

/** A login that succeeds, and whose tokens the following exchanges use. */
export function loginAs(id: string, name: Name): Exchange {
  return exchange(id, `${name} logs in`, credentials(address(name)), PAIR, {
    learn: (world, text) => world.loggedIn(name, JSON.parse(text)),
  });
}

/** The e-mail address of the account made with a password between spaces. */
const PADDED = address('pw.padded');

/** A login with one field replaced or, if undefined, left out. */
function john(
  id: string,
  name: string,
  changes: Readonly<Record<string, unknown>>,
  answer: Exchange['original'],
): Exchange {
  return exchange(`L05.${id}`, name, login({ email: address('john'), password: PASSWORD, ...changes }), answer);
}

export const LOGIN: readonly Exchange[] = [
  exchange('L01', 'a pair of tokens', credentials(address('john')), PAIR),
  loginAs('L01.john', 'john'),
  loginAs('L01.ray', 'ray'),
  loginAs('L01.selena', 'selena'),
  exchange('L03', 'wrong password', credentials(address('john'), 'nope'), NO_ACCOUNT),
  exchange('L04', 'unknown address', credentials(address('nobody')), NO_ACCOUNT),
  exchange('L04.not-an-email', 'not an address', credentials('zzz'), NO_ACCOUNT),

  john('no-email', 'without email', { email: undefined }, wrong({ email: REQUIRED })),
  john('null-email', 'null email', { email: null }, wrong({ email: NULL })),
  john('list-email', 'a list as email', { email: ['x'] }, wrong({ email: NOT_A_STRING })),
  john('int-email', 'a number as email', { email: 5 }, NO_ACCOUNT),
  john('bool-email', 'true as email', { email: true }, wrong({ email: NOT_A_STRING })),
  john('no-password', 'without password', { password: undefined }, wrong({ password: REQUIRED })),
  john('blank-password', 'blank password', { password: '' }, wrong({ password: BLANK })),
  john('null-password', 'null password', { password: null }, wrong({ password: NULL })),
  john('list-password', 'a list as password', { password: ['x'] }, wrong({ password: NOT_A_STRING })),
  john('int-password', 'a number as password', { password: 5 }, NO_ACCOUNT),
  john('bool-password', 'true as password', { password: true }, wrong({ password: NOT_A_STRING })),

  exchange('L06.empty', 'an empty object', login({}), wrong({ email: REQUIRED, password: REQUIRED })),
  exchange(
    'L06.truncated',
    'JSON that ends early',
    postRaw(PATH, '{'),
    parseError('Expecting property name enclosed in double quotes: line 1 column 2 (char 1)'),
    differs('json-parse-error', invalid({ detail: expect.stringMatching(/^JSON parse error - ./) })),
  ),
  exchange('L06.text', 'plain text', postRaw(PATH, '{}', { 'Content-Type': 'text/plain' }), unsupported('text/plain')),

  exchange(
    'L07.upper',
    'the address in upper case',
    credentials(address('john').toUpperCase()),
    NO_ACCOUNT,
    differs('email-case', PAIR),
  ),
  exchange(
    'L07.mixed',
    'the address as it was typed at registration',
    credentials(`Mixed.${RUN}@Gmail.COM`),
    NO_ACCOUNT,
    differs('email-case', PAIR),
  ),
  exchange('L08.email', 'the address between spaces', credentials(` ${address('john')} `), PAIR),
  exchange(
    'L08.password',
    'the password between spaces',
    credentials(address('john'), ` ${PASSWORD} `),
    PAIR,
    differs('passwords', NO_ACCOUNT),
  ),
  exchange('L08.padded', 'a password registered with spaces', credentials(PADDED, '  secretpw12  '), PAIR),
  exchange(
    'L08.trimmed',
    'that password without its spaces',
    credentials(PADDED, 'secretpw12'),
    PAIR,
    differs('passwords', NO_ACCOUNT),
  ),
  exchange('L09', 'a form', postRaw(PATH, `email=john.${RUN}%40gmail.com&password=${PASSWORD}`, FORM), PAIR),
  exchange('L11', 'more fields than needed', login({ email: address('john'), password: PASSWORD, x: 1 }), PAIR),
  exchange('L12.null', 'U+0000 in the address', credentials('a\0', 'x'), wrong({ email: NULL_CHARACTER })),
  exchange('L12.long', 'an address of 10,000 characters', credentials('a'.repeat(10_000), 'x'), NO_ACCOUNT),
  exchange('L13.PUT', 'PUT', call('PUT', PATH), notAllowed('PUT', POST_ONLY)),
  exchange(
    'L13.OPTIONS',
    'OPTIONS',
    call('OPTIONS', PATH),
    described(POST_ONLY, { name: 'Token Obtain Pair' }),
    differs('json-only', options(POST_ONLY)),
  ),
  exchange('L13.HEAD', 'HEAD', call('HEAD', PATH), { status: 405, body: EMPTY, allow: POST_ONLY }),
  exchange(
    'L14',
    'username instead of email',
    login({ username: address('john'), password: PASSWORD }),
    wrong({ email: REQUIRED }),
  ),
];
