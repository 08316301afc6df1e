import { Hono } from 'hono';
import * as v from 'valibot';
import { listEvents } from '../auth/security-log.ts';
import { PAGE_SIZE, SECURITY_EVENT_LIFETIME_S } from '../config.ts';
import { directory } from '../directory/database.ts';
import { securityEvents as table } from '../directory/schema.ts';
import type { AppEnv } from './app-env.ts';
import { readQuery } from './body.ts';
import { invalid } from './errors.ts';
import { wholeNumber } from './fields.ts';
import { bearer } from './middleware/bearer.ts';
import { describe } from './openapi/describe.ts';
import { fieldErrorsBody, isoTime, schema } from './openapi/schemas.ts';

const event = schema(
  'SecurityEvent',
  v.strictObject({
    id: v.string(),
    kind: v.picklist(table.kind.enumValues),
    session_id: v.pipe(v.nullable(v.string()), v.description('The session that it happened to.')),
    reason: v.pipe(v.nullable(v.string()), v.description('Of `session_ended`: why.')),
    address: v.pipe(v.nullable(v.string()), v.description('The IP address that it came from.')),
    user_agent: v.nullable(v.string()),
    at: isoTime,
  }),
);

const query = v.object({
  before: v.pipe(v.optional(v.string()), v.description('Id of the last event of the page before.')),
  limit: v.pipe(v.optional(wholeNumber(1, PAGE_SIZE)), v.description('Events, at most.')),
});

export const securityEvents = new Hono<AppEnv>();

securityEvents.use('/api/me/security-events', bearer);

securityEvents.get(
  '/api/me/security-events',
  describe({
    summary: 'What happened to your account',
    description:
      `Sign-ins, failed ones, ended sessions and changes of the last ${SECURITY_EVENT_LIFETIME_S / 86_400} days, newest ` +
      'first. `Link: <…>; rel="next"` leads to the next page.',
    tags: ['Accounts'],
    bearer: true,
    query,
    responses: {
      200: { description: 'The events.', schema: v.array(event) },
      400: { description: 'A parameter is wrong.', schema: fieldErrorsBody },
    },
  }),
  async (c) => {
    const { before, limit = PAGE_SIZE } = readQuery(c, query);
    const page = await listEvents(directory(c.env.DB), c.get('caller').user_id, { before, limit });
    if (!page) throw invalid({ before: ['There is no such event.'] });
    const last = page.events.at(-1);
    if (page.more && last) {
      c.header('Link', `</api/me/security-events/?before=${last.id}&limit=${limit}>; rel="next"`);
    }
    return c.json(page.events.map((it) => ({ ...it, at: new Date(it.at).toISOString() })));
  },
);
