import * as v from 'valibot';
import { PAGE_SIZE } from '../config.ts';
import { onOff, ref, whole } from './client-frames.ts';
import { decodeFromClient, decodeFromServer, type Decoded } from './decode.ts';
import { count, ordinal, time, uuid } from './rows.ts';
import { errorFrameSchema } from './server-frames.ts';
import { parseUuid } from './uuid.ts';

// Messages of the schemas for frames from a client continue a sentence that begins with the field's name.

/** A conversation as one of its members has it in their inbox, as it stands at its `rev`. */
export const inboxRow = v.pipe(
  v.object({
    conversation: v.pipe(uuid, v.description('Its id.')),
    rev: v.pipe(ordinal, v.description("Its last change, in the one sequence of all changes of the user's inbox.")),
    kind: v.pipe(v.string(), v.description('`direct`.')),
    title: v.pipe(v.nullable(v.string()), v.description('null for a direct conversation, which its `peer` names.')),
    peer: v.pipe(
      v.nullable(v.object({ user_id: uuid, first_name: v.string(), last_name: v.string() })),
      v.description('The other member of a direct conversation.'),
    ),
    n: v.pipe(ordinal, v.description('Its newest message.')),
    read: v.pipe(count, v.description('The user has read everything up to this `n`.')),
    unread: v.pipe(
      count,
      v.description('Messages of others after `read` that were not deleted, up to `limits.unread_max`.'),
    ),
    marked_unread: v.pipe(v.boolean(), v.description('The user wants to come back to it, although they have read it.')),
    last: v.pipe(
      v.object({
        n: ordinal,
        sender_id: uuid,
        text: v.pipe(v.nullable(v.string()), v.description('Its beginning; null if it was deleted.')),
        created_at: time,
      }),
      v.description('Its newest message.'),
    ),
    muted_until: v.pipe(v.nullable(time), v.description('null if it is not muted.')),
    pinned: v.boolean(),
    archived: v.pipe(v.boolean(), v.description('Put aside by the user, until there is a newer message.')),
  }),
  v.description('A conversation as it stands for one user. The row with the larger `rev` replaces the other.'),
);

/** A conversation that the user has left: all that is kept of it. */
export const removedRow = v.pipe(
  v.object({ conversation: uuid, rev: ordinal }),
  v.description('A conversation of which the user is not a member any more. Whatever is older of it is void.'),
);

/** How much is unread in all, muted and archived conversations left out. */
export const unreadTotal = v.pipe(
  v.object({
    messages: v.pipe(count, v.description('The sum of `unread`.')),
    conversations: v.pipe(count, v.description('Those that have unread messages or were marked unread.')),
  }),
  v.description('In all conversations, whether you have their rows or not, but for muted and archived ones.'),
);

const presence = {
  user_id: uuid,
  online: v.boolean(),
  last_seen: v.pipe(v.nullable(time), v.description('null while they are online, and if it is not known.')),
};

/** Whether somebody is online. */
export const contactPresence = v.object(presence);

const conversation = v.pipe(
  v.string('is not a string.'),
  v.rawTransform<string, string>(({ dataset, addIssue, NEVER }) => {
    const id = parseUuid(dataset.value);
    if (id !== undefined) return id;
    addIssue({ message: 'is not the id of a conversation.' });
    return NEVER;
  }),
  v.metadata({ format: 'uuid' }),
);

/** Where a page of the inbox goes on: the time and id of the last conversation before it. */
export const listCursor = v.pipe(
  v.string('is not a string.'),
  v.regex(/^\d{1,15}\.[0-9a-f-]{36}$/, 'is not the "next" of a page.'),
  v.description('The `next` of the page before.'),
);

const mark = v.optional(whole(0));

/** The frames of an inbox's socket that a client sends, by their `type`. */
export const inboxClientFrames = {
  sync: v.pipe(
    v.object({ type: v.literal('sync'), ref, after: whole(0) }),
    v.description('Asks for what has changed since a cursor. Answered by a `changes` with the same `ref`.'),
  ),
  list: v.pipe(
    v.object({
      type: v.literal('list'),
      ref,
      before: v.optional(listCursor),
      unread: v.pipe(v.optional(onOff, false), v.description('Only those with something unread.')),
      archived: v.pipe(v.optional(onOff, false), v.description('Those that are archived, instead of the others.')),
      limit: v.optional(v.pipe(whole(1), v.maxValue(PAGE_SIZE, `is more than ${PAGE_SIZE}.`)), PAGE_SIZE),
    }),
    v.description('A page of conversations, the newest activity first. Answered by a `page`.'),
  ),
  set: v.pipe(
    v.object({
      type: v.literal('set'),
      ref,
      conversation,
      muted_until: v.pipe(
        v.optional(v.nullable(whole(0))),
        v.description('A time in milliseconds since 1970; null ends it.'),
      ),
      pinned: v.optional(onOff),
      archived: v.optional(onOff),
      unread: v.pipe(v.optional(onOff), v.description('false marks everything as read.')),
    }),
    v.check(
      ({ muted_until, pinned, archived, unread }) =>
        [muted_until, pinned, archived, unread].some((it) => it !== undefined),
      'The frame sets nothing.',
    ),
    v.description('Changes how one conversation stands in the inbox. Answered `ok`.'),
  ),
  mark: v.pipe(
    v.object({ type: v.literal('mark'), conversation, read: mark, delivered: mark }),
    v.check(
      ({ read, delivered }) => read !== undefined || delivered !== undefined,
      'The frame has neither "read" nor "delivered".',
    ),
    v.description('How far you have read and received in a conversation, by `n`. Answered only if refused.'),
  ),
} as const;

