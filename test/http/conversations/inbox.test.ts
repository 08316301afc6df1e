import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, test, vi } from 'vitest';
import { PAGE_SIZE, PINS_MAX } from '../../../src/config.ts';
import { openDirectConversation } from '../../../src/directory/conversations.ts';
import { directory } from '../../../src/directory/database.ts';
import { InboxStore } from '../../../src/inbox/store.ts';
import type { InboxRow } from '../../../src/protocol/inbox-frames.ts';
import { settings } from '../../../src/settings.ts';
import { api, type ApiAnswer } from '../../helpers/api.ts';
import { Caller, nextOf } from '../../helpers/caller.ts';
import { query } from '../../helpers/conversation.ts';
import { feedOf, fillInbox, type Standing } from '../../helpers/filled-inbox.ts';
import { fed, inboxOf } from '../../helpers/inbox.ts';
import { openInbox } from '../../helpers/inbox-socket.ts';
import { pairInConversation, signedIn, type Person } from '../../helpers/people.ts';

const { rateBurst, ratePerSecond } = settings;

afterEach(() => {
  vi.useRealTimers();
  Object.assign(settings, { rateBurst, ratePerSecond });
});

async function list({ access }: Person, parameters = ''): Promise<ApiAnswer> {
  return api(`/api/conversations/${parameters}`, { token: access });
}

/** The conversations of a list. */
async function listed(person: Person, parameters = ''): Promise<InboxRow[]> {
  const { status, body } = await list(person, parameters);
  if (status !== 200) throw new Error(`Not a list: ${status} ${JSON.stringify(body)}`);
  return body.conversations;
}

/** The pages that a list has, by its links; after each but the last, `between` is done. */
async function pagesOf(
  person: Person,
  parameters = '',
  between: () => Promise<unknown> = async () => undefined,
): Promise<InboxRow[][]> {
  const pages: InboxRow[][] = [];
  for (let path: string | undefined = `/api/conversations/${parameters}`; path !== undefined;) {
    if (pages.length > 0) await between();
    const answer: ApiAnswer = await api(path, { token: person.access });
    expect(answer.status).toBe(200);
    pages.push(answer.body.conversations);
    path = nextOf(answer);
    expect(answer.body.next === null).toBe(path === undefined);
  }
  return pages;
}

async function set({ access }: Person, conversationId: string, json: unknown): Promise<ApiAnswer> {
  return api(`/api/conversations/${conversationId}/`, { method: 'PATCH', token: access, json });
}

const newestFirst = (rows: readonly InboxRow[]) =>
  rows.toSorted((a, b) => b.last.created_at - a.last.created_at || (a.conversation < b.conversation ? 1 : -1));

/** A person as a row shows them. */
const peerOf = ({ id, first_name, last_name }: Person) => ({ user_id: id, first_name, last_name });

/** So many conversations, of which two each were active at the same time. */
const many = (count: number): Standing[] => Array.from({ length: count }, (_, i) => ({ at: Math.floor(i / 2) }));

