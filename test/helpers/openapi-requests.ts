import { env } from 'cloudflare:workers';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import * as fc from 'fast-check';
import { vi } from 'vitest';
import { BODY_MAX_BYTES } from '../../src/config.ts';
import { api, HOST } from './api.ts';
import { templatePattern, type Description } from './description.ts';
import { EMOJI } from './emoji.ts';
import { anyJson, changed, valuesOf, type JsonSchema } from './from-schema.ts';
import { headerText, segment, text, value, type Hostile } from './hostile.ts';
import { PASSWORD, signedIn, type Person } from './people.ts';
import { claimsOf } from './tokens.ts';

type Parameter = { in: string; name: string; schema: JsonSchema };
type Content = Record<string, { schema: JsonSchema }>;
type Described = {
  security?: Record<string, string[]>[];
  parameters?: Parameter[];
  requestBody?: { content: Content };
  responses: Record<string, { content?: Content }>;
};

/** An operation of the API's description. */
export type Operation = Described & {
  /** `POST /api/users/{id}/chat/` */
  name: string;
  method: string;
  path: string;
  /** The schemas that those of the operation may refer to. */
  named: Record<string, JsonSchema>;
};

/** Every operation of an OpenAPI document. */
export function operationsOf(document: Description): Operation[] {
  const { schemas: named } = document.components as { schemas: Record<string, JsonSchema> };
  return Object.entries(document.paths as Record<string, Record<string, Described>>).flatMap(([path, item]) =>
    Object.entries(item).map(([verb, described]) => {
      const method = verb.toUpperCase();
      return { ...described, name: `${method} ${path}`, method, path, named };
    }),
  );
}

/** A part of a request: what the description allows or, in so many of ten requests, something else. */
type Choice = <T>(allowed: fc.Arbitrary<T>, ofTen: number, other: fc.Arbitrary<T>) => fc.Arbitrary<T>;

/**
 * Requests that the description allows. Where it says no more than "a string", mostly with what exists: `__user__` and
 * the like are filled in by {@link filled}, so that a request can be repeated in another world.
 */
export const allowedRequests = (operation: Operation) => requests(operation, (allowed) => allowed);

/** The same requests, with something in most of them that the description does not allow, or does not mention. */
export const bentRequests = (operation: Operation) =>
  requests(operation, (allowed, ofTen, other) =>
    fc.oneof({ weight: 10 - ofTen, arbitrary: allowed }, { weight: ofTen, arbitrary: other }),
  );

function requests(operation: Operation, choose: Choice): fc.Arbitrary<Hostile> {
  return fc
    .record({
      path: paths(operation, choose),
      query: queries(operation, choose),
      authorization: authorizations(operation, choose),
      headers: headers(operation, choose),
      content: bodies(operation, choose),
    })
    .map(({ path, query, authorization, headers: more, content }) => ({
      method: operation.method,
      path: query === '' ? path : `${path}?${query}`,
      headers: { 'CF-Connecting-IP': '__address__', ...authorization, ...more, ...content.headers },
      ...(content.body !== undefined && { body: content.body }),
    }));
}

const IDS = ['__user__', '__peer__', '__conversation__', '__session__'];
/** What a path names, by the piece before it. */
const IN_PATHS: Record<string, readonly string[]> = {
  users: ['__peer__', '__peer__', '__user__'],
  chat: ['__conversation__'],
  conversations: ['__conversation__'],
  sessions: ['__session__', '__peer_session__'],
  messages: ['__message__', '__message__', '__peer_message__'],
  reactions: EMOJI.map(encodeURIComponent),
};
const LISTED = ['__listed_conversation__'];

function paths({ path }: Operation, choose: Choice): fc.Arbitrary<string> {
  const pieces = path.split('/').map((piece, at, all) => {
    if (!piece.startsWith('{')) return fc.constant(piece);
    const known = (path === '/api/conversations/{id}/' ? LISTED : IN_PATHS[all[at - 1] ?? '']) ?? IDS;
    const likely = fc.constantFrom(...known, ...known.map((one) => one.toUpperCase()));
    return choose(mostly(likely, fc.uuid()), 2, segment);
  });
  return fc
    .tuple(fc.tuple(...pieces), fc.boolean())
    .map(([whole, slash]) => (slash ? whole.join('/') : whole.join('/').replace(/(?<=.)\/$/, '')))
    .filter((spelled) => templatePattern(path).test(new URL(spelled, `https://${HOST}`).pathname));
}

