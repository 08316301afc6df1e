import { drizzle } from 'drizzle-orm/d1';

/** Queries on the directory. `batch()` is its only transaction: D1 has no others. */
export function directory(db: D1Database) {
  return drizzle(db);
}

/** The directory, as {@link directory} opens it. */
export type Directory = ReturnType<typeof directory>;
