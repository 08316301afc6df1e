import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { app } from '../../src/http/app.ts';
import { openApiDocument } from '../../src/http/openapi/describe.ts';
import { HOST, type ApiAnswer, type ApiInit } from './api.ts';
import { describedBy, type Description } from './description.ts';

/**
 * Sends a request to the Worker as `api` does, and waits until everything that it does behind its answer is done: to see
 * what it did not do.
 */
export async function finished(
  path: string,
  { method, token, json, body, headers = {} }: ApiInit = {},
): Promise<ApiAnswer> {
  const sent = json === undefined ? body : JSON.stringify(json);
  const request = new Request<unknown, IncomingRequestCfProperties>(`https://${HOST}${path}`, {
    method: method ?? (sent === undefined ? 'GET' : 'POST'),
    headers: {
      ...(json !== undefined && { 'Content-Type': 'application/json' }),
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(sent !== undefined && { body: sent }),
  });
  const context = createExecutionContext();
  const response = await app.fetch(request, env, context);
  const text = await response.text();
  await waitOnExecutionContext(context);
  const isJson = response.headers.get('Content-Type')?.startsWith('application/json') ?? false;
  const parsed: unknown = isJson && text !== '' ? JSON.parse(text) : undefined;
  const { pathname } = new URL(request.url);
  describedBy(document, { method: request.method, path: pathname, status: response.status, body: parsed });
  return { status: response.status, headers: response.headers, text, body: parsed };
}

const document: Description = await openApiDocument(app);