const epoch = v.pipe(count, v.description('Names one history. Rows and cursors of another one are worthless.'));
const answered = v.pipe(v.string(), v.description('Of the frame that this answers.'));
const next = v.pipe(v.nullable(v.string()), v.description('The `before` of the next page; null on the last.'));

const limits = v.object({
  frame_max_bytes: v.pipe(ordinal, v.description('Bytes of a frame to the server.')),
  page_max_rows: v.pipe(ordinal, v.description('The largest `limit` of `list`.')),
  resume_rows: v.pipe(count, v.description('A cursor behind which more rows have changed gets a snapshot.')),
  unread_max: v.pipe(ordinal, v.description('Where `unread` stops to count.')),
  pins_max: v.pipe(ordinal, v.description('Conversations that may be pinned.')),
  ping_interval_ms: v.pipe(ordinal, v.description('How often to send `ping`.')),
  typing_lifetime_ms: v.pipe(ordinal, v.description('How long to show that someone types, unless it is said again.')),
});

/** The frames of an inbox's socket that a server sends, by their `type`. */
export const inboxServerFrames = {
  welcome: v.pipe(
    v.object({
      type: v.literal('welcome'),
      me: v.pipe(uuid, v.description('Your user id.')),
      epoch,
      rev: v.pipe(count, v.description("The inbox's last change.")),
      limits,
      total: unreadTotal,
      presence: v.pipe(v.array(contactPresence), v.description('What is known of the people one talks to.')),
      resumed: v.pipe(
        v.boolean(),
        v.description('Whether your cursor holds: then ask for what you missed by `sync`. Otherwise drop your rows.'),
      ),
      snapshot: v.pipe(
        v.optional(v.object({ conversations: v.array(inboxRow), next })),
        v.description('Unless resumed: the conversations with the newest activity, and all that are pinned.'),
      ),
    }),
    v.description('The first frame of every socket that is not refused.'),
  ),
  changes: v.pipe(
    v.object({
      type: v.literal('changes'),
      ref: v.optional(answered),
      after: v.pipe(count, v.description('Complete from here, exclusively: a larger one than your cursor is a gap.')),
      rev: v.pipe(count, v.description('Complete up to here, inclusively: your next cursor.')),
      conversations: v.array(inboxRow),
      removed: v.array(removedRow),
      total: unreadTotal,
      more: v.pipe(v.boolean(), v.description('Whether the inbox is already further than `rev`.')),
    }),
    v.description('Every conversation that changed, as it stands now: live, or in answer to `sync`.'),
  ),
  page: v.pipe(
    v.object({
      type: v.literal('page'),
      ref: answered,
      epoch,
      rev: v.pipe(count, v.description('The rows are as of this. Older than your cursor: ask again.')),
      conversations: v.array(inboxRow),
      next,
    }),
    v.description('Conversations, in answer to `list`.'),
  ),
  ok: v.pipe(
    v.object({
      type: v.literal('ok'),
      ref: answered,
      rev: v.pipe(ordinal, v.description("The conversation's row after this. Does not move your cursor.")),
    }),
    v.description('What was asked for is stored.'),
  ),
  error: errorFrameSchema,
  typing: v.pipe(
    v.object({ type: v.literal('typing'), conversation: uuid, user_id: uuid, on: v.boolean() }),
    v.description('Someone began, or stopped, to type.'),
  ),
  presence: v.pipe(v.object({ type: v.literal('presence'), ...presence }), v.description('Someone came or went.')),
} as const;

/** See {@link inboxRow}. */
export type InboxRow = v.InferOutput<typeof inboxRow>;
/** See {@link removedRow}. */
export type RemovedRow = v.InferOutput<typeof removedRow>;
/** See {@link unreadTotal}. */
export type UnreadTotal = v.InferOutput<typeof unreadTotal>;
/** See {@link contactPresence}. */
export type ContactPresence = v.InferOutput<typeof contactPresence>;

/** A frame from a client of an inbox. */
export type InboxClientFrame = v.InferOutput<(typeof inboxClientFrames)[keyof typeof inboxClientFrames]>;
/** The same, of one type. */
export type InboxClientFrameOf<Type extends InboxClientFrame['type']> = Extract<InboxClientFrame, { type: Type }>;
/** A frame from an inbox. */
export type InboxServerFrame = v.InferOutput<(typeof inboxServerFrames)[keyof typeof inboxServerFrames]>;
/** The same, of one type. */
export type InboxServerFrameOf<Type extends InboxServerFrame['type']> = Extract<InboxServerFrame, { type: Type }>;

/** Decodes a text frame from a client of an inbox. Never throws, whatever the frame holds. */
export function decodeInboxClientFrame(frame: string): Decoded<InboxClientFrame> {
  return decodeFromClient(inboxClientFrames, frame);
}

/** Decodes a text frame from an inbox. Never throws. @returns undefined for one that this release does not understand */
export function decodeInboxServerFrame(frame: string): InboxServerFrame | undefined {
  return decodeFromServer(inboxServerFrames, frame);
}

/** The text of a frame. */
export function encodeInboxFrame(frame: InboxServerFrame): string {
  return JSON.stringify(frame);
}
