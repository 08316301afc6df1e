import * as v from 'valibot';
import { cursorSchema, identity, readUpgrade, upgradeRequest } from '../objects/connection.ts';
import { count, uuid } from '../protocol/rows.ts';

/**
 * Who connects, and what the directory says of the conversation, as the Worker tells it. Worker and object may be of
 * different releases for some minutes: unknown keys are ignored, and new ones are optional.
 */
const connectSchema = v.object({
  ...identity,
  conversation_id: uuid,
  version: count,
  epoch: count,
  protocol: v.optional(v.picklist(['plain', 'chat.v1']), 'plain'),
  /** Of chat.v1. */
  cursor: v.optional(cursorSchema),
});

/** See {@link connectSchema}. */
export type Connect = v.InferOutput<typeof connectSchema>;

/** The upgrade request that opens a socket in a conversation's object. */
export function connectRequest(connect: v.InferInput<typeof connectSchema>): Request {
  return upgradeRequest(connect);
}

/** Decodes what {@link connectRequest} made; undefined if the request is not one of those. */
export function readConnect(request: Request): Connect | undefined {
  return readUpgrade(request, connectSchema);
}
