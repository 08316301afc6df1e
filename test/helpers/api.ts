import { Validator, type Schema } from '@cfworker/json-schema';
import { exports } from 'cloudflare:workers';
import { openApiDocument } from '../../src/http/openapi/describe.ts';
import { app } from '../../src/http/app.ts';

/** The host that the tests talk to. Nothing resolves it: requests go straight to the Worker. */
export const HOST = 'chat.example.org';

export type ApiInit = {
  method?: string;
  /** An access token. */
  token?: string;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is. */
  body?: BodyInit;
  headers?: Record<string, string>;
};

/** An answer whose body was read and found to be what the API's description promises. */
export type ApiAnswer = {
  status: number;
  headers: Headers;
  text: string;
  /** The body, if it is JSON. */
  // eslint-disable-next-line typescript/no-explicit-any -- a test states what it expects of it
  body: any;
};

/** Sends a request to the Worker, and holds the answer against the API's description. */
export async function api(path: string, { method, token, json, body, headers = {} }: ApiInit = {}): Promise<ApiAnswer> {
  const sent = json === undefined ? body : JSON.stringify(json);
  const request = new Request(`https://${HOST}${path}`, {
    method: method ?? (sent === undefined ? 'GET' : 'POST'),
    headers: {
      ...(json === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
      ...headers,
    },
    redirect: 'manual',
    ...(sent === undefined ? {} : { body: sent }),
  });
  const response = await exports.default.fetch(request);
  const text = await response.text();
  const isJson = response.headers.get('Content-Type')?.startsWith('application/json') ?? false;
  const parsed: unknown = isJson && text !== '' ? JSON.parse(text) : undefined;
  assertDescribed(request.method, new URL(request.url).pathname, response.status, parsed);
  return { status: response.status, headers: response.headers, text, body: parsed };
}

const document = await openApiDocument(app);

type Operation = { responses?: Record<string, { content?: Record<string, { schema: Schema }> }> };

const ERROR: Schema = { $ref: '#/components/schemas/Error' };
/** What a path may answer to a method that it does not have. */
const OTHER_METHOD_STATUSES = [204, 400, 401, 404, 405];

/** Throws if the description does not allow this answer at this path. */
function assertDescribed(method: string, path: string, status: number, body: unknown): void {
  const at = `${method} ${path} ${status}`;
  const item = Object.entries(document.paths).find(([template]) => templatePattern(template).test(path))?.[1];
  if (!item) return assertMatches(ERROR, body, at, status === 404 || status === 400);
  const verb = method === 'HEAD' ? 'get' : method.toLowerCase();
  const operation = (item as Record<string, Operation | undefined>)[verb];
  if (!operation) return assertMatches(ERROR, body, at, OTHER_METHOD_STATUSES.includes(status));
  const described = operation.responses?.[status];
  assertMatches(described?.content?.['application/json']?.schema ?? {}, body, at, described !== undefined);
}

function assertMatches(schema: Schema, body: unknown, at: string, statusDescribed: boolean): void {
  if (!statusDescribed) throw new Error(`${at} is not in the API's description: ${JSON.stringify(body)}`);
  if (body === undefined) return;
  const whole: Schema = { ...schema, components: document.components };
  const { valid, errors } = new Validator(whole, '2020-12', false).validate(body);
  if (!valid) throw new Error(`${at} is not what the API's description says: ${JSON.stringify({ body, errors })}`);
}

function templatePattern(template: string): RegExp {
  return new RegExp(`^${template.replace(/\{[^}]+\}/g, '[^/]+').replace(/\/$/, '/?')}$`);
}
