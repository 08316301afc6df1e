import { and, desc, eq, gt, inArray, isNull, lte, sql } from 'drizzle-orm';
import {
  ACCESS_TOKEN_LIFETIME_S,
  EXPIRED_ROWS_PER_PORTION,
  PAGE_SIZE,
  REFRESH_REUSE_GRACE_S,
  REFRESH_TOKEN_LIFETIME_S,
  SESSION_LIFETIME_S,
} from '../config.ts';
import type { Directory } from '../directory/database.ts';
import { refreshTokens, sessions, users } from '../directory/schema.ts';
import { randomId, sha256Hex } from './digest.ts';
import { endingSessions, logSessionEnds } from './end-sessions.ts';
import { logEvent, storeEvent, type Source } from './security-log.ts';
import { signToken, type TokenClaims } from './tokens.ts';

/** The two tokens of a login, in the order in which the original answers them. */
export type TokenPair = { refresh: string; access: string };

/**
 * Starts a session for a user who has just proved their password. `now` is in milliseconds since 1970.
 * @param password the stored hash of the password that they proved
 * @returns undefined if the password was changed, or the account closed, in the meantime
 */
export async function startSession(
  db: Directory,
  { userId, password, source, now }: { userId: string; password: string; source: Source; now: number },
): Promise<TokenPair | undefined> {
  const sessionId = crypto.randomUUID();
  const expiresAt = now + SESSION_LIFETIME_S * 1000;
  const pair = await mintPair({ userId, sessionId, sessionExpiresAt: expiresAt, now });
  const [started] = await db.batch([
    db
      .insert(sessions)
      .select(
        db
          .select({
            id: sql<string>`${sessionId}`.as('id'),
            user_id: users.id,
            user_agent: sql<string>`${source.user_agent ?? ''}`.as('user_agent'),
            created_at: sql<number>`${now}`.as('created_at'),
            last_used_at: sql<number>`${now}`.as('last_used_at'),
            expires_at: sql<number>`${expiresAt}`.as('expires_at'),
            ended_at: sql<null>`NULL`.as('ended_at'),
            ended_reason: sql<null>`NULL`.as('ended_reason'),
          })
          .from(users)
          .where(and(eq(users.id, userId), eq(users.password, password), eq(users.is_active, true))),
      )
      .returning({ id: sessions.id }),
    db.insert(refreshTokens).select(
      db
        .select({
          jti_hash: sql<string>`${pair.row.jti_hash}`.as('jti_hash'),
          session_id: sessions.id,
          issued_at: sql<number>`${now}`.as('issued_at'),
          expires_at: sql<number>`${pair.row.expires_at}`.as('expires_at'),
          used_at: sql<null>`NULL`.as('used_at'),
          replaced_by: sql<null>`NULL`.as('replaced_by'),
        })
        .from(sessions)
        .where(eq(sessions.id, sessionId)),
    ),
    storeEvent(
      db,
      { kind: 'login', user_id: userId, session_id: sessionId, source, now },
      sql`EXISTS (SELECT 1 FROM ${sessions} WHERE ${sessions.id} = ${sessionId})`,
    ),
  ]);
  return started.length === 1 ? pair.tokens : undefined;
}

/** What became of a refresh token that was presented for a new pair. */
export type Rotation =
  | { outcome: 'rotated'; tokens: TokenPair }
  | { outcome: 'unknown' | 'user_inactive' | 'session_ended' | 'used_moments_ago' | 'reused' };

/**
 * Exchanges a refresh token, once, for a new pair. One UPDATE claims the old token, so that of any number of
 * exchanges at the same time exactly one succeeds, and its successor is stored in the same batch.
 *
 * A token that is used again is a sign of theft (RFC 9700, 4.14.2): the session ends, and the answer is `reused`; the
 * caller delivers the notices of {@link endingSessions}. Only the newest used token, for REFRESH_REUSE_GRACE_S seconds and
 * while its successor is unused, is taken for a lost answer or a second tab: `used_moments_ago`. Neither gets a pair.
 */
