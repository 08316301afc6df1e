import * as v from 'valibot';
import { count, uuid } from '../protocol/rows.ts';

/** What a client has already: everything up to `after`, of the history that `epoch` names. */
export const cursorSchema = v.object({ after: count, epoch: count });

/** See {@link cursorSchema}. */
export type Cursor = v.InferOutput<typeof cursorSchema>;

/**
 * Who a socket belongs to. The Worker writes it from a verified token, into a request of its own making; nothing in it
 * is the client's word.
 */
export const identity = {
  user_id: uuid,
  session_id: v.string(),
  /** When the access token expires, and the socket with it. Milliseconds since 1970. */
  expires_at: count,
  request_id: v.string(),
};

const HEADER = 'X-Edge-Chat-Connect';

/** The upgrade request that opens a socket in an object. It holds nothing that the client chose. */
export function upgradeRequest(connect: object): Request {
  return new Request('https://object/connect', {
    headers: { Upgrade: 'websocket', [HEADER]: JSON.stringify(connect) },
  });
}

/** Decodes what {@link upgradeRequest} made; undefined if the request is not one of those. */
export function readUpgrade<T>(request: Request, schema: v.GenericSchema<unknown, T>): T | undefined {
  const header = request.headers.get(HEADER);
  if (header === null || request.headers.get('Upgrade') !== 'websocket') return undefined;
  return decode(schema, () => JSON.parse(header));
}

const refusalSchema = v.object({
  reason: v.picklist(['not_a_member', 'session_ended', 'conversation_full', 'rate_limited', 'account_closed']),
  /** When to try again, in milliseconds. Of `conversation_full` and `rate_limited`. */
  retry_after_ms: v.optional(count, 0),
});

/** Why an object does not open a socket, although the Worker's query let it pass. */
export type Refusal = v.InferOutput<typeof refusalSchema>;

/** The object's answer to a connection attempt that it refuses. */
export function refusalResponse(refusal: v.InferInput<typeof refusalSchema>): Response {
  return Response.json(refusal, { status: 403 });
}

/** Decodes what {@link refusalResponse} made. */
export async function readRefusal(response: Response): Promise<Refusal> {
  return v.parse(refusalSchema, await response.json());
}

/**
 * What an open socket remembers, across hibernation and releases: a new key is optional or has a default, because
 * sockets that were opened before it outlive the release.
 */
const attachmentSchema = v.object({
  user_id: uuid,
  expires_at: count,
  protocol: v.optional(v.picklist(['plain', 'chat.v1']), 'plain'),
  /** A sign of life, about the last: in milliseconds since 1970. */
  heard_at: v.optional(count, 0),
  /** Whether the others were told that its user has gone, since it was silent for so long. */
  away: v.optional(v.boolean(), false),
  /** The code with which the server has closed the socket. Frames that were on their way still arrive. */
  closing: v.optional(v.number()),
});

/** See {@link attachmentSchema}. */
export type Attachment = v.InferOutput<typeof attachmentSchema>;
/** What an attachment is made from. */
export type NewAttachment = v.InferInput<typeof attachmentSchema>;

/** Decodes a socket's attachment; undefined if a release that we do not know wrote it. */
export function readAttachment(socket: WebSocket): Attachment | undefined {
  return decode(attachmentSchema, () => socket.deserializeAttachment());
}

/** The tags by which an object finds the sockets of a user or of a session, and those that speak chat.v1. */
export const tags = {
  user: (userId: string) => `user:${userId}`,
  session: (sessionId: string) => `session:${sessionId}`,
  chatV1: 'chat.v1',
};

function decode<T>(schema: v.GenericSchema<unknown, T>, read: () => unknown): T | undefined {
  try {
    const result = v.safeParse(schema, read());
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}
