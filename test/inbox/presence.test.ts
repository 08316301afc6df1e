import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CONTACTS_MAX, PRESENCE_CHECK_MS, SILENT_AFTER_MS } from '../../src/config.ts';
import { Inbox } from '../../src/inbox/inbox.ts';
import { InboxStore } from '../../src/inbox/store.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { finished } from '../helpers/finished.ts';
import { inboxOf } from '../helpers/inbox.ts';
import { acquaintanceOf, acquainted, inboxAlarm, inInbox, write } from '../helpers/inbox-pair.ts';
import { openInbox, type InboxSocket } from '../helpers/inbox-socket.ts';
import { createMany, pairInConversation, signedIn, type Person } from '../helpers/people.ts';

type Presence = { online: boolean; last_seen: number | null };

/** The next that is told of somebody. */
async function toldOf(socket: InboxSocket, { id }: Person): Promise<Presence> {
  const { online, last_seen } = await socket.next('presence', ({ user_id }) => user_id === id);
  return { online, last_seen };
}

const HERE = { online: true, last_seen: null };
const GONE = { online: false, last_seen: expect.any(Number) };

/** What a new socket is told in its welcome. */
async function welcomeOf(person: Person) {
  return (await openInbox(person.access)).welcome.presence;
}

/** What has been told, but not taken, once everything that an inbox tells others has arrived. */
async function presenceAt(socket: InboxSocket) {
  await socket.settled();
  return socket.pending.filter(({ type }) => type === 'presence');
}

/** john and ray, who have written to each other and are both here, and know it. */
async function bothHere() {
  const pair = await acquainted();
  const johns = await openInbox(pair.john.access);
  const rays = await openInbox(pair.ray.access);
  expect(await toldOf(johns, pair.ray)).toEqual(HERE);
  expect(await toldOf(rays, pair.john)).toEqual(HERE);
  return { ...pair, johns, rays };
}

async function show({ access }: Person, show_presence: 'contacts' | 'nobody'): Promise<void> {
  const answer = await finished('/api/me/', { method: 'PATCH', token: access, json: { show_presence } });
  expect(answer.status).toBe(200);
}

const block = async (one: Person, other: Person) =>
  expect((await finished(`/api/users/${other.id}/block/`, { method: 'PUT', token: one.access })).status).toBe(204);

/** From now on the clock stands, so much later. */
function later(milliseconds: number): void {
  vi.useFakeTimers({ now: Date.now() + milliseconds, toFake: ['Date'] });
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('somebody whom one has written with', () => {
  test('is told to be here, to whoever was here before and to whoever comes after', async () => {
    const { john, ray } = await bothHere();
    expect(await welcomeOf(john)).toEqual([{ user_id: ray.id, ...HERE }]);
    expect(await welcomeOf(ray)).toEqual([{ user_id: john.id, ...HERE }]);
  });

  test('is told to be here as soon as they write for the first time', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const [johns, rays] = [await openInbox(john.access), await openInbox(ray.access)];
    await write(conversationId, ray);
    expect(await toldOf(johns, ray)).toEqual(HERE);
    expect(await toldOf(rays, john)).toEqual(HERE);
  });

  test('is told to have gone when their last socket closes, and since when', async () => {
    const { john, ray, johns, rays } = await bothHere();
    const second = await openInbox(ray.access);
    rays.close(1000);
    await rays.closed;
    await second.settled();
    expect(await presenceAt(johns)).toEqual([]);
    second.close(1000);
    expect(await toldOf(johns, ray)).toEqual(GONE);
    expect(await welcomeOf(john)).toEqual([{ user_id: ray.id, ...GONE }]);
  });

  test('is told to have gone when nothing was heard of them for long, and to be back when something is', async () => {
    const { ray, johns, rays } = await bothHere();
    later(SILENT_AFTER_MS);
    await johns.settled();
    await runDurableObjectAlarm(inboxOf(ray.id));
    expect(await toldOf(johns, ray)).toEqual(GONE);
    await rays.settled();
    expect(await toldOf(johns, ray)).toEqual(HERE);
  });

  test('is looked for every few minutes while they are here, and no more once they have gone', async () => {
    const { ray, johns } = await bothHere();
    const at = await inboxAlarm(ray);
    expect(at).toBeLessThanOrEqual(Date.now() + PRESENCE_CHECK_MS);
    later(PRESENCE_CHECK_MS);
    await johns.settled();
    await runDurableObjectAlarm(inboxOf(ray.id));
    expect(await toldOf(johns, ray)).toEqual(GONE);
    // What is left is the end of the token.
    expect(await inboxAlarm(ray)).toBeGreaterThan(Date.now() + PRESENCE_CHECK_MS);
  });

  test('is told to have gone also if both inboxes have slept', async () => {
    const { john, ray, johns, rays } = await bothHere();
    for (const { id } of [john, ray]) await evictDurableObject(inboxOf(id));
    rays.close(1000);
    expect(await toldOf(johns, ray)).toEqual(GONE);
  });

  test('whose inbox cannot be reached harms nothing', async () => {
    const { john } = await acquainted();
    vi.spyOn(Inbox.prototype, 'presence').mockRejectedValue(new Error('The inbox is not well.'));
    const johns = await openInbox(john.access);
    await johns.settled();
    expect(johns.welcome.snapshot?.conversations).toHaveLength(1);
  });
});

