import type { Context } from 'hono';
import * as v from 'valibot';
import { refusedFor, TokenRefused } from '../auth/tokens.ts';
import { ADDRESS_PERIOD_S } from '../config.ts';
import { log, logError } from '../log.ts';
import { readRefusal, type Cursor } from '../objects/connection.ts';
import { CLOSE, type CloseCode } from '../protocol/close-codes.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import { encodeFrame, errorFrame } from '../protocol/server-frames.ts';
import { BEARER_PREFIX, CHAT_V1, offeredVersion } from '../protocol/versions.ts';
import type { AppEnv } from './app-env.ts';
import { wholeNumber } from './fields.ts';
import { bearerToken } from './middleware/bearer.ts';
import { isOverAddressLimit } from './middleware/address-limit.ts';
import { isAllowedOrigin } from './middleware/origin.ts';

/** A refused handshake. Plain sockets see an HTTP status and the text, chat.v1 sockets the close code. */
export class SocketRefused extends Error {
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

/** What a client brings that wants to open a socket. */
export type Handshake = {
  /** Not verified. */
  readonly token: string;
  /** Whether the socket is to speak chat.v1, or else the original's plain frames. */
  readonly speaksChatV1: boolean;
};

/**
 * Takes an upgrade: checks what needs no token, and answers whatever `connect` refuses in the way that the client can
 * read. No middleware around it may touch the headers of the 101.
 * @param connect hands the upgrade to an object. @throws SocketRefused or TokenRefused
 */
export async function takeUpgrade(
  c: Context<AppEnv>,
  connect: (handshake: Handshake) => Promise<Response>,
): Promise<Response> {
  if (c.req.header('Upgrade')?.toLowerCase() !== 'websocket') {
    const body = { detail: 'This path is a WebSocket. Send an upgrade request.', code: 'upgrade_required' };
    return c.json(body, 426, { Upgrade: 'websocket' });
  }
  const offered = subprotocols(c);
  const version = offeredVersion(offered);
  try {
    await checkClient(c, version);
    return await connect({ token: credential(c, offered), speaksChatV1: version === CHAT_V1 });
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
}

/** The object's answer: the open socket. @throws SocketRefused if something changed while the request was on its way */
export async function openedBy(object: Promise<Response>): Promise<Response> {
  const answer = await object;
  if (answer.status === 101) return answer;
  const { reason, retry_after_ms } = await readRefusal(answer);
  switch (reason) {
    case 'session_ended':
      throw refusedFor(reason);
    case 'account_closed':
      throw refusedFor('user_not_found');
    case 'not_a_member':
      throw notAMember();
    case 'conversation_full': {
      const message = 'This conversation has as many sockets as it may have.';
      throw new SocketRefused(reason, CLOSE.full, message, retry_after_ms);
    }
    case 'rate_limited':
      throw new SocketRefused(reason, CLOSE.tooManyRequests, 'You connect too often.', retry_after_ms);
  }
}

/** A query parameter that is a whole number. */
const count = wholeNumber(0);

/** The query parameters of a cursor, which {@link readCursor} reads. */
export const cursorParameters = {
  after: v.pipe(
    v.optional(count),
    v.description('Of chat.v1: the `rev` up to which the client has everything, to go on from there.'),
  ),
  epoch: v.pipe(v.optional(count), v.description('Of chat.v1: the `epoch` that `after` belongs to.')),
};

/** Where the client is; undefined if it does not say. @throws SocketRefused */
export function readCursor(c: Context<AppEnv>): Cursor | undefined {
  const { after, epoch } = c.req.query();
  if (after === undefined && epoch === undefined) return undefined;
  const result = v.safeParse(v.object({ after: count, epoch: count }), { after, epoch });
  if (result.success) return result.output;
  const message = '"after" and "epoch" are whole numbers, and given together or not at all.';
  throw new SocketRefused('bad_cursor', CLOSE.badRequest, message);
}

async function checkClient(c: Context<AppEnv>, version: string | undefined): Promise<void> {
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

/** Not a member of the conversation, or not any more. */
export function notAMember(): SocketRefused {
  return new SocketRefused('not_a_member', CLOSE.forbidden, 'You are not a member of this conversation.');
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
