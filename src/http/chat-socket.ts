import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { refusedFor, TokenRefused, verifyToken } from '../auth/tokens.ts';
import { findAdmission } from '../directory/access.ts';
import { connectRequest, readRefusal } from '../conversation/connection.ts';
import { directory } from '../directory/database.ts';
import { log, logError } from '../log.ts';
import { CLOSE, type CloseCode } from '../protocol/close-codes.ts';
import { parseUuid } from '../protocol/uuid.ts';
import type { AppEnv } from './app-env.ts';
import { describe } from './openapi/describe.ts';
import { bearerToken } from './middleware/bearer.ts';
import { isAllowedOrigin } from './middleware/origin.ts';
import { errorBody } from './openapi/schemas.ts';

/** The subprotocol of our own protocol. A socket that does not offer it speaks the original's plain frames. */
const CHAT_V1 = 'chat.v1';
const BEARER_PREFIX = 'bearer.';

/** A refused handshake. Plain sockets see the status 403 and the text, chat.v1 sockets the close code. */
class SocketRefused extends Error {
  override readonly name = 'SocketRefused';
  constructor(
    readonly code: string,
    readonly closeCode: CloseCode,
    message: string,
  ) {
    super(message);
  }
}

/**
 * `GET /ws/chat/:id`: checks everything about the caller in one query, then hands the upgrade to the conversation's
 * object as a new request. No middleware around it may touch the headers of the 101.
 */
export const chatSocket = new Hono<AppEnv>();

chatSocket.get(
  '/ws/chat/:id',
  describe({
    summary: 'Open a socket in a conversation',
    description:
      'A WebSocket upgrade. The access token travels in `Authorization: Bearer`, or as `?token=`. ' +
      'The socket speaks the frames of the original app: `{"message", "recipient_id"}` in both directions.',
    tags: ['Conversations'],
    bearer: false,
    query: v.object({
      token: v.pipe(v.optional(v.string()), v.description('The access token, for clients that cannot set headers.')),
    }),
    responses: {
      101: { description: 'The socket is open.' },
      403: { description: 'The token, the origin or the conversation is not one that may connect.', schema: errorBody },
      426: { description: 'The request is not an upgrade.', schema: errorBody },
    },
  }),
  async (c) => {
    if (c.req.header('Upgrade')?.toLowerCase() !== 'websocket') {
      const body = { detail: 'This path is a WebSocket. Send an upgrade request.', code: 'upgrade_required' };
      return c.json(body, 426, { Upgrade: 'websocket' });
    }
    const offered = subprotocols(c);
    try {
      return await connect(c, offered);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal) log('socket_refused', { request_id: c.get('requestId'), code: refusal.code });
      if (!offered.includes(CHAT_V1)) {
        if (refusal) return c.json({ detail: refusal.message, code: refusal.code }, 403);
        throw error;
      }
      if (refusal) return closedChatV1(refusal.closeCode, refusal.message);
      logError('connect_failed', error, { request_id: c.get('requestId') });
      return closedChatV1(CLOSE.internalError, 'The server failed. Connect again.');
    }
  },
);

async function connect(c: Context<AppEnv>, offered: readonly string[]): Promise<Response> {
  const now = Date.now();
  const origin = c.req.header('Origin');
  if (origin !== undefined && !isAllowedOrigin(origin, c.req.url)) {
    throw new SocketRefused('origin_not_allowed', CLOSE.forbidden, 'Pages of this origin may not open sockets here.');
  }
  const conversationId = parseUuid(c.req.param('id') ?? '');
  const claims = await verifyToken(credential(c, offered), 'access', Math.floor(now / 1000));
  if (conversationId === undefined) throw unknownConversation();

  const { denial, conversation, isMember } = await findAdmission(directory(c.env.DB), claims, conversationId, now);
  if (denial) throw refusedFor(denial);
  if (!conversation) throw unknownConversation();
  if (!isMember) throw notAMember();
  if (offered.includes(CHAT_V1)) {
    throw new SocketRefused('unknown_version', CLOSE.unknownVersion, 'This server does not speak chat.v1 yet.');
  }
  c.set('caller', { user_id: claims.user_id, session_id: claims.session_id });
  const answer = await c.env.CONVERSATIONS.getByName(conversationId).fetch(
    connectRequest({
      conversation_id: conversationId,
      ...conversation,
      user_id: claims.user_id,
      session_id: claims.session_id,
      expires_at: claims.exp * 1000,
      request_id: c.get('requestId'),
    }),
  );
  if (answer.status === 101) return answer;
  // Something changed while the request was on its way here: the object knows better.
  const { reason } = await readRefusal(answer);
  throw reason === 'session_ended' ? refusedFor(reason) : notAMember();
}

/** The access token: from the subprotocols, the Authorization header or, as the original has it, the query. */
function credential(c: Context<AppEnv>, offered: readonly string[]): string {
  const protocol = offered.find((name) => name.startsWith(BEARER_PREFIX));
  if (protocol !== undefined && offered.includes(CHAT_V1)) return protocol.slice(BEARER_PREFIX.length);
  const token = bearerToken(c) ?? c.req.query('token');
  if (token) return token;
  throw new SocketRefused('not_authenticated', CLOSE.unauthenticated, 'Authentication credentials were not provided.');
}

function subprotocols(c: Context<AppEnv>): string[] {
  const header = c.req.header('Sec-WebSocket-Protocol') ?? '';
  return header.split(',').map((name) => name.trim());
}

function notAMember(): SocketRefused {
  return new SocketRefused('not_a_member', CLOSE.forbidden, 'You are not a member of this conversation.');
}

function unknownConversation(): SocketRefused {
  return new SocketRefused('no_such_conversation', CLOSE.notFound, 'There is no such conversation.');
}

/** An error as a refusal; undefined if it is a fault of the server. */
function refusalOf(error: unknown): SocketRefused | undefined {
  if (error instanceof SocketRefused) return error;
  if (!(error instanceof TokenRefused)) return undefined;
  const closeCode = error.reason === 'session_ended' ? CLOSE.sessionEnded : CLOSE.unauthenticated;
  return new SocketRefused(error.reason, closeCode, error.message);
}

/**
 * Accepts a chat.v1 socket only to close it: a browser can't read the status of a refused upgrade, but it can read a
 * close code. Not hibernating, so that the close goes through at once.
 */
function closedChatV1(code: CloseCode, reason: string): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  server.close(code, reason);
  return new Response(null, { status: 101, webSocket: client, headers: { 'Sec-WebSocket-Protocol': CHAT_V1 } });
}
