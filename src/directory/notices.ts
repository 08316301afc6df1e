import { and, asc, eq, gt, isNull, sql, type SQL } from 'drizzle-orm';
import { ACCESS_TOKEN_LIFETIME_S } from '../config.ts';
import type { ConversationVersion } from './conversations.ts';
import type { Directory } from './database.ts';
import { conversations, members, notices, sessions, users } from './schema.ts';

/**
 * Something that an object has yet to be told: that of a conversation, with its present version, which is never smaller
 * than the one it was written for, or, without a conversation, the inbox of the user.
 */
export type DueNotice = {
  readonly id: number;
  readonly kind: NonNullable<typeof notices.$inferSelect.kind>;
  readonly user_id: string | null;
  readonly conversation: (ConversationVersion & { readonly id: string }) | null;
  /** If a session ended, that session, and until when to remember it, in milliseconds since 1970. */
  readonly session_id: string | null;
  readonly remember_until: number | null;
};

/**
 * A statement for the batch that ends sessions, before the one that does: a notice about each of them for each
 * conversation its user is in, and for their inbox. `which` is a condition on the sessions table.
 */
export function writeSessionNotices(db: Directory, which: SQL | undefined, rememberUntil: number, now: number) {
  const about = {
    kind: sql<'session_ended'>`'session_ended'`.as('kind'),
    user_id: sessions.user_id,
    session_id: sessions.id,
    remember_until: sql<number>`${rememberUntil}`.as('remember_until'),
    tried_at: sql<number>`${now}`.as('tried_at'),
  };
  // A session that got its last access token longer ago can have neither a good one nor an open socket.
  const ending = and(gt(sessions.last_used_at, now - ACCESS_TOKEN_LIFETIME_S * 1000), which);
  const id = sql<number>`NULL`.as('id');
  return db.insert(notices).select(
    db
      .select({ id, conversation_id: members.conversation_id, ...about })
      .from(sessions)
      .innerJoin(members, eq(members.user_id, sessions.user_id))
      .where(and(isNull(members.left_at), ending))
      .unionAll(
        db
          .select({ id, conversation_id: sql<string>`NULL`.as('conversation_id'), ...about })
          .from(sessions)
          .where(ending),
      ),
  );
}

/** A statement for the batch that changes what a user's inbox knows of them: a notice for it. @param which of the users */
export function writeInboxNotice(db: Directory, which: SQL | undefined, now: number) {
  return db.insert(notices).select(
    db
      .select({
        id: sql<number>`NULL`.as('id'),
        conversation_id: sql<null>`NULL`.as('conversation_id'),
        kind: sql<'user_changed'>`'user_changed'`.as('kind'),
        user_id: users.id,
        session_id: sql<null>`NULL`.as('session_id'),
        remember_until: sql<null>`NULL`.as('remember_until'),
        tried_at: sql<number>`${now}`.as('tried_at'),
      })
      .from(users)
      .where(which),
  );
}

/**
 * Statements for the batch that changes what conversations know of a user: each gets a larger version, and a notice.
 * @param which a condition on the members table: in which conversations
 */
export function writeMemberNotices(db: Directory, which: SQL | undefined, userId: string, now: number) {
  const concerned = db.select({ id: members.conversation_id }).from(members).where(which);
  return [
    db
      .update(conversations)
      .set({ version: sql`${conversations.version} + 1` })
      .where(sql`${conversations.id} IN ${concerned}`),
    db.insert(notices).select(
      db
        .select({
          id: sql<number>`NULL`.as('id'),
          conversation_id: members.conversation_id,
          kind: sql<'members_changed'>`'members_changed'`.as('kind'),
          user_id: sql<string>`${userId}`.as('user_id'),
          session_id: sql<null>`NULL`.as('session_id'),
          remember_until: sql<null>`NULL`.as('remember_until'),
          tried_at: sql<number>`${now}`.as('tried_at'),
        })
        .from(members)
        .where(which),
    ),
  ] as const;
}

/** The `limit` notices that have waited longest: of all, or those about one user. */
export async function dueNotices(
  db: Directory,
  { userId, limit }: { userId?: string | undefined; limit: number },
): Promise<DueNotice[]> {
  return db
    .select({
      id: notices.id,
      kind: notices.kind,
      user_id: notices.user_id,
      session_id: notices.session_id,
      remember_until: notices.remember_until,
      conversation: { id: conversations.id, version: conversations.version, epoch: conversations.epoch },
    })
    .from(notices)
    .leftJoin(conversations, eq(conversations.id, notices.conversation_id))
    .where(userId === undefined ? undefined : eq(notices.user_id, userId))
    .orderBy(asc(notices.tried_at), asc(notices.id))
    .limit(limit);
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
