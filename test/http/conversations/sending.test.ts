import { describe, expect, it } from 'vitest';
import { Caller } from '../../helpers/caller.ts';
import { storedMessages, storedTexts } from '../../helpers/conversation.ts';
import { pairInConversation } from '../../helpers/people.ts';

async function pair() {
  const { john, ray, conversationId } = await pairInConversation();
  return {
    john,
    ray,
    conversationId,
    johns: new Caller(conversationId, john),
    rays: new Caller(conversationId, ray),
  };
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe('a message that is sent', () => {
  it('is answered 201 with its n, rev, id and time, by which it is stored', async () => {
    const { john, johns, conversationId } = await pair();
    const { status, body } = await johns.send('Hello', 'first');
    expect(status).toBe(201);
    expect(body).toEqual({
      n: 1,
      rev: expect.any(Number),
      id: expect.stringMatching(UUID),
      created_at: expect.any(Number),
    });
    expect(await storedMessages(conversationId)).toEqual([
      {
        ...body,
        sender_id: john.id,
        ref: 'first',
        text: 'Hello',
        reply_to: null,
        edited_at: null,
        deleted_at: null,
      },
    ]);
  });

  it('may answer another one', async () => {
    const { johns, rays, conversationId } = await pair();
    await johns.say('Hello');
    expect((await rays.send('Hello yourself', undefined, { reply_to: 1 })).status).toBe(201);
    expect((await johns.send('Nothing', undefined, { reply_to: null })).status).toBe(201);
    expect(await storedMessages(conversationId)).toMatchObject([
      { reply_to: null },
      { text: 'Hello yourself', reply_to: 1 },
      { text: 'Nothing', reply_to: null },
    ]);
  });

  it.each([
    ['spaces around it', '  padded\n'],
    ['characters of every kind', 'Ünï😀 <b>&"\u2028\0'],
    ['4,000 characters of which each takes two units', '😀'.repeat(4000)],
    ['what looks like a number', '0012'],
  ])('is stored as it was said: with %s', async (_, text) => {
    const { johns, conversationId } = await pair();
    expect((await johns.send(text)).status).toBe(201);
    expect(await storedTexts(conversationId)).toEqual([text]);
  });

  it('may be a form, in which reply_to is made of digits', async () => {
    const { johns, conversationId } = await pair();
    await johns.say('Hello');
    const body = new URLSearchParams({ text: 'Grüße & 😀', reply_to: '1' });
    expect((await johns.ask('messages/', { body })).status).toBe(201);
    expect((await storedMessages(conversationId))[1]).toMatchObject({ text: 'Grüße & 😀', reply_to: 1 });
  });

  it('may be a multipart form', async () => {
    const { johns, conversationId } = await pair();
    await johns.say('Hello');
    const body = new FormData();
    body.set('text', 'Grüße & 😀');
    body.set('reply_to', '1');
    expect((await johns.ask('messages/', { body, key: 'form' })).status).toBe(201);
    expect((await storedMessages(conversationId))[1]).toMatchObject({ text: 'Grüße & 😀', reply_to: 1, ref: 'form' });
  });

  it('may have 4,000 characters of a form, of which each takes twelve', async () => {
    const { johns, conversationId } = await pair();
    const body = new URLSearchParams({ text: '😀'.repeat(4000) });
    expect((await johns.ask('messages/', { body })).status).toBe(201);
    expect(await storedTexts(conversationId)).toEqual(['😀'.repeat(4000)]);
  });

  it('with keys that nobody knows is stored all the same', async () => {
    const { johns, conversationId } = await pair();
    expect((await johns.send('Hello', undefined, { sender_id: 'me', n: 7, type: 'delete' })).status).toBe(201);
    expect(await storedMessages(conversationId)).toMatchObject([{ n: 1, text: 'Hello' }]);
  });
});

describe('a message is refused, and nothing is stored,', () => {
  it.each([
    ['without a text', {}, { text: ['This field is required.'] }],
    ['of null', { text: null }, { text: ['Not a valid string.'] }],
    ['of a number', { text: 5 }, { text: ['Not a valid string.'] }],
    ['of true', { text: true }, { text: ['Not a valid string.'] }],
    ['of a list', { text: ['Hello'] }, { text: ['Not a valid string.'] }],
    ['of an object', { text: { toString: 'Hello' } }, { text: ['Not a valid string.'] }],
    ['that is empty', { text: '' }, { text: ['This field is blank.'] }],
    ['of white space', { text: ' \n\t\u00a0\u2003' }, { text: ['This field is blank.'] }],
    ['of 4,001 characters', { text: 'a'.repeat(4001) }, { text: ['This field is longer than 4000 characters.'] }],
    [
      'of 4,001 characters of which each takes two units',
      { text: '😀'.repeat(4001) },
      { text: ['This field is longer than 4000 characters.'] },
    ],
    ['with a lone surrogate', { text: 'a\ud83d' }, { text: ['This field contains half of a surrogate pair.'] }],
    ['with a reply_to of words', { text: 'a', reply_to: 'one' }, { reply_to: ['A valid integer is required.'] }],
    ['with a reply_to of true', { text: 'a', reply_to: true }, { reply_to: ['A valid integer is required.'] }],
    ['with a reply_to of a list', { text: 'a', reply_to: [1] }, { reply_to: ['A valid integer is required.'] }],
    ['with a reply_to of nothing', { text: 'a', reply_to: '' }, { reply_to: ['A valid integer is required.'] }],
    ['with a reply_to of 1.5', { text: 'a', reply_to: 1.5 }, { reply_to: ['A valid integer is required.'] }],
    ['with a reply_to of -1', { text: 'a', reply_to: -1 }, { reply_to: ['A valid integer is required.'] }],
    ['with a reply_to of 1e21', { text: 'a', reply_to: 1e21 }, { reply_to: ['A valid integer is required.'] }],
    ['with a reply_to of 2^53', { text: 'a', reply_to: 2 ** 53 }, { reply_to: ['A valid integer is required.'] }],
    [
      'with a reply_to of 0',
      { text: 'a', reply_to: 0 },
      { reply_to: ['Ensure this value is greater than or equal to 1.'] },
    ],
    [
      'with everything wrong, and told all of it',
      { text: ' ', reply_to: 'one' },
      { text: ['This field is blank.'], reply_to: ['A valid integer is required.'] },
    ],
  ])('%s', async (_, json, errors) => {
    const { johns, conversationId } = await pair();
    await johns.say('Hello');
    const { status, body } = await johns.ask('messages/', { json });
    expect(status).toBe(400);
    expect(body).toEqual(errors);
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });

  it.each([
    ['that is not there', 2],
    ['of the largest number', Number.MAX_SAFE_INTEGER],
  ])('as an answer to a message %s', async (_, reply_to) => {
    const { johns, conversationId } = await pair();
    await johns.say('Hello');
    const { status, body } = await johns.send('a', 'key', { reply_to });
    expect(status).toBe(400);
    expect(body).toEqual({ detail: expect.stringContaining(String(reply_to)), code: 'unknown_reply_to' });
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });

  it('of a form with a file for a text', async () => {
    const { johns, conversationId } = await pair();
    await johns.say('Hello');
    const body = new FormData();
    body.set('text', new File(['Hello'], 'hello.txt'));
    const answer = await johns.ask('messages/', { body });
    expect(answer.status).toBe(400);
    expect(answer.body).toEqual({ text: ['Not a valid string.'] });
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });

  it.each([
    ['without a body', {}, 400],
    ['of half a JSON text', { body: '{"text":', headers: { 'Content-Type': 'application/json' } }, 400],
    ['of a JSON list', { json: ['Hello'] }, 400],
    ['of a type that is neither JSON nor a form', { body: 'Hello', headers: { 'Content-Type': 'text/plain' } }, 415],
    ['of more than 64 KiB', { json: { text: 'a', padding: 'a'.repeat(64 * 1024) } }, 413],
  ])('%s', async (_, init, expected) => {
    const { johns, conversationId } = await pair();
    await johns.say('Hello');
    expect((await johns.ask('messages/', { method: 'POST', ...init })).status).toBe(expected);
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });
});
