import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type Server } from '../helpers/node/wrangler-dev.ts';

const folder = join(import.meta.dirname, '../../public');

/** Read by the host and not served: the headers of the other files. */
const SETTINGS = '_headers';

/** The path of every file in public/ that is served. */
const assets = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map(({ parentPath, name }) => `/${relative(folder, join(parentPath, name))}`)
  .filter((path) => path !== `/${SETTINGS}`);

/** What every answer of this host has, whoever gives it. */
const SECURITY = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'same-origin',
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

const ASSET_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
];

/** Headers that are about the body, its cache and its transport. */
const OF_THE_BODY = new Set([
  'cache-control',
  'cf-cache-status',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'date',
  'etag',
  'keep-alive',
  'transfer-encoding',
  'vary',
]);

let server: Server;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

const ask = (path: string, init: RequestInit = {}) => fetch(server.url + path, { redirect: 'manual', ...init });
const policy = ({ headers }: Response) => (headers.get('Content-Security-Policy') ?? '').split('; ');

/** What only the Worker sets: an answer without it came from the host of the files. */
const isFromWorker = ({ headers }: Response) => headers.has('X-Request-Id');

/** The headers of a file's answer that are not about its body. */
const others = ({ headers }: Response) =>
  Object.fromEntries([...headers].filter(([name]) => !OF_THE_BODY.has(name.toLowerCase())));

const EXACTLY = { ...SECURITY, 'content-security-policy': ASSET_POLICY.join('; ') };

describe.each(assets)('%s', (path) => {
  it.each(['GET', 'HEAD'])('is served with exactly the headers of public/_headers: %s', async (method) => {
    const answer = await ask(path, { method });
    expect(answer.status).toBe(200);
    expect(others(answer)).toEqual(EXACTLY);
    expect(answer.headers.get('Cache-Control')).toBe('public, max-age=0, must-revalidate');
  });

  it('has them when it has not changed, too', async () => {
    const etag = (await ask(path)).headers.get('ETag') ?? '';
    const answer = await ask(path, { headers: { 'If-None-Match': etag } });
    expect(answer.status).toBe(304);
    expect(others(answer)).toEqual(EXACTLY);
  });

  it.each(['POST', 'PUT', 'DELETE'])('refuses %s, with them', async (method) => {
    const answer = await ask(path, { method });
    expect(answer.status).toBe(405);
    expect(others(answer)).toEqual(EXACTLY);
  });
});

describe('the files', () => {
  it('are a picture for the tab, and a word to robots', async () => {
    expect(assets).toEqual(expect.arrayContaining(['/favicon.svg', '/robots.txt']));
    const icon = await ask('/favicon.svg');
    expect(icon.headers.get('Content-Type')).toBe('image/svg+xml');
    expect(await icon.text()).toMatch(/^<svg /);
    expect(await (await ask('/robots.txt')).text()).toContain('User-agent: *\nDisallow: /\n');
  });

  it.each([`/${SETTINGS}`, '/nothing.svg', '/robots.txt/', '/.well-known/nothing', '/%', '/wrangler.toml'])(
    "are no more than they are: %s is the Worker's 404",
    async (path) => {
      const answer = await ask(path);
      expect(answer.status).toBe(404);
      expect(answer.headers.get('Content-Type')).toBe('application/json');
      expect(await answer.json()).toEqual({ detail: 'Not found.' });
      expect(isFromWorker(answer)).toBe(true);
    },
  );
});

describe("the Worker's answers", () => {
  it.each([
    [200, 'GET /api/health/'],
    [200, 'GET /api/schema/'],
    [200, 'GET /api/docs/'],
    [302, 'GET /'],
    [400, 'POST /api/login/'],
    [401, 'GET /api/users/'],
    [404, 'GET /api/nothing/'],
    [404, 'GET /nothing'],
    [405, 'DELETE /api/login/'],
  ])('have their own headers: %d to %s', async (status, request) => {
    const [method = '', path = ''] = request.split(' ');
    const answer = await ask(path, { method });
    expect(answer.status).toBe(status);
    expect(isFromWorker(answer)).toBe(true);
    expect(Object.fromEntries(answer.headers)).toMatchObject({ ...SECURITY, 'cache-control': 'no-store' });
    expect(policy(answer)).toEqual(expect.arrayContaining(["default-src 'none'", "frame-ancestors 'none'"]));
    expect(policy(answer).join()).not.toContain('unsafe-');
  });
});
