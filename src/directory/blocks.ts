import { and, asc, eq, gt, isNull, or, sql } from 'drizzle-orm';
import { BLOCKS_MAX } from '../config.ts';
import { pairOf } from './conversations.ts';
import type { Directory } from './database.ts';
import { writeMemberNotices } from './notices.ts';
import { blocks, conversations, members, users } from './schema.ts';
import type { PublicUser } from './users.ts';

/**
 * Blocks somebody, and leaves a notice for the conversation with them; the caller delivers it. Blocking the same user
 * again changes nothing.
 * @returns what is the matter, if anything is: there is no such user, or the list is full
 */
export async function block(
  db: Directory,
  userId: string,
  blockedId: string,
  now: number,
): Promise<'unknown_user' | 'too_many' | undefined> {
  const others = db
    .select({ blocks: sql<number>`count(*)`.as('blocks') })
    .from(blocks)
    .where(and(eq(blocks.user_id, userId), sql`${blocks.blocked_id} <> ${blockedId}`));
  const [, , , [state]] = await db.batch([
    db
      .insert(blocks)
      .select(
        db
          .select({
            user_id: sql<string>`${userId}`.as('user_id'),
            blocked_id: users.id,
            created_at: sql<number>`${now}`.as('created_at'),
          })
          .from(users)
          .where(and(eq(users.id, blockedId), sql`${users.deleted_at} IS NULL`, sql`${others} < ${BLOCKS_MAX}`)),
      )
      .onConflictDoNothing(),
    ...writeMemberNotices(db, blockedMembership(userId, blockedId), userId, now),
    db
      .select({ is_known: sql<number>`${users.deleted_at} IS NULL`, blocked_id: blocks.blocked_id })
      .from(users)
      .leftJoin(blocks, and(eq(blocks.user_id, userId), eq(blocks.blocked_id, users.id)))
      .where(eq(users.id, blockedId)),
  ]);
  if (!state || state.is_known === 0) return 'unknown_user';
  return state.blocked_id === null ? 'too_many' : undefined;
}

/** Takes a block back, likewise. */
export async function unblock(db: Directory, userId: string, blockedId: string, now: number): Promise<void> {
  await db.batch([
    // Before the block goes, while it still tells whether there is something to take back.
    ...writeMemberNotices(db, blockedMembership(userId, blockedId), userId, now),
    db.delete(blocks).where(and(eq(blocks.user_id, userId), eq(blocks.blocked_id, blockedId))),
  ]);
}

/**
 * Whom a user has blocked, the first blocked first.
 * @param after id of the last one of the page before
 * @returns at most `limit` users, and whether there are more; undefined if `after` names none of them
 */
export async function listBlocked(
  db: Directory,
  userId: string,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<{ users: PublicUser[]; more: boolean } | undefined> {
  const anchor =
    after === undefined
      ? { created_at: -1 }
      : await db
          .select({ created_at: blocks.created_at })
          .from(blocks)
          .where(and(eq(blocks.user_id, userId), eq(blocks.blocked_id, after)))
          .get();
  if (!anchor) return undefined;
  const { created_at } = anchor;
  const rows = await db
    .select({ id: users.id, first_name: users.first_name, last_name: users.last_name })
    .from(blocks)
    .innerJoin(users, eq(users.id, blocks.blocked_id))
    .where(
      and(
        eq(blocks.user_id, userId),
        or(
          gt(blocks.created_at, created_at),
          and(eq(blocks.created_at, created_at), gt(blocks.blocked_id, after ?? '')),
        ),
      ),
    )
    .orderBy(asc(blocks.created_at), asc(blocks.blocked_id))
    .limit(limit + 1);
  return { users: rows.slice(0, limit), more: rows.length > limit };
}

/** Those of some users between whom and a user there is no block, whoever has made it. */
export async function withoutBlock(db: Directory, userId: string, others: readonly string[]): Promise<string[]> {
  const rows = await db
    .select({ id: users.id })
    .from(users)
    .where(
      and(
        sql`${users.id} IN (SELECT value FROM json_each(${JSON.stringify(others)}))`,
        isNull(users.deleted_at),
        sql`NOT EXISTS (SELECT 1 FROM ${blocks} WHERE
          (${blocks.user_id} = ${userId} AND ${blocks.blocked_id} = ${users.id}) OR
          (${blocks.user_id} = ${users.id} AND ${blocks.blocked_id} = ${userId}))`,
      ),
    );
  return rows.map(({ id }) => id);
}

/** A user's own row in their conversation with somebody, if they have blocked them. */
function blockedMembership(userId: string, blockedId: string) {
  const conversation = sql`(SELECT ${conversations.id} FROM ${conversations} WHERE ${conversations.pair} = ${pairOf(userId, blockedId)})`;
  const blocking = sql`SELECT 1 FROM ${blocks} WHERE ${blocks.user_id} = ${userId} AND ${blocks.blocked_id} = ${blockedId}`;
  return and(eq(members.user_id, userId), sql`${members.conversation_id} = ${conversation}`, sql`EXISTS (${blocking})`);
}
