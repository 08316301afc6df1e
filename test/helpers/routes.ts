import type { Hono } from 'hono';
import type { AppEnv } from '../../src/http/app-env.ts';
import { app } from '../../src/http/app.ts';

/** A route of the API. `path` is Hono's: `/api/users/:id/chat`. */
export type Route = { method: string; path: string };

/** Every route of an app, each once, without the middleware. */
export function routesOf(of: Pick<Hono<AppEnv>, 'routes'> = app): Route[] {
  const names = new Set(of.routes.filter(({ method }) => method !== 'ALL').map((it) => `${it.method} ${it.path}`));
  return [...names].map((name) => {
    const [method = '', path = ''] = name.split(' ');
    return { method, path };
  });
}

/** What paths name by an id. */
export type Ids = { userId: string; conversationId: string };

/** A path that a route answers: with an id of the right kind, the first message, and an emoji, in their places. */
export function pathOf({ path }: Route, { userId, conversationId }: Ids): string {
  const id = path.startsWith('/api/users/') ? userId : conversationId;
  const values: Record<string, string> = { id, n: '1', emoji: encodeURIComponent('👍') };
  return path.replace(/:(\w+)/g, (parameter, name: string) => values[name] ?? parameter);
}