describe('the list of conversations', () => {
  it('is empty for someone who has none', async () => {
    const { status, headers, body } = await list(await signedIn());
    expect(status).toBe(200);
    expect(body).toEqual({
      epoch: 1,
      rev: 0,
      conversations: [],
      next: null,
      total: { messages: 0, conversations: 0 },
    });
    expect(headers.get('Link')).toBeNull();
  });

  it('has a conversation from its first message on, as its members have it', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await new Caller(conversationId, john).changes();
    expect(await listed(john)).toEqual([]);
    const { created_at } = await new Caller(conversationId, ray).say('Hello');
    await fed(conversationId);
    const row = {
      conversation: conversationId,
      rev: 1,
      kind: 'direct',
      title: null,
      n: 1,
      marked_unread: false,
      last: { n: 1, sender_id: ray.id, text: 'Hello', created_at },
      muted_until: null,
      pinned: false,
      archived: false,
    };
    expect((await list(john)).body).toEqual({
      epoch: 1,
      rev: 1,
      conversations: [{ ...row, peer: peerOf(ray), read: 0, unread: 1 }],
      next: null,
      total: { messages: 1, conversations: 1 },
    });
    expect((await list(ray)).body).toMatchObject({
      conversations: [{ ...row, peer: peerOf(john), read: 1, unread: 0 }],
      total: { messages: 0, conversations: 0 },
    });
  });

  it('begins with the newest activity, and orders the same time by id', async () => {
    const john = await signedIn();
    const rows = await fillInbox(john.id, many(9).toReversed());
    expect(await listed(john)).toEqual(newestFirst(rows));
  });

  it.each([1, 4, 10, 25])('has every conversation once, in pages of %d', async (limit) => {
    const john = await signedIn();
    const rows = await fillInbox(john.id, many(25));
    const pages = await pagesOf(john, `?limit=${limit}`);
    expect(pages.flat()).toEqual(newestFirst(rows));
    expect(pages.map(({ length }) => length).slice(0, -1)).toEqual(Array(Math.ceil(25 / limit) - 1).fill(limit));
  });

  it(`has ${PAGE_SIZE} a page, unless asked otherwise`, async () => {
    const john = await signedIn();
    await fillInbox(john.id, many(PAGE_SIZE + 1));
    expect((await pagesOf(john)).map(({ length }) => length)).toEqual([PAGE_SIZE, 1]);
  });

  it('has every conversation once even if its texts are too large for a page', async () => {
    const john = await signedIn();
    // Each character takes six bytes of JSON.
    const rows = await fillInbox(
      john.id,
      many(PAGE_SIZE).map((standing) => ({ ...standing, text: '\u0001'.repeat(600) })),
    );
    const pages = await pagesOf(john);
    expect(pages.length).toBeGreaterThan(1);
    expect(pages.flat()).toEqual(newestFirst(rows));
  });

  it('shows none twice, and misses none that rests, while others become active', async () => {
    const john = await signedIn();
    const rows = newestFirst(await fillInbox(john.id, many(20)));
    const moving = rows.filter((_, i) => i % 5 === 4);
    let moved = 0;
    const pages = await pagesOf(john, '?limit=3', async () => {
      const next = moving[moved];
      moved += 1;
      if (next) await inboxOf(john.id).feed(next.conversation, feedOf({ n: 2, at: 100 + moved }));
    });
    const ids = pages.flat().map(({ conversation }) => conversation);
    expect(new Set(ids)).toHaveLength(ids.length);
    const resting = rows.filter((row) => !moving.includes(row)).map(({ conversation }) => conversation);
    expect(ids.filter((id) => resting.includes(id))).toEqual(resting);
  });

  it('leads on in its body as it does in its header', async () => {
    const john = await signedIn();
    await fillInbox(john.id, many(3));
    const { headers, body } = await list(john, '?limit=2');
    expect(headers.get('Link')).toBe(`</api/conversations/?before=${body.next}&limit=2>; rel="next"`);
    expect(await listed(john, `?before=${body.next}`)).toHaveLength(1);
  });
});

/** Two each of everything that a filter can tell apart. */
async function mixed() {
  const john = await signedIn();
  const kinds: Standing[] = [
    {},
    { n: 5, read: 2, unread: 3 },
    { marked_unread: true },
    { archived: true },
    { archived: true, n: 5, read: 2, unread: 3 },
    { archived: true, marked_unread: true },
    { n: 5, read: 3, unread: 2, muted_until: Number.MAX_SAFE_INTEGER },
    { pinned: true },
  ];
  return {
    john,
    rows: await fillInbox(
      john.id,
      [...kinds, ...kinds].map((kind, at) => ({ ...kind, at })),
    ),
  };
}
const isUnread = ({ unread, marked_unread }: InboxRow) => unread > 0 || marked_unread;

