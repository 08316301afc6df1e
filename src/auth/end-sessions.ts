import { and, eq, isNull, ne, sql, type SQL } from 'drizzle-orm';
import { ACCESS_TOKEN_LIFETIME_S } from '../config.ts';
import type { Directory } from '../directory/database.ts';
import { writeSessionNotices } from '../directory/notices.ts';
import { sessions } from '../directory/schema.ts';
import { logEvent, storeSessionEnds, type Source } from './security-log.ts';

/** Why a session ended. */
export type EndReason = NonNullable<typeof sessions.$inferSelect.ended_reason>;

/** Sessions of one user: all of them, one, all but one, or all but the so many that were used last. */
export type SessionsOf = {
  readonly user_id: string;
  readonly only?: string;
  readonly except?: string;
  readonly beyond?: number;
};

/**
 * Ends sessions: their tokens are refused from now on, and notices for every conversation of their user are stored in
 * the same batch. The caller delivers them, so that open sockets close.
 * @returns the ids of those that had not ended before
 */
export async function endSessions(
  db: Directory,
  which: SessionsOf,
  reason: EndReason,
  source: Source,
  now: number,
): Promise<string[]> {
  const [, , ended] = await db.batch(endingSessions(db, which, reason, source, now));
  logSessionEnds(ended, which.user_id, reason, source);
  return ended.map(({ id }) => id);
}

/** Writes a line for each session that a batch with {@link endingSessions} has ended. */
export function logSessionEnds(ended: readonly { id: string }[], user_id: string, reason: EndReason, source: Source) {
  for (const { id } of ended) logEvent('session_ended', source, { user_id, session_id: id, reason });
}

/**
 * The statements of {@link endSessions}, for a batch that does more. The last one returns the ids.
 * @param provided a further condition on the sessions table: what the batch does otherwise has succeeded
 */
export function endingSessions(
  db: Directory,
  { user_id, only, except, beyond }: SessionsOf,
  reason: EndReason,
  source: Source,
  now: number,
  provided?: SQL,
) {
  const live = and(
    eq(sessions.user_id, user_id),
    isNull(sessions.ended_at),
    only === undefined ? undefined : eq(sessions.id, only),
    except === undefined ? undefined : ne(sessions.id, except),
    beyond === undefined ? undefined : sql`${sessions.id} IN ${surplus(user_id, beyond)}`,
    provided,
  );
  return [
    // Before the update, while the sessions still tell which of them this batch ends.
    writeSessionNotices(db, live, now + ACCESS_TOKEN_LIFETIME_S * 1000, now),
    storeSessionEnds(db, live, reason, source, now),
    db.update(sessions).set({ ended_at: now, ended_reason: reason }).where(live).returning({ id: sessions.id }),
  ] as const;
}

/** A list of sessions. Drizzle has no OFFSET without a limit. */
function surplus(userId: string, beyond: number): SQL {
  return sql`(
    SELECT ${sessions.id} FROM ${sessions} WHERE ${sessions.user_id} = ${userId} AND ${sessions.ended_at} IS NULL
    ORDER BY ${sessions.last_used_at} DESC, ${sessions.created_at} DESC LIMIT -1 OFFSET ${beyond})`;
}
