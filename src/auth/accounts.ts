import { and, eq, isNull, or, sql } from 'drizzle-orm';
import type { Directory } from '../directory/database.ts';
import { writeInboxNotice, writeMemberNotices, writeSessionNotices } from '../directory/notices.ts';
import { blocks, members, securityEvents, sessions, users } from '../directory/schema.ts';
import { endingSessions, logSessionEnds } from './end-sessions.ts';
import { logEvent, storeEvent, type Source } from './security-log.ts';

/** What others see instead of the name of someone who deleted their account. */
const DELETED_USER = { first_name: 'Deleted user', last_name: '' } as const;

/** The change of a password, from the hash that was stored to another one. */
export type PasswordChange = {
  readonly user_id: string;
  readonly from: string;
  readonly to: string;
} & (
  | { readonly kind: 'password_changed'; /** The session that goes on. */ readonly session_id: string }
  /** By a link in a mail, which shows that the address is theirs: that of the time when the link was made. */
  | { readonly kind: 'password_reset'; readonly email: string }
);

/**
 * Changes a password unless it was changed in the meantime, and ends the user's other sessions in the same batch. The
 * caller delivers the notices.
 * @returns false if nothing was changed
 */
export async function changePassword(
  db: Directory,
  change: PasswordChange,
  source: Source,
  now: number,
): Promise<boolean> {
  const { user_id, from, to, kind } = change;
  const isReset = kind === 'password_reset';
  const except = isReset ? {} : { except: change.session_id };
  const isChanged = sql`EXISTS (SELECT 1 FROM ${users} WHERE ${users.id} = ${user_id} AND ${users.password} = ${to})`;
  const [changed, , , ended] = await db.batch([
    db
      .update(users)
      .set({ password: to, ...(isReset && { email_verified_at: sql`coalesce(${users.email_verified_at}, ${now})` }) })
      .where(
        and(
          eq(users.id, user_id),
          eq(users.password, from),
          eq(users.is_active, true),
          isReset ? eq(users.email, change.email) : undefined,
        ),
      )
      .returning({ id: users.id }),
    ...endingSessions(db, { user_id, ...except }, kind, source, now, isChanged),
    storeEvent(db, { kind, user_id, source, now }, eq(users.password, to)),
  ]);
  if (changed.length === 0) return false;
  logEvent(kind, source, { user_id });
  logSessionEnds(ended, user_id, kind, source);
  return true;
}

/**
 * Changes an address, and forgets that the old one was verified.
 * @param change the new address, and the stored hash of the password that the user has just proved to know
 * @returns false if nothing was changed: somebody has the address, or the password was changed in the meantime
 */
export async function changeEmail(
  db: Directory,
  { user_id, email, password }: { user_id: string; email: string; password: string },
  source: Source,
  now: number,
): Promise<boolean> {
  const isFree = sql`NOT EXISTS (SELECT 1 FROM ${users} AS other WHERE other.email = ${email})`;
  const mayChange = and(eq(users.id, user_id), eq(users.password, password), isNull(users.deleted_at), isFree);
  const [, changed] = await db.batch([
    storeEvent(db, { kind: 'email_changed', user_id, source, now }, mayChange),
    db.update(users).set({ email, email_verified_at: null }).where(mayChange).returning({ id: users.id }),
  ]);
  if (changed.length === 0) return false;
  logEvent('email_changed', source, { user_id });
  return true;
}

/** Notes that a user gets the mail of their address. @returns false if it is not theirs any more, or was noted before */
export async function verifyEmail(
  db: Directory,
  { user_id, email }: { user_id: string; email: string },
  source: Source,
  now: number,
): Promise<boolean> {
  const mayVerify = and(
    eq(users.id, user_id),
    eq(users.email, email),
    eq(users.is_active, true),
    isNull(users.email_verified_at),
  );
  const [, verified] = await db.batch([
    storeEvent(db, { kind: 'email_verified', user_id, source, now }, mayVerify),
    db.update(users).set({ email_verified_at: now }).where(mayVerify).returning({ id: users.id }),
  ]);
  if (verified.length === 0) return false;
  logEvent('email_verified', source, { user_id });
  return true;
}

/**
 * Takes from a user the right to act and ends their sessions, or gives it back. The caller delivers the notices.
 * @returns false if there is no such account
 */
export async function setActive(
  db: Directory,
  user_id: string,
  isActive: boolean,
  source: Source,
  now: number,
): Promise<boolean> {
  const kind = isActive ? 'account_activated' : 'account_deactivated';
  const [changed, , , , ended] = await db.batch([
    db
      .update(users)
      .set({ is_active: isActive })
      .where(and(eq(users.id, user_id), isNull(users.deleted_at)))
      .returning({ id: users.id }),
    storeEvent(db, { kind, user_id, source, now }),
    ...endingSessions(
      db,
      { user_id },
      'deactivated',
      source,
      now,
      sql`EXISTS (SELECT 1 FROM ${users} WHERE ${users.id} = ${user_id} AND NOT ${users.is_active})`,
    ),
  ]);
  if (changed.length === 0) return false;
  logEvent(kind, source, { user_id });
  logSessionEnds(ended, user_id, 'deactivated', source);
  return true;
}

/**
 * Deletes an account, in one batch: everything that tells who its user was goes from the directory, and a notice goes to
 * each of their conversations, which forgets its copy and closes their sockets, and to their inbox, which forgets all. Their messages stay, as those of a
 * "Deleted user". The caller delivers the notices; should it die, the cron trigger does.
 * @param password the stored hash that the user has just proved to know; undefined for the operator
 * @returns false if nothing was deleted: there is no such account (any more), or the password was changed
 */
export async function deleteAccount(
  db: Directory,
  user_id: string,
  password: string | undefined,
  source: Source,
  now: number,
): Promise<boolean> {
  const mayDelete = and(
    eq(users.id, user_id),
    isNull(users.deleted_at),
    password === undefined ? undefined : eq(users.password, password),
  );
  // Of every statement, so that they all do something or none does. The one that makes it false comes last.
  const isThere = sql`EXISTS (SELECT 1 FROM ${users} WHERE ${mayDelete})`;
  const liveSessions = and(eq(sessions.user_id, user_id), isNull(sessions.ended_at), isThere);
  const [, , , , , , , , deleted] = await db.batch([
    // Nobody needs to remember the sessions: who is no member cannot connect.
    writeSessionNotices(db, liveSessions, 0, now),
    ...writeMemberNotices(db, and(eq(members.user_id, user_id), isThere), user_id, now),
    writeInboxNotice(db, mayDelete, now),
    db
      .update(members)
      .set({ left_at: now })
      .where(and(eq(members.user_id, user_id), isNull(members.left_at), isThere)),
    db.delete(sessions).where(and(eq(sessions.user_id, user_id), isThere)),
    db.delete(securityEvents).where(and(eq(securityEvents.user_id, user_id), isThere)),
    db.delete(blocks).where(and(or(eq(blocks.user_id, user_id), eq(blocks.blocked_id, user_id)), isThere)),
    db
      .update(users)
      .set({
        ...DELETED_USER,
        name_key: '',
        last_name_key: '',
        show_presence: 'contacts',
        // Nobody can register this one: it has no domain.
        email: `deleted:${user_id}`,
        password: '',
        is_active: false,
        email_verified_at: null,
        deleted_at: now,
      })
      .where(mayDelete)
      .returning({ id: users.id }),
  ]);
  if (deleted.length === 0) return false;
  logEvent('account_deleted', source, { user_id });
  return true;
}
