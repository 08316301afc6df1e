import { eq, sql } from 'drizzle-orm';
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
    db.run(sql`
      INSERT INTO ${conversations} (id, kind, pair, created_at)
      SELECT ${crypto.randomUUID()}, 'direct', ${pair}, ${now} FROM ${users} WHERE ${users.id} = ${peerId}
      ON CONFLICT (pair) DO NOTHING`),
    db.run(sql`
      INSERT INTO ${members} (conversation_id, user_id, role, joined_at)
      SELECT ${conversations.id}, ${users.id}, 'member', ${now} FROM ${conversations}, ${users}
      WHERE ${conversations.pair} = ${pair} AND ${users.id} IN (${userId}, ${peerId})
      ON CONFLICT DO NOTHING`),
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
