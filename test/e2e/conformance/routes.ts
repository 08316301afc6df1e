import { expect } from 'vitest';
import {
  differs,
  EMPTY,
  exchange,
  get,
  HTML,
  NOT_FOUND,
  notAllowed,
  ok,
  page,
  POST_ONLY,
  YAML,
  type Exchange,
} from './exchange.ts';

/** A route that neither knows. */
const unknown = (id: string, path: string, headers?: Readonly<Record<string, string>>): Exchange =>
  exchange(id, path, get(path, headers), page(404), differs('not-found', NOT_FOUND));

export const ROUTES: readonly Exchange[] = [
  exchange('M01.root', '/', get('/'), page(404), differs('web-pages', { status: 302, body: EMPTY })),
  unknown('M01.nope', '/nope'),
  unknown('M01.api-nope', '/api/nope/'),
  exchange(
    'M01.refresh',
    '/api/token/refresh/',
    get('/api/token/refresh/'),
    page(404),
    differs('token-routes', notAllowed('GET', POST_ONLY)),
  ),
  unknown('M01.login-refresh', '/api/login/refresh/'),
  exchange(
    'M01.schema',
    '/api/schema/',
    get('/api/schema/'),
    ok(YAML),
    differs(
      'openapi',
      ok(
        expect.objectContaining({
          openapi: expect.stringMatching(/^3\.1\./),
          info: expect.any(Object),
          paths: expect.any(Object),
        }),
      ),
    ),
  ),
  exchange('M01.docs', '/api/docs/', get('/api/docs/'), ok(HTML)),
  exchange(
    'M01.socket',
    "a socket's path without an upgrade",
    get('/ws/chat/x/'),
    page(404),
    differs('handshake-refusals', {
      status: 426,
      body: { detail: 'This path is a WebSocket. Send an upgrade request.', code: 'upgrade_required' },
    }),
  ),
  unknown('M01.favicon', '/favicon.ico'),
  unknown('M02', '/api/nope/', { Accept: 'application/json' }),
];