function queries(operation: Operation, choose: Choice): fc.Arbitrary<string> {
  const all = parametersIn(operation, 'query', (values) => values.map(String)).map(Object.entries<string>);
  // Many parameters exclude one another.
  const one = fc.tuple(all, fc.nat()).map(([entries, at]) => entries.slice(at % (entries.length || 1)).slice(0, 1));
  const names = fc.constantFrom(...(operation.parameters ?? []).map(({ name }) => name), 'page', '__proto__');
  const other = fc.array(fc.tuple(names, text), { maxLength: 4 });
  return choose(fc.oneof(all, one), 4, other).map(urlEncoded);
}

function headers(operation: Operation, choose: Choice): fc.Arbitrary<Record<string, string>> {
  const allowed = parametersIn(operation, 'header', (values) =>
    values.map(String).filter((one) => /^[\x20-\x7e]*$/.test(one)),
  );
  const names = (operation.parameters ?? []).filter((one) => one.in === 'header').map(({ name }) => name);
  const other = fc.dictionary(fc.constantFrom(...names, 'Accept', 'Accept-Language', 'If-Match'), headerText);
  // An inbox has no plain sockets.
  const offer = operation.path === '/ws/inbox/' ? { 'Sec-WebSocket-Protocol': 'chat.v1' } : {};
  const upgrade = '101' in operation.responses ? { Upgrade: 'websocket', ...offer } : {};
  return fc
    .tuple(choose(fc.constant(upgrade), 2, fc.constant({})), choose(allowed, 4, other))
    .map(([first, more]) => ({ ...first, ...more }));
}

function parametersIn(
  operation: Operation,
  where: string,
  texts: (values: fc.Arbitrary<unknown>) => fc.Arbitrary<string>,
): fc.Arbitrary<Record<string, string>> {
  const entries = (operation.parameters ?? [])
    .filter((one) => one.in === where)
    .map(({ name, schema }) => [name, texts(likelyValues(operation, name, schema))] as const);
  return fc.record(Object.fromEntries<fc.Arbitrary<string>>(entries), { requiredKeys: [] }) as fc.Arbitrary<
    Record<string, string>
  >;
}

/** What a request that needs one of these has in its `Authorization`. */
const CREDENTIALS: Record<string, string> = { bearer: 'Bearer __access__', operator: 'Bearer __operator__' };

function authorizations({ security = [] }: Operation, choose: Choice): fc.Arbitrary<Record<string, string>> {
  const needed = security.flatMap(Object.keys).map((scheme) => CREDENTIALS[scheme] ?? '');
  const bad = fc.oneof(
    fc.constantFrom('Bearer', 'Bearer __refresh__', 'Bearer __ended__', 'Bearer __access__ x', 'Basic am9objpqb2hu'),
    headerText.map((some) => `Bearer ${some}`),
  );
  const other = fc.oneof(mostly(fc.constant('Bearer __access__'), bad), fc.constant(undefined));
  return choose<string | undefined>(fc.constantFrom(needed[0]), 2, other).map((chosen) =>
    chosen === undefined ? {} : { Authorization: chosen },
  );
}

/** Values that a field often has, by the operation's path and its name. */
const KNOWN: [place: RegExp, values: readonly string[]][] = [
  [/ \w*password$/, [PASSWORD]],
  [/ \w*email$/, ['__email__', '__new_email__']],
  [/ search$/, ['john', 'D', 'ray doe', '__email__']],
  [/ \w*refresh$/, ['__refresh__']],
  [/reset\S* \w*token$/, ['__reset_token__']],
  [/email\S* \w*token$/, ['__email_token__']],
  [/ \w*token$/, ['__access__', '__refresh__']],
];

/** Values that the schema of a field allows, mostly such as the server knows. */
function likelyValues({ path, named }: Operation, name: string, schema: JsonSchema): fc.Arbitrary<unknown> {
  const known = schema.format === 'uuid' ? IDS : KNOWN.find(([place]) => place.test(`${path} ${name}`))?.[1];
  if (known) return mostly(fc.constantFrom(...known), valuesOf(schema, named));
  if (schema.pattern === '^\\d+$') return mostly(fc.nat(2).map(String), valuesOf(schema, named));
  // A whole number, which a form spells.
  if (schema.anyOf?.some(({ type }) => type === 'number')) return mostly(fc.nat(3), valuesOf(schema, named));
  return valuesOf(schema, named);
}

const mostly = <T>(likely: fc.Arbitrary<T>, other: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 9, arbitrary: likely }, { weight: 1, arbitrary: other });