export async function rotateRefreshToken(
  db: Directory,
  claims: TokenClaims,
  source: Source,
  now: number,
): Promise<Rotation> {
  const jtiHash = sha256Hex(claims.jti);
  const found = await findRefreshToken(db, jtiHash, claims);
  if (!found) return { outcome: 'unknown' };
  if (found.ended_at !== null || found.session_expires_at <= now) return { outcome: 'session_ended' };
  if (!found.is_active) return { outcome: 'user_inactive' };

  const next = await mintPair({
    userId: claims.user_id,
    sessionId: claims.session_id,
    sessionExpiresAt: found.session_expires_at,
    now,
  });
  const sessionIsLive = sql`EXISTS (
    SELECT 1 FROM ${sessions} WHERE ${sessions.id} = ${refreshTokens.session_id} AND ${sessions.ended_at} IS NULL)`;
  const [claimed] = await db.batch([
    db
      .update(refreshTokens)
      .set({ used_at: now, replaced_by: next.row.jti_hash })
      .where(
        and(
          eq(refreshTokens.jti_hash, jtiHash),
          isNull(refreshTokens.used_at),
          gt(refreshTokens.expires_at, now),
          sessionIsLive,
        ),
      )
      .returning({ jti_hash: refreshTokens.jti_hash }),
    db.insert(refreshTokens).select(
      db
        .select({
          jti_hash: sql<string>`${next.row.jti_hash}`.as('jti_hash'),
          session_id: refreshTokens.session_id,
          issued_at: sql<number>`${now}`.as('issued_at'),
          expires_at: sql<number>`${next.row.expires_at}`.as('expires_at'),
          used_at: sql<null>`NULL`.as('used_at'),
          replaced_by: sql<null>`NULL`.as('replaced_by'),
        })
        .from(refreshTokens)
        .where(and(eq(refreshTokens.jti_hash, jtiHash), eq(refreshTokens.replaced_by, next.row.jti_hash))),
    ),
    db
      .update(sessions)
      .set({ last_used_at: now })
      .where(
        inArray(
          sessions.id,
          db
            .select({ id: refreshTokens.session_id })
            .from(refreshTokens)
            .where(eq(refreshTokens.jti_hash, next.row.jti_hash)),
        ),
      ),
  ]);
  if (claimed.length === 1) return { outcome: 'rotated', tokens: next.tokens };

  const lost = await findRefreshToken(db, jtiHash, claims);
  if (!lost || lost.used_at === null) return { outcome: 'session_ended' };
  const successor =
    lost.replaced_by === null
      ? undefined
      : await db
          .select({ used_at: refreshTokens.used_at })
          .from(refreshTokens)
          .where(eq(refreshTokens.jti_hash, lost.replaced_by))
          .get();
  const moments = now - lost.used_at <= REFRESH_REUSE_GRACE_S * 1000;
  if (moments && successor?.used_at === null) return { outcome: 'used_moments_ago' };
  const { user_id, session_id } = claims;
  const isLive = sql`EXISTS (SELECT 1 FROM ${sessions} WHERE ${sessions.id} = ${session_id} AND ${sessions.ended_at} IS NULL)`;
  const [, , , ended] = await db.batch([
    storeEvent(db, { kind: 'token_reused', user_id, session_id, source, now }, isLive),
    ...endingSessions(db, { user_id, only: session_id }, 'token_reuse', source, now),
  ]);
  if (ended.length === 0) return { outcome: 'session_ended' };
  logEvent('token_reused', source, { user_id, session_id });
  logSessionEnds(ended, user_id, 'token_reuse', source);
  return { outcome: 'reused' };
}

/** What a refresh token is, for logout and verification. */
export type RefreshTokenState = 'unknown' | 'current' | 'used' | 'session_ended';

/** Looks a verified refresh token up. */
export async function refreshTokenState(db: Directory, claims: TokenClaims, now: number): Promise<RefreshTokenState> {
  const found = await findRefreshToken(db, sha256Hex(claims.jti), claims);
  if (!found) return 'unknown';
  if (found.ended_at !== null || found.session_expires_at <= now) return 'session_ended';
  return found.used_at === null ? 'current' : 'used';
}

