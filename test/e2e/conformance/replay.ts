import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { EMPTY, HTML, type Answer, type Call } from './exchange.ts';
import type { World } from './world.ts';

/** What the server answered. */
export type Response = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string };

const agent = new Agent({ keepAlive: true });

/** Sends exactly this: `fetch` would refuse TRACE and a foreign `Host`, and add headers of its own. */
export function send(server: string, { method, path, headers = {}, body }: Call): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const { hostname, port } = new URL(server);
  const outgoing = request({ agent, hostname, port, method, path, headers }, (incoming) => {
    incoming.setEncoding('utf8');
    let text = '';
    incoming.on('data', (chunk: string) => (text += chunk));
    incoming.once('end', () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text }));
    incoming.once('error', reject);
  });
  outgoing.once('error', reject);
  outgoing.end(body);
  return promise;
}

/** What is compared of an answer. */
export type Compared = { status: number; challenge: string | undefined; allow: string | undefined; body: unknown };

/** What the answer must be. `allow` is undefined where it does not matter. */
export function expected(answer: Answer, world: World): Compared {
  return {
    status: answer.status,
    challenge: answer.status === 401 ? 'Bearer realm="api"' : undefined,
    allow: answer.allow,
    body: typeof answer.body === 'function' ? answer.body(world) : answer.body,
  };
}

/** What the answer is, in the terms of {@link expected}. */
export function observed({ status, headers, text }: Response, { allow, body }: Answer): Compared {
  return {
    status,
    challenge: headers['www-authenticate'],
    allow: allow === undefined ? undefined : headers['allow'],
    body: decode(headers['content-type'], text, body === HTML),
  };
}

function decode(type: string | undefined, text: string, pagesAreAlike: boolean): unknown {
  if (text === '') return EMPTY;
  if (type?.startsWith('application/json')) return JSON.parse(text);
  return pagesAreAlike && type?.startsWith('text/html') ? HTML : text;
}
