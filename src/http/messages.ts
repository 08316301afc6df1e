import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { PAGE_SIZE } from '../config.ts';
import { parseEmoji } from '../protocol/emoji.ts';
import type { Operation } from '../protocol/client-frames.ts';
import { count, uuid } from '../protocol/rows.ts';
import type { AppEnv } from './app-env.ts';
import { askConversation, idempotencyHeaders, readRef } from './ask-conversation.ts';
import { readFields, readQuery } from './body.ts';
import { invalid, notFound } from './errors.ts';
import { messageField, REQUIRED, wholeNumber, wholeNumberField } from './fields.ts';
import { member } from './middleware/bearer.ts';
import { pathId } from './middleware/path-id.ts';
import { describe } from './openapi/describe.ts';
import { errorBody, fieldErrorsBody, message, schema } from './openapi/schemas.ts';

const stored = schema(
  'Stored',
  v.strictObject({
    n: v.pipe(count, v.description('The message.')),
    rev: v.pipe(count, v.description('Its `rev` after this operation.')),
    id: v.pipe(v.optional(uuid), v.description('Of a new message.')),
    created_at: v.pipe(v.optional(count), v.description('Of a new message. Milliseconds since 1970.')),
    duplicate: v.pipe(
      v.optional(v.literal(true)),
      v.description('The key was known: nothing was changed, and this is the original answer.'),
    ),
  }),
);

const page = schema(
  'Page',
  v.strictObject({ epoch: count, rev: count, messages: v.array(message), more: v.boolean() }),
);

const query = v.object({
  before: v.pipe(v.optional(wholeNumber(1)), v.description('The newest messages older than this `n`.')),
  after: v.pipe(v.optional(wholeNumber(0)), v.description('The oldest messages newer than this `n`.')),
  around: v.pipe(v.optional(wholeNumber(1)), v.description('The messages on both sides of this `n`, and itself.')),
  limit: v.pipe(v.optional(wholeNumber(1, PAGE_SIZE)), v.description('Messages, at most.')),
});

const newMessage = schema(
  'NewMessage',
  v.object({ text: messageField, reply_to: v.nullish(wholeNumberField(1)) }, REQUIRED),
);
const newText = schema('NewText', v.object({ text: messageField }, REQUIRED));

const storedResponse = { description: 'It is stored.', schema: stored };
const deletedResponse = { description: 'The message was deleted.', schema: errorBody };
const notYours = {
  description: 'The caller is not its sender, or not a member, or the other one is not available to them.',
  schema: errorBody,
};

export const messages = new Hono<AppEnv>();

messages.use('/api/conversations/:id/messages/*', pathId, member);

messages.get(
  '/api/conversations/:id/messages',
  describe({
    summary: 'Read messages',
    description:
      'By `n`, oldest first; the newest ones, without `before`, `after` and `around`, of which there may be one. ' +
      'Deleted messages keep their place. `Link: <…>; rel="next"` leads on in the direction asked for.',
    tags: ['Messages'],
    bearer: true,
    member: true,
    query,
    responses: {
      200: { description: 'A page.', schema: page },
      400: { description: 'A parameter is wrong.', schema: fieldErrorsBody },
    },
  }),
  async (c) => {
    const { before, after, around, limit = PAGE_SIZE } = readQuery(c, query);
    if ([before, after, around].filter((it) => it !== undefined).length > 1) {
      throw invalid({ non_field_errors: ['Only one of "before", "after" and "around" may be given.'] });
    }
    const range = { before, after, around, limit };
    const answer = await askConversation(c, { type: 'history', ref: '', ...range });
    if (answer.type !== 'page') throw new Error('The conversation answered history with something else.');
    const { epoch, rev, messages: rows, more } = answer;
    const next = after === undefined ? `before=${rows[0]?.n}` : `after=${rows.at(-1)?.n}`;
    if (more && around === undefined) {
      c.header('Link', `</api/conversations/${c.get('id')}/messages/?${next}&limit=${limit}>; rel="next"`);
    }
    return c.json({ epoch, rev, messages: rows, more });
  },
);

messages.post(
  '/api/conversations/:id/messages',
  describe({
    summary: 'Send a message',
    tags: ['Messages'],
    bearer: true,
    member: true,
    headers: idempotencyHeaders,
    body: newMessage,
    responses: { 201: storedResponse, 200: { description: 'It was stored before.', schema: stored } },
  }),
  async (c) => {
    const ref = readRef(c);
    const { text, reply_to } = await readFields(c, newMessage);
    const body = await operate(c, { type: 'send', ref, text, reply_to });
    return c.json(body, body.duplicate ? 200 : 201);
  },
);

messages.patch(
  '/api/conversations/:id/messages/:n',
  describe({
    summary: 'Edit a message',
    description: 'Only its sender may.',
    tags: ['Messages'],
    bearer: true,
    member: true,
    headers: idempotencyHeaders,
    body: newText,
    responses: { 200: storedResponse, 403: notYours, 409: deletedResponse },
  }),
  async (c) => {
    const [ref, n] = [readRef(c), readN(c)];
    const { text } = await readFields(c, newText);
    return c.json(await operate(c, { type: 'edit', ref, n, text }));
  },
);

messages.delete(
  '/api/conversations/:id/messages/:n',
  describe({
    summary: 'Delete a message',
    description: 'Only its sender may. Its place stays, its text and reactions go.',
    tags: ['Messages'],
    bearer: true,
    member: true,
    headers: idempotencyHeaders,
    responses: {
      200: storedResponse,
      400: { description: 'The key is wrong.', schema: fieldErrorsBody },
      403: notYours,
    },
  }),
  async (c) => c.json(await operate(c, { type: 'delete', ref: readRef(c), n: readN(c) })),
);

const reaction = {
  tags: ['Messages'],
  bearer: true,
  member: true,
  headers: idempotencyHeaders,
  responses: {
    200: storedResponse,
    400: { description: 'The path names no emoji, or the key is wrong.', schema: fieldErrorsBody },
    409: { description: 'The message was deleted, or has as many reactions as one may have.', schema: errorBody },
  },
} as const;

messages.put(
  '/api/conversations/:id/messages/:n/reactions/:emoji',
  describe({ ...reaction, tags: ['Messages'], summary: 'React to a message' }),
  async (c) => c.json(await operate(c, { type: 'react', ref: readRef(c), n: readN(c), emoji: readEmoji(c), on: true })),
);

messages.delete(
  '/api/conversations/:id/messages/:n/reactions/:emoji',
  describe({ ...reaction, tags: ['Messages'], summary: 'Take a reaction back' }),
  async (c) =>
    c.json(await operate(c, { type: 'react', ref: readRef(c), n: readN(c), emoji: readEmoji(c), on: false })),
);

/** Asks for an operation. What came of it, without what only a frame needs. */
async function operate(c: Context<AppEnv>, operation: Operation) {
  const answer = await askConversation(c, operation);
  if (answer.type !== 'ok') throw new Error('The conversation answered an operation with something else.');
  const { n, rev, id, created_at, duplicate } = answer;
  return { n, rev, id, created_at, duplicate };
}

function readN(c: Context<AppEnv>): number {
  const result = v.safeParse(wholeNumber(1), c.req.param('n'));
  if (!result.success) throw notFound();
  return result.output;
}

function readEmoji(c: Context<AppEnv>): string {
  const text = c.req.param('emoji') ?? '';
  const emoji = parseEmoji(text);
  if (emoji === undefined) throw invalid({ emoji: ['The path does not end with one emoji, percent-encoded.'] });
  return emoji;
}
