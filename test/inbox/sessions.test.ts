import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { deleteAccount } from '../../src/auth/accounts.ts';
import { ACCESS_TOKEN_LIFETIME_S } from '../../src/config.ts';
import { directory } from '../../src/directory/database.ts';
import { inboxConnectRequest } from '../../src/inbox/connection.ts';
import { Inbox } from '../../src/inbox/inbox.ts';
import { InboxStore } from '../../src/inbox/store.ts';
import { cronRun } from '../helpers/accounts.ts';
import { api } from '../helpers/api.ts';
import { signedInAgain } from '../helpers/chat-pair.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { pendingNotices } from '../helpers/directory.ts';
import { everyStore } from '../helpers/every-store.ts';
import { finished } from '../helpers/finished.ts';
import { fed, inboxOf, inboxRow } from '../helpers/inbox.ts';
import { acquainted, inboxConnectOf, inInbox, write } from '../helpers/inbox-pair.ts';
import { connectInbox, openInbox } from '../helpers/inbox-socket.ts';
import { endSession, PASSWORD, signedIn, SOURCE, type Person } from '../helpers/people.ts';
import { claimsOf } from '../helpers/tokens.ts';

const db = directory(env.DB);
const ENDED = { code: 4410, reason: 'The session has ended.' };

const signOut = async ({ refresh }: Person) =>
  expect((await finished('/api/logout/', { json: { refresh } })).status).toBe(200);

/** Ends a session as a Worker does that dies before it can tell anybody. */
async function endSessionAndDie({ access }: Person): Promise<void> {
  await endSession(await claimsOf(access), 'logout', Date.now());
}

const erase = async ({ access }: Person) =>
  expect((await finished('/api/me/delete/', { json: { password: PASSWORD }, token: access })).status).toBe(204);

type Method = Inbox['notify'];

/** Has inboxes take a notice so. */
function notified(work: (attempt: number) => Promise<void>) {
  const method = Object.getOwnPropertyDescriptor(Inbox.prototype, 'notify')?.value as Method;
  let attempt = 0;
  return vi.spyOn(Inbox.prototype, 'notify').mockImplementation(async function first(this: Inbox, ...told) {
    attempt += 1;
    await work(attempt);
    return method.apply(this, told);
  });
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('the end of a session', () => {
  test('closes its sockets in the inbox within a second, and no others of the user', async () => {
    const john = await signedIn('John');
    const other = await openInbox((await signedInAgain(john)).access);
    const sockets = [await openInbox(john.access), await openInbox(john.access)];
    const startedAt = performance.now();
    await signOut(john);
    for (const socket of sockets) expect(await socket.closed).toEqual(ENDED);
    expect(performance.now() - startedAt).toBeLessThan(1000);
    await other.settled();
  });

  test('closes them in an inbox that sleeps', async () => {
    const john = await signedIn('John');
    const johns = await openInbox(john.access);
    await evictDurableObject(inboxOf(john.id));
    await signOut(john);
    expect(await johns.closed).toEqual(ENDED);
  });

  test('closes them in an inbox that fails at first', async () => {
    const john = await signedIn('John');
    const johns = await openInbox(john.access);
    notified(async (attempt) => {
      if (attempt === 1) throw new Error('The inbox is not well.');
    });
    await signOut(john);
    expect(await johns.closed).toEqual(ENDED);
    expect(await pendingNotices()).toEqual([]);
  });

  test('closes them by the cron run, where the Worker died or the inbox could not be told', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    const sockets = [await openInbox(john.access), await openInbox(ray.access)];
    await endSessionAndDie(john);
    const spy = notified(async () => {
      throw new Error('The inbox is not well.');
    });
    await signOut(ray);
    spy.mockRestore();
    for (const socket of sockets) await socket.settled();
    await cronRun();
    for (const socket of sockets) expect(await socket.closed).toEqual(ENDED);
    expect(await pendingNotices()).toEqual([]);
  });

  test('closes those in conversations although the inbox hangs', async () => {
    const { john, conversationId } = await acquainted();
    const johns = await openChat(conversationId, john.access);
    const released = Promise.withResolvers<void>();
    notified(async () => released.promise);
    const signingOut = signOut(john);
    expect(await johns.closed).toEqual(ENDED);
    released.resolve();
    await signingOut;
  });

  test('keeps out whoever was about to connect with its token', async () => {
    const john = await signedIn('John');
    const connecting = inboxConnectRequest(await inboxConnectOf(john));
    await endSessionAndDie(john);
    await cronRun();
    const answer = await inboxOf(john.id).fetch(connecting);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ reason: 'session_ended' });
  });

  test('is forgotten once its last access token has expired', async () => {
    const john = await signedIn('John');
    await signOut(john);
    expect(await inInbox(john, 'SELECT * FROM ended_sessions')).toHaveLength(1);
    vi.useFakeTimers({ now: Date.now() + ACCESS_TOKEN_LIFETIME_S * 1000, toFake: ['Date'] });
    await inboxOf(john.id).notify({ ended_sessions: [], user_changed: false });
    expect(await inInbox(john, 'SELECT * FROM ended_sessions')).toEqual([]);
  });
});

