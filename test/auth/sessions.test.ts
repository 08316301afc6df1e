import { env } from 'cloudflare:workers';
import { eq } from 'drizzle-orm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { findStanding } from '../../src/directory/access.ts';
import {
  deleteExpiredSessions,
  refreshTokenState,
  rotateRefreshToken,
  type TokenPair,
} from '../../src/auth/sessions.ts';
import type { TokenClaims } from '../../src/auth/tokens.ts';
import { randomId, sha256Hex } from '../../src/auth/digest.ts';
import {
  ACCESS_TOKEN_LIFETIME_S,
  REFRESH_REUSE_GRACE_S,
  REFRESH_TOKEN_LIFETIME_S,
  SESSION_LIFETIME_S,
} from '../../src/config.ts';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { notices, refreshTokens, sessions } from '../../src/directory/schema.ts';
import { createPerson, deactivate, endSession, PASSWORD, signIn, SOURCE } from '../helpers/people.ts';
import { dumpTables } from '../helpers/tables.ts';
import { claimsOf } from '../helpers/tokens.ts';

const db = directory(env.DB);
const START = Date.UTC(2026, 10, 1, 12);
const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;
const GRACE = REFRESH_REUSE_GRACE_S * SECOND;

type Session = { userId: string; sessionId: string; tokens: TokenPair };

async function session(now = START, userAgent = 'test'): Promise<Session> {
  const { id: userId } = await createPerson();
  const tokens = await signIn(userId, userAgent, now);
  return { userId, tokens, sessionId: (await claimsOf(tokens.access)).session_id };
}

const rotate = async (refresh: string, now: number) => rotateRefreshToken(db, await claimsOf(refresh), SOURCE, now);
const standing = async ({ access }: TokenPair, now: number) =>
  (await findStanding(db, await claimsOf(access), now)).denial ?? 'ok';

/** Rotates, and expects it to work. */
async function rotated(refresh: string, now: number): Promise<TokenPair> {
  const rotation = await rotate(refresh, now);
  if (rotation.outcome !== 'rotated') throw new Error(`The token was not rotated: ${rotation.outcome}`);
  return rotation.tokens;
}

async function sessionRow(sessionId: string) {
  return db.select().from(sessions).where(eq(sessions.id, sessionId)).get();
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a session', () => {
  it('starts with an access token of 30 minutes and a refresh token of a day', async () => {
    const { tokens } = await session();
    expect((await claimsOf(tokens.access)).exp).toBe(START / SECOND + ACCESS_TOKEN_LIFETIME_S);
    expect((await claimsOf(tokens.refresh)).exp).toBe(START / SECOND + REFRESH_TOKEN_LIFETIME_S);
    expect(await standing(tokens, START)).toBe('ok');
  });

  it('is over after 30 days', async () => {
    const { tokens } = await session();
    const end = START + SESSION_LIFETIME_S * SECOND;
    expect(await standing(tokens, end - 1)).toBe('ok');
    expect(await standing(tokens, end)).toBe('session_ended');
  });

  it('belongs to its user: claims that name another one find none', async () => {
    const { tokens } = await session();
    const { id: user_id } = await createPerson();
    expect((await findStanding(db, { ...(await claimsOf(tokens.access)), user_id }, START)).denial).toBe(
      'session_ended',
    );
  });
});