describe('the filters of the list', () => {
  it.each([
    ['', false, false],
    ['archived=false&unread=false', false, false],
    ['unread=true', true, false],
    ['archived=true', false, true],
    ['unread=true&archived=true', true, true],
  ])('apply to every page, and Link keeps them: %s', async (filters, unread, archived) => {
    const { john, rows } = await mixed();
    const expected = newestFirst(rows).filter((row) => row.archived === archived && (!unread || isUnread(row)));
    expect(expected.length).toBeGreaterThan(3);
    const pages = await pagesOf(john, `?limit=3&${filters}`);
    expect(pages.length).toBeGreaterThan(1);
    expect(pages.flat()).toEqual(expected);
  });

  it('leave the total alone, which has neither what is archived nor what is muted', async () => {
    const { john } = await mixed();
    for (const filters of ['', '?unread=true', '?archived=true', '?limit=1']) {
      expect((await list(john, filters)).body.total).toEqual({ messages: 6, conversations: 4 });
    }
  });

  it.each([
    ['limit', '0', 'Ensure this value is greater than or equal to 1.'],
    ['limit', String(PAGE_SIZE + 1), `Ensure this value is less than or equal to ${PAGE_SIZE}.`],
    ['limit', '9007199254740993', 'A valid integer is required.'],
    ['limit', '-1', 'A valid integer is required.'],
    ['limit', '1.5', 'A valid integer is required.'],
    ['limit', 'all', 'A valid integer is required.'],
    ['limit', '', 'A valid integer is required.'],
    ['unread', 'True', 'Must be a valid boolean.'],
    ['unread', '1', 'Must be a valid boolean.'],
    ['unread', '', 'Must be a valid boolean.'],
    ['archived', 'null', 'Must be a valid boolean.'],
    ['archived', 'falsetrue', 'Must be a valid boolean.'],
    ['before', '', 'This is not the "next" of a page.'],
    ['before', '1', 'This is not the "next" of a page.'],
    ['before', '-1.00000000-0000-4000-8000-000000000000', 'This is not the "next" of a page.'],
    ['before', '1e3.00000000-0000-4000-8000-000000000000', 'This is not the "next" of a page.'],
    ['before', '1.00000000-0000-4000-8000-000000000000\n', 'This is not the "next" of a page.'],
    ['before', "1.' OR 1 = 1 --", 'This is not the "next" of a page.'],
  ])('are refused if they are wrong: %s=%s', async (name, value, message) => {
    const john = await signedIn();
    const { status, body } = await list(john, `?${name}=${encodeURIComponent(value)}`);
    expect(status).toBe(400);
    expect(body).toEqual({ [name]: [message] });
  });

  it('are told of all at once', async () => {
    const { body } = await list(await signedIn(), '?limit=0&unread=x&archived=x&before=x');
    expect(Object.keys(body).toSorted()).toEqual(['archived', 'before', 'limit', 'unread']);
  });

  it('may begin where nothing is', async () => {
    const john = await signedIn();
    const rows = await fillInbox(john.id, [{ at: 5 }]);
    const id = '00000000-0000-4000-8000-000000000000';
    expect(await listed(john, `?before=5.${id}`)).toEqual([]);
    expect(await listed(john, `?before=6.${id}`)).toEqual(rows);
    expect(await listed(john, `?before=999999999999999.${id}`)).toEqual(rows);
  });
});

it('an inbox that was closed while its request was on its way is that of nobody', async () => {
  const john = await signedIn();
  await runInDurableObject(inboxOf(john.id), (_, { storage }) => new InboxStore(storage).close(Date.now()));
  const { status, headers, body } = await list(john);
  expect(status).toBe(401);
  expect(headers.get('WWW-Authenticate')).toBe('Bearer realm="api"');
  expect(body).toEqual({ detail: 'User not found', code: 'user_not_found' });
});

/** john and ray, and ray has said three things that are in john's inbox. */
async function said() {
  const pair = await pairInConversation();
  const rays = new Caller(pair.conversationId, pair.ray);
  for (const text of ['one', 'two', 'three']) await rays.say(text);
  await fed(pair.conversationId);
  return { ...pair, rays, johns: new Caller(pair.conversationId, pair.john) };
}

/** How far john has read, as his conversation has it. */
async function readBy({ id }: Person, conversationId: string): Promise<number | undefined> {
  const [row] = await query<{ read: number }>(conversationId, 'SELECT read FROM members WHERE user_id = ?', id);
  return row?.read;
}

const UNREAD = { messages: 3, conversations: 1 };
const NOTHING = { messages: 0, conversations: 0 };

