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

/** A path that a route answers: with an id in the place of its parameter. */
export function pathOf({ path }: Route, id: string = crypto.randomUUID()): string {
  return path.replace(/:\w+/g, id);
}
