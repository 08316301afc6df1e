import { ChatError } from './error.ts';
import type { Environment } from './environment.ts';

/** What a server answered. */
export type HttpAnswer = { readonly status: number; readonly headers: Headers; readonly body: unknown };

/** What to ask a server for. */
export type HttpRequest = { readonly path: string; readonly json?: unknown; readonly access?: string };

/** Milliseconds after which a request without an answer has failed. */
const REQUEST_TIMEOUT_MS = 30_000;

/** Asks a server. @throws ChatError `network` if it gives no answer */
export async function ask(environment: Environment, url: string, request: HttpRequest): Promise<HttpAnswer> {
  const abort = new AbortController();
  const cancel = environment.after(REQUEST_TIMEOUT_MS, () => abort.abort());
  try {
    const response = await environment.fetch(url + request.path, {
      method: request.json === undefined ? 'GET' : 'POST',
      headers: {
        ...(request.json !== undefined && { 'Content-Type': 'application/json' }),
        ...(request.access !== undefined && { Authorization: `Bearer ${request.access}` }),
      },
      ...(request.json !== undefined && { body: JSON.stringify(request.json) }),
      signal: abort.signal,
    });
    const body: unknown = await response.json().catch(() => undefined);
    return { status: response.status, headers: response.headers, body };
  } catch (error) {
    throw new ChatError('network', 'The server cannot be reached.', { cause: error });
  } finally {
    cancel();
  }
}

/** The body of an answer that grants what was asked. @throws ChatError for any other */
export function granted(answer: HttpAnswer): unknown {
  if (answer.status < 300) return answer.body;
  throw problemOf(answer);
}

/** What an answer must hold. @throws ChatError `server` if it does not: something else answered than a server of ours */
export function expected<Body>(body: unknown, isExpected: (body: unknown) => body is Body): Body {
  if (isExpected(body)) return body;
  throw new ChatError('server', 'The server answered something that is not understood.');
}

/** What a refusal says. */
function problemOf({ status, headers, body }: HttpAnswer): ChatError {
  const { detail, code, msg, ...fields } = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >;
  const seconds = Number(headers.get('Retry-After') ?? Number.NaN);
  const more = Number.isFinite(seconds) ? { retry_after_ms: seconds * 1000 } : {};
  const text = typeof detail === 'string' ? detail : typeof msg === 'string' ? msg : `The server answered ${status}.`;
  if (status === 429) return new ChatError('rate_limited', text, more);
  if (status >= 500) return new ChatError('server', text, more);
  if (status === 401) return new ChatError('unauthenticated', text, more);
  const lists = Object.entries(fields).filter((entry): entry is [string, string[]] => Array.isArray(entry[1]));
  const [first] = lists;
  if (status !== 400 || !first) return new ChatError(typeof code === 'string' ? code : 'invalid', text, more);
  const message = lists.flatMap(([field, messages]) => messages.map((it) => `${field}: ${it}`)).join(' ');
  return new ChatError('invalid', message, { fields: Object.fromEntries(lists) });
}