describe('a setting of a conversation', () => {
  it.each([
    ['pinned', { pinned: true }, UNREAD],
    ['archived', { archived: true }, NOTHING],
    ['muted', { muted_until: Number.MAX_SAFE_INTEGER }, NOTHING],
    ['muted until a time that has passed', { muted_until: 5 }, UNREAD],
    ['marked unread', { unread: true }, UNREAD],
    ['several at once', { pinned: true, archived: true, muted_until: 5, unread: true }, NOTHING],
  ])('is answered with how it stands then, as the list has it: %s', async (_, setting, total) => {
    const { john, conversationId } = await said();
    const [before] = await listed(john);
    const { unread, ...shown } = { unread: undefined, ...setting };
    const { status, body } = await set(john, conversationId, setting);
    expect(status).toBe(200);
    expect(body).toEqual({ ...before, ...shown, marked_unread: unread === true, rev: body.rev });
    expect(body.rev).toBeGreaterThan(before?.rev ?? Infinity);
    const answer = await list(john, body.archived ? '?archived=true' : '');
    expect(answer.body).toMatchObject({ conversations: [body], rev: body.rev, total });
  });

  it('is taken back as it was made', async () => {
    const { john, conversationId } = await said();
    const [before] = await listed(john);
    await set(john, conversationId, { pinned: true, archived: true, muted_until: 5 });
    const { body } = await set(john, conversationId, { pinned: false, archived: false, muted_until: null });
    expect(body).toEqual({ ...before, rev: body.rev });
    expect(await listed(john)).toEqual([body]);
    expect(await listed(john, '?archived=true')).toEqual([]);
  });

  it('that changes nothing takes no rev', async () => {
    const { john, conversationId } = await said();
    const { body } = await set(john, conversationId, { pinned: true, muted_until: 7 });
    expect((await set(john, conversationId, { pinned: true, muted_until: 7, archived: false })).body).toEqual(body);
    expect((await list(john)).body.rev).toBe(body.rev);
  });

  it('leaves what it does not name', async () => {
    const { john, conversationId } = await said();
    await set(john, conversationId, { pinned: true, muted_until: 7 });
    expect((await set(john, conversationId, { archived: true })).body).toMatchObject({
      pinned: true,
      muted_until: 7,
      archived: true,
    });
  });

  it('is told to the sockets of the inbox', async () => {
    const { john, conversationId } = await said();
    const socket = await openInbox(john.access);
    const { body } = await set(john, conversationId, { pinned: true });
    expect(await socket.row(conversationId, ({ pinned }) => pinned)).toEqual(body);
  });

  it('archives until there is a newer message', async () => {
    const { john, conversationId, rays } = await said();
    await set(john, conversationId, { archived: true });
    expect(await listed(john)).toEqual([]);
    await rays.say('four');
    await fed(conversationId);
    expect(await listed(john)).toMatchObject([{ archived: false, n: 4 }]);
    expect(await listed(john, '?archived=true')).toEqual([]);
  });

  it('by which everything is read is answered when the conversation knows of it', async () => {
    const { john, conversationId } = await said();
    const { status, body } = await set(john, conversationId, { unread: false });
    expect(status).toBe(200);
    expect(body).toMatchObject({ n: 3, read: 3, unread: 0, marked_unread: false });
    expect(await readBy(john, conversationId)).toBe(3);
    expect((await list(john)).body).toMatchObject({ conversations: [body], total: NOTHING });
  });

  it('marks as unread what was read, until that is read again', async () => {
    const { john, conversationId } = await said();
    await set(john, conversationId, { unread: false });
    expect((await set(john, conversationId, { unread: true })).body).toMatchObject({
      read: 3,
      unread: 0,
      marked_unread: true,
    });
    expect(await readBy(john, conversationId)).toBe(3);
    expect((await list(john, '?unread=true')).body).toMatchObject({
      conversations: [{ conversation: conversationId }],
      total: { messages: 0, conversations: 1 },
    });
    await set(john, conversationId, { unread: false });
    expect((await list(john, '?unread=true')).body).toMatchObject({ conversations: [], total: NOTHING });
  });

  it('may come from a form', async () => {
    const { john, conversationId } = await said();
    const body = new URLSearchParams({ pinned: 'true', archived: 'false', muted_until: '12', unread: 'false' });
    const answer = await api(`/api/conversations/${conversationId}/`, { method: 'PATCH', token: john.access, body });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ pinned: true, archived: false, muted_until: 12, unread: 0 });
  });
});

/** Expects that john's inbox, and the conversation, are the same before and after. */
async function unchanged(john: Person, conversationId: string, refused: () => Promise<unknown>): Promise<void> {
  const look = async () => [
    (await list(john)).body,
    (await list(john, '?archived=true')).body,
    await readBy(john, conversationId),
  ];
  const before = await look();
  await refused();
  expect(await look()).toEqual(before);
}

