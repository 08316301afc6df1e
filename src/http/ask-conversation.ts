import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import * as v from 'valibot';
import type { Mark, Request } from '../conversation/rules.ts';
import { ref } from '../protocol/client-frames.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import type { Answer, ServerFrameOf } from '../protocol/server-frames.ts';
import type { AppEnv } from './app-env.ts';
import { ApiError, invalid, notAMember } from './errors.ts';

const IDEMPOTENCY_KEY = 'Idempotency-Key';

/** The header that makes a request safe to repeat. */
export const idempotencyHeaders = v.object({
  [IDEMPOTENCY_KEY]: v.pipe(
    v.optional(ref),
    v.description(
      'Your own id for this operation, for ever: a second request with it changes nothing, is answered as the first ' +
        'was, and says `duplicate`. The same as the `ref` of a frame, but ASCII only.',
    ),
  ),
});

/** The request's idempotency key as a ref; a new one if it has none. @throws ApiError 400 */
export function readRef(c: Context<AppEnv>): string {
  const header = c.req.header(IDEMPOTENCY_KEY);
  if (header === undefined) return crypto.randomUUID();
  // Servers disagree about the bytes of other characters, and a key must mean the same everywhere.
  if (!/^[\x20-\x7e]*$/.test(header))
    throw invalid({ [IDEMPOTENCY_KEY]: ['The key has characters that are not ASCII.'] });
  // The header's draft standard has the key in quotes; most clients send it without.
  const result = v.safeParse(ref, /^"(.*)"$/.exec(header)?.[1] ?? header);
  if (!result.success) throw invalid({ [IDEMPOTENCY_KEY]: [`The key ${result.issues[0].message}`] });
  return result.output;
}

/**
 * Asks the conversation that the path names what a frame would ask, as the caller.
 * @throws ApiError if the frame is refused
 */
export async function askConversation(c: Context<AppEnv>, frame: Request): Promise<Exclude<Answer, { type: 'error' }>> {
  const answer = await objectOf(c).request(c.get('conversation'), c.get('caller').user_id, frame);
  if (!answer) throw notAMember();
  if (answer.type === 'error') throw refused(answer);
  return answer;
}

/** Tells the conversation that the path names how far the caller has read. @throws ApiError if that is refused */
export async function markConversation(c: Context<AppEnv>, frame: Mark): Promise<void> {
  const answer = await objectOf(c).request(c.get('conversation'), c.get('caller').user_id, frame);
  if (answer === undefined) throw notAMember();
  if (answer?.type === 'error') throw refused(answer);
}

/** The object of the conversation that the path names. */
export function objectOf(c: Context<AppEnv>) {
  return c.env.CONVERSATIONS.getByName(c.get('id'));
}

const STATUS: Record<ErrorCode, ContentfulStatusCode> = {
  bad_frame: 400,
  unknown_type: 400,
  invalid_text: 400,
  unknown_reply_to: 400,
  not_your_message: 403,
  not_available: 403,
  no_such_message: 404,
  message_deleted: 409,
  too_many_reactions: 409,
  no_such_conversation: 404,
  too_many_pins: 409,
  unavailable: 503,
  unknown_cursor: 409,
  rate_limited: 429,
  conversation_full: 503,
};

/** The object may be of a newer release, with a code that this one does not know. */
function statusOf(code: string): ContentfulStatusCode {
  return (STATUS as Record<string, ContentfulStatusCode | undefined>)[code] ?? 500;
}

/** An `error` frame as an answer. */
export function refused({ code, message, retry_after_ms }: ServerFrameOf<'error'>): ApiError {
  const retry = retry_after_ms === undefined ? {} : { 'Retry-After': String(Math.ceil(retry_after_ms / 1000)) };
  return new ApiError(statusOf(code), { detail: message, code }, retry);
}
