import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { authenticateForConversation } from '../auth/authenticate.ts';
import { ADDRESS_PERIOD_S } from '../config.ts';
import { refusedFor, TokenRefused, verifyToken } from '../auth/tokens.ts';
import { connectRequest, readRefusal, type Cursor } from '../conversation/connection.ts';
import { directory } from '../directory/database.ts';
import { log, logError } from '../log.ts';
import { CLOSE, type CloseCode } from '../protocol/close-codes.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import { encodeFrame, errorFrame } from '../protocol/server-frames.ts';
import { parseUuid } from '../protocol/uuid.ts';
import { BEARER_PREFIX, CHAT_V1, offeredVersion } from '../protocol/versions.ts';
import type { AppEnv } from './app-env.ts';
import { wholeNumber } from './fields.ts';
import { describe } from './openapi/describe.ts';
import { bearerToken } from './middleware/bearer.ts';
import { isOverAddressLimit } from './middleware/address-limit.ts';
import { isAllowedOrigin } from './middleware/origin.ts';
import { errorBody } from './openapi/schemas.ts';

/** A query parameter that is a whole number. */
const count = wholeNumber(0);

/** A refused handshake. Plain sockets see an HTTP status and the text, chat.v1 sockets the close code. */
class SocketRefused extends Error {
  override readonly name = 'SocketRefused';
  constructor(
    readonly code: string,
    readonly closeCode: CloseCode,
    message: string,
    /** When the same attempt may succeed; without it, it will not. */
    readonly retryAfterMs?: number,
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
      'A WebSocket upgrade. With the subprotocols `chat.v1, bearer.<access token>` the socket speaks chat.v1, which ' +
      '`/api/asyncapi/` describes, and a refusal is a close code. Without `chat.v1` the token travels in ' +
      '`Authorization: Bearer` or as `?token=`, and the socket speaks the frames of the original app: ' +
      '`{"message", "recipient_id"}` in both directions.',
    tags: ['Conversations'],
    bearer: false,
    query: v.object({
      token: v.pipe(v.optional(v.string()), v.description('The access token, for clients that cannot set headers.')),
      after: v.pipe(
        v.optional(count),
        v.description('Of chat.v1: the `rev` up to which the client has everything, to go on from there.'),
      ),
      epoch: v.pipe(v.optional(count), v.description('Of chat.v1: the `epoch` that `after` belongs to.')),
    }),
    responses: {
      101: { description: 'The socket is open.' },
      403: { description: 'The token, the origin or the conversation is not one that may connect.', schema: errorBody },
      426: { description: 'The request is not an upgrade.', schema: errorBody },
      429: { description: 'The caller connects too often; `Retry-After` says when to try again.', schema: errorBody },
      503: { description: 'The conversation has as many sockets as it may have.', schema: errorBody },
    },
  }),
  async (c) => {
    if (c.req.header('Upgrade')?.toLowerCase() !== 'websocket') {
      const body = { detail: 'This path is a WebSocket. Send an upgrade request.', code: 'upgrade_required' };
      return c.json(body, 426, { Upgrade: 'websocket' });
    }
    const offered = subprotocols(c);
    const version = offeredVersion(offered);
    try {
      return await connect(c, offered, version);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal) log('socket_refused', { request_id: c.get('requestId'), code: refusal.code });
      if (version !== undefined) {
        if (refusal) return closedSocket(version, refusal);
        logError('connect_failed', error, { request_id: c.get('requestId') });
        const failure = new SocketRefused('internal_error', CLOSE.internalError, 'The server failed. Connect again.');
        return closedSocket(version, failure);
      }
      if (!refusal) throw error;
      const body = { detail: refusal.message, code: refusal.code };
      if (refusal.retryAfterMs === undefined) return c.json(body, 403);
      const retryAfter = { 'Retry-After': String(Math.ceil(refusal.retryAfterMs / 1000)) };
      return c.json(body, refusal.closeCode === CLOSE.full ? 503 : 429, retryAfter);
    }
  },
);

async function connect(c: Context<AppEnv>, offered: readonly string[], version: string | undefined): Promise<Response> {
  if (await isOverAddressLimit(c, c.env.REQUEST_LIMIT)) {
    throw new SocketRefused('rate_limited', CLOSE.tooManyRequests, 'You connect too often.', ADDRESS_PERIOD_S * 1000);
  }
  const origin = c.req.header('Origin');
  if (origin !== undefined && !isAllowedOrigin(origin, c.req.url)) {
    throw new SocketRefused('origin_not_allowed', CLOSE.forbidden, 'Pages of this origin may not open sockets here.');
  }
  if (version !== undefined && version !== CHAT_V1) {
    throw new SocketRefused('unknown_version', CLOSE.unknownVersion, `This server speaks ${CHAT_V1}.`);
  }
  const conversationId = parseUuid(c.req.param('id') ?? '');
  const [token, now] = [credential(c, offered), Date.now()];
  if (conversationId === undefined) {
    await verifyToken(token, 'access', Math.floor(now / 1000));
    throw unknownConversation();
  }
  const { claims, admission } = await authenticateForConversation(directory(c.env.DB), token, conversationId, now);
  if (!admission.conversation) throw unknownConversation();
  if (!admission.isMember) throw notAMember();
  const cursor = version === CHAT_V1 ? readCursor(c) : undefined;
  c.set('caller', { user_id: claims.user_id, session_id: claims.session_id });
  const answer = await c.env.CONVERSATIONS.getByName(conversationId).fetch(
    connectRequest({
      conversation_id: conversationId,
      ...admission.conversation,
      user_id: claims.user_id,
      session_id: claims.session_id,
      expires_at: claims.exp * 1000,
      request_id: c.get('requestId'),
      protocol: version === CHAT_V1 ? 'chat.v1' : 'plain',
      cursor,
    }),
  );
  if (answer.status === 101) return answer;
  // Something changed while the request was on its way here: the object knows better.
  const { reason, retry_after_ms } = await readRefusal(answer);
  switch (reason) {
    case 'session_ended':
      throw refusedFor(reason);
    case 'not_a_member':
      throw notAMember();
    case 'conversation_full':
      throw new SocketRefused(
        reason,
        CLOSE.full,
        'This conversation has as many sockets as it may have.',
        retry_after_ms,
      );
    case 'rate_limited':
      throw new SocketRefused(reason, CLOSE.tooManyRequests, 'You connect too often.', retry_after_ms);
  }
}

/** Where the client is; undefined if it does not say. @throws SocketRefused */
function readCursor(c: Context<AppEnv>): Cursor | undefined {
  const { after, epoch } = c.req.query();
  if (after === undefined && epoch === undefined) return undefined;
  const result = v.safeParse(v.object({ after: count, epoch: count }), { after, epoch });
  if (result.success) return result.output;
  const message = '"after" and "epoch" are whole numbers, and given together or not at all.';
  throw new SocketRefused('bad_cursor', CLOSE.badRequest, message);
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
 * Accepts a socket of our own protocol only to close it: a browser can't read the status of a refused upgrade, but it
 * can read a close code. Not hibernating, so that the close goes through at once.
 */
function closedSocket(version: string, { code, closeCode, message, retryAfterMs }: SocketRefused): Response {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  if (retryAfterMs !== undefined) {
    server.send(encodeFrame(errorFrame(code as ErrorCode, message, { retry_after_ms: retryAfterMs })));
  }
  server.close(closeCode, message);
  return new Response(null, { status: 101, webSocket: client, headers: { 'Sec-WebSocket-Protocol': version } });
}
