import { and, eq, isNull } from 'drizzle-orm';
import type { ConversationVersion } from './conversations.ts';
import type { Directory } from './database.ts';
import { conversations, members, sessions, users } from './schema.ts';

/** Who acts: a user, in one of their sessions. */
export type Caller = { readonly user_id: string; readonly session_id: string };

/** Why someone may not act, although their token is a good one. */
export type Denial = 'user_not_found' | 'user_inactive' | 'session_ended';

/** What the directory says of a user's inbox. It names its history, and who may see whether the user is online. */
export type InboxState = { readonly epoch: number; readonly shows_presence: boolean };

/** Looks up user and session, in one query. `now` is in milliseconds since 1970. @returns why they may not act, if so */
export async function findStanding(
  db: Directory,
  caller: Caller,
  now: number,
): Promise<{ denial: Denial; inbox?: never } | { denial?: never; inbox: InboxState }> {
  const row = await db
    .select({ ...standing, ...inboxState })
    .from(users)
    .leftJoin(sessions, sessionOf(caller))
    .where(eq(users.id, caller.user_id))
    .get();
  const denial = denialOf(row, now);
  return denial || !row ? { denial: denial ?? 'user_not_found' } : { inbox: toInboxState(row) };
}

/** What the directory says of an inbox now; undefined if its user has no account (any more). */
export async function findInbox(db: Directory, userId: string): Promise<InboxState | undefined> {
  const row = await db
    .select(inboxState)
    .from(users)
    .where(and(eq(users.id, userId), isNull(users.deleted_at)))
    .get();
  return row && toInboxState(row);
}

/** What the directory says of someone who wants to connect to a conversation; `undefined` if it does not know that. */
export type Admission = {
  readonly denial: Denial | undefined;
  readonly conversation: ConversationVersion | undefined;
  readonly isMember: boolean;
  /** Of the user. */
  readonly inbox: InboxState | undefined;
};

/** The one query that connecting costs: user, session, conversation, membership. `now` is in milliseconds since 1970. */
export async function findAdmission(
  db: Directory,
  caller: Caller,
  conversationId: string,
  now: number,
): Promise<Admission> {
  const row = await db
    .select({
      ...standing,
      ...inboxState,
      version: conversations.version,
      epoch: conversations.epoch,
      joined_at: members.joined_at,
      left_at: members.left_at,
    })
    .from(users)
    .leftJoin(sessions, sessionOf(caller))
    .leftJoin(conversations, eq(conversations.id, conversationId))
    .leftJoin(members, and(eq(members.conversation_id, conversations.id), eq(members.user_id, users.id)))
    .where(eq(users.id, caller.user_id))
    .get();
  const { version = null, epoch = null, joined_at = null, left_at = null } = row ?? {};
  return {
    denial: denialOf(row, now),
    conversation: version === null || epoch === null ? undefined : { version, epoch },
    isMember: joined_at !== null && left_at === null,
    inbox: row && toInboxState(row),
  };
}

const inboxState = { inbox_epoch: users.inbox_epoch, show_presence: users.show_presence };

function toInboxState(row: { inbox_epoch: number; show_presence: string }): InboxState {
  return { epoch: row.inbox_epoch, shows_presence: row.show_presence !== 'nobody' };
}

const standing = {
  is_active: users.is_active,
  deleted_at: users.deleted_at,
  session_ended_at: sessions.ended_at,
  session_expires_at: sessions.expires_at,
};

type Standing = {
  is_active: boolean;
  deleted_at: number | null;
  session_ended_at: number | null;
  session_expires_at: number | null;
};

function sessionOf(caller: Caller) {
  return and(eq(sessions.id, caller.session_id), eq(sessions.user_id, users.id));
}

function denialOf(row: Standing | undefined, now: number): Denial | undefined {
  if (!row || row.deleted_at !== null) return 'user_not_found';
  if (!row.is_active) return 'user_inactive';
  const isLive = row.session_ended_at === null && row.session_expires_at !== null && row.session_expires_at > now;
  return isLive ? undefined : 'session_ended';
}
