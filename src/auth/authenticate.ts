import { findAdmission, findStanding, type Admission, type InboxState } from '../directory/access.ts';
import type { Directory } from '../directory/database.ts';
import { refusedFor, verifyToken, type TokenClaims } from './tokens.ts';

/**
 * Verifies an access token, and looks up its user and session, and what their inbox needs to know, in one query. `now` is in milliseconds since 1970.
 * @throws TokenRefused
 */
export async function authenticate(
  db: Directory,
  token: string,
  now: number,
): Promise<{ claims: TokenClaims; inbox: InboxState }> {
  const claims = await verifyToken(token, 'access', Math.floor(now / 1000));
  const { denial, inbox } = await findStanding(db, claims, now);
  if (denial) throw refusedFor(denial);
  return { claims, inbox };
}

/**
 * The same for someone who wants into a conversation: one query, which also says what the directory knows of that.
 * @throws TokenRefused
 */
export async function authenticateForConversation(
  db: Directory,
  token: string,
  conversationId: string,
  now: number,
): Promise<{ claims: TokenClaims; admission: Admission }> {
  const claims = await verifyToken(token, 'access', Math.floor(now / 1000));
  const admission = await findAdmission(db, claims, conversationId, now);
  if (admission.denial) throw refusedFor(admission.denial);
  return { claims, admission };
}
