import { eq, inArray, sql } from 'drizzle-orm';
import type { Directory } from './database.ts';
import { conversations, members, users } from './schema.ts';

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
};

/** A conversation with everyone who is or was a member. */
export type MemberList = ConversationVersion & { readonly members: readonly DirectoryMember[] };

/**
 * The direct conversation of two users, created if this is the first opening. The pair's unique key decides between
 * openings at the same time, in one batch, and one that finds the conversation there writes nothing.
 * @returns undefined if there is no user `peerId`
 */
export async function openDirectConversation(
  db: Directory,
  userId: string,
  peerId: string,
  now: number,
): Promise<(ConversationVersion & { id: string }) | undefined> {
  const pair = userId < peerId ? `${userId}:${peerId}` : `${peerId}:${userId}`;
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
          .where(eq(users.id, peerId)),
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
    members: rows.map(({ version: _version, epoch: _epoch, ...member }) => member),
  };
}
