import type { World } from './world.ts';

/** What is sent. `path` may have a query. */
export type Call = {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
};

/** A body that is an HTML page, whatever it says. */
export const HTML = Symbol('an HTML page');
/** A body that is YAML, whatever it says. */
export const YAML = Symbol('a YAML document');
/** No body at all. */
export const EMPTY = Symbol('no body');

/**
 * An answer. `body` is the JSON value, in which asymmetric matchers stand for what the server chooses; or one of the
 * symbols above; or a function of the world. `allow` is compared where it is given. A 401 must carry a challenge and
 * nothing else may.
 */
export type Answer = { readonly status: number; readonly body: unknown; readonly allow?: string };

/** Our answer where it differs on purpose, and the row of docs/differences.md that says why. */
export type Difference = { readonly because: string; readonly answer: Answer };

export type Exchange = {
  /** Unique. The part before the dot is the rule it is an example of. */
  readonly id: string;
  /** What is special about the request. */
  readonly name: string;
  readonly call: Call | ((world: World) => Call | Promise<Call>);
  /** What the original answered. */
  readonly original: Answer;
  readonly ours?: Difference;
  /** Brings about what this exchange and the following ones suppose. */
  readonly given?: (world: World) => Promise<void>;
  /** Keeps what later exchanges need from the text of the answer. */
  readonly learn?: (world: World, text: string) => void;
};

/** A row of the tables; `extra` has what is rare. */
export function exchange(
  id: string,
  name: string,
  call: Exchange['call'],
  original: Answer,
  ...extra: (Difference | Pick<Exchange, 'given' | 'learn'>)[]
): Exchange {
  const row = { id, name, call, original };
  return extra.reduce<Exchange>((whole, part) => Object.assign(whole, 'because' in part ? { ours: part } : part), row);
}

/** Ours is `answer` instead, because of the row `because` of docs/differences.md. */
export const differs = (because: string, answer: Answer): Difference => ({ because, answer });

// Calls

type Headers = Readonly<Record<string, string>>;

const JSON_TYPE = { 'Content-Type': 'application/json' };

export const bearer = (token: string): Headers => ({ Authorization: `Bearer ${token}` });

export const call = (method: string, path: string, headers: Headers = {}): Call => ({ method, path, headers });
export const get = (path: string, headers: Headers = {}): Call => call('GET', path, headers);

/** A POST of a value as JSON. */
export const post = (path: string, value: unknown, headers: Headers = {}): Call =>
  postRaw(path, JSON.stringify(value), headers);

/** A POST of exactly these characters or bytes, as JSON unless `headers` says otherwise. */
export const postRaw = (path: string, body: string | Uint8Array, headers: Headers = {}): Call => ({
  method: 'POST',
  path,
  headers: { ...JSON_TYPE, ...headers },
  body,
});

export const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };

// Answers

const answer = (status: number) => (body: unknown) => ({ status, body }) satisfies Answer;

export const ok = answer(200);
export const invalid = answer(400);
export const unauthorized = answer(401);
export const notFound = answer(404);
export const notAcceptable = answer(406);

/** 404 as this server says it for routes and ids it does not know. */
export const NOT_FOUND = notFound({ detail: 'Not found.' });
/** Pages that Django or its debug mode made, here only to say that there was one. */
export const page = (status: number) => answer(status)(HTML);
/** The redirect to the path with a slash. */
export const REDIRECT = page(301);

export const notAllowed = (method: string, allow: string): Answer => ({
  status: 405,
  body: { detail: `Method "${method}" not allowed.` },
  allow,
});

export const unsupported = (type: string) => answer(415)({ detail: `Unsupported media type "${type}" in request.` });

/** OPTIONS as the original answered it: a description of the endpoint. */
export const described = (allow: string, description: Readonly<Record<string, unknown>>): Answer => ({
  status: 200,
  body: {
    renders: ['application/json', 'text/html'],
    parses: ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'],
    ...description,
  },
  allow,
});

/** OPTIONS here. */
export const options = (allow: string): Answer => ({ status: 204, body: EMPTY, allow });

export const POST_ONLY = 'POST, OPTIONS';
export const GET_ONLY = 'GET, HEAD, OPTIONS';

// What is wrong with a field

export const REQUIRED = 'This field is required.';
export const BLANK = 'This field may not be blank.';
export const NULL = 'This field may not be null.';
export const NOT_A_STRING = 'Not a valid string.';
export const NULL_CHARACTER = 'Null characters are not allowed.';

/** 400 with one message for each of the fields. */
export const wrong = (fields: Readonly<Record<string, string | readonly string[]>>) =>
  invalid(Object.fromEntries(Object.entries(fields).map(([name, message]) => [name, [message].flat()])));

export const notAnObject = (type: string) =>
  invalid({ non_field_errors: [`Invalid data. Expected a dictionary, but got ${type}.`] });

/** 400 for text that is not JSON, as Python words it. */
export const parseError = (wording: string) => invalid({ detail: `JSON parse error - ${wording}` });

// What is wrong with a token

const TOKEN_INVALID = 'Token is invalid or expired';

/** 401 for an access token that is no good. */
export const badAccess = (message = TOKEN_INVALID) =>
  unauthorized({
    detail: 'Given token not valid for any token type',
    code: 'token_not_valid',
    messages: [{ token_class: 'AccessToken', token_type: 'access', message }],
  });

/** 401 for a refresh token that is no good. */
export const badRefresh = (detail = TOKEN_INVALID) => unauthorized({ detail, code: 'token_not_valid' });

export const NO_CREDENTIALS = unauthorized({ detail: 'Authentication credentials were not provided.' });