describe('nothing is told', () => {
  test('of strangers, although they are here', async () => {
    const { john, johns } = await bothHere();
    const stranger = await openInbox((await signedIn('Stranger')).access);
    await stranger.settled();
    expect(await presenceAt(johns)).toEqual([]);
    expect(await welcomeOf(john)).toHaveLength(1);
    expect(stranger.welcome.presence).toEqual([]);
  });

  test.each([
    ['has blocked', (john: Person, ray: Person) => block(john, ray)],
    ['is blocked by', (john: Person, ray: Person) => block(ray, john)],
  ])('of whom one %s', async (_, make) => {
    const { john, ray } = await acquainted();
    await make(john, ray);
    const [johns, rays] = [await openInbox(john.access), await openInbox(ray.access)];
    // Somebody whom nothing separates, and who is therefore told after them.
    const selena = await acquaintanceOf(john);
    const selenas = await openInbox(selena.access);
    expect(await toldOf(johns, selena)).toEqual(HERE);
    expect(await toldOf(selenas, john)).toEqual(HERE);
    expect(await presenceAt(johns)).toEqual([]);
    expect(await presenceAt(rays)).toEqual([]);
  });

  test('any more when one blocks the other while both are here', async () => {
    const { john, ray, johns, rays } = await bothHere();
    await block(john, ray);
    const nothing = { online: false, last_seen: null };
    expect(await toldOf(johns, ray)).toEqual(nothing);
    expect(await toldOf(rays, john)).toEqual(nothing);
    expect(await welcomeOf(john)).toEqual([]);
    rays.close(1000);
    await rays.closed;
    expect(await presenceAt(johns)).toEqual([]);
  });

  test('of whoever lets nobody see it, who still hears of others', async () => {
    const { john, ray } = await acquainted();
    await show(ray, 'nobody');
    const johns = await openInbox(john.access);
    const rays = await openInbox(ray.access);
    expect(await toldOf(rays, john)).toEqual(HERE);
    expect(await presenceAt(johns)).toEqual([]);
    johns.close(1000);
    expect(await toldOf(rays, john)).toEqual(GONE);
    rays.close(1000);
    await rays.closed;
    expect(await welcomeOf(john)).toEqual([]);
  });

  test('any more of whoever hides it while they are here, until they show it again', async () => {
    const { ray, johns } = await bothHere();
    await show(ray, 'nobody');
    expect(await toldOf(johns, ray)).toEqual({ online: false, last_seen: null });
    await show(ray, 'contacts');
    expect(await toldOf(johns, ray)).toEqual(HERE);
  });

  test(`to more than the ${CONTACTS_MAX} that one has talked to last`, async () => {
    const john = await signedIn('John');
    const ids = await createMany(CONTACTS_MAX + 5, () => ({ first_name: 'Ana', last_name: 'Doe' }));
    await runInDurableObject(inboxOf(john.id), (_, { storage }) => {
      const store = new InboxStore(storage);
      for (const [i, user_id] of ids.entries()) {
        const peer = { user_id, first_name: 'Ana', last_name: 'Doe' };
        const last = { sender_id: user_id, text: 'Hello', created_at: 1000 + i };
        const row = { kind: 'direct', title: null, peer, n: 1, read: 0, unread: 1, last } as const;
        store.apply(crypto.randomUUID(), { epoch: 1, rev: 1, row });
      }
    });
    const presence = Object.getOwnPropertyDescriptor(Inbox.prototype, 'presence')?.value as Inbox['presence'];
    const asked: string[] = [];
    vi.spyOn(Inbox.prototype, 'presence').mockImplementation(async function first(this: Inbox, ...told) {
      asked.push(this['ctx'].id.name ?? '');
      return presence.apply(this, told);
    });
    await openInbox(john.access);
    await vi.waitFor(async () => expect(await inInbox(john, 'SELECT * FROM contacts')).toHaveLength(CONTACTS_MAX));
    expect(asked.toSorted()).toEqual(ids.slice(5).toSorted());
  });
});

test('who is only in a conversation, and has no inbox open, is not told to be here', async () => {
  const { john, ray, conversationId } = await acquainted();
  const johns = await openInbox(john.access);
  await openChat(conversationId, ray.access);
  expect(await presenceAt(johns)).toEqual([]);
});