describe('a refresh token', () => {
  it('is exchanged for a new pair of the same session', async () => {
    const { tokens, sessionId, userId } = await session();
    const next = await rotated(tokens.refresh, START + HOUR);
    for (const token of [next.access, next.refresh]) {
      expect(await claimsOf(token)).toMatchObject({ session_id: sessionId, user_id: userId });
    }
    expect(await standing(next, START + HOUR)).toBe('ok');
    expect((await sessionRow(sessionId))?.last_used_at).toBe(START + HOUR);
  });

  it('is good for one exchange: then its successor is the current one', async () => {
    const { tokens } = await session();
    const next = await rotated(tokens.refresh, START + HOUR);
    expect(await refreshTokenState(db, await claimsOf(tokens.refresh), START + HOUR)).toBe('used');
    expect(await refreshTokenState(db, await claimsOf(next.refresh), START + HOUR)).toBe('current');
    expect((await rotate(next.refresh, START + 2 * HOUR)).outcome).toBe('rotated');
  });

  it('that was never issued is unknown, however well it is signed', async () => {
    const { tokens } = await session();
    const claims = { ...(await claimsOf(tokens.refresh)), jti: randomId() };
    expect(await rotateRefreshToken(db, claims, SOURCE, START)).toEqual({ outcome: 'unknown' });
    expect(await refreshTokenState(db, claims, START)).toBe('unknown');
  });

  it.each(['session_id', 'user_id'] as const)('with the %s of somebody else is unknown', async (claim) => {
    const [{ tokens }, other] = [await session(), await session()];
    const claims = {
      ...(await claimsOf(tokens.refresh)),
      [claim]: (await claimsOf(other.tokens.refresh))[claim],
    } as TokenClaims;
    expect(await rotateRefreshToken(db, claims, SOURCE, START)).toEqual({ outcome: 'unknown' });
    expect(await rotate(tokens.refresh, START)).toMatchObject({ outcome: 'rotated' });
  });

  it('of someone who may not sign in any more is refused, and not used up', async () => {
    const { tokens, userId } = await session();
    await deactivate(userId);
    expect(await rotate(tokens.refresh, START)).toEqual({ outcome: 'user_inactive' });
    await deactivate(userId, false);
    expect(await rotate(tokens.refresh, START)).toMatchObject({ outcome: 'rotated' });
  });

  it('is exchanged by exactly one of 20 requests at the same time, and the session lives on', async () => {
    const { tokens } = await session();
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => rotate(tokens.refresh, START + HOUR)));
    const winners = outcomes.filter((rotation) => rotation.outcome === 'rotated');
    expect(winners).toHaveLength(1);
    expect(outcomes.filter(({ outcome }) => outcome === 'used_moments_ago')).toHaveLength(19);
    const [winner] = winners;
    expect(await standing(winner?.tokens ?? tokens, START + HOUR)).toBe('ok');
    expect(await rotate(winner?.tokens.refresh ?? '', START + 2 * HOUR)).toMatchObject({ outcome: 'rotated' });
  });

  it('leaves one successor however many requests bring it', async () => {
    const { tokens, sessionId } = await session();
    await Promise.all(Array.from({ length: 20 }, () => rotate(tokens.refresh, START + HOUR)));
    const rows = await db.select().from(refreshTokens).where(eq(refreshTokens.session_id, sessionId));
    expect(rows).toHaveLength(2);
  });
});

describe('a refresh token that comes again', () => {
  it.each([0, 1, GRACE])('%d ms later is a lost answer or a second tab: refused, the session lives', async (later) => {
    const { tokens } = await session();
    const next = await rotated(tokens.refresh, START);
    expect(await rotate(tokens.refresh, START + later)).toEqual({ outcome: 'used_moments_ago' });
    expect(await standing(next, START + later)).toBe('ok');
    expect(await rotate(next.refresh, START + later)).toMatchObject({ outcome: 'rotated' });
  });

  it('after more than 10 s is a theft', async () => {
    const { tokens } = await session();
    await rotated(tokens.refresh, START);
    expect(await rotate(tokens.refresh, START + GRACE + 1)).toEqual({ outcome: 'reused' });
  });

  it('at once is a theft if its successor was used already', async () => {
    const { tokens } = await session();
    const next = await rotated(tokens.refresh, START);
    await rotated(next.refresh, START);
    expect(await rotate(tokens.refresh, START)).toEqual({ outcome: 'reused' });
  });

  it('is a theft however old it is', async () => {
    const { tokens } = await session();
    let newest = tokens;
    for (let hour = 1; hour <= 5; hour++) newest = await rotated(newest.refresh, START + hour * HOUR);
    expect(await rotate(tokens.refresh, START + 6 * HOUR)).toEqual({ outcome: 'reused' });
  });
});

