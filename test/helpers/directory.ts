import { env } from 'cloudflare:workers';
import { and, eq, sql } from 'drizzle-orm';
import type { BatchItem } from 'drizzle-orm/batch';
import type { ConversationVersion } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { conversations, members, notices, users } from '../../src/directory/schema.ts';

const db = directory(env.DB);

/** What the directory says of a conversation now. */
export async function versionOf(conversationId: string): Promise<ConversationVersion> {
  const row = await db
    .select({ version: conversations.version, epoch: conversations.epoch })
    .from(conversations)
    .where(eq(conversations.id, conversationId))
    .get();
  if (!row) throw new Error('There is no such conversation.');
  return row;
}

/** Takes a member out of a conversation, or back in. Like the other changes here, it only writes: nobody is told. */
export async function setLeft(conversationId: string, userId: string, leftAt: number | null): Promise<void> {
  await commitChange(
    conversationId,
    db
      .update(members)
      .set({ left_at: leftAt })
      .where(and(eq(members.conversation_id, conversationId), eq(members.user_id, userId))),
  );
}

/** Changes a member's first name. */
export async function rename(conversationId: string, userId: string, firstName: string): Promise<void> {
  await commitChange(conversationId, db.update(users).set({ first_name: firstName }).where(eq(users.id, userId)));
}

/** Raises the version of a conversation without any change that it would notice. */
export async function touch(conversationId: string): Promise<void> {
  await commitChange(
    conversationId,
    db
      .update(users)
      .set({ first_name: users.first_name })
      .where(sql`FALSE`),
  );
}

/** Raises the epoch of a conversation, as before a restore. */
export async function raiseEpoch(conversationId: string): Promise<void> {
  await db
    .update(conversations)
    .set({ epoch: sql`${conversations.epoch} + 1` })
    .where(eq(conversations.id, conversationId));
}

/** The notices that are still to be delivered, in the order in which they will be. */
export async function pendingNotices() {
  return db.select().from(notices).orderBy(notices.tried_at, notices.id);
}

/** A change of members with what goes with it in its batch: a larger version and a notice. */
async function commitChange(conversationId: string, change: BatchItem<'sqlite'>): Promise<void> {
  await db.batch([
    change,
    db
      .update(conversations)
      .set({ version: sql`${conversations.version} + 1` })
      .where(eq(conversations.id, conversationId)),
    db.insert(notices).values({ conversation_id: conversationId, kind: 'members_changed', tried_at: Date.now() }),
  ]);
}
