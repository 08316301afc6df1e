import * as v from 'valibot';

export const uuid = v.pipe(v.string(), v.uuid());
/** A whole number from 0 on: a `rev`, or an `n` where there may be none yet. */
export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
/** A whole number from 1 on: the `n` or the `rev` of something. */
export const ordinal = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
/** Milliseconds since 1970. */
export const time = v.pipe(count, v.description('Milliseconds since 1970.'));

/** A message, as it stands at its `rev`. */
export const messageRow = v.pipe(
  v.object({
    n: v.pipe(ordinal, v.description('Its place in the conversation: 1, 2, 3 … without gaps.')),
    rev: v.pipe(ordinal, v.description('Its last change, in the one sequence of all changes of the conversation.')),
    id: uuid,
    sender_id: uuid,
    ref: v.pipe(
      v.nullable(v.string()),
      v.description("The sender's own id for it; null if it came from a plain socket, which has none."),
    ),
    text: v.pipe(v.nullable(v.string()), v.description('null if the message was deleted.')),
    reply_to: v.pipe(v.nullable(ordinal), v.description('The `n` of the message that it answers.')),
    created_at: time,
    edited_at: v.nullable(time),
    deleted_at: v.nullable(time),
    reactions: v.pipe(
      v.array(v.object({ emoji: v.string(), user_ids: v.array(uuid) })),
      v.description('In the order in which they were first made.'),
    ),
  }),
  v.description('A message as it stands. The row with the larger `rev` replaces the other.'),
);

/** A member, as they stand at their `rev`. */
export const memberRow = v.pipe(
  v.object({
    user_id: uuid,
    rev: ordinal,
    first_name: v.string(),
    last_name: v.string(),
    role: v.string(),
    read: v.pipe(count, v.description('They have read everything up to this `n`.')),
    delivered: v.pipe(count, v.description('They have received everything up to this `n`.')),
    left_at: v.pipe(v.nullable(time), v.description('When they left; null while they are a member.')),
  }),
  v.description('A member as they stand. The row with the larger `rev` replaces the other.'),
);

/** See {@link messageRow}. */
export type MessageRow = v.InferOutput<typeof messageRow>;
/** See {@link memberRow}. */
export type MemberRow = v.InferOutput<typeof memberRow>;
