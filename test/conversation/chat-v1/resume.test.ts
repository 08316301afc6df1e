import { afterEach, describe, expect, test } from 'vitest';
import { CHANGES_MAX_ROWS, MESSAGE_MAX_LENGTH, PAGE_MAX_BYTES, PAGE_SIZE } from '../../../src/config.ts';
import { answer } from '../../../src/conversation/rules.ts';
import type { ConversationStore } from '../../../src/conversation/store.ts';
import { encodeFrame, type ServerFrame } from '../../../src/protocol/server-frames.ts';
import { utf8Bytes } from '../../../src/protocol/text.ts';
import { settings } from '../../../src/settings.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { rename, versionOf } from '../../helpers/directory.ts';
import { changeUnheard, everythingSeenBy, Follower, notify } from '../../helpers/follower.ts';
import { pairInConversation } from '../../helpers/people.ts';

const standard = { ...settings };

/** What a frame has beside its rows: less than this. */
const ENVELOPE_BYTES = 300;

const bytesOf = (frame: ServerFrame) => utf8Bytes(encodeFrame(frame));

/** john and ray, whose follower was there from the start and has just closed its socket. */
async function rayWentAway() {
  const pair = await pairInConversation();
  const rays = await Follower.open(pair.conversationId, pair.ray);
  const johns = await openChat(pair.conversationId, pair.john.access);
  await rays.socket.settled();
  rays.socket.close(1000);
  await rays.socket.closed;
  return { ...pair, johns, rays };
}

function send(store: ConversationStore, sender: { id: string }, count: number, text = 'message'): void {
  for (let i = 0; i < count; i += 1) {
    answer(store, sender.id, { type: 'send', ref: crypto.randomUUID(), text: `${text} ${i}` }, Date.now());
  }
}

afterEach(() => {
  Object.assign(settings, standard);
});

