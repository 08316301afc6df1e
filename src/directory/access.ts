import { and, eq } from 'drizzle-orm';
import type { ConversationVersion } from './conversations.ts';
import type { Directory } from './database.ts';
import { conversations, members, sessions, users } from './schema.ts';

/** Who acts: a user, in one of their sessions. */
export type Caller = { readonly user_id: string; readonly session_id: string };

/** Why someone may not act, although their token is a good one. */
export type Denial = 'user_not_found' | 'user_inactive' | 'session_ended';

/** Looks up user and session, in one query; undefined if both may act. `now` is in milliseconds since 1970. */
export async function findDenial(db: Directory, caller: Caller, now: number): Promise<Denial | undefined> {
  const row = await db
    .select(standing)
    .from(users)
    .leftJoin(sessions, sessionOf(caller))
    .where(eq(users.id, caller.user_id))
    .get();
  return denialOf(row, now);
}

/** What the directory says of someone who wants to connect to a conversation; `undefined` if it does not know that. */
export type Admission = {
  readonly denial: Denial | undefined;
  readonly conversation: ConversationVersion | undefined;
  readonly isMember: boolean;
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
  };
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
