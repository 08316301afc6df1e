import { describe, expect, it } from 'vitest';
import { Caller } from '../../helpers/caller.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { query, storedMessages, storedTexts } from '../../helpers/conversation.ts';
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

describe('a request with the Idempotency-Key of an earlier one', () => {
  it('is answered 200 with the original n, rev, id and time, whatever has happened since and whatever it says', async () => {
    const { johns, rays, conversationId } = await pair();
    const original = await johns.say('Hello', 'key');
    await rays.say('in between');
    await johns.edit(1, 'Hello, edited');
    await rays.react(1, '👍');
    for (const text of ['Hello', 'something else']) {
      const { status, body } = await johns.send(text, 'key');
      expect(status).toBe(200);
      expect(body).toEqual({ ...original, duplicate: true });
    }
    await johns.remove(1);
    expect((await johns.send('Hello', 'key')).body).toEqual({ ...original, duplicate: true });
    expect(await storedTexts(conversationId)).toEqual([null, 'in between']);
  });

  it('changes nothing for an edit, a deletion and a reaction either, and takes no rev', async () => {
    const { johns, conversationId } = await pair();
    await johns.say('Hello');
    const requests = [
      () => johns.edit(1, 'edited', 'key of the edit'),
      () => johns.react(1, '👍', 'key of the reaction'),
      () => johns.unreact(1, '👍', 'key of its end'),
      () => johns.remove(1, 'key of the deletion'),
    ];
    const originals = [];
    for (const request of requests) originals.push((await request()).body);
    const before = await storedMessages(conversationId);
    for (const [index, request] of requests.entries()) {
      const { status, body } = await request();
      expect(status).toBe(200);
      expect(body).toEqual({ ...originals[index], duplicate: true });
    }
    expect(await storedMessages(conversationId)).toEqual(before);
    expect((await johns.changes()).body.rev).toBe(originals.at(-1).rev);
  });

  it('50 times at once stores one message', async () => {
    const { johns, conversationId } = await pair();
    const answers = await Promise.all(Array.from({ length: 50 }, () => johns.send('Hello', 'key')));
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([...Array(49).fill(200), 201]);
    expect(new Set(answers.map(({ body }) => body.id))).toHaveLength(1);
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });

  it('may have it in quotes or not', async () => {
    const { johns, conversationId } = await pair();
    const original = await johns.say('Hello', 'a key');
    expect((await johns.send('Hello', '"a key"')).body).toEqual({ ...original, duplicate: true });
    const quoted = await johns.say('Goodbye', '"another"');
    expect((await johns.send('Goodbye', 'another')).body).toEqual({ ...quoted, duplicate: true });
    expect(await storedMessages(conversationId)).toMatchObject([{ ref: 'a key' }, { ref: 'another' }]);
  });

  it('of another member, or in another conversation, is another request', async () => {
    const { john, johns, rays } = await pair();
    await johns.say('Hello', 'key');
    expect((await rays.send('Hello', 'key')).status).toBe(201);
    const elsewhere = await pairInConversation();
    expect((await new Caller(elsewhere.conversationId, elsewhere.john).send('Hello', 'key')).status).toBe(201);
    expect(john.id).not.toBe(elsewhere.john.id);
  });

  it('that differs in case is another request', async () => {
    const { johns } = await pair();
    await johns.say('Hello', 'key');
    expect((await johns.send('Hello', 'KEY')).status).toBe(201);
  });
});

