import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { authenticate } from '../auth/authenticate.ts';
import { directory } from '../directory/database.ts';
import { inboxConnectRequest } from '../inbox/connection.ts';
import { CLOSE } from '../protocol/close-codes.ts';
import { CHAT_V1 } from '../protocol/versions.ts';
import type { AppEnv } from './app-env.ts';
import { cursorParameters, openedBy, readCursor, SocketRefused, takeUpgrade, type Handshake } from './handshake.ts';
import { describe } from './openapi/describe.ts';
import { errorBody } from './openapi/schemas.ts';

/** `GET /ws/inbox`: checks who it is in one query, then hands the upgrade to the inbox of the user. */
export const inboxSocket = new Hono<AppEnv>();

inboxSocket.get(
  '/ws/inbox',
  describe({
    summary: 'Open a socket in your inbox',
    description:
      'A WebSocket upgrade with the subprotocols `chat.v1, bearer.<access token>`. The socket tells how every ' +
      'conversation of the caller stands; `/api/asyncapi/` describes its frames. A refusal is a close code.',
    tags: ['Conversations'],
    bearer: false,
    query: v.object(cursorParameters),
    responses: {
      101: { description: 'The socket is open.' },
      403: { description: 'The upgrade does not offer `chat.v1`, or the token is no good.', schema: errorBody },
      426: { description: 'The request is not an upgrade.', schema: errorBody },
      429: { description: 'The caller connects too often; `Retry-After` says when to try again.', schema: errorBody },
    },
  }),
  async (c) => takeUpgrade(c, async (handshake) => connect(c, handshake)),
);

async function connect(c: Context<AppEnv>, { token, speaksChatV1 }: Handshake): Promise<Response> {
  const { claims, inbox } = await authenticate(directory(c.env.DB), token, Date.now());
  if (!speaksChatV1) {
    const message = `An inbox speaks ${CHAT_V1} only: offer that subprotocol.`;
    throw new SocketRefused('unknown_version', CLOSE.unknownVersion, message);
  }
  c.set('caller', { user_id: claims.user_id, session_id: claims.session_id });
  const request = inboxConnectRequest({
    ...inbox,
    user_id: claims.user_id,
    session_id: claims.session_id,
    expires_at: claims.exp * 1000,
    request_id: c.get('requestId'),
    cursor: readCursor(c),
  });
  return openedBy(c.env.INBOXES.getByName(claims.user_id).fetch(request));
}
