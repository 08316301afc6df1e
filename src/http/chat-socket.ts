import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { authenticateForConversation } from '../auth/authenticate.ts';
import { verifyToken } from '../auth/tokens.ts';
import { connectRequest } from '../conversation/connection.ts';
import { directory } from '../directory/database.ts';
import { CLOSE } from '../protocol/close-codes.ts';
import { parseUuid } from '../protocol/uuid.ts';
import type { AppEnv } from './app-env.ts';
import {
  cursorParameters,
  notAMember,
  openedBy,
  readCursor,
  SocketRefused,
  takeUpgrade,
  type Handshake,
} from './handshake.ts';
import { describe } from './openapi/describe.ts';
import { errorBody } from './openapi/schemas.ts';

/**
 * `GET /ws/chat/:id`: checks everything about the caller in one query, then hands the upgrade to the conversation's
 * object as a new request.
 */
export const chatSocket = new Hono<AppEnv>();

chatSocket.get(
  '/ws/chat/:id',
  describe({
    summary: 'Open a socket in a conversation',
    description:
      'A WebSocket upgrade. With the subprotocols `chat.v1, bearer.<access token>` the socket speaks chat.v1, which ' +
      '`/api/asyncapi/` describes, and a refusal is a close code. Without `chat.v1` the token travels in ' +
      '`Authorization: Bearer` or as `?token=`, and the socket speaks the frames of the original app: ' +
      '`{"message", "recipient_id"}` in both directions.',
    tags: ['Conversations'],
    bearer: false,
    query: v.object({
      token: v.pipe(v.optional(v.string()), v.description('The access token, for clients that cannot set headers.')),
      ...cursorParameters,
    }),
    responses: {
      101: { description: 'The socket is open.' },
      403: { description: 'The token, the origin or the conversation is not one that may connect.', schema: errorBody },
      426: { description: 'The request is not an upgrade.', schema: errorBody },
      429: { description: 'The caller connects too often; `Retry-After` says when to try again.', schema: errorBody },
      503: { description: 'The conversation has as many sockets as it may have.', schema: errorBody },
    },
  }),
  async (c) => takeUpgrade(c, async (handshake) => connect(c, handshake)),
);

async function connect(c: Context<AppEnv>, { token, speaksChatV1 }: Handshake): Promise<Response> {
  const conversationId = parseUuid(c.req.param('id') ?? '');
  const now = Date.now();
  if (conversationId === undefined) {
    await verifyToken(token, 'access', Math.floor(now / 1000));
    throw unknownConversation();
  }
  const { claims, admission } = await authenticateForConversation(directory(c.env.DB), token, conversationId, now);
  if (!admission.conversation) throw unknownConversation();
  if (!admission.isMember) throw notAMember();
  const cursor = speaksChatV1 ? readCursor(c) : undefined;
  c.set('caller', { user_id: claims.user_id, session_id: claims.session_id });
  const request = connectRequest({
    conversation_id: conversationId,
    ...admission.conversation,
    user_id: claims.user_id,
    session_id: claims.session_id,
    expires_at: claims.exp * 1000,
    request_id: c.get('requestId'),
    protocol: speaksChatV1 ? 'chat.v1' : 'plain',
    cursor,
  });
  return openedBy(c.env.CONVERSATIONS.getByName(conversationId).fetch(request));
}

function unknownConversation(): SocketRefused {
  return new SocketRefused('no_such_conversation', CLOSE.notFound, 'There is no such conversation.');
}
