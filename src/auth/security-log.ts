import { and, desc, eq, inArray, isNull, lt, lte, sql, type SQL } from 'drizzle-orm';
import { EXPIRED_ROWS_PER_PORTION, SECURITY_EVENT_LIFETIME_S, FOREIGN_EVENTS_PER_USER } from '../config.ts';
import type { Directory } from '../directory/database.ts';
import { securityEvents, sessions, users } from '../directory/schema.ts';
import { log, logError } from '../log.ts';
import { randomId } from './digest.ts';

/** Where a request came from. Of the operator's requests nothing but the id is kept. */
export type Source = {
  readonly request_id: string;
  /** An IP address. */
  readonly address: string | null;
  readonly user_agent: string | null;
};

type Kind = (typeof securityEvents.$inferSelect)['kind'];

/** Something that happened to an account. `now` is in milliseconds since 1970. */
export type SecurityEvent = {
  readonly kind: Kind;
  readonly user_id: string;
  readonly session_id?: string | undefined;
  readonly source: Source;
  readonly now: number;
};

/** An event as its user reads it. `at` is in milliseconds since 1970. */
export type StoredEvent = Omit<typeof securityEvents.$inferSelect, 'seq' | 'user_id'>;

/**
 * A statement that stores an event for its user to read: for the batch that does what it tells of. Nothing is kept of
 * somebody who has deleted their account.
 * @param provided a condition on the users table: what the batch does otherwise has succeeded
 */
export function storeEvent(db: Directory, { kind, user_id, session_id, source, now }: SecurityEvent, provided?: SQL) {
  return db.insert(securityEvents).select(
    db
      .select({
        seq: sql<number>`NULL`.as('seq'),
        id: sql<string>`${randomId()}`.as('id'),
        user_id: users.id,
        kind: sql<Kind>`${kind}`.as('kind'),
        session_id: sql<string | null>`${session_id ?? null}`.as('session_id'),
        reason: sql<null>`NULL`.as('reason'),
        address: sql<string | null>`${source.address}`.as('address'),
        user_agent: sql<string | null>`${source.user_agent}`.as('user_agent'),
        at: sql<number>`${now}`.as('at'),
      })
      .from(users)
      .where(and(eq(users.id, user_id), isNull(users.deleted_at), provided)),
  );
}

/**
 * The same for the end of each of some sessions, for the batch that ends them, before the statement that does.
 * @param which a condition on the sessions table
 */
export function storeSessionEnds(db: Directory, which: SQL | undefined, reason: string, source: Source, now: number) {
  return db.insert(securityEvents).select(
    db
      .select({
        seq: sql<number>`NULL`.as('seq'),
        id: sql<string>`lower(hex(randomblob(16)))`.as('id'),
        user_id: sessions.user_id,
        kind: sql<Kind>`'session_ended'`.as('kind'),
        session_id: sessions.id,
        reason: sql<string>`${reason}`.as('reason'),
        address: sql<string | null>`${source.address}`.as('address'),
        user_agent: sql<string | null>`${source.user_agent}`.as('user_agent'),
        at: sql<number>`${now}`.as('at'),
      })
      .from(sessions)
      .where(which),
  );
}

/**
 * Writes an event to the Worker's log: with the user's id where there is an account, without anything that was typed.
 */
export function logEvent(
  kind: Kind | 'account_deleted',
  source: Source,
  fields: { user_id?: string | undefined; session_id?: string | undefined; reason?: string } = {},
): void {
  log('security', { kind, request_id: source.request_id, ...fields });
}

const FOREIGN = ['login_failed', 'login_throttled', 'wrong_password'] as const satisfies Kind[];

/**
 * Stores an event that others can cause, such as a failed login, and lets go of the oldest of these, so that nobody
 * fills the log of another, or washes from it what they have done. It is done behind an answer, and never fails.
 */
export async function storeForeignEvent(
  db: Directory,
  event: SecurityEvent & { kind: (typeof FOREIGN)[number] },
): Promise<void> {
  const ofUser = and(eq(securityEvents.user_id, event.user_id), inArray(securityEvents.kind, FOREIGN));
  const surplus = db
    .select({ seq: securityEvents.seq })
    .from(securityEvents)
    .where(ofUser)
    .orderBy(desc(securityEvents.seq))
    .limit(1)
    .offset(FOREIGN_EVENTS_PER_USER);
  const statements = [
    storeEvent(db, event),
    db.delete(securityEvents).where(and(ofUser, lte(securityEvents.seq, surplus))),
  ] as const;
  await db.batch(statements).catch((error: unknown) => logError('event_not_stored', error, { user_id: event.user_id }));
}

/**
 * What happened to a user's account, newest first.
 * @param before id of the last event of the page before
 * @returns at most `limit` events, and whether there are more; undefined if `before` names none of theirs
 */
export async function listEvents(
  db: Directory,
  userId: string,
  { before, limit }: { before?: string | undefined; limit: number },
): Promise<{ events: StoredEvent[]; more: boolean } | undefined> {
  const ofUser = eq(securityEvents.user_id, userId);
  let beforeSeq: number | undefined;
  if (before !== undefined) {
    const anchor = await db
      .select({ seq: securityEvents.seq })
      .from(securityEvents)
      .where(and(eq(securityEvents.id, before), ofUser))
      .get();
    if (!anchor) return undefined;
    beforeSeq = anchor.seq;
  }
  const rows = await db
    .select()
    .from(securityEvents)
    .where(and(ofUser, beforeSeq === undefined ? undefined : lt(securityEvents.seq, beforeSeq)))
    .orderBy(desc(securityEvents.seq))
    .limit(limit + 1);
  const events = rows.slice(0, limit).map(({ seq: _seq, user_id: _user, ...event }) => event);
  return { events, more: rows.length > limit };
}

/** Deletes events that are older than SECURITY_EVENT_LIFETIME_S, at most EXPIRED_ROWS_PER_PORTION. @returns how many */
export async function deleteOldEvents(db: Directory, now: number): Promise<number> {
  const { meta } = await db.delete(securityEvents).where(
    inArray(
      securityEvents.seq,
      db
        .select({ seq: securityEvents.seq })
        .from(securityEvents)
        .where(lte(securityEvents.at, now - SECURITY_EVENT_LIFETIME_S * 1000))
        .limit(EXPIRED_ROWS_PER_PORTION),
    ),
  );
  return meta.changes;
}
