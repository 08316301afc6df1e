import { describe, expect, it } from 'vitest';
import { REACTION_KINDS_MAX } from '../../../src/config.ts';
import { Caller } from '../../helpers/caller.ts';
import { EMOJI } from '../../helpers/emoji.ts';
import { query, storedMessages, storedTexts } from '../../helpers/conversation.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** A conversation in which john has said something. */
async function said(text = 'Hello') {
  const { john, ray, conversationId } = await pairInConversation();
  const [johns, rays] = [new Caller(conversationId, john), new Caller(conversationId, ray)];
  return { john, ray, conversationId, johns, rays, first: await johns.say(text) };
}

const reactionsOf = async (caller: Caller, n = 1) => (await caller.messages()).body.messages[n - 1].reactions;

describe('an edit', () => {
  it('is answered 200 with the message’s n and its new rev, and keeps all but text and time of editing', async () => {
    const { johns, conversationId, first } = await said();
    const [before] = await storedMessages(conversationId);
    const { status, body } = await johns.edit(1, 'Hello, edited');
    expect(status).toBe(200);
    expect(body).toEqual({ n: 1, rev: expect.any(Number) });
    expect(body.rev).toBeGreaterThan(first.rev);
    expect(await storedMessages(conversationId)).toEqual([
      { ...before, rev: body.rev, text: 'Hello, edited', edited_at: expect.any(Number) },
    ]);
  });

  it('may be a form', async () => {
    const { johns, conversationId } = await said();
    const body = new URLSearchParams({ text: 'Hello, edited' });
    expect((await johns.ask('messages/1/', { method: 'PATCH', body })).status).toBe(200);
    expect(await storedTexts(conversationId)).toEqual(['Hello, edited']);
  });

  it.each([
    ['without a text', {}, 'This field is required.'],
    ['of null', { text: null }, 'Not a valid string.'],
    ['of a number', { text: 5 }, 'Not a valid string.'],
    ['that is blank', { text: ' ' }, 'This field is blank.'],
    ['of 4,001 characters', { text: 'a'.repeat(4001) }, 'This field is longer than 4000 characters.'],
    ['with a lone surrogate', { text: '\udc00' }, 'This field contains half of a surrogate pair.'],
  ])('%s is refused by field', async (_, json, problem) => {
    const { johns, conversationId } = await said();
    const { status, body } = await johns.ask('messages/1/', { method: 'PATCH', json });
    expect(status).toBe(400);
    expect(body).toEqual({ text: [problem] });
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });
});

describe('a deletion', () => {
  it('takes text and reactions, and leaves the place', async () => {
    const { johns, rays, conversationId } = await said();
    await rays.react(1, '👍');
    const { status, body } = await johns.remove(1);
    expect(status).toBe(200);
    expect(body).toEqual({ n: 1, rev: expect.any(Number) });
    expect((await rays.messages()).body.messages).toMatchObject([
      { n: 1, rev: body.rev, text: null, deleted_at: expect.any(Number), reactions: [] },
    ]);
    expect(JSON.stringify(await storedMessages(conversationId))).not.toContain('Hello');
  });

  it('of a deleted message is answered 200 and changes nothing', async () => {
    const { johns } = await said();
    const { body } = await johns.remove(1);
    const again = await johns.remove(1);
    expect(again.status).toBe(200);
    expect(again.body).toEqual(body);
  });
});

