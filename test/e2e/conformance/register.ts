import { expect } from 'vitest';
import {
  badAccess,
  bearer,
  BLANK,
  call,
  described,
  differs,
  exchange,
  FORM,
  get,
  HTML,
  invalid,
  NOT_A_STRING,
  notAcceptable,
  notAllowed,
  notAnObject,
  NOT_FOUND,
  NULL,
  NULL_CHARACTER,
  options,
  page,
  parseError,
  post,
  POST_ONLY,
  postRaw,
  REDIRECT,
  REQUIRED,
  unsupported,
  wrong,
  type Answer,
  type Exchange,
} from './exchange.ts';
import { RUN } from './world.ts';

const PATH = '/api/register/';

/** An address that is free in this run. */
export const address = (name: string): string => `${name}.${RUN}@gmail.com`;
export const PASSWORD = 'password321';

type Fields = Readonly<Record<string, unknown>>;

/** The body of a registration; `changes` replaces fields or, where undefined, leaves them out. */
function person(first_name: string, email: string, changes: Fields = {}): Fields {
  return { first_name, last_name: 'Doe', email, password: PASSWORD, confirm_password: PASSWORD, ...changes };
}

const register = (body: unknown, headers?: Readonly<Record<string, string>>) => post(PATH, body, headers);

const created = (first_name: string, email: string, last_name = 'Doe'): Answer => ({
  status: 201,
  body: {
    success: true,
    msg: 'User account created successfully.',
    data: { first_name, last_name, email },
    status: 201,
  },
});

const BAD_EMAIL = 'Enter a valid email address.';
const TAKEN = wrong({ email: 'user account with this email already exists.' });
const MISMATCH = wrong({ password: "Password fields didn't match." });
const TOO_SHORT = 'This password is too short. It must contain at least 8 characters.';
const TOO_COMMON = 'This password is too common.';
const NUMERIC = 'This password is entirely numeric.';
const TOO_LONG = 'Ensure this field has no more than 100 characters.';
const ALL_REQUIRED = wrong({
  first_name: REQUIRED,
  last_name: REQUIRED,
  email: REQUIRED,
  password: REQUIRED,
  confirm_password: REQUIRED,
});
const PARSE_ERROR = differs('json-parse-error', invalid({ detail: expect.stringMatching(/^JSON parse error - ./) }));

/** A registration with one field changed, and what is said about that field. */
function field(id: string, name: string, body: Fields, fields: Parameters<typeof wrong>[0]): Exchange {
  return exchange(id, name, register(body), wrong(fields));
}

/** A registration with this address, refused if it is no address for Django. */
function emailAddress(id: string, text: string, verdict: 'accepted' | 'refused'): Exchange {
  const answer = verdict === 'accepted' ? created('Em', text) : wrong({ email: BAD_EMAIL });
  return exchange(`R07.${id}`, `e-mail address ${text}`, register(person('Em', text)), answer);
}

/** A registration with this password. */
function passwordOf(
  id: string,
  first_name: string,
  text: string,
  problems: Parameters<typeof wrong>[0] = {},
): Exchange {
  const to = address(`pw.${id}`);
  return exchange(
    `R11.${id}`,
    `password ${JSON.stringify(text)}`,
    register(person(first_name, to, { password: text, confirm_password: text })),
    Object.keys(problems).length > 0 ? wrong(problems) : created(first_name, to),
  );
}

