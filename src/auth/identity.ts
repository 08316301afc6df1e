import { and, eq } from 'drizzle-orm';
import type { Directory } from '../directory/database.ts';
import { conversations, members, sessions, users } from '../directory/schema.ts';
import type { ConversationVersion } from '../directory/conversations.ts';
import type { TokenClaims } from './tokens.ts';

/** Whether the account and the session behind a verified access token may act now. */
export type Standing = 'ok' | 'user_not_found' | 'user_inactive' | 'session_ended';

/** Looks up user and session in one query. `now` is in milliseconds. */
export async function checkStanding(db: Directory, claims: TokenClaims, now: number): Promise<Standing> {
  const row = await db
    .select(standingColumns)
    .from(users)
    .leftJoin(sessions, sessionOf(claims))
    .where(eq(users.id, claims.user_id))
    .get();
  return standing(row, now);
}

/** What a socket's upgrade needs to know: everything about caller and conversation. */
export type Admission =
  | { standing: Exclude<Standing, 'ok'> }
  | { standing: 'ok'; conversation: ConversationVersion | undefined; isMember: boolean };

/** The one query that connecting costs: user, session, conversation and membership. `now` is in milliseconds. */
export async function checkAdmission(
  db: Directory,
  claims: TokenClaims,
  conversationId: string,
  now: number,
): Promise<Admission> {
  const row = await db
    .select({
      ...standingColumns,
      version: conversations.version,
      epoch: conversations.epoch,
      joined_at: members.joined_at,
      left_at: members.left_at,
    })
    .from(users)
    .leftJoin(sessions, sessionOf(claims))
    .leftJoin(conversations, eq(conversations.id, conversationId))
    .leftJoin(members, and(eq(members.conversation_id, conversations.id), eq(members.user_id, users.id)))
    .where(eq(users.id, claims.user_id))
    .get();
  const found = standing(row, now);
  if (found !== 'ok') return { standing: found };
  const conversation =
    row && row.version !== null && row.epoch !== null ? { version: row.version, epoch: row.epoch } : undefined;
  return {
    standing: 'ok',
    conversation,
    isMember: row !== undefined && row.joined_at !== null && row.left_at === null,
  };
}

const standingColumns = {
  is_active: users.is_active,
  session_ended_at: sessions.ended_at,
  session_expires_at: sessions.expires_at,
};

function sessionOf(claims: TokenClaims) {
  return and(eq(sessions.id, claims.session_id), eq(sessions.user_id, users.id));
}

function standing(
  row: { is_active: boolean; session_ended_at: number | null; session_expires_at: number | null } | undefined,
  now: number,
): Standing {
  if (!row) return 'user_not_found';
  if (!row.is_active) return 'user_inactive';
  const live = row.session_ended_at === null && row.session_expires_at !== null && row.session_expires_at > now;
  return live ? 'ok' : 'session_ended';
}