type Fields = Record<string, unknown>;
type Body = { headers?: Record<string, string>; body?: string };

function bodies(operation: Operation, choose: Choice): fc.Arbitrary<Body> {
  const schema = operation.requestBody?.content['application/json']?.schema;
  if (!schema) return choose(fc.constant({}), 1, anyJson.map(asJson));
  const encoding = fc.constantFrom(asJson, asJson, asForm, asMultipart);
  const encoded = (values: fc.Arbitrary<unknown>) =>
    fc.tuple(encoding, values).map(([encode, fields]) => encode(fields));
  const fields = fieldsOf(schema, operation);
  const { properties = {} } = resolved(schema, operation.named);
  const hostile = fc.record(Object.fromEntries(Object.keys(properties).map((name) => [name, value])), {
    requiredKeys: [],
  });
  return choose(
    encoded(fields),
    7,
    fc.oneof(
      { weight: 4, arbitrary: encoded(changed(fields)) },
      { weight: 2, arbitrary: encoded(hostile) },
      { weight: 2, arbitrary: encoded(oneField(fields, tooLong)) },
      { weight: 1, arbitrary: oneField(fields, deep).map(asJson) },
      { weight: 1, arbitrary: anyJson.map(asJson) },
      { weight: 2, arbitrary: fields.chain(misread) },
    ),
  );
}

function resolved(schema: JsonSchema, named: Record<string, JsonSchema>): JsonSchema {
  const target = schema.$ref?.replace('#/components/schemas/', '');
  return (target === undefined ? undefined : named[target]) ?? schema;
}

/** Bodies that a schema allows, with likely values where it has fields. */
function fieldsOf(schema: JsonSchema, operation: Operation): fc.Arbitrary<unknown> {
  const { properties, required = [] } = resolved(schema, operation.named);
  if (!properties) return valuesOf(schema, operation.named);
  const entries = Object.entries(properties).map(([name, one]) => [name, likelyValues(operation, name, one)] as const);
  return fc.record<Fields>(Object.fromEntries(entries), { requiredKeys: required });
}

/** The fields with another value for one of them. */
function oneField(fields: fc.Arbitrary<unknown>, values: fc.Arbitrary<unknown>): fc.Arbitrary<Fields> {
  return fc.tuple(fields, fc.nat(), values).map(([all, at, other]) => {
    const names = Object.keys(Object(all) as Fields);
    return { ...(all as Fields), [names[at % names.length] ?? 'name']: other };
  });
}

const LENGTHS = [101, 129, 201, 1_025, 10_001, BODY_MAX_BYTES];
const tooLong = fc.constantFrom(...LENGTHS.map((length) => `__long_${length}__`));

const deep = fc
  .tuple(fc.constantFrom<[open: string, close: string]>(['[', ']'], ['{"a":', '}']), fc.constantFrom(10, 500))
  .map(([[open, close], levels]) => JSON.parse(`${open.repeat(levels)}1${close.repeat(levels)}`) as unknown);

