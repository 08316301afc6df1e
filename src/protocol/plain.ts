import { ERROR_ECHO_MAX_LENGTH } from '../config.ts';
import { messageProblem, parseJson } from './text.ts';
import { parseUuid } from './uuid.ts';

/**
 * The frames of the original app, which sockets without `chat.v1` speak: `{"message", "recipient_id"}` in both
 * directions, and errors as plain text.
 */
export type PlainMessage = {
  /** Not blank, at most MESSAGE_MAX_LENGTH code points. */
  readonly message: string;
  /** As the client spelled it: the echo repeats it. */
  readonly recipient_id: string;
};

/** What a plain frame asks for. */
export type PlainFrame =
  | ({ readonly kind: 'message' } & PlainMessage)
  /** A message to oneself: answered `Invalid recipient.`, then the socket closes. */
  | { readonly kind: 'to_self' }
  /** Anything else. `error` is the answer; the socket stays open and nothing is stored. */
  | { readonly kind: 'invalid'; readonly error: string };

/** The answer to a message to oneself, before the socket closes. */
export const INVALID_RECIPIENT = 'Invalid recipient.';

/**
 * Decodes a text frame from `userId` in their conversation with `peerId`. Never throws, whatever the frame holds.
 * A message can go nowhere but to the conversation that its socket belongs to: any other recipient is refused.
 */
export function decodePlainFrame(frame: string, userId: string, peerId: string | undefined): PlainFrame {
  const body = parseObject(frame);
  if (typeof body === 'string') return invalid(body);
  const { message, recipient_id } = body;
  const missing = ['message', 'recipient_id'].filter((key) => !Object.hasOwn(body, key));
  if (missing.length > 0) return invalid(`Error: The frame has no "${missing.join('" and no "')}".`);

  if (recipient_id === null || typeof recipient_id === 'number' || typeof recipient_id === 'boolean') {
    return invalid('Error: UserAccount matching query does not exist.');
  }
  const recipient = typeof recipient_id === 'string' ? parseUuid(recipient_id) : undefined;
  if (typeof recipient_id !== 'string' || recipient === undefined) {
    return invalid(`Error: ['“${excerpt(recipient_id)}” is not a valid UUID.']`);
  }
  if (recipient === userId) return { kind: 'to_self' };
  if (recipient !== peerId) return invalid('Error: Conversation matching query does not exist.');

  if (typeof message !== 'string') return invalid('Error: "message" is not a string.');
  const problem = messageProblem(message);
  if (problem !== undefined) return invalid(`Error: "message" ${problem}`);
  return { kind: 'message', message, recipient_id };
}

/** The frame that tells a socket of a message. */
export function encodePlainMessage({ message, recipient_id }: PlainMessage): string {
  return JSON.stringify({ message, recipient_id });
}

function invalid(error: string): PlainFrame {
  return { kind: 'invalid', error };
}

function parseObject(frame: string): Record<string, unknown> | string {
  const body = parseJson(frame);
  if (body === undefined) return 'Error: The frame is not valid JSON.';
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return 'Error: The frame is not a JSON object with "message" and "recipient_id".';
  }
  return body as Record<string, unknown>;
}

function excerpt(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  // One unit more than as many pairs take, so that a longer text yields too many characters whatever they are.
  const characters = Array.from(text.slice(0, 2 * ERROR_ECHO_MAX_LENGTH + 1));
  if (characters.length <= ERROR_ECHO_MAX_LENGTH) return text;
  return `${characters.slice(0, ERROR_ECHO_MAX_LENGTH).join('')}…`;
}