describe('rule 4, a resume is complete or refused', () => {
  test('a cursor that holds is resumed without a snapshot, and `sync` fetches what was missed', async () => {
    const { johns, rays, john, conversationId } = await rayWentAway();
    for (const text of ['one', 'two']) await johns.say(text);
    const welcome = await rays.connect();
    expect(welcome).toMatchObject({ resumed: true, epoch: 1, rev: 6 });
    expect(welcome).not.toHaveProperty('snapshot');
    const pages = await rays.catchUp();
    expect(pages).toMatchObject([{ after: 2, rev: 6, messages: [{ n: 1 }, { n: 2 }], more: false }]);
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('a cursor at the head is resumed too, and `sync` has nothing to tell', async () => {
    const { rays } = await rayWentAway();
    expect(await rays.connect()).toMatchObject({ resumed: true, rev: 2 });
    expect(await rays.catchUp()).toMatchObject([{ after: 2, rev: 2, messages: [], members: [], more: false }]);
  });

  test.each<[string, (cursor: { after: number; epoch: number }) => { after: number; epoch: number } | undefined]>([
    ['no cursor', () => undefined],
    ['a cursor of an older epoch', ({ after, epoch }) => ({ after, epoch: epoch - 1 })],
    ['a cursor of a later epoch', ({ after, epoch }) => ({ after, epoch: epoch + 1 })],
    ['a cursor that is ahead', ({ after, epoch }) => ({ after: after + 3, epoch })],
  ])('%s gets a snapshot of everything, as of the rev of the welcome', async (_, change) => {
    const { johns, john, ray, rays, conversationId } = await rayWentAway();
    await johns.say('one');
    const cursor = rays.replica.cursor;
    if (!cursor) throw new Error('The follower was never welcomed.');
    const { welcome } = await openChat(conversationId, ray.access, { cursor: change(cursor) });
    expect(welcome).toMatchObject({ resumed: false, epoch: 1, rev: 4, snapshot: { messages: [{ n: 1 }] } });
    const members = (await everythingSeenBy(conversationId, john)).members;
    expect(welcome.snapshot?.members).toHaveLength(2);
    expect(welcome.snapshot?.members).toEqual(expect.arrayContaining(members));
  });

  test('as many changed rows as the limit are resumed, one more gets a snapshot', async () => {
    Object.assign(settings, { resumeRows: 5 });
    const { johns, rays } = await rayWentAway();
    const cursor = rays.replica.cursor;
    // Four messages and their sender's marks are five rows, by eight changes.
    for (const text of ['one', 'two', 'three', 'four']) await johns.say(text);
    const welcome = await rays.connect(cursor);
    expect(welcome).toMatchObject({ resumed: true, limits: { resume_rows: 5 }, rev: 10 });
    // A row that changes again is no row more.
    await johns.ok({ type: 'edit', n: 1, text: 'uno' });
    expect(await rays.connect(cursor)).toMatchObject({ resumed: true, rev: 11 });
    await johns.say('five');
    const { resumed, snapshot } = await rays.connect(cursor);
    expect(resumed).toBe(false);
    expect(snapshot?.messages.map(({ text }) => text)).toEqual(['uno', 'two', 'three', 'four', 'five']);
  });

  test('members are rows too, which count', async () => {
    Object.assign(settings, { resumeRows: 1 });
    const { john, ray, rays, conversationId } = await rayWentAway();
    const cursor = rays.replica.cursor;
    await rename(conversationId, john.id, 'Johnny');
    expect(await rays.connect(cursor)).toMatchObject({ resumed: true });
    await rename(conversationId, ray.id, 'Raymond');
    expect(await rays.connect(cursor)).toMatchObject({ resumed: false });
  });

  test('a snapshot has the newest messages by n, also where old ones have changed since', async () => {
    const { johns, john, rays, conversationId } = await rayWentAway();
    await changeUnheard(conversationId, (store) => send(store, john, 2 * PAGE_SIZE));
    await johns.ok({ type: 'edit', n: 1, text: 'changed' });
    const { snapshot } = await rays.connectAnew();
    expect(snapshot?.messages.map(({ n }) => n)).toEqual(
      Array.from({ length: PAGE_SIZE }, (_, i) => PAGE_SIZE + i + 1),
    );
    await rays.loadAll();
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('`sync` with a cursor that is ahead is refused, and the socket stays open', async () => {
    const { johns } = await rayWentAway();
    expect(await johns.refused({ type: 'sync', after: 3 })).toBe('unknown_cursor');
    expect(await johns.sync(2)).toMatchObject([{ after: 2, rev: 2 }]);
  });
});

describe('rule 4, pages are bounded, and complete together', () => {
  test('in rows', async () => {
    const { john, rays, conversationId } = await rayWentAway();
    await changeUnheard(conversationId, (store) => send(store, john, 2 * CHANGES_MAX_ROWS));
    await rays.connect();
    const pages = await rays.catchUp();
    // All but the last one are full: a member's row makes it one more.
    expect(pages.map(({ messages, members }) => messages.length + members.length)).toEqual([
      CHANGES_MAX_ROWS,
      CHANGES_MAX_ROWS,
      1,
    ]);
    expect(pages.map(({ more }) => more)).toEqual([true, true, false]);
    expect(pages.map(({ after }) => after)).toEqual([2, ...pages.slice(0, -1).map(({ rev }) => rev)]);
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('in rows exactly: a page that is just full is the last one', async () => {
    const { john, rays, conversationId } = await rayWentAway();
    await changeUnheard(conversationId, (store) => send(store, john, CHANGES_MAX_ROWS - 1));
    await rays.connect();
    expect(await rays.catchUp()).toMatchObject([{ more: false, rev: 2 * CHANGES_MAX_ROWS }]);
  });

  test.each([
    ['of one byte each', 'x'],
    ['of three bytes', '€'],
    ['of four bytes', '😀'],
    ['that JSON escapes', '\u0001'],
  ])('in bytes, with long texts %s', async (_, character) => {
    const { john, rays, conversationId } = await rayWentAway();
    const text = character.repeat(MESSAGE_MAX_LENGTH - 10);
    await changeUnheard(conversationId, (store) => send(store, john, CHANGES_MAX_ROWS, text));
    await rays.connect();
    const pages = await rays.catchUp();
    expect(pages.length).toBeGreaterThan(2);
    for (const page of pages) expect(bytesOf(page)).toBeLessThanOrEqual(PAGE_MAX_BYTES + ENVELOPE_BYTES);
    // Nor are they much smaller than they may be.
    for (const page of pages.slice(0, -1)) expect(bytesOf(page)).toBeGreaterThan(PAGE_MAX_BYTES / 2);
    const history = await rays.loadAll();
    for (const page of history) expect(bytesOf(page)).toBeLessThanOrEqual(PAGE_MAX_BYTES + ENVELOPE_BYTES);
    expect(bytesOf(await rays.connectAnew())).toBeLessThanOrEqual(PAGE_MAX_BYTES + 2 * PAGE_SIZE * ENVELOPE_BYTES);
    await rays.loadAll();
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('a row that moves while a client pages is seen once more, and none is missed', async () => {
    const { johns, john, rays, conversationId } = await rayWentAway();
    await changeUnheard(conversationId, (store) => send(store, john, 2 * CHANGES_MAX_ROWS));
    await rays.connect();
    let turn = 0;
    const pages = await rays.catchUp(async () => {
      turn += 1;
      if (turn > 1) return;
      await johns.ok({ type: 'edit', n: 1, text: 'seen before' });
      await johns.ok({ type: 'edit', n: CHANGES_MAX_ROWS + 50, text: 'not seen yet' });
    });
    const ns = pages.flatMap(({ messages }) => messages.map(({ n }) => n));
    expect(ns.filter((n) => n === 1)).toHaveLength(2);
    expect(ns.filter((n) => n === CHANGES_MAX_ROWS + 50)).toHaveLength(1);
    expect(new Set(ns).size).toBe(2 * CHANGES_MAX_ROWS);
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });

  test('new messages that arrive between the pages are not lost, though they are beyond the cursor then', async () => {
    const { johns, john, rays, conversationId } = await rayWentAway();
    await changeUnheard(conversationId, (store) => send(store, john, 3 * CHANGES_MAX_ROWS));
    await rays.connect();
    let sawGap = false;
    await rays.catchUp(async () => {
      if (rays.live.length > 0) return;
      const { n } = await johns.say('meanwhile');
      await rays.socket.next('changes', ({ messages }) => messages.some((message) => message.n === n));
      rays.hear();
      sawGap = rays.replica.gap;
      expect(rays.replica.messages.has(n)).toBe(false);
    });
    expect(sawGap).toBe(true);
    expect(rays.replica.gap).toBe(false);
    expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
  });
});

describe('members travel in `changes`, as messages do', () => {
  test('a new name, live and after an absence', async () => {
    const { johns, john, rays, conversationId } = await rayWentAway();
    await rename(conversationId, john.id, 'Johnny');
    await notify(conversationId, await versionOf(conversationId));
    expect(await johns.next('changes')).toMatchObject({
      after: 2,
      rev: 3,
      messages: [],
      members: [{ user_id: john.id, rev: 3, first_name: 'Johnny' }],
    });
    await rays.connect();
    await rays.catchUp();
    expect(rays.replica.members.get(john.id)).toMatchObject({ rev: 3, first_name: 'Johnny' });
  });
});
