import { and, eq, gt, inArray, lte } from 'drizzle-orm';
import { EXPIRED_ROWS_PER_PORTION, OPERATOR_KEY_LIFETIME_S } from '../config.ts';
import type { Directory } from '../directory/database.ts';
import { operatorKeys } from '../directory/schema.ts';
import { sha256Hex } from './digest.ts';

/**
 * Whether a key opens the operator's routes. Whoever may write to the database makes one, by storing its hash for
 * OPERATOR_KEY_LIFETIME_S seconds: there is no password of the operator that could leak.
 */
export async function isOperatorKey(db: Directory, key: string, now: number): Promise<boolean> {
  // Not later than a clock that is a little ahead would say.
  const latest = now + 2 * OPERATOR_KEY_LIFETIME_S * 1000;
  const row = await db
    .select({ expires_at: operatorKeys.expires_at })
    .from(operatorKeys)
    .where(
      and(
        eq(operatorKeys.key_hash, sha256Hex(key)),
        gt(operatorKeys.expires_at, now),
        lte(operatorKeys.expires_at, latest),
      ),
    )
    .get();
  return row !== undefined;
}

/** Deletes keys that open nothing any more, at most EXPIRED_ROWS_PER_PORTION. @returns how many */
export async function deleteOldOperatorKeys(db: Directory, now: number): Promise<number> {
  const { meta } = await db
    .delete(operatorKeys)
    .where(
      inArray(
        operatorKeys.key_hash,
        db
          .select({ key_hash: operatorKeys.key_hash })
          .from(operatorKeys)
          .where(lte(operatorKeys.expires_at, now))
          .limit(EXPIRED_ROWS_PER_PORTION),
      ),
    );
  return meta.changes;
}
