import { and, asc, eq, gt, gte, isNull, lt, ne, or, sql, type SQL } from 'drizzle-orm';
import type { SQLiteColumn } from 'drizzle-orm/sqlite-core';
import type { Directory } from './database.ts';
import { writeInboxNotice, writeMemberNotices } from './notices.ts';
import { blocks, members, users } from './schema.ts';
import { searchKeys, searchPrefixes } from './search-keys.ts';

/** What everyone may see of a user. */
export type PublicUser = { id: string; first_name: string; last_name: string };

/** What registration stores. `email` is lower-cased, `password` is a PHC string. */
export type NewUser = { email: string; password: string; first_name: string; last_name: string };

/** Whether the (lower-cased) address has an account. */
export async function emailTaken(db: Directory, email: string): Promise<boolean> {
  const row = await db.select({ id: users.id }).from(users).where(eq(users.email, email)).get();
  return row !== undefined;
}

/** Stores a user, and returns their id; undefined, and nothing is stored, if the address has an account already. */
export async function createUser(db: Directory, user: NewUser, now: number): Promise<string | undefined> {
  const created = await db
    .insert(users)
    .values({ id: crypto.randomUUID(), ...user, ...searchKeys(user), created_at: now })
    .onConflictDoNothing({ target: users.email })
    .returning({ id: users.id });
  return created[0]?.id;
}

/** What a login needs to know of the account with this (lower-cased) address. */
export async function findCredentials(db: Directory, email: string) {
  return db
    .select({ id: users.id, password: users.password, is_active: users.is_active })
    .from(users)
    .where(and(eq(users.email, email), isNull(users.deleted_at)))
    .get();
}

/**
 * Replaces a password hash by one with today's parameters, unless the password was changed in the meantime.
 * @returns whether it was replaced
 */
export async function upgradePasswordHash(db: Directory, userId: string, from: string, to: string): Promise<boolean> {
  const replaced = await db
    .update(users)
    .set({ password: to })
    .where(and(eq(users.id, userId), eq(users.password, from)))
    .returning({ id: users.id });
  return replaced.length === 1;
}

/**
 * Active users but the caller, in order of registration.
 * @param after id of the last user of the page before
 * @returns at most `limit` users, and whether there are more; undefined if `after` names nobody
 */
export async function listUsers(
  db: Directory,
  { except, after, limit }: { except: string; after?: string | undefined; limit: number },
): Promise<{ users: PublicUser[]; more: boolean } | undefined> {
  const afterSeq = await seqOf(db, after);
  if (afterSeq === undefined) return undefined;
  const rows = await db
    .select({ id: users.id, first_name: users.first_name, last_name: users.last_name })
    .from(users)
    .where(and(gt(users.seq, afterSeq), ne(users.id, except), eq(users.is_active, sql`1`)))
    .orderBy(asc(users.seq))
    .limit(limit + 1);
  return { users: rows.slice(0, limit), more: rows.length > limit };
}

/**
 * Active users but the caller and those whom they have blocked: whose name or last name begins with the text, or whose
 * address is the text. In order of their names.
 * @param after id of the last user of the page before
 * @returns at most `limit` users, and whether there are more; undefined if `after` names nobody
 */
export async function searchUsers(
  db: Directory,
  { search, except, after, limit }: { search: string; except: string; after?: string | undefined; limit: number },
): Promise<{ users: PublicUser[]; more: boolean } | undefined> {
  const start = after === undefined ? { name_key: '', seq: 0 } : await placeByName(db, after);
  if (!start) return undefined;
  const prefixes = searchPrefixes(search);
  const blocked = db.select({ id: blocks.blocked_id }).from(blocks).where(eq(blocks.user_id, except));
  // The plus keeps the planner from walking through all names in their order: the few that are found are sorted instead.
  const place = sql`(+${users.name_key}, +${users.seq})`;
  const rows = await db
    .select({ id: users.id, first_name: users.first_name, last_name: users.last_name })
    .from(users)
    .where(
      and(
        or(
          ...prefixes.map((prefix) => beginsWith(users.name_key, prefix)),
          ...prefixes.map((prefix) => beginsWith(users.last_name_key, prefix)),
          eq(users.email, search.toLowerCase()),
        ),
        sql`${place} > (${start.name_key}, ${start.seq})`,
        sql`+${users.id} <> ${except}`,
        eq(users.is_active, sql`1`),
        sql`${users.id} NOT IN ${blocked}`,
      ),
    )
    .orderBy(sql`+${users.name_key}`, sql`+${users.seq}`)
    .limit(limit + 1);
  return { users: rows.slice(0, limit), more: rows.length > limit };
}

