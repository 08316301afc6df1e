import { afterEach, describe, expect, it, vi } from 'vitest';
import { CHANGES_MAX_ROWS, PAGE_SIZE } from '../../../src/config.ts';
import type { MessageRow } from '../../../src/protocol/rows.ts';
import { settings } from '../../../src/settings.ts';
import { Caller } from '../../helpers/caller.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { raiseEpoch, rename, setLeft, versionOf } from '../../helpers/directory.ts';
import { changeUnheard } from '../../helpers/follower.ts';
import { pairInConversation } from '../../helpers/people.ts';

const { resumeRows } = settings;
afterEach(() => {
  Object.assign(settings, { resumeRows });
  vi.useRealTimers();
});

async function pair() {
  const { john, ray, conversationId } = await pairInConversation();
  return { john, ray, conversationId, johns: new Caller(conversationId, john), rays: new Caller(conversationId, ray) };
}

type Cursor = { rev: number; epoch: number };
const since = ({ rev, epoch }: Cursor) => `?after=${rev}&epoch=${epoch}`;

describe('without a cursor', () => {
  it('changes are a snapshot: the newest messages and all members, as of a rev', async () => {
    const { john, ray, johns, rays } = await pair();
    await johns.say('Hello');
    await rays.react(1, '👍');
    const { status, body } = await johns.changes();
    expect(status).toBe(200);
    expect(body).toEqual({
      epoch: 1,
      resumed: false,
      rev: 5,
      messages: (await johns.messages()).body.messages,
      members: expect.any(Array),
    });
    const members = Object.fromEntries(body.members.map((member: { user_id: string }) => [member.user_id, member]));
    expect(members).toMatchObject({
      [john.id]: { first_name: 'John', last_name: 'Doe', role: 'member', read: 1, delivered: 1, left_at: null },
      [ray.id]: { first_name: 'Ray', read: 0, delivered: 0, left_at: null },
    });
    expect(body.members).toHaveLength(2);
  });

  it('changes are what a socket is welcomed with', async () => {
    const { ray, rays, johns, conversationId } = await pair();
    await johns.say('Hello');
    const { welcome } = await openChat(conversationId, ray.access);
    const { epoch, rev, resumed, snapshot } = welcome;
    expect((await rays.changes()).body).toEqual({ epoch, rev, resumed, ...snapshot });
  });

  it('changes hold no more messages than a page, and the cursor is behind all of them', async () => {
    const { john, johns, conversationId } = await pair();
    await johns.changes();
    await changeUnheard(conversationId, (store) => {
      for (let i = 0; i < 150; i += 1) store.append({ sender_id: john.id, ref: null, text: 'Hello', now: i });
    });
    const { body } = await johns.changes();
    expect(body.messages.map(({ n }: MessageRow) => n)).toEqual(Array.from({ length: PAGE_SIZE }, (_, i) => 51 + i));
    expect((await johns.changes(since(body))).body).toMatchObject({ resumed: true, messages: [], members: [] });
  });
});

