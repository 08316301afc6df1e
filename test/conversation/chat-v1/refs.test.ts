import { describe, expect, test } from 'vitest';
import { chatPair, errorOf, messageRow, pageOf } from '../../helpers/chat-pair.ts';
import { openChat, type Asked, type ChatSocket } from '../../helpers/chat-socket.ts';
import { liveChanges } from '../../helpers/follower.ts';
import { dumpObject } from '../../helpers/object-tables.ts';

type World = Awaited<ReturnType<typeof chatPair>>;

/** Sends a message whose answer is compared with that of each repeat. */
const first = (johns: ChatSocket) => johns.say('Hello', { ref: 'once' });

describe('rule 2: a ref is for ever. A repeated `send` gets the original answer', () => {
  test.each<[string, (world: World) => Promise<unknown>, Asked]>([
    ['as it was', async () => {}, { type: 'send', text: 'Hello' }],
    ['after other messages', ({ johns, rays }) => johns.say('two').then(() => rays.say('three')), hello()],
    ['after an edit', ({ johns }) => johns.ok({ type: 'edit', n: 1, text: 'Bye' }), hello()],
    ['after reactions', ({ rays }) => rays.ok({ type: 'react', n: 1, emoji: '👍', on: true }), hello()],
    ['after deletion', ({ johns }) => johns.ok({ type: 'delete', n: 1 }), hello()],
    ['with another text', async () => {}, { type: 'send', text: 'Bye' }],
    ['in reply to a message that is not there', async () => {}, { type: 'send', text: 'Hello', reply_to: 99 }],
    ['as an edit of it', async () => {}, { type: 'edit', n: 1, text: 'Bye' }],
    ['as an edit of nothing', async () => {}, { type: 'edit', n: 99, text: 'Bye' }],
    ['as its deletion', async () => {}, { type: 'delete', n: 1 }],
    ['as a reaction', async () => {}, { type: 'react', n: 1, emoji: '👍', on: true }],
  ])('%s, and changes nothing', async (_, meanwhile, again) => {
    const world = await chatPair();
    const { john, johns, rays, conversationId } = world;
    const original = await first(johns);
    await meanwhile(world);
    const otherDevice = await openChat(conversationId, john.access);
    const before = await dumpObject(conversationId);
    for (const socket of [johns, otherDevice]) {
      expect(await socket.ok({ ...again, ref: 'once' })).toEqual({ ...original, duplicate: true });
    }
    expect(await dumpObject(conversationId)).toEqual(before);
    await rays.settled();
    expect(liveChanges(rays).filter(({ messages }) => messages.some(({ text }) => text === 'Hello'))).toHaveLength(1);
  });

  test('also when the repeat is right behind it', async () => {
    const { johns } = await chatPair();
    for (let i = 0; i < 10; i += 1) johns.send({ type: 'send', ref: 'once', text: `attempt ${i}` });
    const { type: _type, ...original } = await johns.answer('once');
    for (let i = 1; i < 10; i += 1) {
      expect(await johns.answer('once')).toEqual({ type: 'ok', ...original, duplicate: true });
    }
    expect((await pageOf(johns)).messages).toMatchObject([{ text: 'attempt 0' }]);
  });
});

function hello(): Asked {
  return { type: 'send', text: 'Hello' };
}

