/** Why the server closes a socket. 4xxx are HTTP's numbers + 4000. */
export const CLOSE = {
  /** A normal end, such as after a message to oneself. */
  normal: 1000,
  /** Binary frames are not part of any of our protocols. */
  unsupportedData: 1003,
  /** A frame over FRAME_MAX_BYTES. */
  tooLarge: 1009,
  /** A fault of ours; reconnect with back-off. */
  internalError: 1011,
  /** No valid token, or the token behind an open socket expired: refresh it, then reconnect. */
  unauthenticated: 4401,
  /** Not a member of the conversation (any more), or a page that may not use this server. */
  forbidden: 4403,
  /** No such conversation. */
  notFound: 4404,
  /** The session ended: sign in again. */
  sessionEnded: 4410,
  /** The server does not speak this version of the protocol. */
  unknownVersion: 4426,
} as const;

/** One of {@link CLOSE}. */
export type CloseCode = (typeof CLOSE)[keyof typeof CLOSE];
