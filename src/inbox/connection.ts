import * as v from 'valibot';
import { cursorSchema, identity, readUpgrade, upgradeRequest } from '../objects/connection.ts';
import { count } from '../protocol/rows.ts';

/**
 * Who connects, and what the directory says of their inbox, as the Worker tells it. Worker and object may be of
 * different releases for some minutes: unknown keys are ignored, and new ones are optional.
 */
const connectSchema = v.object({
  ...identity,
  epoch: count,
  shows_presence: v.boolean(),
  cursor: v.optional(cursorSchema),
});

/** See {@link connectSchema}. */
export type InboxConnect = v.InferOutput<typeof connectSchema>;

/** The upgrade request that opens a socket in a user's inbox. */
export function inboxConnectRequest(connect: v.InferInput<typeof connectSchema>): Request {
  return upgradeRequest(connect);
}

/** Decodes what {@link inboxConnectRequest} made; undefined if the request is not one of those. */
export function readInboxConnect(request: Request): InboxConnect | undefined {
  return readUpgrade(request, connectSchema);
}
