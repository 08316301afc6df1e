import { and, asc, eq, isNull, sql, type SQL } from 'drizzle-orm';
import type { ConversationVersion } from './conversations.ts';
import type { Directory } from './database.ts';
import { conversations, members, notices } from './schema.ts';

/**
 * Something that a conversation's object has yet to be told, with the conversation's present version, which is never
 * smaller than the one it was written for.
 */
export type DueNotice = ConversationVersion & {
  readonly id: number;
  readonly conversation_id: string;
  /** If a session ended, that session, and until when to remember it, in milliseconds since 1970. */
  readonly session_id: string | null;
  readonly remember_until: number | null;
};

/**
 * A statement for the batch that ends a session: one notice for each conversation its user is in. It writes nothing
 * unless `ended`, a condition on the sessions table, holds at that point of the batch.
 */
export function writeSessionNotices(
  db: Directory,
  session: { session_id: string; user_id: string; remember_until: number; now: number },
  ended: SQL,
) {
  return db.insert(notices).select(
    db
      .select({
        id: sql<number>`NULL`.as('id'),
        conversation_id: members.conversation_id,
        kind: sql<'session_ended'>`'session_ended'`.as('kind'),
        session_id: sql<string>`${session.session_id}`.as('session_id'),
        remember_until: sql<number>`${session.remember_until}`.as('remember_until'),
        tried_at: sql<number>`${session.now}`.as('tried_at'),
      })
      .from(members)
      .where(and(eq(members.user_id, session.user_id), isNull(members.left_at), ended)),
  );
}

/** The notices about a session that are still to be delivered. */
export async function noticesOfSession(db: Directory, sessionId: string): Promise<DueNotice[]> {
  return selectDue(db).where(eq(notices.session_id, sessionId));
}

/** The `limit` notices that have waited longest. */
export async function oldestNotices(db: Directory, limit: number): Promise<DueNotice[]> {
  return selectDue(db).orderBy(asc(notices.tried_at), asc(notices.id)).limit(limit);
}

/** Forgets notices whose object has been told. */
export async function settleNotices(db: Directory, ids: number[]): Promise<void> {
  await db.delete(notices).where(oneOf(ids));
}

/** Sends notices whose delivery failed to the end of the queue, so that one broken object does not hold up the rest. */
export async function postponeNotices(db: Directory, ids: number[], now: number): Promise<void> {
  await db.update(notices).set({ tried_at: now }).where(oneOf(ids));
}

/** A list of any length as one parameter: D1 takes no more than 100. */
function oneOf(ids: number[]): SQL {
  return sql`${notices.id} IN (SELECT value FROM json_each(${JSON.stringify(ids)}))`;
}

function selectDue(db: Directory) {
  return db
    .select({
      id: notices.id,
      conversation_id: notices.conversation_id,
      session_id: notices.session_id,
      remember_until: notices.remember_until,
      version: conversations.version,
      epoch: conversations.epoch,
    })
    .from(notices)
    .innerJoin(conversations, eq(conversations.id, notices.conversation_id));
}
