import { Hono } from 'hono';
import * as v from 'valibot';
import { PAGE_SIZE, SEARCH_MAX_LENGTH } from '../config.ts';
import { directory } from '../directory/database.ts';
import { listUsers, searchUsers } from '../directory/users.ts';
import type { AppEnv } from './app-env.ts';
import { bearer } from './middleware/bearer.ts';
import { readQuery } from './body.ts';
import { invalid } from './errors.ts';
import { searchParameter, uuidParameter } from './fields.ts';
import { describe } from './openapi/describe.ts';
import { fieldErrorsBody, publicUser } from './openapi/schemas.ts';

const query = v.object({
  search: v.pipe(
    v.optional(searchParameter),
    v.description('The beginning of a name or a last name, in any case, or a whole e-mail address.'),
  ),
  after: v.pipe(v.optional(uuidParameter), v.description('Id of the last user of the page before.')),
});

export const users = new Hono<AppEnv>();

users.use('/api/users', bearer);

users.get(
  '/api/users',
  describe({
    summary: 'List the other users, or search for some',
    description:
      `Active users in order of registration, ${PAGE_SIZE} a page. \`Link: <…>; rel="next"\` leads to the next page. ` +
      'A search answers those whose name or last name begins with its text, or whose e-mail address it is, in order of ' +
      'their names and without those whom you have blocked.',
    tags: ['Users'],
    bearer: true,
    query,
    responses: {
      200: { description: 'The users.', schema: v.array(publicUser) },
      400: {
        description:
          '`after` is not the id of a user; `search` is blank, longer than ' +
          `${SEARCH_MAX_LENGTH} characters, or has null characters.`,
        schema: fieldErrorsBody,
      },
    },
  }),
  async (c) => {
    const { search, after } = readQuery(c, query);
    const db = directory(c.env.DB);
    const which = { except: c.get('caller').user_id, after, limit: PAGE_SIZE };
    const page = await (search === undefined ? listUsers(db, which) : searchUsers(db, { ...which, search }));
    if (!page) throw invalid({ after: ['There is no such user.'] });
    const last = page.users.at(-1);
    const again = search === undefined ? '' : `search=${encodeURIComponent(search)}&`;
    if (page.more && last) c.header('Link', `</api/users/?${again}after=${last.id}>; rel="next"`);
    return c.json(page.users);
  },
);