describe('rule 2: a repeat of what has changed since changes nothing', () => {
  test('an edit whose answer was lost, after another device has edited the message', async () => {
    const { john, johns, rays, conversationId } = await chatPair();
    const otherDevice = await openChat(conversationId, john.access);
    await first(johns);
    const original = await johns.ok({ type: 'edit', n: 1, text: 'mine', ref: 'lost' });
    const { rev } = await otherDevice.ok({ type: 'edit', n: 1, text: 'newer' });
    expect(await johns.ok({ type: 'edit', n: 1, text: 'mine', ref: 'lost' })).toEqual({ ...original, duplicate: true });
    expect(original.rev).toBeLessThan(rev);
    expect(await messageRow(rays, 1)).toMatchObject({ text: 'newer', rev });
  });

  test('an edit, after its message was deleted', async () => {
    const { johns } = await chatPair();
    await first(johns);
    const original = await johns.ok({ type: 'edit', n: 1, text: 'mine', ref: 'lost' });
    await johns.ok({ type: 'delete', n: 1 });
    expect(await johns.ok({ type: 'edit', n: 1, text: 'mine', ref: 'lost' })).toEqual({ ...original, duplicate: true });
    expect(await messageRow(johns, 1)).toMatchObject({ text: null });
  });

  test('a reaction, after another device has taken it back', async () => {
    const { ray, rays, johns, conversationId } = await chatPair();
    const otherDevice = await openChat(conversationId, ray.access);
    await first(johns);
    const frame: Asked = { type: 'react', n: 1, emoji: '👍', on: true, ref: 'lost' };
    const original = await rays.ok(frame);
    await otherDevice.ok({ type: 'react', n: 1, emoji: '👍', on: false });
    expect(await rays.ok(frame)).toEqual({ ...original, duplicate: true });
    expect((await messageRow(johns, 1)).reactions).toEqual([]);
  });

  test('taking a reaction back, after another device has made it again', async () => {
    const { ray, rays, johns, conversationId } = await chatPair();
    const otherDevice = await openChat(conversationId, ray.access);
    await first(johns);
    await rays.ok({ type: 'react', n: 1, emoji: '👍', on: true });
    const frame: Asked = { type: 'react', n: 1, emoji: '👍', on: false, ref: 'lost' };
    const original = await rays.ok(frame);
    await otherDevice.ok({ type: 'react', n: 1, emoji: '👍', on: true });
    expect(await rays.ok(frame)).toEqual({ ...original, duplicate: true });
    expect((await messageRow(johns, 1)).reactions).toEqual([{ emoji: '👍', user_ids: [ray.id] }]);
  });

  test('an edit that was the text already, after another device has changed it', async () => {
    const { johns } = await chatPair();
    await first(johns);
    const original = await johns.ok({ type: 'edit', n: 1, text: 'Hello', ref: 'idle' });
    await johns.ok({ type: 'edit', n: 1, text: 'newer' });
    expect(await johns.ok({ type: 'edit', n: 1, text: 'Hello', ref: 'idle' })).toEqual({
      ...original,
      duplicate: true,
    });
    expect(await messageRow(johns, 1)).toMatchObject({ text: 'newer' });
  });

  test('an edit of one message, as the edit of another', async () => {
    const { johns } = await chatPair();
    await first(johns);
    await johns.say('two');
    const original = await johns.ok({ type: 'edit', n: 1, text: 'changed', ref: 'edit' });
    expect(await johns.ok({ type: 'edit', n: 2, text: 'changed', ref: 'edit' })).toEqual({
      ...original,
      duplicate: true,
    });
    expect(await messageRow(johns, 2)).toMatchObject({ text: 'two' });
  });

  test('an edit, as a new message: its answer has no id', async () => {
    const { johns } = await chatPair();
    await first(johns);
    const original = await johns.ok({ type: 'edit', n: 1, text: 'changed', ref: 'edit' });
    const again = await johns.say('a new message', { ref: 'edit' });
    expect(again).toEqual({ ...original, duplicate: true });
    expect(again).not.toHaveProperty('id');
    expect((await pageOf(johns)).messages).toHaveLength(1);
  });
});

