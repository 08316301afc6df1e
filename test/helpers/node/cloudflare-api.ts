// Stands in for the part of Cloudflare's API that deploying uses, so that a test can run the real wrangler. It answers
// what wrangler reads from each route, and keeps what it was sent.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const ACCOUNT = '0123456789abcdef0123456789abcdef';
const WORKER = `/accounts/${ACCOUNT}/workers/scripts/edge-chat`;

type Binding = { name: string; type: string; text?: string; id?: string };

export type CloudflareApi = {
  /** What makes wrangler use it. */
  env: Record<string, string>;
  databases: { name: string; uuid: string }[];
  /** The statements that each database was sent. */
  sql: string[];
  /** The bindings of each upload of the Worker. */
  uploads: Binding[][];
  /** The paths of the files of each upload. */
  assets: string[][];
  /** Requests that it has no answer for. */
  unknown: string[];
  [Symbol.asyncDispose](): Promise<void>;
};

export async function cloudflareApi(): Promise<CloudflareApi> {
  const databases: CloudflareApi['databases'] = [];
  const sql: string[] = [];
  const uploads: Binding[][] = [];
  const assets: string[][] = [];
  const unknown: string[] = [];
  const noWorker = new ApiError(10007, 'This Worker does not exist on your account.');

  const upload = (body: string) => {
    const metadata = /^\{"main_module".*\}\r?$/m.exec(body)?.[0] ?? '{}';
    uploads.push((JSON.parse(metadata) as { bindings: Binding[] }).bindings);
    return { id: crypto.randomUUID(), deployment_id: crypto.randomUUID(), resources: { script: { etag: 'e' } } };
  };
  const ifDeployed = (result: unknown) => () => (uploads.length > 0 ? result : noWorker);
  const subdomain = { enabled: true, previews_enabled: false, url: 'https://edge-chat.example.workers.dev' };

  const routes: Record<string, (body: string) => unknown> = {
    'GET /user/tokens/verify': () => ({ id: 't', status: 'active' }),
    'GET /user': () => ({ email: 'me@example.com' }),
    'GET /accounts': () => [{ id: ACCOUNT, name: 'mine' }],
    'GET /memberships': () => [{ id: 'm', account: { id: ACCOUNT, name: 'mine' } }],
    [`GET /accounts/${ACCOUNT}/d1/database`]: () => databases,
    [`POST /accounts/${ACCOUNT}/d1/database`]: (body) => {
      const database = { name: (JSON.parse(body) as { name: string }).name, uuid: crypto.randomUUID() };
      databases.push(database);
      return database;
    },
    [`GET /accounts/${ACCOUNT}/workers/subdomain`]: () => ({ subdomain: 'example' }),
    [`GET /accounts/${ACCOUNT}/workers/services/edge-chat`]: ifDeployed({
      default_environment: { environment: 'production', script: { tag: 't', tags: [], migration_tag: 'v1' } },
    }),
    [`GET /accounts/${ACCOUNT}/workers/workers/edge-chat`]: () => ({ id: 'w', name: 'edge-chat', subdomain }),
    [`GET ${WORKER}/secrets`]: () =>
      uploads.length > 0
        ? uploads.flat().flatMap(({ name, type }) => (type === 'secret_text' ? [{ name, type }] : []))
        : noWorker,
    [`GET ${WORKER}/deployments`]: ifDeployed({ deployments: [] }),
    [`GET ${WORKER}/settings`]: ifDeployed({ bindings: [] }),
    [`POST ${WORKER}/assets-upload-session`]: (body) => {
      assets.push(Object.keys((JSON.parse(body) as { manifest: object }).manifest).toSorted());
      // An account that has files of these hashes is sent none again.
      return { jwt: 'a-completion-token', buckets: [] };
    },
    [`PUT ${WORKER}`]: upload,
    [`POST ${WORKER}/versions`]: upload,
    [`POST ${WORKER}/deployments`]: () => ({ id: 'd' }),
    [`PATCH ${WORKER}/script-settings`]: () => ({}),
    [`POST ${WORKER}/subdomain`]: () => subdomain,
    [`PUT ${WORKER}/schedules`]: () => [],
  };
  const query = (id: string) => (body: string) => {
    if (!databases.some(({ uuid }) => uuid === id)) return new ApiError(7404, 'The database was not found.');
    sql.push((JSON.parse(body) as { sql: string }).sql);
    return [{ results: [], success: true, meta: { duration: 0 } }];
  };

  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const route = `${request.method} ${request.url?.replace(/\?.*/, '')}`;
      const database = new RegExp(`^POST /accounts/${ACCOUNT}/d1/database/([^/]+)/query$`).exec(route)?.[1];
      const answer = database === undefined ? routes[route] : query(database);
      if (!answer) unknown.push(route);
      const result = answer?.(Buffer.concat(parts).toString()) ?? new ApiError(10000, 'No such route');
      const errors = result instanceof ApiError ? [result] : [];
      response.writeHead(errors.length > 0 ? 404 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ success: errors.length === 0, errors, messages: [], result }));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    env: {
      CLOUDFLARE_API_BASE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      CLOUDFLARE_API_TOKEN: 'a-token',
      NO_PROXY: '127.0.0.1',
    },
    databases,
    sql,
    uploads,
    assets,
    unknown,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

class ApiError {
  readonly code: number;
  readonly message: string;

  constructor(code: number, message: string) {
    this.code = code;
    this.message = message;
  }
}
