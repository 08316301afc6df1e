import { and, eq, inArray, isNotNull, or, sql, type SQL } from 'drizzle-orm';
import type { Directory } from './database.ts';
import { blocks, conversations, members, users } from './schema.ts';

/**
 * What the directory says of a conversation's state. A conversation's object that knows a smaller version or epoch is
 * behind. Holding one of these also proves that the directory knows the id.
 */
export type ConversationVersion = { readonly version: number; readonly epoch: number };

/** A member as the directory knows them. */
export type DirectoryMember = {
  readonly user_id: string;
  readonly role: 'member';
  readonly first_name: string;
  readonly last_name: string;
  readonly left_at: number | null;
  /** Whether they have blocked the other member of a direct conversation. */
  readonly has_blocked: boolean;
  /** Whether nobody is to see when they are online, or were last. */
  readonly hides_presence: boolean;
};

/** A conversation with everyone who is or was a member. */
export type MemberList = ConversationVersion & { readonly members: readonly DirectoryMember[] };

/** What one user needs to know of another to write to them. */
export type Peer = {
  /** Their conversation, if there is one. */
  readonly conversation: (ConversationVersion & { id: string }) | undefined;
  readonly isDeleted: boolean;
  /** Whether one of the two has blocked the other. */
  readonly isBlocked: boolean;
};

/** Looks up somebody whom a user wants to write to; undefined if there is nobody of this id. */
export async function findPeer(db: Directory, userId: string, peerId: string): Promise<Peer | undefined> {
  const row = await db
    .select({
      deleted_at: users.deleted_at,
      id: conversations.id,
      version: conversations.version,
      epoch: conversations.epoch,
      is_blocked: sql<number>`EXISTS (SELECT 1 FROM ${blocks} WHERE ${eitherBlocks(userId, peerId)})`,
    })
    .from(users)
    .leftJoin(conversations, eq(conversations.pair, pairOf(userId, peerId)))
    .where(eq(users.id, peerId))
    .get();
  if (!row) return undefined;
  const { id, version, epoch } = row;
  return {
    conversation: id === null || version === null || epoch === null ? undefined : { id, version, epoch },
    isDeleted: row.deleted_at !== null,
    isBlocked: row.is_blocked === 1,
  };
}

/** What `conversations.pair` holds of the direct conversation of two users. */
export function pairOf(userId: string, peerId: string): string {
  return userId < peerId ? `${userId}:${peerId}` : `${peerId}:${userId}`;
}

function isDeletedOneOf(...ids: string[]): SQL | undefined {
  return and(inArray(users.id, ids), isNotNull(users.deleted_at));
}

function eitherBlocks(userId: string, peerId: string): SQL | undefined {
  return or(
    and(eq(blocks.user_id, userId), eq(blocks.blocked_id, peerId)),
    and(eq(blocks.user_id, peerId), eq(blocks.blocked_id, userId)),
  );
}

/**
 * The direct conversation of two users, created if this is the first opening. The pair's unique key decides between
 * openings at the same time, in one batch, and one that finds the conversation there writes nothing.
 * @returns undefined if one of them has no account (any more) and there is no conversation yet
 */
export async function openDirectConversation(
  db: Directory,
  userId: string,
  peerId: string,
  now: number,
): Promise<(ConversationVersion & { id: string }) | undefined> {
  const pair = pairOf(userId, peerId);
  const [, , found] = await db.batch([
    db
      .insert(conversations)
      .select(
        db
          .select({
            id: sql<string>`${crypto.randomUUID()}`.as('id'),
            kind: sql<'direct'>`'direct'`.as('kind'),
            pair: sql<string>`${pair}`.as('pair'),
            version: sql<number>`1`.as('version'),
            epoch: sql<number>`1`.as('epoch'),
            created_at: sql<number>`${now}`.as('created_at'),
          })
          .from(users)
          .where(
            and(eq(users.id, peerId), sql`NOT EXISTS (SELECT 1 FROM ${users} WHERE ${isDeletedOneOf(userId, peerId)})`),
          ),
      )
      .onConflictDoNothing({ target: conversations.pair }),
    db
      .insert(members)
      .select(
        db
          .select({
            conversation_id: conversations.id,
            user_id: users.id,
            role: sql<'member'>`'member'`.as('role'),
            joined_at: sql<number>`${now}`.as('joined_at'),
            left_at: sql<null>`NULL`.as('left_at'),
          })
          .from(conversations)
          .innerJoin(users, inArray(users.id, [userId, peerId]))
          .where(eq(conversations.pair, pair)),
      )
      .onConflictDoNothing(),
    db
      .select({ id: conversations.id, version: conversations.version, epoch: conversations.epoch })
      .from(conversations)
      .where(eq(conversations.pair, pair)),
  ]);
  return found[0];
}

/** Everyone who is or was a member; undefined if the directory does not know the conversation. */
export async function listMembers(db: Directory, conversationId: string): Promise<MemberList | undefined> {
  const rows = await db
    .select({
      version: conversations.version,
      epoch: conversations.epoch,
      user_id: members.user_id,
      role: members.role,
      first_name: users.first_name,
      last_name: users.last_name,
      left_at: members.left_at,
      show_presence: users.show_presence,
      blocks: sql<number>`${conversations.kind} = 'direct' AND EXISTS (
        SELECT 1 FROM ${blocks}
        WHERE ${blocks.user_id} = ${members.user_id} AND ${blocks.blocked_id} IN (
          SELECT other.user_id FROM ${members} AS other WHERE other.conversation_id = ${conversations.id}))`,
    })
    .from(conversations)
    .innerJoin(members, eq(members.conversation_id, conversations.id))
    .innerJoin(users, eq(users.id, members.user_id))
    .where(eq(conversations.id, conversationId))
    .orderBy(members.joined_at, members.user_id);
  const [first] = rows;
  if (!first) return undefined;
  return {
    version: first.version,
    epoch: first.epoch,
    members: rows.map(({ version: _version, epoch: _epoch, show_presence, blocks: has, ...member }) => ({
      ...member,
      has_blocked: has === 1,
      hides_presence: show_presence === 'nobody',
    })),
  };
}
