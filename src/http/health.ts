import { sql } from 'drizzle-orm';
import { Hono } from 'hono';
import * as v from 'valibot';
import { directory } from '../directory/database.ts';
import { logError } from '../log.ts';
import type { AppEnv } from './app-env.ts';
import { describe } from './openapi/describe.ts';
import { schema } from './openapi/schemas.ts';

const check = v.picklist(['ok', 'failing']);
const healthReport = schema('Health', v.strictObject({ status: check, d1: check, durable_objects: check }));

export const health = new Hono<AppEnv>();

health.get(
  '/api/health',
  describe({
    summary: 'Ask whether the service works',
    description: 'Makes a query to D1 and a call to a Durable Object.',
    tags: ['Service'],
    bearer: false,
    responses: {
      200: { description: 'It works.', schema: healthReport },
      503: { description: 'A part of it does not.', schema: healthReport },
    },
  }),
  async (c) => {
    const [d1, durable_objects] = await Promise.all([
      tried('d1', directory(c.env.DB).run(sql`SELECT 1`)),
      tried('durable_objects', c.env.CONVERSATIONS.getByName('health').ping()),
    ]);
    const status = d1 === 'ok' && durable_objects === 'ok' ? 'ok' : 'failing';
    return c.json({ status, d1, durable_objects }, status === 'ok' ? 200 : 503);
  },
);

async function tried(part: string, attempt: PromiseLike<unknown>): Promise<v.InferOutput<typeof check>> {
  try {
    await attempt;
    return 'ok';
  } catch (error) {
    logError('health_check_failed', error, { part });
    return 'failing';
  }
}
