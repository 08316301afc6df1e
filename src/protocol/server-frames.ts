import * as v from 'valibot';
import { decodeFromServer } from './decode.ts';
import { ERROR_CODES, type ErrorCode } from './error-codes.ts';
import { count, memberRow, messageRow, ordinal, time, uuid } from './rows.ts';

const ref = v.pipe(v.string(), v.description('Of the frame that this answers.'));
const epoch = v.pipe(count, v.description('Names one history. Rows and cursors of another one are worthless.'));
const more = v.pipe(v.boolean(), v.description('Whether there is more in the direction that was asked for.'));

/** What a server allows and expects, so that a client need not know its settings. */
const limits = v.object({
  text_max_length: v.pipe(ordinal, v.description('Code points of a message.')),
  frame_max_bytes: v.pipe(ordinal, v.description('Bytes of a frame to the server.')),
  page_max_rows: v.pipe(ordinal, v.description('The largest `limit` of `history`.')),
  resume_rows: v.pipe(count, v.description('A cursor behind which more rows have changed gets a snapshot.')),
  ping_interval_ms: v.pipe(ordinal, v.description('How often to send `ping`.')),
  typing_interval_ms: v.pipe(ordinal, v.description('How often to say that typing goes on.')),
  typing_lifetime_ms: v.pipe(ordinal, v.description('How long to show that someone types, unless they say so again.')),
});

/** Of every kind of socket. */
export const errorFrameSchema = v.pipe(
  v.object({
    type: v.literal('error'),
    ref: v.pipe(v.optional(v.string()), v.description('Of the frame that is refused, if it has one.')),
    code: v.pipe(v.string(), v.metadata({ enum: Object.keys(ERROR_CODES) })),
    message: v.pipe(v.string(), v.description('For people: what is wrong and what to do.')),
    retry_after_ms: v.pipe(
      v.optional(count),
      v.description('The same frame may succeed after this time. Without it, it will not.'),
    ),
  }),
  v.description('What was asked for did not happen, and nothing has changed.'),
);

/** The frames of chat.v1 that a server sends, by their `type`. */
export const serverFrames = {
  welcome: v.pipe(
    v.object({
      type: v.literal('welcome'),
      conversation: v.pipe(uuid, v.description('Its id.')),
      me: v.pipe(uuid, v.description('Your user id.')),
      epoch,
      rev: v.pipe(count, v.description("The conversation's last change.")),
      limits,
      online: v.pipe(v.array(uuid), v.description('Who is here now.')),
      last_seen: v.pipe(
        v.record(v.string(), time),
        v.description('When those who are not here were last seen, by user id.'),
      ),
      resumed: v.pipe(
        v.boolean(),
        v.description('Whether your cursor holds: then ask for what you missed by `sync`. Otherwise drop your rows.'),
      ),
      snapshot: v.pipe(
        v.optional(v.object({ messages: v.array(messageRow), members: v.array(memberRow) })),
        v.description('Unless resumed: the newest messages by `n`, and all members, as of `rev`.'),
      ),
    }),
    v.description('The first frame of every socket that is not refused.'),
  ),
  changes: v.pipe(
    v.object({
      type: v.literal('changes'),
      ref: v.optional(ref),
      after: v.pipe(count, v.description('Complete from here, exclusively: a larger one than your cursor is a gap.')),
      rev: v.pipe(count, v.description('Complete up to here, inclusively: your next cursor.')),
      messages: v.array(messageRow),
      members: v.array(memberRow),
      more: v.pipe(v.boolean(), v.description('Whether the conversation is already further than `rev`.')),
    }),
    v.description('Every row that changed, as it stands now: live, or in answer to `sync`.'),
  ),
  ok: v.pipe(
    v.object({
      type: v.literal('ok'),
      ref,
      n: v.pipe(ordinal, v.description('The message.')),
      rev: v.pipe(ordinal, v.description('Its `rev` after this operation. Does not move your cursor.')),
      id: v.pipe(v.optional(uuid), v.description('Of `send`: the id of the message.')),
      created_at: v.pipe(v.optional(time), v.description('Of `send`.')),
      duplicate: v.pipe(
        v.optional(v.literal(true)),
        v.description('The ref was known: nothing was changed, and this is the original answer.'),
      ),
    }),
    v.description('What was asked for is stored.'),
  ),
  error: errorFrameSchema,
  page: v.pipe(
    v.object({
      type: v.literal('page'),
      ref,
      epoch,
      rev: v.pipe(count, v.description('The messages are as of this. Older than your cursor: ask again.')),
      messages: v.array(messageRow),
      more,
    }),
    v.description('Messages by `n`, in answer to `history`.'),
  ),
  typing: v.pipe(
    v.object({ type: v.literal('typing'), user_id: uuid, on: v.boolean() }),
    v.description('Someone began, or stopped, to type.'),
  ),
  presence: v.pipe(
    v.object({
      type: v.literal('presence'),
      user_id: uuid,
      online: v.boolean(),
      last_seen: v.pipe(v.nullable(time), v.description('null while they are online.')),
    }),
    v.description('Someone came or went.'),
  ),
} as const;

/** A frame of chat.v1 from a server. */
export type ServerFrame = v.InferOutput<(typeof serverFrames)[keyof typeof serverFrames]>;
/** A frame of chat.v1 from a server, of one type. */
export type ServerFrameOf<Type extends ServerFrame['type']> = Extract<ServerFrame, { type: Type }>;
/** What answers a frame that has a ref. */
export type Answer = ServerFrameOf<'ok' | 'error' | 'page' | 'changes'>;

/**
 * Decodes a text frame from a server. Never throws.
 * @returns undefined for a frame that this release does not understand: it may be from a newer server
 */
export function decodeServerFrame(frame: string): ServerFrame | undefined {
  return decodeFromServer(serverFrames, frame);
}

/** The text of a frame. */
export function encodeFrame(frame: ServerFrame): string {
  return JSON.stringify(frame);
}

/** An `error` frame. */
export function errorFrame(
  code: ErrorCode,
  message: string,
  about: { ref?: string | undefined; retry_after_ms?: number } = {},
): ServerFrameOf<'error'> {
  return {
    type: 'error',
    ...(about.ref !== undefined && { ref: about.ref }),
    code,
    message,
    ...(about.retry_after_ms !== undefined && { retry_after_ms: about.retry_after_ms }),
  };
}
