/** What went wrong. `code` is for programs, `message` for people. */
export class ChatError extends Error {
  override readonly name = 'ChatError';
  /**
   * One of the server's error codes (`invalid_text`, `not_your_message`, …: docs/protocol.md), or one of
   * - `invalid`: a form was refused, `fields` says why
   * - `unauthenticated`: a wrong address or password, or a token that is not taken
   * - `signed_out`: nobody is signed in, or not any more
   * - `network`: the server cannot be reached; `server`: it failed
   * - `storage`: what this device keeps cannot be read
   * - `not_a_member`, `no_such_conversation`, `replaced`, `unknown_version`, `bad_request`, `refused`: why a
   *   connection has stopped
   * - `too_large`: the frame would be; `ref_used`: for another operation; `not_refused`: there is nothing to retry
   * - `closed`: the client was closed
   */
  readonly code: string;
  /** For each field of a form, what to change; `non_field_errors` for the form as a whole. */
  readonly fields: Readonly<Record<string, readonly string[]>> | null;
  /** Milliseconds after which the same may succeed; null if it will not, or nobody knows. */
  readonly retry_after_ms: number | null;

  constructor(
    code: string,
    message: string,
    more: {
      readonly fields?: Readonly<Record<string, readonly string[]>>;
      readonly retry_after_ms?: number | undefined;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.fields = more.fields ?? null;
    this.retry_after_ms = more.retry_after_ms ?? null;
  }
}

/** A client that was closed does nothing any more. */
export function closedError(): ChatError {
  return new ChatError('closed', 'The client was closed.');
}

/** Nobody is signed in. */
export function signedOutError(): ChatError {
  return new ChatError('signed_out', 'Nobody is signed in.');
}