test('a token that expires closes its socket with 4401, by the alarm at that time', async () => {
  const john = await signedIn('John');
  const johns = await openInbox(john.access);
  const { exp } = await claimsOf(john.access);
  await johns.settled();
  vi.useFakeTimers({ now: exp * 1000, toFake: ['Date'] });
  expect(await runDurableObjectAlarm(inboxOf(john.id))).toBe(true);
  expect(await johns.closed).toEqual({ code: 4401, reason: 'The token has expired.' });
});

describe('an account that is deleted', () => {
  test('has its inbox closed: sockets, rows, and whatever comes later', async () => {
    const { john, ray, conversationId } = await acquainted();
    const johns = await openInbox(john.access);
    const connecting = inboxConnectRequest(await inboxConnectOf(john));
    await erase(john);
    expect(await johns.closed).toMatchObject({ code: 4410 });

    await inboxOf(john.id).feed(conversationId, {
      epoch: 1,
      rev: 1000,
      row: {
        kind: 'direct',
        title: null,
        peer: { user_id: ray.id, first_name: 'Ray', last_name: 'Doe' },
        n: 1000,
        read: 0,
        unread: 1,
        last: { sender_id: ray.id, text: 'too late', created_at: Date.now() },
      },
    });
    for (const table of ['conversations', 'contacts', 'ended_sessions']) {
      expect(await inInbox(john, `SELECT * FROM ${table}`)).toEqual([]);
    }
    expect(await inInbox(john, 'SELECT epoch, closed_at IS NOT NULL AS closed FROM inbox')).toEqual([
      { epoch: 0, closed: 1 },
    ]);
    expect(await (await inboxOf(john.id).fetch(connecting)).json()).toMatchObject({ reason: 'account_closed' });
    const range = { unread: false, archived: false, limit: 10 };
    expect(await inboxOf(john.id).list({ epoch: 1, shows_presence: true }, range)).toBeUndefined();
    const again = await connectInbox(john.access);
    expect(await again.closed).toMatchObject({ code: 4401 });
  });

  test('leaves no trace of who it was in any inbox', async () => {
    const { john, ray, conversationId } = await acquainted();
    const [first, last] = [crypto.randomUUID(), crypto.randomUUID()];
    const renaming = await api('/api/me/', {
      method: 'PATCH',
      token: john.access,
      json: { first_name: first, last_name: last },
    });
    expect(renaming.status).toBe(200);
    await write(conversationId, john, 'what stays');
    expect(await inboxRow(ray.id, conversationId)).toMatchObject({ peer: { first_name: first, last_name: last } });
    await erase(john);
    await fed(conversationId);
    expect(await inboxRow(ray.id, conversationId)).toMatchObject({
      peer: { user_id: john.id, first_name: 'Deleted user', last_name: '' },
      last: { text: 'what stays' },
    });
    const stored = await everyStore();
    for (const trace of [first, last, john.email]) expect(stored).not.toContain(trace);
  });

  test('is made up for by the cron run if the Worker died', async () => {
    const { john } = await acquainted();
    const johns = await openInbox(john.access);
    expect(await deleteAccount(db, john.id, undefined, SOURCE, Date.now())).toBe(true);
    await johns.settled();
    await cronRun();
    expect(await johns.closed).toMatchObject({ code: 4410 });
    const isClosed = await runInDurableObject(inboxOf(john.id), (_, { storage }) => new InboxStore(storage).isClosed);
    expect(isClosed).toBe(true);
  });
});
