import { env } from 'cloudflare:workers';
import { and, eq, sql } from 'drizzle-orm';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  deleteOldEvents,
  listEvents,
  logEvent,
  storeEvent,
  storeForeignEvent,
  storeSessionEnds,
  type SecurityEvent,
} from '../../src/auth/security-log.ts';
import { EXPIRED_ROWS_PER_PORTION, SECURITY_EVENT_LIFETIME_S, FOREIGN_EVENTS_PER_USER } from '../../src/config.ts';
import { directory } from '../../src/directory/database.ts';
import { securityEvents, sessions, users } from '../../src/directory/schema.ts';
import { createPerson, signIn } from '../helpers/people.ts';
import { claimsOf } from '../helpers/tokens.ts';

const db = directory(env.DB);
const NOW = 1_800_000_000_000;
const LIFETIME_MS = SECURITY_EVENT_LIFETIME_S * 1000;
const SOURCE = { request_id: 'the-request', address: '203.0.113.7', user_agent: 'a phone' };

const event = (user_id: string, more: Partial<SecurityEvent> = {}): SecurityEvent => ({
  kind: 'login',
  user_id,
  source: SOURCE,
  now: NOW,
  ...more,
});

const rowsOf = (user: { id: string }) =>
  db.select().from(securityEvents).where(eq(securityEvents.user_id, user.id)).orderBy(securityEvents.seq);

/** Stores so many events of a user, of this kind, one a millisecond. */
async function storeMany(user: { id: string }, count: number, kind = 'login', at = NOW): Promise<void> {
  await env.DB.prepare(
    `INSERT INTO security_events (id, user_id, kind, at)
     WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
     SELECT lower(hex(randomblob(16))), ?1, ?3, ?4 + i FROM n`,
  )
    .bind(user.id, count, kind, at)
    .run();
}

beforeEach(async () => {
  await db.delete(securityEvents);
});

describe('an event', () => {
  it('is stored with everything that its user may read', async () => {
    const user = await createPerson();
    await storeEvent(db, event(user.id, { session_id: 'a session' }));
    expect(await rowsOf(user)).toEqual([
      {
        seq: expect.any(Number),
        id: expect.stringMatching(/^[0-9a-f]{32}$/),
        user_id: user.id,
        kind: 'login',
        session_id: 'a session',
        reason: null,
        address: '203.0.113.7',
        user_agent: 'a phone',
        at: NOW,
      },
    ]);
  });

  it('may come from nowhere that is known', async () => {
    const user = await createPerson();
    await storeEvent(db, event(user.id, { source: { request_id: 'x', address: null, user_agent: null } }));
    expect(await rowsOf(user)).toMatchObject([{ session_id: null, address: null, user_agent: null }]);
  });

  it('of nobody is not stored', async () => {
    await storeEvent(db, event(crypto.randomUUID()));
    expect(await db.$count(securityEvents)).toBe(0);
  });

  it('is stored only if what it tells of has happened', async () => {
    const user = await createPerson();
    await storeEvent(db, event(user.id), eq(users.email, 'somebody@else.example'));
    expect(await rowsOf(user)).toEqual([]);
    await storeEvent(db, event(user.id), eq(users.email, user.email));
    expect(await rowsOf(user)).toHaveLength(1);
  });

  it('is text, whatever the client calls itself', async () => {
    const user = await createPerson();
    const user_agent = `'); DROP TABLE security_events; --" \u202e ? $1`;
    await storeEvent(db, event(user.id, { source: { ...SOURCE, user_agent } }));
    expect(await rowsOf(user)).toMatchObject([{ user_agent }]);
  });
});

