/** Why the server closes a socket. 4xxx are HTTP's numbers + 4000. */
export const CLOSE = {
  /** A normal end, such as after a message to oneself. */
  normal: 1000,
  /** Binary frames are not part of any of our protocols. */
  unsupportedData: 1003,
  /** A frame over FRAME_MAX_BYTES. */
  tooLarge: 1009,
  /** A fault of ours. */
  internalError: 1011,
  /** The conversation's history was replaced, as by a restore. */
  restarted: 1012,
  /** The upgrade asked for something that does not exist, such as a cursor that is no number. */
  badRequest: 4400,
  /** No valid token, or the token behind an open socket expired. */
  unauthenticated: 4401,
  /** Not a member of the conversation (any more), or a page that may not use this server. */
  forbidden: 4403,
  /** No such conversation. */
  notFound: 4404,
  /** The same user has opened more sockets than one may have here; the one that was silent longest goes. */
  replaced: 4409,
  /** The session ended. */
  sessionEnded: 4410,
  /** The server does not speak this version of the protocol. */
  unknownVersion: 4426,
  /** It went on sending after having been told many times to wait. */
  tooManyRequests: 4429,
  /** The conversation has as many open sockets as it may have. */
  full: 4503,
} as const;

/** One of {@link CLOSE}. */
export type CloseCode = (typeof CLOSE)[keyof typeof CLOSE];

/**
 * What a client does about a closed socket: connect again after a while (full jitter), get a new access token first,
 * or stop, because the same attempt would end in the same way.
 */
export type Verdict = 'reconnect' | 'refresh' | 'stop';

/** What a client does about a close code. Codes that it does not know, and network failures, are worth another try. */
export function verdictOf(code: number): Verdict {
  if (code === CLOSE.unauthenticated) return 'refresh';
  return STOP.has(code) ? 'stop' : 'reconnect';
}

const STOP: ReadonlySet<number> = new Set<CloseCode>([
  CLOSE.normal,
  CLOSE.badRequest,
  CLOSE.forbidden,
  CLOSE.notFound,
  CLOSE.replaced,
  CLOSE.sessionEnded,
  CLOSE.unknownVersion,
]);
