import { Hono } from 'hono';
import * as v from 'valibot';
import { PAGE_SIZE } from '../config.ts';
import { directory } from '../directory/database.ts';
import { listUsers } from '../directory/users.ts';
import type { AppEnv } from './app-env.ts';
import { bearer } from './middleware/bearer.ts';
import { readQuery } from './body.ts';
import { invalid } from './errors.ts';
import { uuidParameter } from './fields.ts';
import { describe } from './openapi/describe.ts';
import { fieldErrorsBody, publicUser } from './openapi/schemas.ts';

const query = v.object({
  after: v.pipe(v.optional(uuidParameter), v.description('Id of the last user of the page before.')),
});

export const users = new Hono<AppEnv>();

users.use('/api/users', bearer);

users.get(
  '/api/users',
  describe({
    summary: 'List the other users',
    description: `Active users in order of registration, ${PAGE_SIZE} a page. \`Link: <…>; rel="next"\` leads to the next page.`,
    tags: ['Users'],
    bearer: true,
    query,
    responses: {
      200: { description: 'The users.', schema: v.array(publicUser) },
      400: { description: '`after` is not the id of a user.', schema: fieldErrorsBody },
    },
  }),
  async (c) => {
    const { after } = readQuery(c, query);
    const except = c.get('caller').user_id;
    const page = await listUsers(directory(c.env.DB), { except, after, limit: PAGE_SIZE });
    if (!page) throw invalid({ after: ['There is no such user.'] });
    const last = page.users.at(-1);
    if (page.more && last) c.header('Link', `</api/users/?after=${last.id}>; rel="next"`);
    return c.json(page.users);
  },
);