/** A session as its user sees it. Times are milliseconds since 1970. */
export type LiveSession = Pick<
  typeof sessions.$inferSelect,
  'id' | 'user_agent' | 'created_at' | 'last_used_at' | 'expires_at'
>;

/** A user's sessions that may still be used, the one used last first; no more than PAGE_SIZE. */
export async function liveSessions(db: Directory, userId: string, now: number): Promise<LiveSession[]> {
  return db
    .select({
      id: sessions.id,
      user_agent: sessions.user_agent,
      created_at: sessions.created_at,
      last_used_at: sessions.last_used_at,
      expires_at: sessions.expires_at,
    })
    .from(sessions)
    .where(
      and(
        eq(sessions.user_id, userId),
        isNull(sessions.ended_at),
        gt(sessions.expires_at, now),
        // Whose refresh token has expired unused is over.
        gt(sessions.last_used_at, now - REFRESH_TOKEN_LIFETIME_S * 1000),
      ),
    )
    .orderBy(desc(sessions.last_used_at))
    .limit(PAGE_SIZE);
}

/**
 * Deletes sessions and refresh tokens that have expired: nothing refers to them any more. At most
 * EXPIRED_ROWS_PER_PORTION of each.
 * @returns how many of the one of which there were more
 */
export async function deleteExpiredSessions(db: Directory, now: number): Promise<number> {
  const deleted = await db.batch([
    db
      .delete(refreshTokens)
      .where(
        inArray(
          refreshTokens.jti_hash,
          db
            .select({ jti_hash: refreshTokens.jti_hash })
            .from(refreshTokens)
            .where(lte(refreshTokens.expires_at, now))
            .limit(EXPIRED_ROWS_PER_PORTION),
        ),
      ),
    db
      .delete(sessions)
      .where(
        inArray(
          sessions.id,
          db
            .select({ id: sessions.id })
            .from(sessions)
            .where(lte(sessions.expires_at, now))
            .limit(EXPIRED_ROWS_PER_PORTION),
        ),
      ),
  ]);
  return Math.max(...deleted.map(({ meta }) => meta.changes));
}

async function findRefreshToken(db: Directory, jtiHash: string, claims: TokenClaims) {
  return db
    .select({
      used_at: refreshTokens.used_at,
      replaced_by: refreshTokens.replaced_by,
      ended_at: sessions.ended_at,
      session_expires_at: sessions.expires_at,
      is_active: users.is_active,
    })
    .from(refreshTokens)
    .innerJoin(sessions, eq(sessions.id, refreshTokens.session_id))
    .innerJoin(users, eq(users.id, sessions.user_id))
    .where(
      and(
        eq(refreshTokens.jti_hash, jtiHash),
        eq(sessions.id, claims.session_id),
        eq(sessions.user_id, claims.user_id),
      ),
    )
    .get();
}

/** Signs an access and a refresh token, neither of which outlives the session. */
async function mintPair(session: { userId: string; sessionId: string; sessionExpiresAt: number; now: number }) {
  const issuedAt = Math.floor(session.now / 1000);
  const sessionEnd = Math.floor(session.sessionExpiresAt / 1000);
  const identity = { user_id: session.userId, session_id: session.sessionId };
  const jti = randomId();
  const refreshExp = Math.min(issuedAt + REFRESH_TOKEN_LIFETIME_S, sessionEnd);
  const accessExp = Math.min(issuedAt + ACCESS_TOKEN_LIFETIME_S, sessionEnd);
  const [refresh, access] = await Promise.all([
    signToken({ ...identity, token_type: 'refresh', jti, exp: refreshExp }, issuedAt),
    signToken({ ...identity, token_type: 'access', jti: randomId(), exp: accessExp }, issuedAt),
  ]);
  return {
    tokens: { refresh, access },
    row: { jti_hash: sha256Hex(jti), issued_at: session.now, expires_at: refreshExp * 1000 },
  };
}
