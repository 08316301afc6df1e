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

/** What paths name by an id. A path with a session's id names none if there is none here. */
export type Ids = { userId: string; conversationId: string; sessionId?: string };

/** A path that a route answers: with an id of the right kind, the first message, and an emoji, in their places. */
export function pathOf({ path }: Route, ids: Ids): string {
  const values: Record<string, string> = { id: idOf(path, ids), n: '1', emoji: encodeURIComponent('👍') };
  return path.replace(/:(\w+)/g, (parameter, name: string) => values[name] ?? parameter);
}

function idOf(path: string, { userId, conversationId, sessionId = crypto.randomUUID() }: Ids): string {
  if (path.includes('/users/:id')) return userId;
  return path.includes('/sessions/:id') ? sessionId : conversationId;
}
