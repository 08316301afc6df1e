import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { PAGE_SIZE } from '../config.ts';
import { requireAll } from '../auth/throttle.ts';
import { directory } from '../directory/database.ts';
import { settings } from '../settings.ts';
import { findPeer, openDirectConversation } from '../directory/conversations.ts';
import type { AppEnv } from './app-env.ts';
import { bearer } from './middleware/bearer.ts';
import { readQuery } from './body.ts';
import { ApiError, notAMember, notAvailable, notFound } from './errors.ts';
import { wholeNumber } from './fields.ts';
import { describe } from './openapi/describe.ts';
import { errorBody, fieldErrorsBody, isoTime, publicUser, schema } from './openapi/schemas.ts';
import { pathId } from './middleware/path-id.ts';

const message = schema('Message', v.strictObject({ text: v.string(), sender: publicUser, created_at: isoTime }));

const chatOpened = schema(
  'Chat',
  v.strictObject({
    success: v.literal(true),
    msg: v.string(),
    data: v.strictObject({
      id: v.pipe(v.string(), v.uuid()),
      messages: v.array(message),
      next: v.optional(v.string()),
    }),
    status: v.literal(200),
  }),
);

const selfRefused = v.strictObject({ success: v.literal(false), msg: v.string(), status: v.literal(400) });

const query = v.object({
  before: v.pipe(
    v.optional(wholeNumber(1)),
    v.description('Only messages older than this one: a number from `data.next`.'),
  ),
});

export const chat = new Hono<AppEnv>();

chat.use('/api/users/:id/chat', pathId, bearer);

chat.get(
  '/api/users/:id/chat',
  describe({
    summary: 'Open the conversation with a user',
    description:
      `Creates it the first time; from then on both sides get the same id. Holds the newest ${PAGE_SIZE} messages, ` +
      'newest first. `data.next`, where present, is the path of the page with older ones; a page before that may be short.',
    tags: ['Conversations'],
    bearer: true,
    query,
    responses: {
      200: { description: 'The conversation.', schema: chatOpened },
      400: {
        description: 'The user is the caller, or a parameter is wrong.',
        schema: v.union([selfRefused, fieldErrorsBody]),
      },
      403: {
        description:
          'The caller has left the conversation; or it does not exist, and one of the two has blocked the other.',
        schema: errorBody,
      },
      404: { description: 'There is no such user.', schema: errorBody },
    },
  }),
  async (c) => {
    const peerId = c.get('id');
    const { user_id } = c.get('caller');
    const { before } = readQuery(c, query);
    if (peerId === user_id) throw new ApiError(400, { success: false, msg: 'Invalid recipient.', status: 400 });

    const { id, ...version } = await open(c, peerId);
    const page = await c.env.CONVERSATIONS.getByName(id).history(version, user_id, { before, limit: PAGE_SIZE });
    if (!page) throw notAMember();

    const next = page.next === undefined ? undefined : `/api/users/${peerId}/chat/?before=${page.next}`;
    if (next !== undefined) c.header('Link', `<${next}>; rel="next"`);
    return c.json({
      success: true,
      msg: 'User conversation with messages retrieved successfully.',
      data: {
        id,
        messages: page.messages.map(({ text, sender, created_at }) => ({
          text,
          sender: { id: sender.user_id, first_name: sender.first_name, last_name: sender.last_name },
          created_at: new Date(created_at).toISOString(),
        })),
        ...(next !== undefined && { next }),
      },
      status: 200,
    });
  },
);

/** The conversation of the caller with somebody; a new one if they have none yet. @throws ApiError if that may not be */
async function open(c: Context<AppEnv>, peerId: string) {
  const db = directory(c.env.DB);
  const { user_id } = c.get('caller');
  const noSuchUser = notFound('No UserAccount matches the given query.');
  const peer = await findPeer(db, user_id, peerId);
  if (!peer) throw noSuchUser;
  if (peer.conversation) return peer.conversation;
  if (peer.isDeleted) throw noSuchUser;
  if (peer.isBlocked) throw notAvailable();
  const rate = { limit: settings.conversationsPerDay, periodMs: 24 * 60 * 60 * 1000 };
  await requireAll(db, [{ what: 'conversation', whose: user_id, rate }], Date.now());
  const opened = await openDirectConversation(db, user_id, peerId, Date.now());
  if (!opened) throw noSuchUser;
  return opened;
}
