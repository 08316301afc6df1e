import { Validator, type Schema } from '@cfworker/json-schema';
import { exports } from 'cloudflare:workers';
import { openApiDocument } from '../../src/http/openapi.ts';
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
export type ApiAnswer = { status: number; headers: Headers; text: string; body: any };

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
  const { method: usedMethod } = request;
  const response = await exports.default.fetch(request);
  const text = await response.text();
  const isJson = response.headers.get('Content-Type')?.startsWith('application/json') ?? false;
  const parsed: unknown = isJson && text !== '' ? JSON.parse(text) : undefined;
  await assertDescribed(usedMethod, new URL(request.url).pathname, response.status, parsed);
  return { status: response.status, headers: response.headers, text, body: parsed };
}

const document = await openApiDocument(app);

/** Throws if the description does not allow this answer at this path. */
async function assertDescribed(method: string, path: string, status: number, body: unknown): Promise<void> {
  const at = `${method} ${path} ${status}`;
  const item = Object.entries(document.paths).find(([template]) => templatePattern(template).test(path))?.[1];
  if (!item) return assertMatches({ $ref: '#/components/schemas/Error' }, body, at, status === 404);
  const operation = Object.entries(item).find(
    ([verb]) => verb === (method === 'HEAD' ? 'get' : method.toLowerCase()),
  )?.[1];
  if (!operation)
    return assertMatches({ $ref: '#/components/schemas/Error' }, body, at, [204, 401, 404, 405].includes(status));
  const described = (operation as { responses?: Record<string, { content?: Record<string, { schema: Schema }> }> })
    .responses?.[status];
  const schema = described?.content?.['application/json']?.schema;
  assertMatches(schema ?? {}, body, at, described !== undefined || method === 'OPTIONS');
}

function assertMatches(schema: Schema, body: unknown, at: string, statusDescribed: boolean): void {
  if (!statusDescribed) throw new Error(`${at} is not in the API's description: ${JSON.stringify(body)}`);
  if (body === undefined) return;
  const validator = new Validator({ ...schema, components: document.components } as Schema, '2020-12', false);
  const { valid, errors } = validator.validate(body);
  if (!valid) throw new Error(`${at} is not what the API's description says: ${JSON.stringify({ body, errors })}`);
}

function templatePattern(template: string): RegExp {
  return new RegExp(`^${template.replace(/\{[^}]+\}/g, '[^/]+').replace(/\/$/, '/?')}$`);
}
