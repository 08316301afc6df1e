import { exports } from 'cloudflare:workers';
import { openApiDocument } from '../../src/http/openapi/describe.ts';
import { app } from '../../src/http/app.ts';
import { describedBy, type Description } from './description.ts';

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
  const { pathname } = new URL(request.url);
  describedBy(document, { method: request.method, path: pathname, status: response.status, body: parsed });
  return { status: response.status, headers: response.headers, text, body: parsed };
}

const document: Description = await openApiDocument(app);