describe('the end of sessions', () => {
  it('is an event for each of those that end, with the reason', async () => {
    const user = await createPerson();
    const tokens = [await signIn(user.id), await signIn(user.id), await signIn(user.id)];
    const ids = await Promise.all(tokens.map(async ({ access }) => (await claimsOf(access)).session_id));
    await db.delete(securityEvents);
    const which = and(eq(sessions.user_id, user.id), sql`${sessions.id} <> ${ids[0]}`);
    await storeSessionEnds(db, which, 'ended_by_user', SOURCE, NOW);
    const rows = await rowsOf(user);
    expect(new Set(rows.map(({ session_id }) => session_id))).toEqual(new Set(ids.slice(1)));
    expect(rows).toHaveLength(2);
    for (const row of rows) {
      expect(row).toMatchObject({ kind: 'session_ended', reason: 'ended_by_user', address: '203.0.113.7', at: NOW });
      expect(row.id).toMatch(/^[0-9a-f]{32}$/);
    }
    expect(new Set(rows.map(({ id }) => id)).size).toBe(2);
  });
});

const storeForeign = (user: { id: string }, now = NOW + 1_000_000) =>
  storeForeignEvent(db, { ...event(user.id, { now }), kind: 'login_failed' });

describe('an event that others cause', () => {
  it(`leaves ${FOREIGN_EVENTS_PER_USER} events of its user, the newest, itself among them`, async () => {
    const user = await createPerson();
    await storeMany(user, FOREIGN_EVENTS_PER_USER + 20, 'login_failed');
    await storeForeign(user);
    const rows = await rowsOf(user);
    expect(rows).toHaveLength(FOREIGN_EVENTS_PER_USER);
    expect(rows[0]?.at).toBe(NOW + 21);
    expect(rows.at(-1)?.kind).toBe('login_failed');
  });

  it('deletes nothing as long as there are no more than that', async () => {
    const user = await createPerson();
    await storeMany(user, FOREIGN_EVENTS_PER_USER - 1, 'login_failed');
    await storeForeign(user);
    expect(await rowsOf(user)).toHaveLength(FOREIGN_EVENTS_PER_USER);
    expect((await rowsOf(user))[0]?.at).toBe(NOW);
    await storeForeign(user);
    expect(await rowsOf(user)).toHaveLength(FOREIGN_EVENTS_PER_USER);
    expect((await rowsOf(user))[0]?.at).toBe(NOW + 1);
  });

  it('takes nothing from anybody else', async () => {
    const [user, other] = [await createPerson(), await createPerson()];
    await storeMany(other, FOREIGN_EVENTS_PER_USER + 5, 'login_failed');
    await storeMany(user, FOREIGN_EVENTS_PER_USER, 'login_failed');
    await storeForeign(user);
    expect(await rowsOf(other)).toHaveLength(FOREIGN_EVENTS_PER_USER + 5);
  });

  it('at the same time as others leaves as many', async () => {
    const user = await createPerson();
    await storeMany(user, FOREIGN_EVENTS_PER_USER, 'login_failed');
    await Promise.all(Array.from({ length: 10 }, () => storeForeign(user)));
    const rows = await rowsOf(user);
    expect(rows).toHaveLength(FOREIGN_EVENTS_PER_USER);
    expect(rows.slice(-10).every(({ kind }) => kind === 'login_failed')).toBe(true);
  });

  it('is unlike what its user does: that never deletes anything', async () => {
    const user = await createPerson();
    await storeMany(user, FOREIGN_EVENTS_PER_USER + 5, 'login_failed');
    await storeEvent(db, event(user.id));
    expect(await rowsOf(user)).toHaveLength(FOREIGN_EVENTS_PER_USER + 6);
  });

  it('takes nothing from what the user has done, however many there are', async () => {
    const user = await createPerson();
    await storeMany(user, 20, 'email_changed');
    await storeMany(user, FOREIGN_EVENTS_PER_USER + 20, 'wrong_password', NOW + 100);
    await storeForeign(user);
    const kinds = Map.groupBy(await rowsOf(user), ({ kind }) => kind);
    expect(kinds.get('email_changed')).toHaveLength(20);
    expect(kinds.get('wrong_password')).toHaveLength(FOREIGN_EVENTS_PER_USER - 1);
  });
});

