import { Hono } from 'hono';
import * as v from 'valibot';
import { BLOCKS_MAX, PAGE_SIZE } from '../config.ts';
import { deliverNoticesOf } from '../deliver-notices.ts';
import { block, listBlocked, unblock } from '../directory/blocks.ts';
import { directory } from '../directory/database.ts';
import type { AppEnv } from './app-env.ts';
import { readQuery } from './body.ts';
import { ApiError, invalid, notFound } from './errors.ts';
import { uuidParameter } from './fields.ts';
import { requireProfileChange } from './account-checks.ts';
import { bearer } from './middleware/bearer.ts';
import { pathId } from './middleware/path-id.ts';
import { describe } from './openapi/describe.ts';
import { errorBody, fieldErrorsBody, publicUser } from './openapi/schemas.ts';

const query = v.object({
  after: v.pipe(v.optional(uuidParameter), v.description('Id of the last user of the page before.')),
});

export const blocks = new Hono<AppEnv>();

blocks.use('/api/me/blocks', bearer);
blocks.use('/api/users/:id/block', pathId, bearer);

blocks.get(
  '/api/me/blocks',
  describe({
    summary: 'Whom you have blocked',
    description: `${PAGE_SIZE} a page, the first blocked first. \`Link: <…>; rel="next"\` leads to the next page.`,
    tags: ['Users'],
    bearer: true,
    query,
    responses: {
      200: { description: 'The users.', schema: v.array(publicUser) },
      400: { description: '`after` is not the id of a user whom you have blocked.', schema: fieldErrorsBody },
    },
  }),
  async (c) => {
    const { after } = readQuery(c, query);
    const page = await listBlocked(directory(c.env.DB), c.get('caller').user_id, { after, limit: PAGE_SIZE });
    if (!page) throw invalid({ after: ['You have not blocked this user.'] });
    const last = page.users.at(-1);
    if (page.more && last) c.header('Link', `</api/me/blocks/?after=${last.id}>; rel="next"`);
    return c.json(page.users);
  },
);

blocks.put(
  '/api/users/:id/block',
  describe({
    summary: 'Block a user',
    description:
      'Neither of you can write to the other, or sees whether the other is here. They are not told: what they try is ' +
      'answered `not_available`.',
    tags: ['Users'],
    bearer: true,
    responses: {
      204: { description: 'They are blocked.' },
      400: { description: 'The user is the caller.', schema: errorBody },
      404: { description: 'There is no such user.', schema: errorBody },
      409: { description: `The caller has blocked ${BLOCKS_MAX} users already.`, schema: errorBody },
    },
  }),
  async (c) => {
    const { user_id } = c.get('caller');
    const blockedId = c.get('id');
    if (blockedId === user_id) throw new ApiError(400, { detail: 'You cannot block yourself.', code: 'own_account' });
    await requireProfileChange(c);
    const problem = await block(directory(c.env.DB), user_id, blockedId, Date.now());
    if (problem === 'unknown_user') throw notFound('There is no such user.');
    if (problem === 'too_many') {
      throw new ApiError(409, { detail: `You can block ${BLOCKS_MAX} users. Unblock one first.`, code: 'too_many' });
    }
    // Before the answer: behind it nothing comes through any more, unless the conversation cannot be reached now.
    await deliverNoticesOf(c.env, user_id);
    return c.body(null, 204);
  },
);

blocks.delete(
  '/api/users/:id/block',
  describe({
    summary: 'Unblock a user',
    description: 'Also if they were not blocked.',
    tags: ['Users'],
    bearer: true,
    responses: {
      204: { description: 'They are not blocked (any more).' },
      404: { description: 'The path holds no id.', schema: errorBody },
    },
  }),
  async (c) => {
    const { user_id } = c.get('caller');
    await requireProfileChange(c);
    await unblock(directory(c.env.DB), user_id, c.get('id'), Date.now());
    await deliverNoticesOf(c.env, user_id);
    return c.body(null, 204);
  },
);
