import { and, asc, eq, gt, ne, sql } from 'drizzle-orm';
import type { Directory } from './database.ts';
import { users } from './schema.ts';

/** What everyone may see of a user. */
export type PublicUser = { id: string; first_name: string; last_name: string };

/** What registration stores. `email` is lower-cased, `password` is a PHC string. */
export type NewUser = { email: string; password: string; first_name: string; last_name: string };

/** Whether the (lower-cased) address has an account. */
export async function emailTaken(db: Directory, email: string): Promise<boolean> {
  const row = await db.select({ id: users.id }).from(users).where(eq(users.email, email)).get();
  return row !== undefined;
}

/** Stores a user, unless the address has an account already: then nothing is stored and the answer is false. */
export async function createUser(db: Directory, user: NewUser, now: number): Promise<boolean> {
  const created = await db
    .insert(users)
    .values({ id: crypto.randomUUID(), ...user, created_at: now })
    .onConflictDoNothing({ target: users.email })
    .returning({ id: users.id });
  return created.length === 1;
}

/** What a login needs to know of the account with this (lower-cased) address. */
export async function findCredentials(db: Directory, email: string) {
  return db
    .select({ id: users.id, password: users.password, is_active: users.is_active })
    .from(users)
    .where(eq(users.email, email))
    .get();
}

/** Replaces a password hash by one with today's parameters, unless the password was changed in the meantime. */
export async function upgradePasswordHash(db: Directory, userId: string, from: string, to: string): Promise<void> {
  await db
    .update(users)
    .set({ password: to })
    .where(and(eq(users.id, userId), eq(users.password, from)));
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
  let afterSeq = 0;
  if (after !== undefined) {
    const anchor = await db.select({ seq: users.seq }).from(users).where(eq(users.id, after)).get();
    if (!anchor) return undefined;
    afterSeq = anchor.seq;
  }
  const rows = await db
    .select({ id: users.id, first_name: users.first_name, last_name: users.last_name })
    .from(users)
    .where(and(gt(users.seq, afterSeq), ne(users.id, except), eq(users.is_active, sql`1`)))
    .orderBy(asc(users.seq))
    .limit(limit + 1);
  return { users: rows.slice(0, limit), more: rows.length > limit };
}