describe('the list', () => {
  it('is newest first, in pages, each event once, without what is nobody’s business', async () => {
    const user = await createPerson();
    await storeMany(user, 7);
    const times: number[] = [];
    let before: string | undefined;
    for (const size of [3, 3, 1]) {
      const page = await listEvents(db, user.id, { before, limit: 3 });
      expect(page?.events).toHaveLength(size);
      expect(page?.more).toBe(size === 3);
      times.push(...(page?.events ?? []).map(({ at }) => at));
      before = page?.events.at(-1)?.id;
      for (const one of page?.events ?? []) {
        expect(Object.keys(one).toSorted()).toEqual([
          'address',
          'at',
          'id',
          'kind',
          'reason',
          'session_id',
          'user_agent',
        ]);
      }
    }
    expect(times).toEqual([6, 5, 4, 3, 2, 1, 0].map((i) => NOW + i));
    expect(await listEvents(db, user.id, { before, limit: 3 })).toEqual({ events: [], more: false });
  });

  it('is in the order in which things happened to be stored, whatever the clock did', async () => {
    const user = await createPerson();
    for (const now of [NOW + 5, NOW, NOW + 3]) await storeEvent(db, event(user.id, { now }));
    const page = await listEvents(db, user.id, { limit: 10 });
    expect(page?.events.map(({ at }) => at)).toEqual([NOW + 3, NOW, NOW + 5]);
  });

  it('does not go on behind an event of somebody else, nor behind none', async () => {
    const [user, other] = [await createPerson(), await createPerson()];
    await storeMany(user, 3);
    await storeMany(other, 1);
    const [foreign] = await rowsOf(other);
    for (const before of [foreign?.id ?? '', 'nonsense', '']) {
      expect(await listEvents(db, user.id, { before, limit: 10 })).toBeUndefined();
    }
  });
});

describe('events that are too old', () => {
  it('are deleted after 90 days, and not before', async () => {
    expect(SECURITY_EVENT_LIFETIME_S).toBe(90 * 24 * 60 * 60);
    const user = await createPerson();
    await storeEvent(db, event(user.id));
    await storeEvent(db, event(user.id, { now: NOW + 1 }));
    await deleteOldEvents(db, NOW + LIFETIME_MS - 1);
    expect(await rowsOf(user)).toHaveLength(2);
    await deleteOldEvents(db, NOW + LIFETIME_MS);
    expect(await rowsOf(user)).toMatchObject([{ at: NOW + 1 }]);
  });

  it('are left to the next run where they are too many for one', async () => {
    const user = await createPerson();
    await storeMany(user, EXPIRED_ROWS_PER_PORTION + 5, 'login', 0);
    await storeEvent(db, event(user.id));
    expect(await deleteOldEvents(db, NOW)).toBe(EXPIRED_ROWS_PER_PORTION);
    expect(await rowsOf(user)).toHaveLength(6);
    expect(await deleteOldEvents(db, NOW)).toBe(5);
    expect(await rowsOf(user)).toMatchObject([{ at: NOW }]);
  });
});

/** What the log gets to see. */
function lineOf(work: () => void): string[] {
  const written: string[] = [];
  const spy = vi.spyOn(console, 'log').mockImplementation((...values: unknown[]) => {
    written.push(values.map(String).join(' '));
  });
  work();
  spy.mockRestore();
  return written;
}

describe('the line of an event', () => {
  it('says what happened, to whom, in which request', () => {
    const [line = ''] = lineOf(() => logEvent('session_ended', SOURCE, { user_id: 'u', session_id: 's', reason: 'r' }));
    expect(JSON.parse(line)).toEqual({
      event: 'security',
      kind: 'session_ended',
      request_id: 'the-request',
      user_id: 'u',
      session_id: 's',
      reason: 'r',
    });
  });

  it('has no user where there is no account, and neither an address nor what the client calls itself', () => {
    const [line = '', ...more] = lineOf(() => logEvent('login_failed', SOURCE, { user_id: undefined }));
    expect(more).toEqual([]);
    expect(JSON.parse(line)).toEqual({ event: 'security', kind: 'login_failed', request_id: 'the-request' });
  });
});