describe('a reaction', () => {
  it.each(EMOJI)('of %s is put and taken back', async (emoji) => {
    const { john, johns } = await said();
    const { status, body } = await johns.react(1, emoji);
    expect(status).toBe(200);
    expect(body).toEqual({ n: 1, rev: expect.any(Number) });
    expect(await reactionsOf(johns)).toEqual([{ emoji, user_ids: [john.id] }]);
    expect((await johns.unreact(1, emoji)).status).toBe(200);
    expect(await reactionsOf(johns)).toEqual([]);
  });

  it('without the selector of its colour is the same as with it', async () => {
    const { john, ray, johns, rays } = await said();
    await johns.react(1, '\u2764');
    await rays.react(1, '\u2764\ufe0f');
    expect(await reactionsOf(johns)).toEqual([{ emoji: '\u2764\ufe0f', user_ids: [john.id, ray.id] }]);
    await johns.unreact(1, '\u2764\ufe0f');
    await rays.unreact(1, '\u2764');
    expect(await reactionsOf(johns)).toEqual([]);
  });

  it('that is there already, or gone already, changes nothing', async () => {
    const { johns } = await said();
    const { body } = await johns.react(1, '👍');
    expect((await johns.react(1, '👍')).body).toEqual(body);
    const { body: gone } = await johns.unreact(1, '👍');
    expect((await johns.unreact(1, '👍')).body).toEqual(gone);
  });

  it.each([
    ['a letter', 'a'],
    ['a digit', '1'],
    ['two emoji', '👍👍'],
    ['an emoji and a space', '👍%20'],
    ['white space', '%20'],
    ['a selector alone', '%EF%B8%8F'],
    ['half of a flag', '%F0%9F%87%A9'],
    ['bytes that are no UTF-8', '%ff'],
    ['half of an emoji’s bytes', '%F0%9F'],
    ['half a surrogate pair, as CESU-8 has it', '%ED%A0%BD'],
    ['an escape that is none', '%zz'],
    ['an emoji that is encoded twice', encodeURIComponent(encodeURIComponent('👍'))],
    ['null', '%00'],
    ['markup', '%3Cb%3E'],
    ['thousands of emoji', '👍'.repeat(3000)],
  ])('of %s is refused', async (_, emoji) => {
    const { johns } = await said();
    for (const method of ['PUT', 'DELETE']) {
      const { status, body } = await johns.ask(`messages/1/reactions/${emoji}/`, { method });
      expect(status).toBe(400);
      expect(body).toEqual({ emoji: ['The path does not end with one emoji, percent-encoded.'] });
    }
    expect(await reactionsOf(johns)).toEqual([]);
  });

  it('of one kind more than a message may have is refused 409, others join those that are there', async () => {
    const { johns, rays, conversationId } = await said();
    const kinds = EMOJI.slice(0, REACTION_KINDS_MAX);
    for (const emoji of kinds) expect((await johns.react(1, emoji)).status).toBe(200);
    const { status, body } = await rays.react(1, EMOJI[REACTION_KINDS_MAX] ?? '');
    expect(status).toBe(409);
    expect(body).toEqual({ detail: expect.stringContaining(String(REACTION_KINDS_MAX)), code: 'too_many_reactions' });
    expect((await rays.react(1, kinds[0] ?? '')).status).toBe(200);
    expect(await query(conversationId, 'SELECT * FROM reactions')).toHaveLength(REACTION_KINDS_MAX + 1);
  });
});

describe('a message that is', () => {
  const CHANGES: [string, (caller: Caller, n: number | string) => ReturnType<Caller['edit']>][] = [
    ['edited', (caller, n) => caller.edit(n, 'changed')],
    ['deleted', (caller, n) => caller.remove(n)],
    ['reacted to', (caller, n) => caller.react(n, '👍')],
    ['no longer reacted to', (caller, n) => caller.unreact(n, '👍')],
  ];

  it.each(CHANGES.slice(0, 2))('someone else’s is not %s', async (_, change) => {
    const { rays, conversationId } = await said();
    const { status, body } = await change(rays, 1);
    expect(status).toBe(403);
    expect(body).toEqual({ detail: expect.any(String), code: 'not_your_message' });
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });

  it.each(CHANGES.filter(([what]) => what !== 'deleted'))('deleted is not %s', async (_, change) => {
    const { johns, conversationId } = await said();
    await johns.remove(1);
    const before = await storedMessages(conversationId);
    const { status, body } = await change(johns, 1);
    expect(status).toBe(409);
    expect(body).toEqual({ detail: expect.any(String), code: 'message_deleted' });
    expect(await storedMessages(conversationId)).toEqual(before);
  });

  it.each(CHANGES)('not there is not %s: 404', async (_, change) => {
    const { johns } = await said();
    for (const n of [2, Number.MAX_SAFE_INTEGER]) {
      const { status, body } = await change(johns, n);
      expect(status).toBe(404);
      expect(body).toEqual({ detail: expect.stringContaining(String(n)), code: 'no_such_message' });
    }
  });

  it.each(CHANGES)('named by anything but a number is not %s: 404', async (_, change) => {
    const { johns, conversationId } = await said();
    for (const n of ['0', '-1', '+1', '1.5', '1e0', '0x1', 'one', '%20', '１', '9007199254740993', '9'.repeat(400)]) {
      const { status, body } = await change(johns, n);
      expect({ n, status }).toEqual({ n, status: 404 });
      expect(body).toEqual({ detail: 'Not found.' });
    }
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });
});