describe('rule 2: a ref is its sender’s own', () => {
  test('the other member may use the same', async () => {
    const { john, ray, johns, rays } = await chatPair();
    const johnsOk = await first(johns);
    const raysOk = await first(rays);
    expect(raysOk).toMatchObject({ n: 2, rev: expect.any(Number) });
    expect(raysOk).not.toHaveProperty('duplicate');
    expect(raysOk.id).not.toBe(johnsOk.id);
    expect((await pageOf(johns)).messages).toMatchObject([
      { sender_id: john.id, ref: 'once' },
      { sender_id: ray.id, ref: 'once' },
    ]);
    expect(await first(johns)).toEqual({ ...johnsOk, duplicate: true });
    expect(await first(rays)).toEqual({ ...raysOk, duplicate: true });
  });

  test('and of one conversation: another one knows nothing of it', async () => {
    const [one, other] = [await chatPair(), await chatPair()];
    await first(one.johns);
    expect(await first(other.johns)).not.toHaveProperty('duplicate');
  });

  test.each([
    ['case', 'abc', 'ABC'],
    ['a blank at the end', 'abc', 'abc '],
    ['what follows U+0000', 'abc\0d', 'abc\0e'],
    ['U+0000 itself', 'abc', 'abc\0'],
    ['the normal form', '\u00e9', 'e\u0301'],
    ['a leading zero', '1', '01'],
    ['a number’s spelling', '1', '1.0'],
    ['the last of 64 characters', `${'😀'.repeat(63)}a`, `${'😀'.repeat(63)}b`],
  ])('two that differ are two: in %s', async (_, ref, other) => {
    const { johns } = await chatPair();
    await johns.say('one', { ref });
    expect(await johns.say('two', { ref: other })).not.toHaveProperty('duplicate');
    expect(await johns.say('one', { ref })).toMatchObject({ n: 1, duplicate: true });
    expect(await johns.say('two', { ref: other })).toMatchObject({ n: 2, duplicate: true });
    expect((await pageOf(johns)).messages).toMatchObject([{ ref }, { ref: other }]);
  });
});

describe('rule 2: a refused operation does not use up its ref', () => {
  test.each<[string, Asked]>([
    ['no_such_message', { type: 'edit', n: 99, text: 'x' }],
    ['not_your_message', { type: 'delete', n: 2 }],
    ['message_deleted', { type: 'react', n: 1, emoji: '👍', on: true }],
    ['unknown_reply_to', { type: 'send', text: 'x', reply_to: 99 }],
  ])('%s', async (code, frame) => {
    const { johns, rays } = await chatPair();
    await johns.say('one');
    await johns.ok({ type: 'delete', n: 1 });
    await rays.say('two');
    for (let i = 0; i < 2; i += 1) expect(await errorOf(johns, { ...frame, ref: 'again' })).toMatchObject({ code });
    const ok = await johns.say('three', { ref: 'again' });
    expect(ok).toMatchObject({ n: 3 });
    expect(ok).not.toHaveProperty('duplicate');
  });

  test('nor does a frame that is none', async () => {
    const { johns } = await chatPair();
    johns.sendRaw('{"type":"send","ref":"again","text":""}');
    johns.sendRaw('{"type":"sent","ref":"again","text":"x"}');
    expect([await johns.answer('again'), await johns.answer('again')]).toMatchObject([
      { code: 'invalid_text' },
      { code: 'unknown_type' },
    ]);
    expect(await johns.say('one', { ref: 'again' })).not.toHaveProperty('duplicate');
  });

  test('nor do `history` and `sync`, which may use one as often as they like', async () => {
    const { johns } = await chatPair();
    for (let i = 0; i < 2; i += 1) {
      expect(await johns.ask({ type: 'history', ref: 'again' })).toMatchObject({ type: 'page', messages: [] });
      expect(await johns.ask({ type: 'sync', after: 0, ref: 'again' })).toMatchObject({ type: 'changes', after: 0 });
    }
    await johns.say('one', { ref: 'again' });
    expect(await johns.ask({ type: 'history', ref: 'again' })).toMatchObject({ type: 'page', messages: [{ n: 1 }] });
    expect(await johns.say('one', { ref: 'again' })).toMatchObject({ n: 1, duplicate: true });
  });
});