function multipart(fields: Readonly<Record<string, string>>): string {
  const parts = Object.entries(fields).map(
    ([name, value]) => `--B\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  return `${parts.join('')}--B--\r\n`;
}

const MISSING = address('miss');
const NULLED = address('null');
const BLANKED = address('blank');
const LONGEST_ADDRESS = `${RUN}${'l'.repeat(66)}@${'d'.repeat(60)}.${'e'.repeat(60)}.com`;

export const REGISTER: readonly Exchange[] = [
  exchange('R01.john', 'john', register(person('John', address('john'))), created('John', address('john'))),
  exchange('R01.ray', 'ray', register(person('Ray', address('ray'))), created('Ray', address('ray'))),
  exchange('R01.selena', 'selena', register(person('Selena', address('selena'))), created('Selena', address('selena'))),

  field('R02.first_name', 'without first_name', person('-', MISSING, { first_name: undefined }), {
    first_name: REQUIRED,
  }),
  field('R03.first_name', 'blank first_name', person('', BLANKED), { first_name: BLANK }),
  field('R02.last_name', 'without last_name', person('Miss', MISSING, { last_name: undefined }), {
    last_name: REQUIRED,
  }),
  field('R03.last_name', 'blank last_name', person('Blank', BLANKED, { last_name: '' }), { last_name: BLANK }),
  field('R04.last_name', 'null last_name', person('Null', NULLED, { last_name: null }), { last_name: NULL }),
  field('R02.email', 'without email', person('Miss', MISSING, { email: undefined }), { email: REQUIRED }),
  field('R03.email', 'blank email', person('Blank', ''), { email: BLANK }),
  field('R04.email', 'null email', person('Null', NULLED, { email: null }), { email: NULL }),
  field('R02.password', 'without password', person('Miss', MISSING, { password: undefined }), { password: REQUIRED }),
  field('R03.password', 'blank password', person('Blank', BLANKED, { password: '' }), { password: BLANK }),
  field('R04.password', 'null password', person('Null', NULLED, { password: null }), { password: NULL }),
  field('R02.confirm_password', 'without confirm_password', person('Miss', MISSING, { confirm_password: undefined }), {
    confirm_password: REQUIRED,
  }),
  exchange('R05', 'an empty object', register({}), ALL_REQUIRED),
  field('R06.spaces', 'first_name of spaces only', person('   ', address('ws')), { first_name: BLANK }),
  field(
    'R06.all',
    'every field blank',
    { first_name: '', last_name: '', email: '', password: '', confirm_password: '' },
    { first_name: BLANK, last_name: BLANK, email: BLANK, password: BLANK, confirm_password: BLANK },
  ),

  emailAddress('no-tld', 'a@b', 'refused'),
  emailAddress('localhost', 'a@localhost', 'accepted'),
  emailAddress('short', 'a@b.co', 'accepted'),
  emailAddress('space', 'a b@x.com', 'refused'),
  emailAddress('leading-hyphen', 'a@-x.com', 'refused'),
  emailAddress('two-dots', 'a..b@x.com', 'refused'),
  emailAddress('non-ascii-local', 'jöhn@example.com', 'refused'),
  emailAddress('idn', 'x@exämple.com', 'accepted'),
  emailAddress('quoted', `"q q"@${RUN}.com`, 'refused'),
  emailAddress('ip-literal', 'a@[127.0.0.1]', 'accepted'),
  emailAddress('trailing-dot', 'a@x.com.', 'refused'),
  emailAddress('two-ats', 'a@@x.com', 'refused'),
  emailAddress('no-local', '@x.com', 'refused'),
  emailAddress('empty-label', 'a@.com', 'refused'),
  emailAddress('underscore', 'a@x_y.com', 'refused'),
  emailAddress('apostrophe-plus', `o'brien+tag@${RUN}.com`, 'accepted'),
  emailAddress('digit-tld', 'a@x.c0m', 'refused'),

  exchange(
    'R09.case',
    'a taken address in another case',
    register(person('John', `john.${RUN}@GMAIL.com`)),
    page(500),
    differs('no-500', TAKEN),
  ),
  exchange('R09.padded', 'a taken address between spaces', register(person('John', `  ${address('john')}  `)), TAKEN),
  exchange(
    'R09.mixed',
    'a new address in mixed case is stored in lower case',
    register(person('X', `Mixed.${RUN}@Gmail.COM`)),
    created('X', address('mixed')),
  ),
  exchange(
    'R10',
    'passwords that differ',
    register(person('Mm', address('mm'), { confirm_password: 'password322' })),
    MISMATCH,
  ),
  exchange(
    'R10.email',
    'passwords that differ and a bad address: fields come first',
    register(person('Mm', 'bad', { confirm_password: 'zzz' })),
    wrong({ email: BAD_EMAIL }),
  ),
  exchange(
    'R10.weak',
    'passwords that differ and are weak: the difference comes first',
    register(person('Mm', address('mm'), { password: 'abc', confirm_password: 'abd' })),
    MISMATCH,
  ),

  passwordOf('7chars', 'Pw-70', 'xK3#a9q', { password: TOO_SHORT }),
  passwordOf('8charsok', 'Pw-80', 'xK3#a9qZ'),
  passwordOf('commonupper', 'Pw-Common0', 'PASSWORD', { password: TOO_COMMON }),
  passwordOf('shortcommon', 'Pw-Short+Common0', 'qwerty', { password: [TOO_SHORT, TOO_COMMON] }),
  passwordOf('shortcommonnumeric', 'Pw-Short+Common+Numeric0', '12345', { password: [TOO_SHORT, TOO_COMMON, NUMERIC] }),
  passwordOf('8spaces', 'Pw-80', '        ', { password: BLANK, confirm_password: BLANK }),
  passwordOf('padded', 'Pw-Padded0', '  secretpw12  '),
  passwordOf('unicodedigits', 'Pw-Unicode0', '٣٤٥٦٧٨٩٠١', { password: NUMERIC }),
  passwordOf('unicode', 'Pw-Unicode0', 'pässwörd-ключ-🔑'),
  passwordOf('nullchar', 'Pw-Null0', 'abc\0defgh1', { password: NULL_CHARACTER, confirm_password: NULL_CHARACTER }),
  exchange(
    'R12',
    'the address as password',
    register(person('Sim', address('similar'), { password: address('similar'), confirm_password: address('similar') })),
    created('Sim', address('similar')),
    differs('passwords', wrong({ password: 'The password is too similar to the email.' })),
  ),

  exchange(
    'R13.first_name-100',
    'first_name of 100 characters',
    register(person('a'.repeat(100), address('n100'))),
    created('a'.repeat(100), address('n100')),
  ),
  field('R13.first_name-101', 'first_name of 101', person('a'.repeat(101), address('n101')), { first_name: TOO_LONG }),
  field('R13.last_name-101', 'last_name of 101', person('L101', address('l101'), { last_name: 'b'.repeat(101) }), {
    last_name: TOO_LONG,
  }),
  exchange(
    'R13.email-200',
    'address of 200 characters',
    register(person('E200', LONGEST_ADDRESS)),
    created('E200', LONGEST_ADDRESS),
  ),
  field('R13.label-64', 'domain label of 64 characters', person('E64', `a@${'d'.repeat(64)}.com`), {
    email: BAD_EMAIL,
  }),

  exchange(
    'R14.truncated',
    'JSON that ends early',
    postRaw(PATH, '{"first_name": "x",'),
    parseError('Expecting property name enclosed in double quotes: line 1 column 20 (char 19)'),
    PARSE_ERROR,
  ),
  exchange(
    'R14.text',
    'a word',
    postRaw(PATH, 'hello'),
    parseError('Expecting value: line 1 column 1 (char 0)'),
    PARSE_ERROR,
  ),
  exchange(
    'R14.nan',
    'NaN',
    postRaw(PATH, '{"first_name": NaN}'),
    parseError("Out of range float values are not JSON compliant: 'NaN'"),
    PARSE_ERROR,
  ),
  exchange('R14.string', 'a JSON string', postRaw(PATH, '"x"'), notAnObject('str')),
  exchange('R14.number', 'a JSON number', postRaw(PATH, '5'), notAnObject('int')),
  exchange('R14.nothing', 'no body and no type', call('POST', PATH), ALL_REQUIRED),
  exchange(
    'R14.utf-8',
    'bytes that are not UTF-8',
    postRaw(PATH, Buffer.from('{"first_name": "\xff\xfe"}', 'latin1')),
    parseError("'utf-8' codec can't decode byte 0xff in position 16: invalid start byte"),
    PARSE_ERROR,
  ),
  exchange(
    'R14.bom',
    'a byte order mark',
    postRaw(PATH, '\uFEFF{}'),
    parseError('Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)'),
    PARSE_ERROR,
  ),
  exchange('R14.false', 'false', postRaw(PATH, 'false'), notAnObject('bool')),

  exchange(
    'R15.xml',
    'XML',
    postRaw(PATH, '<a/>', { 'Content-Type': 'application/xml' }),
    unsupported('application/xml'),
  ),
  exchange(
    'R15.charset',
    'JSON with a charset',
    register(person('Jcs', address('jcs')), { 'Content-Type': 'application/json; charset=utf-8' }),
    created('Jcs', address('jcs')),
  ),
  exchange(
    'R15.form',
    'a form',
    postRaw(
      PATH,
      `first_name=Form&last_name=Enc&email=form.${RUN}%40gmail.com&password=${PASSWORD}&confirm_password=${PASSWORD}`,
      FORM,
    ),
    created('Form', address('form'), 'Enc'),
  ),
  exchange(
    'R15.multipart',
    'multipart',
    postRaw(
      PATH,
      multipart({
        first_name: 'Multi',
        last_name: 'Doe',
        email: address('multi'),
        password: PASSWORD,
        confirm_password: PASSWORD,
      }),
      { 'Content-Type': 'multipart/form-data; boundary=B' },
    ),
    created('Multi', address('multi')),
  ),

  exchange(
    'R17.int',
    'a whole number is text',
    register(person('-', address('tyint'), { first_name: 123 })),
    created('123', address('tyint')),
  ),
  exchange(
    'R17.float',
    'a fraction is text',
    register(person('-', address('tyfloat'), { first_name: 1.5 })),
    created('1.5', address('tyfloat')),
  ),
  field('R17.true', 'true is no text', person('-', address('tytrue'), { first_name: true }), {
    first_name: NOT_A_STRING,
  }),
  field('R17.object', 'an object is no text', person('-', address('tyobj'), { first_name: { a: 1 } }), {
    first_name: NOT_A_STRING,
  }),
  field('R17.email', 'a number as address', person('Tye', '-', { email: 5 }), { email: BAD_EMAIL }),
  field(
    'R17.password',
    'lists as passwords',
    person('Typ', address('typ'), { password: ['a'], confirm_password: ['a'] }),
    { password: NOT_A_STRING, confirm_password: NOT_A_STRING },
  ),
  field('R18.null', 'U+0000 in a name', person('a\0b', address('nul')), { first_name: NULL_CHARACTER }),
  field('R18.surrogate', 'half of a surrogate pair', person('\ud800', address('sur')), {
    first_name: 'Surrogate characters are not allowed: U+D800.',
  }),
  exchange(
    'R18.html',
    'markup and emoji are kept as they are',
    register(person('<b>Ünï😀</b>', address('html'))),
    created('<b>Ünï😀</b>', address('html')),
  ),
  exchange(
    'R18.twice',
    'of two equal keys the last one wins',
    postRaw(PATH, JSON.stringify(person('Second', address('dupk'))).replace('{', '{"first_name":"First",')),
    created('Second', address('dupk')),
  ),
  exchange(
    'R18.control',
    'control characters in a name',
    register(person('a\nb\u0007c', address('nl'))),
    created('a\nb\u0007c', address('nl')),
  ),

  ...['GET', 'PUT', 'PATCH', 'DELETE'].map((method) =>
    exchange(`R19.${method}`, method, call(method, PATH), notAllowed(method, POST_ONLY)),
  ),
  exchange(
    'R19.OPTIONS',
    'OPTIONS',
    call('OPTIONS', PATH),
    described(POST_ONLY, { name: 'Register', description: 'API view to creates a new user account.' }),
    differs('json-only', options(POST_ONLY)),
  ),
  exchange('R19.TRACE', 'TRACE', call('TRACE', PATH), notAllowed('TRACE', POST_ONLY)),

  exchange('R20.bearer', 'a bad bearer token', register(person('Bb', address('bb')), bearer('nonsense')), badAccess()),
  exchange(
    'R20.basic',
    'another scheme is ignored',
    register(person('Basic', address('basic')), { Authorization: 'Basic Zm9vOmJhcg==' }),
    created('Basic', address('basic')),
  ),
  exchange(
    'R21.post',
    'POST without the last slash',
    post('/api/register', person('Ns', address('ns'))),
    page(500),
    differs('trailing-slash', created('Ns', address('ns'))),
  ),
  exchange(
    'R21.get',
    'GET without the last slash',
    get('/api/register'),
    REDIRECT,
    differs('trailing-slash', notAllowed('GET', POST_ONLY)),
  ),
  exchange(
    'R23.html',
    'Accept: text/html',
    register(person('Acc1', address('acc1')), { Accept: 'text/html' }),
    { status: 201, body: HTML },
    differs('json-only', created('Acc1', address('acc1'))),
  ),
  exchange(
    'R23.xml',
    'Accept: application/xml',
    register(person('Acc2', address('acc2')), { Accept: 'application/xml' }),
    notAcceptable({ detail: 'Could not satisfy the request Accept header.' }),
    differs('json-only', created('Acc2', address('acc2'))),
  ),
  exchange(
    'R23.format',
    '?format=xml',
    post(`${PATH}?format=xml`, person('Acc3', address('acc3'))),
    NOT_FOUND,
    differs('json-only', created('Acc3', address('acc3'))),
  ),
  exchange(
    'R24',
    'a foreign Host',
    register(person('Host', address('host')), { Host: 'evil.example' }),
    page(400),
    differs('json-only', invalid({ detail: expect.any(String), code: 'host_not_allowed' })),
  ),
];