describe('the end of a session', () => {
  it('refuses its access tokens and its refresh tokens at once', async () => {
    const { tokens, userId, sessionId } = await session();
    const next = await rotated(tokens.refresh, START);
    expect(await endSession({ session_id: sessionId, user_id: userId }, 'logout', START)).toBe(true);
    expect(await standing(tokens, START)).toBe('session_ended');
    expect(await standing(next, START)).toBe('session_ended');
    expect(await rotate(next.refresh, START)).toEqual({ outcome: 'session_ended' });
    expect(await rotate(tokens.refresh, START)).toEqual({ outcome: 'session_ended' });
    expect(await refreshTokenState(db, await claimsOf(next.refresh), START)).toBe('session_ended');
  });

  it("leaves the user's other sessions alone", async () => {
    const { userId, sessionId } = await session();
    const elsewhere = await signIn(userId, 'elsewhere', START);
    await endSession({ session_id: sessionId, user_id: userId }, 'logout', START);
    expect(await standing(elsewhere, START)).toBe('ok');
  });

  it('happens once: the second time changes nothing', async () => {
    const { userId, sessionId } = await session();
    const claims = { session_id: sessionId, user_id: userId };
    expect(await endSession(claims, 'token_reuse', START)).toBe(true);
    expect(await endSession(claims, 'logout', START + HOUR)).toBe(false);
    expect(await sessionRow(sessionId)).toMatchObject({ ended_at: START, ended_reason: 'token_reuse' });
  });

  it('is decided by one of 20 requests at the same time', async () => {
    const { userId, sessionId } = await session();
    const ended = await Promise.all(
      Array.from({ length: 20 }, () => endSession({ session_id: sessionId, user_id: userId }, 'logout', START)),
    );
    expect(ended.filter(Boolean)).toHaveLength(1);
  });

  it('is not for others to bring about', async () => {
    const { tokens, sessionId } = await session();
    const { id: user_id } = await createPerson();
    expect(await endSession({ session_id: sessionId, user_id }, 'logout', START)).toBe(false);
    expect(await standing(tokens, START)).toBe('ok');
  });

  it('between the look at a refresh token and its exchange leaves it unexchanged', async () => {
    const { tokens, userId, sessionId } = await session();
    const batch = env.DB.batch.bind(env.DB);
    vi.spyOn(env.DB, 'batch').mockImplementationOnce(async (statements) => {
      await endSession({ session_id: sessionId, user_id: userId }, 'logout', START);
      return batch(statements);
    });
    expect(await rotate(tokens.refresh, START)).toEqual({ outcome: 'session_ended' });
    const rows = await db.select().from(refreshTokens).where(eq(refreshTokens.session_id, sessionId));
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ used_at: null });
  });

  it('leaves nothing alive of an exchange at the same time', async () => {
    const { tokens, userId, sessionId } = await session();
    const [rotation] = await Promise.all([
      rotate(tokens.refresh, START),
      endSession({ session_id: sessionId, user_id: userId }, 'logout', START),
    ]);
    const newest = rotation.outcome === 'rotated' ? rotation.tokens : tokens;
    expect(await standing(newest, START)).toBe('session_ended');
    expect(await rotate(newest.refresh, START)).toEqual({ outcome: 'session_ended' });
  });

  it('leaves a notice for each of its conversations and for the inbox, once', async () => {
    const { userId, sessionId } = await session();
    const peers = [await createPerson(), await createPerson()];
    const opened = await Promise.all(peers.map((peer) => openDirectConversation(db, userId, peer.id, START)));
    const claims = { session_id: sessionId, user_id: userId };
    await endSession(claims, 'logout', START);
    await endSession(claims, 'logout', START + HOUR);
    const written = await db.select().from(notices).where(eq(notices.session_id, sessionId));
    const concerned = [...opened.map((one) => one?.id), null];
    expect(written).toHaveLength(concerned.length);
    expect(new Set(written.map((notice) => notice.conversation_id))).toEqual(new Set(concerned));
    for (const notice of written) {
      expect(notice).toMatchObject({
        kind: 'session_ended',
        remember_until: START + ACCESS_TOKEN_LIFETIME_S * SECOND,
        tried_at: START,
      });
    }
  });
});