describe('with a cursor', () => {
  it('changes are the rows that have changed since, as they stand now', async () => {
    const { ray, johns, rays, conversationId } = await pair();
    await johns.say('one');
    await johns.say('two');
    await johns.say('three');
    const { body: cursor } = await rays.changes();
    await johns.edit(1, 'one, edited');
    await johns.edit(1, 'one, edited again');
    await rays.react(3, '👍');
    await rays.mark({ read: 2 });
    await rename(conversationId, ray.id, 'Raymond');
    const { body } = await rays.changes(since(cursor));
    expect(body).toMatchObject({ epoch: 1, resumed: true, after: cursor.rev, rev: cursor.rev + 5, more: false });
    expect(body.messages).toMatchObject([
      { n: 1, text: 'one, edited again' },
      { n: 3, reactions: [{ emoji: '👍' }] },
    ]);
    expect(body.members).toMatchObject([{ user_id: ray.id, first_name: 'Raymond', read: 2 }]);
  });

  it('changes of nothing leave the cursor where it is', async () => {
    const { johns } = await pair();
    await johns.say('Hello');
    const { body: cursor } = await johns.changes();
    expect((await johns.changes(since(cursor))).body).toEqual({
      epoch: 1,
      resumed: true,
      after: cursor.rev,
      rev: cursor.rev,
      messages: [],
      members: [],
      more: false,
    });
  });

  it('from the very beginning changes are everything', async () => {
    const { johns } = await pair();
    await johns.say('Hello');
    const { body } = await johns.changes('?after=0&epoch=1');
    expect(body).toMatchObject({ resumed: true, messages: [{ n: 1 }], more: false });
    expect(body.members).toHaveLength(2);
  });

  it('changes come in pages, `more` says so, and asking from each `rev` gives every row exactly once', async () => {
    const { john, johns, conversationId } = await pair();
    let { body: cursor } = await johns.changes();
    await changeUnheard(conversationId, (store) => {
      for (let i = 0; i < 450; i += 1) store.append({ sender_id: john.id, ref: null, text: `${i}`, now: i });
    });
    const [seen, mores]: [number[], boolean[]] = [[], []];
    do {
      const { body } = await johns.changes(since(cursor));
      expect(body).toMatchObject({ resumed: true, after: cursor.rev });
      expect(body.messages.length).toBeLessThanOrEqual(CHANGES_MAX_ROWS);
      seen.push(...body.messages.map(({ n }: MessageRow) => n));
      mores.push(body.more);
      cursor = body;
    } while (cursor.more);
    expect(mores).toEqual([true, true, false]);
    expect(seen).toEqual(Array.from({ length: 450 }, (_, i) => i + 1));
  });

  it('behind which more has changed than a client should read, changes are a snapshot', async () => {
    const { johns } = await pair();
    const { body: cursor } = await johns.changes();
    Object.assign(settings, { resumeRows: 4 });
    for (const text of ['1', '2', '3']) await johns.say(text);
    // Three messages, and the marks of their sender.
    expect((await johns.changes(since(cursor))).body).toMatchObject({ resumed: true });
    await johns.say('4');
    expect((await johns.changes(since(cursor))).body).toMatchObject({ resumed: false, members: [{}, {}] });
  });

  it('ahead of the conversation, changes are a snapshot', async () => {
    const { johns } = await pair();
    await johns.say('Hello');
    const { body: cursor } = await johns.changes();
    for (const rev of [cursor.rev + 1, Number.MAX_SAFE_INTEGER]) {
      const { status, body } = await johns.changes(since({ ...cursor, rev }));
      expect(status).toBe(200);
      expect(body).toEqual(cursor);
    }
  });

  it.each([0, 2, Number.MAX_SAFE_INTEGER])('of epoch %d, which is another, changes are a snapshot', async (epoch) => {
    const { johns } = await pair();
    await johns.say('Hello');
    const { body: cursor } = await johns.changes();
    expect((await johns.changes(since({ ...cursor, epoch }))).body).toEqual(cursor);
  });

  it('of a history that was replaced, changes are a snapshot of the new one, from which they go on', async () => {
    const { johns, conversationId } = await pair();
    await johns.say('Hello');
    const { body: old } = await johns.changes();
    await raiseEpoch(conversationId);
    const { body: cursor } = await johns.changes(since(old));
    expect(cursor).toMatchObject({ epoch: 2, resumed: false, messages: [{ n: 1 }] });
    await johns.say('Hello again');
    expect((await johns.changes(since(cursor))).body).toMatchObject({ epoch: 2, resumed: true, messages: [{ n: 2 }] });
  });

  it('changes tell who has left', async () => {
    const { ray, johns, conversationId } = await pair();
    const { body: cursor } = await johns.changes();
    await setLeft(conversationId, ray.id, 1_700_000_000_000);
    expect((await johns.changes(since(cursor))).body).toMatchObject({
      rev: cursor.rev + 1,
      members: [{ user_id: ray.id, left_at: 1_700_000_000_000 }],
    });
    expect((await versionOf(conversationId)).version).toBe(2);
  });
});

describe('a cursor', () => {
  it.each(['?after=1', '?epoch=1', '?after=0', '?epoch=0'])(
    'of which half is missing is refused: %s',
    async (query) => {
      const { johns } = await pair();
      const { status, body } = await johns.changes(query);
      expect(status).toBe(400);
      expect(body).toEqual({ non_field_errors: ['Give both "after" and "epoch", or neither.'] });
    },
  );

  it.each(['', 'x', '-1', '1.5', '1e3', '%20', 'null'])('of "%s" is refused by name', async (value) => {
    const { johns } = await pair();
    for (const name of ['after', 'epoch']) {
      const query = name === 'after' ? `?after=${value}&epoch=1` : `?after=1&epoch=${value}`;
      const { status, body } = await johns.changes(query);
      expect(status).toBe(400);
      expect(body).toEqual({ [name]: ['A valid integer is required.'] });
    }
  });
});
