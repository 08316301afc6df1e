import * as v from 'valibot';
import { MESSAGE_MAX_LENGTH, PAGE_SIZE, REF_MAX_LENGTH } from '../config.ts';
import { parseEmoji } from './emoji.ts';
import { decodeFromClient, type Decoded } from './decode.ts';
import { isRef, messageProblem } from './text.ts';

// Messages of these schemas, as of those in `inbox-frames.ts`, continue a sentence that begins with the field's name.

/** A whole number of at least so much. */
/* @__NO_SIDE_EFFECTS__ */
export function whole(least: number) {
  const message = `is not a whole number of at least ${least}.`;
  return v.pipe(v.number(message), v.safeInteger(message), v.minValue(least, message));
}

/** The client's own id for an operation. */
export const ref = v.pipe(
  v.string('is not a string.'),
  v.check(isRef, `does not have 1 to ${REF_MAX_LENGTH} characters of Unicode.`),
  v.metadata({ minLength: 1, maxLength: REF_MAX_LENGTH }),
  v.description("The client's own id for this operation. The same one again, at any time, changes nothing."),
);

/** The text of a message. */
export const text = v.pipe(
  v.string('is not a string.'),
  v.rawCheck(({ dataset, addIssue }) => {
    const problem = dataset.typed ? messageProblem(dataset.value) : undefined;
    if (problem !== undefined) addIssue({ message: problem });
  }),
  v.metadata({ minLength: 1, maxLength: MESSAGE_MAX_LENGTH }),
);

/** An emoji, in its canonical spelling. */
export const emoji = v.pipe(
  v.string('is not a string.'),
  v.description('One emoji.'),
  v.rawTransform<string, string>(({ dataset, addIssue, NEVER }) => {
    const canonical = parseEmoji(dataset.value);
    if (canonical !== undefined) return canonical;
    addIssue({ message: 'is not an emoji.' });
    return NEVER;
  }),
);

/** The `n` of a message. */
export const n = whole(1);
const rev = whole(0);
/** True or false. */
export const onOff = v.boolean('is neither true nor false.');
const optionalN = v.optional(n);

/** The frames of chat.v1 that a client sends, by their `type`. */
export const clientFrames = {
  send: v.pipe(
    v.object({
      type: v.literal('send'),
      ref,
      text,
      reply_to: v.pipe(v.nullish(n), v.description('The `n` of the message that this one answers.')),
    }),
    v.description('A new message. Answered `ok` with its `n`, `rev`, `id` and `created_at`.'),
  ),
  edit: v.pipe(
    v.object({ type: v.literal('edit'), ref, n, text }),
    v.description('A new text for one of your own messages. Answered `ok`.'),
  ),
  delete: v.pipe(
    v.object({ type: v.literal('delete'), ref, n }),
    v.description('Takes back one of your own messages: its place stays, its text and reactions go. Answered `ok`.'),
  ),
  react: v.pipe(
    v.object({ type: v.literal('react'), ref, n, emoji, on: onOff }),
    v.description('Adds your reaction to a message, or takes it back. Answered `ok`.'),
  ),
  history: v.pipe(
    v.object({
      type: v.literal('history'),
      ref,
      before: v.pipe(optionalN, v.description('The newest messages older than this `n`.')),
      after: v.pipe(v.optional(whole(0)), v.description('The oldest messages newer than this `n`.')),
      around: v.pipe(optionalN, v.description('The messages on both sides of this `n`, and itself.')),
      limit: v.pipe(
        v.optional(v.pipe(n, v.maxValue(PAGE_SIZE, `is more than ${PAGE_SIZE}.`)), PAGE_SIZE),
        v.description('Messages, at most. There may be fewer if they are long.'),
      ),
    }),
    v.check(
      ({ before, after, around }) => [before, after, around].filter((it) => it !== undefined).length <= 1,
      'Only one of "before", "after" and "around" may be given.',
    ),
    v.description(
      'A page of messages by `n`; the newest, without `before`, `after` and `around`. Answered by a `page`.',
    ),
  ),
  sync: v.pipe(
    v.object({ type: v.literal('sync'), ref, after: rev }),
    v.description('Asks for what has changed since a cursor. Answered by a `changes` with the same `ref`.'),
  ),
  mark: v.pipe(
    v.object({ type: v.literal('mark'), read: v.optional(rev), delivered: v.optional(rev) }),
    v.check(
      ({ read, delivered }) => read !== undefined || delivered !== undefined,
      'The frame has neither "read" nor "delivered".',
    ),
    v.description(
      'How far you have read and received, by `n`. Marks only move up, and `read` raises `delivered`. Answered only if refused.',
    ),
  ),
  typing: v.pipe(
    v.object({ type: v.literal('typing'), on: onOff }),
    v.description('You began, or stopped, to type. Answered only if refused.'),
  ),
} as const;

/** A frame of chat.v1 from a client. */
export type ClientFrame = v.InferOutput<(typeof clientFrames)[keyof typeof clientFrames]>;
/** A frame that changes messages. Its ref is remembered for ever. */
export type Operation = Extract<ClientFrame, { type: 'send' | 'edit' | 'delete' | 'react' }>;
/** Which messages a page holds; the newest, if it says nothing. */
export type PageRange = Pick<Extract<ClientFrame, { type: 'history' }>, 'before' | 'after' | 'around' | 'limit'>;

/** Decodes a text frame from a client. Never throws, whatever the frame holds. */
export function decodeClientFrame(frame: string): Decoded<ClientFrame> {
  return decodeFromClient(clientFrames, frame);
}
