/** The subprotocol that asks for our own protocol. Without it a socket speaks the original's plain frames. */
export const CHAT_V1 = 'chat.v1';

/** What precedes an access token that travels as a subprotocol, beside {@link CHAT_V1}. */
export const BEARER_PREFIX = 'bearer.';

/** The version of our protocol that a client offers, known to us or not: ours, if it is among them. */
export function offeredVersion(offered: readonly string[]): string | undefined {
  if (offered.includes(CHAT_V1)) return CHAT_V1;
  return offered.find((name) => /^chat\.v\d+$/.test(name));
}