/** The fields, in bodies that are broken, or not of the type that they claim to be. */
function misread(fields: unknown): fc.Arbitrary<Body> {
  const { headers: jsonType, body: json } = asJson(fields);
  const type = fc.constantFrom(
    'text/plain',
    'application/xml',
    'application/json; charset=utf-16',
    'application/jsonp',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
    'multipart/form-data; boundary=y',
    '',
  );
  return fc.oneof(
    type.map((contentType) => ({ headers: { 'Content-Type': contentType }, body: json })),
    fc.nat(json.length).map((length) => ({ headers: jsonType, body: json.slice(0, length) })),
    fc.constantFrom(
      { body: json },
      { headers: jsonType },
      { headers: jsonType, body: `\ufeff${json}` },
      { headers: jsonType, body: `[${json}]` },
      { headers: jsonType, body: json.replace(/^\{/, '{"__proto__":{"password":"x"},"constructor":1,') },
    ),
  );
}

function asJson(fields: unknown) {
  return { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(fields) };
}

function asForm(fields: unknown) {
  return { headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: urlEncoded(textsOf(fields)) };
}

function asMultipart(fields: unknown) {
  const parts = textsOf(fields).map(
    ([name, some]) => `--x\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${some}\r\n`,
  );
  return { headers: { 'Content-Type': 'multipart/form-data; boundary=x' }, body: `${parts.join('')}--x--\r\n` };
}

/** Fields as a form has them: null is not there. */
function textsOf(fields: unknown): [name: string, text: string][] {
  return Object.entries(Object(fields) as Fields)
    .filter(([, some]) => some !== null && some !== undefined)
    .map(([name, some]) => [name, typeof some === 'string' ? some : JSON.stringify(some)]);
}

function urlEncoded(pairs: readonly (readonly [name: string, text: string])[]): string {
  return pairs.map((pair) => pair.map((some) => encodeURIComponent(some.toWellFormed())).join('=')).join('&');
}

/** What exists for requests to name. Nothing is made before a request names it. */
export type World = Record<string, () => Promise<string>>;

/** A user with a session, a peer, their conversation, and whatever else `__…__` may stand for. */
export function newWorld(): World {
  const john = once(() => signedIn('John'));
  const ray = once(() => signedIn('Ray'));
  const conversation = once(async () => {
    const { body } = await api(`/api/users/${(await ray()).id}/chat/`, { token: (await john()).access });
    return body.data.id as string;
  });
  const messageOf = (person: () => Promise<Person>) => async () => {
    const path = `/api/conversations/${await conversation()}/messages/`;
    const { body } = await api(path, { token: (await person()).access, json: { text: 'Hello' } });
    return String(body.n);
  };
  /** What has a message is in the inbox a moment later. */
  const listed = once(async () => {
    const { access } = await john();
    await messageOf(ray)();
    await vi.waitFor(async () => {
      const { body } = await api('/api/conversations/', { token: access });
      if (body.conversations.length === 0) throw new Error('The inbox has no conversation yet.');
    });
    return conversation();
  });
  return {
    user: async () => (await john()).id,
    peer: async () => (await ray()).id,
    email: async () => (await john()).email,
    new_email: async () => `${crypto.randomUUID()}@example.org`,
    access: async () => (await john()).access,
    refresh: async () => (await john()).refresh,
    session: async () => (await claimsOf((await john()).access)).session_id,
    peer_session: async () => (await claimsOf((await ray()).access)).session_id,
    ended: once(endedToken),
    operator: once(operatorKey),
    reset_token: once(async () => mailedToken(await john(), '/api/password-reset/', 'reset-password')),
    email_token: once(async () => mailedToken(await john(), '/api/email-verification/', 'verify-email')),
    conversation,
    listed_conversation: listed,
    message: once(messageOf(john)),
    peer_message: once(messageOf(ray)),
    // Limits that count by address do not stand in the way.
    address: async () => `2001:db8:${crypto.randomUUID().slice(0, 4)}:${crypto.randomUUID().slice(0, 4)}::1`,
    ...Object.fromEntries(LENGTHS.map((length) => [`long_${length}`, async () => '😀'.repeat(length)])),
  };
}

/** An access token whose session has ended. */
async function endedToken(): Promise<string> {
  const { access, refresh } = await signedIn();
  await api('/api/logout/', { json: { refresh } });
  return access;
}

/** A key that opens the operator's routes for a while. */
async function operatorKey(): Promise<string> {
  const key = crypto.randomUUID();
  const hash = bytesToHex(sha256(utf8ToBytes(key)));
  await env.DB.prepare('INSERT INTO operator_keys (key_hash, expires_at) VALUES (?, ?)')
    .bind(hash, Date.now() + 60_000)
    .run();
  return key;
}

/** The token of a link to a page, from a mail that somebody asks for. */
async function mailedToken({ access, email }: Person, asking: string, page: string): Promise<string> {
  await api(asking, { token: access, json: { email } });
  const link = new RegExp(`to ${email}[^]*?/${page}/\\?token=([\\w.-]+)`);
  return vi.waitFor(async () => {
    const [, token] = link.exec((await api('/dev/mail/')).text) ?? [];
    if (token === undefined) throw new Error(`No mail with a link to /${page}/ has come.`);
    return token;
  });
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** A request with what a world has in the places that name it; in capitals where the name is. */
export async function filled(request: Hostile, world: World): Promise<Hostile> {
  const whole = JSON.stringify(request);
  const values = new Map<string, string>();
  for (const [place, name = ''] of whole.matchAll(PLACE)) {
    const known = Object.hasOwn(world, name.toLowerCase()) ? await world[name.toLowerCase()]?.() : undefined;
    if (known !== undefined) values.set(place, name === name.toLowerCase() ? known : known.toUpperCase());
  }
  return JSON.parse(whole.replace(PLACE, (place) => values.get(place) ?? place)) as Hostile;
}

const PLACE = /__([a-z]+(?:_[a-z0-9]+)*)__/gi;