/** An account as its owner, and the operator, see it. Times are milliseconds since 1970. */
export type Account = Omit<typeof users.$inferSelect, 'seq' | 'password' | 'deleted_at'>;

/** The account of a user who has one; undefined if they deleted it. With the hash of its password, which stays inside. */
export async function findAccount(
  db: Directory,
  who: { id: string } | { email: string },
): Promise<(Account & { password: string }) | undefined> {
  const row = await db
    .select()
    .from(users)
    .where(and('id' in who ? eq(users.id, who.id) : eq(users.email, who.email), isNull(users.deleted_at)))
    .get();
  if (!row) return undefined;
  const { seq: _seq, deleted_at: _deleted, ...account } = row;
  return account;
}

/** Changes a user's name, and leaves a notice for each of their conversations; the caller delivers them. */
export async function renameUser(
  db: Directory,
  userId: string,
  name: { first_name?: string | undefined; last_name?: string | undefined },
  now: number,
): Promise<void> {
  for (;;) {
    const before = await db
      .select({ first_name: users.first_name, last_name: users.last_name })
      .from(users)
      .where(and(eq(users.id, userId), isNull(users.deleted_at)))
      .get();
    if (!before) return;
    const renamed = {
      first_name: name.first_name ?? before.first_name,
      last_name: name.last_name ?? before.last_name,
    };
    // The keys come from both names. If another request changes one of them meanwhile, they would not match: once more.
    const isAsBefore = and(
      eq(users.id, userId),
      eq(users.first_name, before.first_name),
      eq(users.last_name, before.last_name),
      isNull(users.deleted_at),
    );
    if (await changeUser(db, userId, { ...renamed, ...searchKeys(renamed) }, isAsBefore, now)) return;
  }
}

/**
 * Changes who sees whether a user is online, and leaves a notice for each of their conversations and for their inbox; the
 * caller delivers them. If it is so already, nothing is written.
 */
export async function setPresence(
  db: Directory,
  userId: string,
  showPresence: Account['show_presence'],
  now: number,
): Promise<void> {
  const isOther = and(eq(users.id, userId), ne(users.show_presence, showPresence), isNull(users.deleted_at));
  await changeUser(db, userId, { show_presence: showPresence }, isOther, now);
}

/** Changes what conversations or the inbox know of a user, if a condition on their row holds. @returns whether it did */
async function changeUser(
  db: Directory,
  userId: string,
  change: Partial<typeof users.$inferInsert>,
  condition: SQL | undefined,
  now: number,
): Promise<boolean> {
  const isConcerned = and(eq(members.user_id, userId), sql`EXISTS (SELECT 1 FROM ${users} WHERE ${condition})`);
  const [, , , changed] = await db.batch([
    // Before the change, which may make the condition false.
    ...writeMemberNotices(db, isConcerned, userId, now),
    writeInboxNotice(db, condition, now),
    db.update(users).set(change).where(condition).returning({ id: users.id }),
  ]);
  return changed.length === 1;
}

/**
 * All accounts, in order of registration, for the operator.
 * @param after id of the last account of the page before
 * @returns at most `limit` accounts, and whether there are more; undefined if `after` names nobody
 */
export async function listAccounts(
  db: Directory,
  { after, limit }: { after?: string | undefined; limit: number },
): Promise<{ accounts: Account[]; more: boolean } | undefined> {
  const afterSeq = await seqOf(db, after);
  if (afterSeq === undefined) return undefined;
  const rows = await db
    .select()
    .from(users)
    .where(and(gt(users.seq, afterSeq), isNull(users.deleted_at)))
    .orderBy(asc(users.seq))
    .limit(limit + 1);
  const accounts = rows
    .slice(0, limit)
    .map(({ seq: _seq, password: _password, deleted_at: _deleted, ...account }) => account);
  return { accounts, more: rows.length > limit };
}

/** Where a user stands in the order of registration: 0 for no user, undefined for one who does not exist. */
async function seqOf(db: Directory, userId: string | undefined): Promise<number | undefined> {
  if (userId === undefined) return 0;
  return (await db.select({ seq: users.seq }).from(users).where(eq(users.id, userId)).get())?.seq;
}

/** Where a user stands in the order of names; undefined for one who does not exist, or has no name any more. */
async function placeByName(db: Directory, userId: string) {
  return db
    .select({ name_key: users.name_key, seq: users.seq })
    .from(users)
    .where(and(eq(users.id, userId), isNull(users.deleted_at)))
    .get();
}

/** Whether a column begins with a text that is not empty: a range, which an index serves, without LIKE's wildcards. */
function beginsWith(column: SQLiteColumn, prefix: string) {
  return and(gte(column, prefix), lt(column, `${prefix}\u{10ffff}`));
}