describe('a setting that is refused changes nothing', () => {
  const NOT_A_BOOLEAN = ['Must be a valid boolean.'];
  const NOT_AN_INTEGER = ['A valid integer is required.'];
  const SETS_NOTHING = { non_field_errors: ['Give "muted_until", "pinned", "archived" or "unread".'] };

  it.each([
    [{}, SETS_NOTHING],
    [{ colour: 'red' }, SETS_NOTHING],
    [{ pinned: 1 }, { pinned: NOT_A_BOOLEAN }],
    [{ pinned: 'True' }, { pinned: NOT_A_BOOLEAN }],
    [{ pinned: 'yes', archived: true }, { pinned: NOT_A_BOOLEAN }],
    [{ archived: [] }, { archived: NOT_A_BOOLEAN }],
    [{ unread: null }, { unread: ['This field may not be null.'] }],
    [{ unread: {}, pinned: true }, { unread: NOT_A_BOOLEAN }],
    [{ muted_until: '2026-11-24T00:00:00Z' }, { muted_until: NOT_AN_INTEGER }],
    [{ muted_until: -1 }, { muted_until: NOT_AN_INTEGER }],
    [{ muted_until: 1.5 }, { muted_until: NOT_AN_INTEGER }],
    [{ muted_until: 2 ** 53 }, { muted_until: NOT_AN_INTEGER }],
    [{ muted_until: true }, { muted_until: NOT_AN_INTEGER }],
    [
      { muted_until: 'soon', pinned: 2, archived: 'no', unread: null },
      {
        muted_until: NOT_AN_INTEGER,
        pinned: NOT_A_BOOLEAN,
        archived: NOT_A_BOOLEAN,
        unread: ['This field may not be null.'],
      },
    ],
    [[{ pinned: true }], { non_field_errors: ['Invalid data. Expected a dictionary, but got list.'] }],
  ])('by its body: %j', async (json, errors) => {
    const { john, conversationId } = await said();
    await unchanged(john, conversationId, async () => {
      const { status, body } = await set(john, conversationId, json);
      expect(status).toBe(400);
      expect(body).toEqual(errors);
    });
  });

  it('since there is no such conversation', async () => {
    const { john, conversationId } = await said();
    await unchanged(john, conversationId, async () => {
      for (const id of [crypto.randomUUID(), 'all', '1']) {
        expect((await set(john, id, { pinned: true })).status).toBe(404);
      }
    });
  });

  it('since the conversation has no message yet', async () => {
    const { john, conversationId } = await pairInConversation();
    for (const setting of [{ pinned: true }, { unread: false }, { unread: true }]) {
      const { status, body } = await set(john, conversationId, setting);
      expect(status).toBe(404);
      expect(body).toEqual({ detail: 'Your inbox has no such conversation.', code: 'no_such_conversation' });
    }
    expect((await list(john)).body).toMatchObject({ rev: 0, conversations: [] });
  });

  it(`since ${PINS_MAX} are pinned, until one of them is not any more`, async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    const [pinned] = await fillInbox(
      john.id,
      Array.from({ length: PINS_MAX }, () => ({ pinned: true })),
    );
    const conversation = await openDirectConversation(directory(env.DB), john.id, ray.id, Date.now());
    const id = conversation?.id ?? '';
    await new Caller(id, ray).say('Hello');
    await fed(id);
    await unchanged(john, id, async () => {
      const { status, body } = await set(john, id, { pinned: true, archived: true, unread: true, muted_until: 5 });
      expect(status).toBe(409);
      expect(body).toEqual({ detail: expect.stringContaining(`${PINS_MAX} conversations`), code: 'too_many_pins' });
    });
    expect((await set(john, id, { archived: true })).status).toBe(200);
    await inboxOf(john.id).set({ epoch: 1, shows_presence: true }, pinned?.conversation ?? '', { pinned: false });
    expect((await set(john, id, { pinned: true })).status).toBe(200);
    // One of those that are pinned may be pinned again.
    expect((await set(john, id, { pinned: true })).status).toBe(200);
  });

  it('since its user asks for too much at once', async () => {
    const { john, conversationId } = await said();
    // The clock stands still, so that no tokens come back.
    vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
    Object.assign(settings, { rateBurst: 2, ratePerSecond: 0.5 });
    for (const pinned of [true, false]) expect((await set(john, conversationId, { pinned })).status).toBe(200);
    await unchanged(john, conversationId, async () => {
      const { status, headers, body } = await set(john, conversationId, { pinned: true });
      expect(status).toBe(429);
      expect(headers.get('Retry-After')).toBe('2');
      expect(body).toMatchObject({ code: 'rate_limited' });
    });
    vi.setSystemTime(Date.now() + 2000);
    expect((await set(john, conversationId, { pinned: true })).status).toBe(200);
  });
});

test('what is read while the conversation fails stays unread, and the request may be repeated', async () => {
  const { john, conversationId } = await said();
  await query(conversationId, `CREATE TRIGGER broken AFTER UPDATE ON members BEGIN SELECT raise(ABORT, 'broken'); END`);
  const { status, headers, body } = await set(john, conversationId, { unread: false });
  expect(status).toBe(503);
  expect(headers.get('Retry-After')).toBe('1');
  expect(body).toMatchObject({ code: 'unavailable' });
  expect(await listed(john)).toMatchObject([{ read: 0, unread: 3 }]);
  await query(conversationId, 'DROP TRIGGER broken');
  expect((await set(john, conversationId, { unread: false })).body).toMatchObject({ read: 3, unread: 0 });
});
