import { and, eq, gt, inArray, isNull, lte, sql } from 'drizzle-orm';
import {
  ACCESS_TOKEN_LIFETIME_S,
  EXPIRED_ROWS_PER_RUN,
  REFRESH_REUSE_GRACE_S,
  REFRESH_TOKEN_LIFETIME_S,
  SESSION_LIFETIME_S,
  USER_AGENT_MAX_LENGTH,
} from '../config.ts';
import type { Caller } from '../directory/access.ts';
import type { Directory } from '../directory/database.ts';
import { writeSessionNotices } from '../directory/notices.ts';
import { refreshTokens, sessions, users } from '../directory/schema.ts';
import { hashTokenId, newTokenId, signToken, type TokenClaims } from './tokens.ts';

/** The two tokens of a login, in the order in which the original answers them. */
export type TokenPair = { refresh: string; access: string };

/** Why a session ended. */
export type EndReason = NonNullable<typeof sessions.$inferSelect.ended_reason>;

/** Starts a session for a user who has just proved their password. `now` is in milliseconds since 1970. */
export async function startSession(
  db: Directory,
  { userId, userAgent, now }: { userId: string; userAgent: string; now: number },
): Promise<TokenPair> {
  const sessionId = crypto.randomUUID();
  const expiresAt = now + SESSION_LIFETIME_S * 1000;
  const pair = await mintPair({ userId, sessionId, sessionExpiresAt: expiresAt, now });
  await db.batch([
    db.insert(sessions).values({
      id: sessionId,
      user_id: userId,
      user_agent: userAgent.slice(0, USER_AGENT_MAX_LENGTH),
      created_at: now,
      last_used_at: now,
      expires_at: expiresAt,
    }),
    db.insert(refreshTokens).values({ ...pair.row, session_id: sessionId }),
  ]);
  return pair.tokens;
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
 * caller delivers the notices of {@link endSession}. Only the newest used token, for REFRESH_REUSE_GRACE_S seconds and
 * while its successor is unused, is taken for a lost answer or a second tab: `used_moments_ago`. Neither gets a pair.
 */
export async function rotateRefreshToken(db: Directory, claims: TokenClaims, now: number): Promise<Rotation> {
  const jtiHash = hashTokenId(claims.jti);
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
  await endSession(db, claims, 'token_reuse', now);
  return { outcome: 'reused' };
}

/** What a refresh token is, for logout and verification. */
export type RefreshTokenState = 'unknown' | 'current' | 'used' | 'session_ended';

/** Looks a verified refresh token up. */
export async function refreshTokenState(db: Directory, claims: TokenClaims, now: number): Promise<RefreshTokenState> {
  const found = await findRefreshToken(db, hashTokenId(claims.jti), claims);
  if (!found) return 'unknown';
  if (found.ended_at !== null || found.session_expires_at <= now) return 'session_ended';
  return found.used_at === null ? 'current' : 'used';
}

/**
 * Ends a session: its refresh tokens and access tokens are refused from now on, and one notice for each conversation
 * of its user is stored in the same batch. The caller delivers them, so that open sockets close.
 * @returns false if it had ended before
 */
export async function endSession(
  db: Directory,
  { user_id, session_id }: Caller,
  reason: EndReason,
  now: number,
): Promise<boolean> {
  const isLive = and(eq(sessions.id, session_id), eq(sessions.user_id, user_id), isNull(sessions.ended_at));
  const [, ended] = await db.batch([
    // Before the update, while the session still tells whether it is this batch that ends it.
    writeSessionNotices(
      db,
      { session_id, user_id, remember_until: now + ACCESS_TOKEN_LIFETIME_S * 1000, now },
      sql`EXISTS (SELECT 1 FROM ${sessions} WHERE ${isLive})`,
    ),
    db.update(sessions).set({ ended_at: now, ended_reason: reason }).where(isLive).returning({ id: sessions.id }),
  ]);
  return ended.length === 1;
}

/**
 * Deletes sessions and refresh tokens that have expired: nothing refers to them any more. At most
 * EXPIRED_ROWS_PER_RUN of each; the next run takes the others.
 */
export async function deleteExpiredSessions(db: Directory, now: number): Promise<void> {
  await db.batch([
    db
      .delete(refreshTokens)
      .where(
        inArray(
          refreshTokens.jti_hash,
          db
            .select({ jti_hash: refreshTokens.jti_hash })
            .from(refreshTokens)
            .where(lte(refreshTokens.expires_at, now))
            .limit(EXPIRED_ROWS_PER_RUN),
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
            .limit(EXPIRED_ROWS_PER_RUN),
        ),
      ),
  ]);
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
  const jti = newTokenId();
  const refreshExp = Math.min(issuedAt + REFRESH_TOKEN_LIFETIME_S, sessionEnd);
  const accessExp = Math.min(issuedAt + ACCESS_TOKEN_LIFETIME_S, sessionEnd);
  const [refresh, access] = await Promise.all([
    signToken({ ...identity, token_type: 'refresh', jti, exp: refreshExp }, issuedAt),
    signToken({ ...identity, token_type: 'access', jti: newTokenId(), exp: accessExp }, issuedAt),
  ]);
  return {
    tokens: { refresh, access },
    row: { jti_hash: hashTokenId(jti), issued_at: session.now, expires_at: refreshExp * 1000 },
  };
}
