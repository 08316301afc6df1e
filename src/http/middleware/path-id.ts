import { createMiddleware } from 'hono/factory';
import { parseUuid } from '../../protocol/uuid.ts';
import type { AppEnv } from '../app-env.ts';
import { notFound } from '../errors.ts';

/** Decodes the path's `:id` to its canonical spelling. A path with anything but a UUID there names nothing. */
export const pathId = createMiddleware<AppEnv>(async (c, next) => {
  const id = parseUuid(c.req.param('id') ?? '');
  if (id === undefined) throw notFound();
  c.set('id', id);
  await next();
});