describe('an Idempotency-Key', () => {
  it.each([
    ['of one character', 'a'],
    ['of 64 characters', 'a'.repeat(64)],
    ['of 64 characters in quotes', `"${'a'.repeat(64)}"`],
    ['of a single quote sign', '"'],
    ['that is SQL', "'; DROP TABLE messages; --"],
    ['that JavaScript has a use for', '__proto__'],
  ])('%s is a good one', async (_, key) => {
    const { johns, conversationId } = await pair();
    const original = await johns.say('Hello', key);
    expect((await johns.send('Hello', key)).body).toEqual({ ...original, duplicate: true });
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });

  it.each([
    ['that is empty', ''],
    ['that is empty in quotes', '""'],
    ['of white space', '   '],
    ['of 65 characters', 'a'.repeat(65)],
    ['of 65 characters in quotes', `"${'a'.repeat(65)}"`],
    ['of thousands of characters', 'a'.repeat(5000)],
  ])('%s is refused by name, in every request that takes one', async (_, key) => {
    const { johns, conversationId } = await pair();
    await johns.say('Hello');
    const before = await query(conversationId, 'SELECT * FROM operations');
    for (const { status, body } of [
      await johns.send('again', key),
      await johns.edit(1, 'edited', key),
      await johns.react(1, '👍', key),
      await johns.unreact(1, '👍', key),
      await johns.remove(1, key),
    ]) {
      expect(status).toBe(400);
      expect(body).toEqual({ 'Idempotency-Key': ['The key does not have 1 to 64 characters of Unicode.'] });
    }
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
    expect(await query(conversationId, 'SELECT * FROM operations')).toEqual(before);
  });

  it('that is left out makes every request a new message, with a ref of its own', async () => {
    const { johns, conversationId } = await pair();
    for (let i = 0; i < 3; i += 1) await johns.say('Hello');
    const stored = await storedMessages(conversationId);
    expect(stored).toHaveLength(3);
    expect(new Set(stored.map(({ ref }) => ref))).toHaveLength(3);
  });

  it('of a request that was refused may be used again', async () => {
    const { johns, conversationId } = await pair();
    expect((await johns.send('too soon', 'key', { reply_to: 1 })).status).toBe(400);
    expect((await johns.send(' ', 'key')).status).toBe(400);
    expect((await johns.send('Hello', 'key')).status).toBe(201);
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });
});

it('an Idempotency-Key that is not ASCII is refused: servers read its bytes in different ways', async () => {
  const { johns, conversationId } = await pair();
  await johns.say('first');
  const { status, body } = await johns.send('Hello', 'schl\u00fcssel');
  expect(status).toBe(400);
  expect(body).toEqual({ 'Idempotency-Key': ['The key has characters that are not ASCII.'] });
  expect(await storedTexts(conversationId)).toEqual(['first']);
});

describe('a ref, which is the key of a frame,', () => {
  it('that was first sent over a socket is known to a request', async () => {
    const { john, johns, conversationId } = await pair();
    const socket = await openChat(conversationId, john.access);
    const { type: _, ref: __, ...original } = await socket.say('Hello', { ref: 'key' });
    const { status, body } = await johns.send('Hello', 'key');
    expect(status).toBe(200);
    expect(body).toEqual({ ...original, duplicate: true });
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });

  it('that was first sent in a request is known to a socket', async () => {
    const { john, johns, conversationId } = await pair();
    const socket = await openChat(conversationId, john.access);
    const original = await johns.say('Hello', 'key');
    expect(await socket.say('Hello', { ref: 'key' })).toEqual({
      type: 'ok',
      ref: 'key',
      ...original,
      duplicate: true,
    });
    expect(await storedTexts(conversationId)).toEqual(['Hello']);
  });

  it('that was used for an edit, a deletion or a reaction is known both ways as well', async () => {
    const { john, johns, conversationId } = await pair();
    const socket = await openChat(conversationId, john.access);
    await johns.say('Hello');
    const edit = await socket.ok({ type: 'edit', ref: 'edit', n: 1, text: 'edited' });
    expect((await johns.edit(1, 'edited again', 'edit')).body).toEqual({ n: 1, rev: edit.rev, duplicate: true });
    const { body: reaction } = await johns.react(1, '👍', 'react');
    expect(await socket.ok({ type: 'react', ref: 'react', n: 1, emoji: '👍', on: false })).toMatchObject({
      ...reaction,
      duplicate: true,
    });
    const removal = await socket.ok({ type: 'delete', ref: 'delete', n: 1 });
    expect((await johns.remove(1, 'delete')).body).toEqual({ n: 1, rev: removal.rev, duplicate: true });
  });
});