describe('30 days after the login', () => {
  it('the session is over, however often it was refreshed, and no token outlived it', async () => {
    const end = START + SESSION_LIFETIME_S * SECOND;
    let { tokens } = await session();
    for (let now = START + 20 * HOUR; now < end; now += 20 * HOUR) {
      tokens = await rotated(tokens.refresh, now);
      expect((await claimsOf(tokens.refresh)).exp * SECOND).toBeLessThanOrEqual(end);
    }
    expect((await claimsOf(tokens.refresh)).exp * SECOND).toBe(end);
    expect(await standing(tokens, end)).toBe('session_ended');
    expect(await rotate(tokens.refresh, end)).toEqual({ outcome: 'session_ended' });
  });

  it('the last access token ends with the session', async () => {
    const end = START + SESSION_LIFETIME_S * SECOND;
    let { tokens } = await session();
    for (let now = START + 20 * HOUR; now < end; now += 20 * HOUR) tokens = await rotated(tokens.refresh, now);
    const last = await rotated(tokens.refresh, end - 60 * SECOND);
    expect((await claimsOf(last.access)).exp * SECOND).toBe(end);
  });
});

describe('what is stored', () => {
  it('yields no token, no token id and no password: of a token id, only its SHA-256', async () => {
    const { tokens } = await session();
    const next = await rotated(tokens.refresh, START);
    const stored = JSON.stringify(await dumpTables());
    for (const token of [...Object.values(tokens), ...Object.values(next)]) {
      const { jti } = await claimsOf(token);
      for (const secret of [token, ...token.split('.'), jti]) expect(stored).not.toContain(secret);
    }
    expect(stored).not.toContain(PASSWORD);
    for (const { refresh } of [tokens, next]) expect(stored).toContain(sha256Hex((await claimsOf(refresh)).jti));
  });
});

describe('cleaning up', () => {
  it('deletes refresh tokens when they expire, and their session when it does', async () => {
    const { tokens, sessionId } = await session();
    const jtiHash = sha256Hex((await claimsOf(tokens.refresh)).jti);
    const tokenRow = () => db.select().from(refreshTokens).where(eq(refreshTokens.jti_hash, jtiHash)).get();

    await deleteExpiredSessions(db, START + REFRESH_TOKEN_LIFETIME_S * SECOND - 1);
    expect(await tokenRow()).toBeDefined();
    await deleteExpiredSessions(db, START + REFRESH_TOKEN_LIFETIME_S * SECOND);
    expect(await tokenRow()).toBeUndefined();

    await deleteExpiredSessions(db, START + SESSION_LIFETIME_S * SECOND - 1);
    expect(await sessionRow(sessionId)).toBeDefined();
    await deleteExpiredSessions(db, START + SESSION_LIFETIME_S * SECOND);
    expect(await sessionRow(sessionId)).toBeUndefined();
  });

  it('leaves what is alive alone', async () => {
    const old = await session(START - 29 * DAY);
    const young = await session();
    await deleteExpiredSessions(db, START);
    expect(await sessionRow(old.sessionId)).toBeDefined();
    expect(await rotate(young.tokens.refresh, START)).toMatchObject({ outcome: 'rotated' });
  });
});
