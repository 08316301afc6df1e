import { Hono } from 'hono';
import * as v from 'valibot';
import { PAGE_SIZE, PINS_MAX } from '../config.ts';
import { listCursor } from '../protocol/inbox-frames.ts';
import { count } from '../protocol/rows.ts';
import type { AppEnv } from './app-env.ts';
import { refused } from './ask-conversation.ts';
import { readFields, readQuery } from './body.ts';
import { invalid, unauthorized } from './errors.ts';
import { booleanField, booleanParameter, wholeNumber, wholeNumberField } from './fields.ts';
import { bearer, member } from './middleware/bearer.ts';
import { pathId } from './middleware/path-id.ts';
import { describe } from './openapi/describe.ts';
import { errorBody, fieldErrorsBody, inboxRow, schema, unreadTotal } from './openapi/schemas.ts';

const page = schema(
  'InboxPage',
  v.strictObject({
    epoch: count,
    rev: v.pipe(count, v.description('The rows are as of this.')),
    conversations: v.array(inboxRow),
    next: v.pipe(v.nullable(v.string()), v.description('The `before` of the next page; null on the last.')),
    total: unreadTotal,
  }),
);

const query = v.object({
  before: v.pipe(
    v.optional(
      v.pipe(
        v.string(),
        v.check((text) => v.is(listCursor, text), 'This is not the "next" of a page.'),
      ),
    ),
    v.description('The `next` of the page before.'),
  ),
  unread: v.pipe(v.optional(booleanParameter), v.description('Only those with something unread.')),
  archived: v.pipe(v.optional(booleanParameter), v.description('Those that are archived, instead of the others.')),
  limit: v.pipe(v.optional(wholeNumber(1, PAGE_SIZE)), v.description('Conversations, at most.')),
});

const newSetting = schema(
  'InboxSetting',
  v.object({
    muted_until: v.pipe(
      v.optional(v.nullable(wholeNumberField(0))),
      v.description('A time in milliseconds since 1970; null ends it.'),
    ),
    pinned: v.optional(booleanField),
    archived: v.optional(booleanField),
    unread: v.pipe(v.optional(booleanField), v.description('false marks everything as read.')),
  }),
);

export const conversations = new Hono<AppEnv>();

conversations.use('/api/conversations', bearer);
conversations.use('/api/conversations/:id', pathId, member);

conversations.get(
  '/api/conversations',
  describe({
    summary: 'List your conversations',
    description:
      'Those that have a message, as they stand in your inbox, the newest activity first. `Link: <…>; rel="next"` leads ' +
      'to the next page. What is new in a conversation shows here a moment later.',
    tags: ['Conversations'],
    bearer: true,
    query,
    responses: {
      200: { description: 'A page, and how much is unread in all.', schema: page },
      400: { description: 'A parameter is wrong.', schema: fieldErrorsBody },
    },
  }),
  async (c) => {
    const { before, unread = false, archived = false, limit = PAGE_SIZE } = readQuery(c, query);
    const list = await inboxOf(c.env, c.get('caller').user_id).list(c.get('inbox'), {
      before,
      unread,
      archived,
      limit,
    });
    // The account was there when the token was verified.
    if (!list) throw unauthorized('User not found', 'user_not_found');
    if ('type' in list) throw refused(list);
    if (list.next !== null) {
      const filters = `${unread ? 'unread=true&' : ''}${archived ? 'archived=true&' : ''}`;
      c.header('Link', `</api/conversations/?${filters}before=${list.next}&limit=${limit}>; rel="next"`);
    }
    return c.json(list);
  },
);

conversations.patch(
  '/api/conversations/:id',
  describe({
    summary: 'Change how a conversation stands in your inbox',
    description:
      'For you alone. What is left out stays. A conversation is archived until it has a newer message; one that is ' +
      `muted or archived does not count as unread in all. At most ${PINS_MAX} are pinned.`,
    tags: ['Conversations'],
    bearer: true,
    member: true,
    body: newSetting,
    responses: {
      200: { description: 'How it stands now.', schema: inboxRow },
      404: { description: 'There is no such conversation, or it has no message yet.', schema: errorBody },
      409: { description: 'As many conversations are pinned as may be.', schema: errorBody },
      503: {
        description: 'The conversation could not be reached; `Retry-After` says when to try again.',
        schema: errorBody,
      },
    },
  }),
  async (c) => {
    const setting = await readFields(c, newSetting);
    if (Object.values(setting).every((value) => value === undefined)) {
      throw invalid({ non_field_errors: ['Give "muted_until", "pinned", "archived" or "unread".'] });
    }
    const answer = await inboxOf(c.env, c.get('caller').user_id).set(c.get('inbox'), c.get('id'), setting);
    if ('type' in answer) throw refused(answer);
    return c.json(answer);
  },
);

/** The inbox of a user. */
function inboxOf(env: Env, userId: string) {
  return env.INBOXES.getByName(userId);
}
