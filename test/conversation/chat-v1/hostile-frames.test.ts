import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, test } from 'vitest';
import { FRAME_MAX_BYTES, MESSAGE_MAX_LENGTH, PAGE_SIZE, REF_MAX_LENGTH } from '../../../src/config.ts';
import { tags } from '../../../src/objects/connection.ts';
import { parseJson } from '../../../src/protocol/text.ts';
import { ERROR_CODES, type ErrorCode } from '../../../src/protocol/error-codes.ts';
import { utf8Bytes } from '../../../src/protocol/text.ts';
import { openChat, type ChatSocket } from '../../helpers/chat-socket.ts';
import { objectOf, storedTexts } from '../../helpers/conversation.ts';
import { dumpObject } from '../../helpers/object-tables.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** john and ray; message 1 is john's, 2 is ray's, and 3 is one of john's that he deleted. */
async function chatting() {
  const pair = await pairInConversation();
  const johns = await openChat(pair.conversationId, pair.john.access);
  const rays = await openChat(pair.conversationId, pair.ray.access);
  await johns.say('one');
  await rays.say('two');
  const { n } = await johns.say('three');
  await johns.ok({ type: 'delete', n });
  return { ...pair, johns, rays };
}

/** What a socket is answered to whatever it sends, but for news of what others do. */
async function answersTo(socket: ChatSocket, frame: string) {
  const heard = socket.frames.length;
  const ref = crypto.randomUUID();
  socket.sendRaw(frame);
  socket.sendRaw(JSON.stringify({ type: 'nonsense', ref }));
  await socket.answer(ref);
  return socket.frames.slice(heard, -1).filter(({ type }) => type !== 'changes' && type !== 'presence');
}

/** The ref of a frame, if it is JSON and has one. */
function refOf(frame: string): unknown {
  const body = parseJson(frame);
  return typeof body === 'object' && body !== null && 'ref' in body ? body.ref : undefined;
}

/** Frames, and why they are refused. Those with the ref `r` get it back. */
const hostile: Record<string, [ErrorCode, unknown][]> = {
  'no JSON object': [
    ['bad_frame', ''],
    ['bad_frame', ' '],
    ['bad_frame', '\0'],
    ['bad_frame', 'Ping'],
    ['bad_frame', 'ping '],
    ['bad_frame', '{'],
    ['bad_frame', '{"type":"send","ref":"r","text":"x"'],
    ['bad_frame', '{"type":"send","ref":"r","text":"x"}{}'],
    ['bad_frame', "{'type':'typing','on':true}"],
    ['bad_frame', '\ufeff{"type":"typing","on":true}'],
    ['bad_frame', 'null'],
    ['bad_frame', '1e400'],
    ['bad_frame', '"send"'],
    ['bad_frame', '[]'],
    ['bad_frame', '[{"type":"typing","on":true}]'],
    ['bad_frame', '['.repeat(FRAME_MAX_BYTES)],
    ['bad_frame', '{"a":'.repeat(FRAME_MAX_BYTES / 5)],
  ],
  'no known type': [
    ['bad_frame', {}],
    ['bad_frame', { ref: 'r', text: 'x' }],
    ['bad_frame', { type: null, ref: 'r' }],
    ['bad_frame', { type: ['send'], ref: 'r', text: 'x' }],
    ['bad_frame', '{"__proto__":{"type":"typing","on":true}}'],
    ['unknown_type', { type: '', ref: 'r' }],
    ['unknown_type', { type: 'SEND', ref: 'r', text: 'x' }],
    ['unknown_type', { type: 'welcome', ref: 'r' }],
    ['unknown_type', { type: 'ping' }],
    ['unknown_type', { type: '__proto__', ref: 'r' }],
    ['unknown_type', { type: 'constructor', ref: 'r' }],
    ['unknown_type', { type: 'toString', ref: 'r' }],
    ['unknown_type', { type: 'x'.repeat(10_000), ref: 'r' }],
    ['bad_frame', { message: 'a plain frame', recipient_id: crypto.randomUUID() }],
  ],
  'a ref that cannot be used': [
    ['bad_frame', { type: 'send', text: 'x' }],
    ['bad_frame', { type: 'send', text: 'x', ref: '' }],
    ['bad_frame', { type: 'send', text: 'x', ref: 1 }],
    ['bad_frame', { type: 'send', text: 'x', ref: null }],
    ['bad_frame', { type: 'send', text: 'x', ref: ['r'] }],
    ['bad_frame', { type: 'send', text: 'x', ref: '\ud800' }],
    ['bad_frame', { type: 'send', text: 'x', ref: 'x'.repeat(REF_MAX_LENGTH + 1) }],
    ['bad_frame', { type: 'send', text: 'x', ref: '😀'.repeat(REF_MAX_LENGTH + 1) }],
  ],
  'a text that is none': [
    ['bad_frame', { type: 'send', ref: 'r' }],
    ['bad_frame', { type: 'send', ref: 'r', text: null }],
    ['bad_frame', { type: 'send', ref: 'r', text: 1 }],
    ['bad_frame', { type: 'send', ref: 'r', text: ['x'] }],
    ['invalid_text', { type: 'send', ref: 'r', text: '' }],
    ['invalid_text', { type: 'send', ref: 'r', text: ' \t\r\n\u00a0\u2003\u3000\ufeff' }],
    ['invalid_text', { type: 'send', ref: 'r', text: 'x'.repeat(MESSAGE_MAX_LENGTH + 1) }],
    ['invalid_text', { type: 'send', ref: 'r', text: '😀'.repeat(MESSAGE_MAX_LENGTH + 1) }],
    ['invalid_text', { type: 'send', ref: 'r', text: 'half \ud83d of a pair' }],
    ['invalid_text', { type: 'edit', ref: 'r', n: 1, text: ' ' }],
    ['invalid_text', { type: 'edit', ref: 'r', n: 1, text: '\udc00' }],
  ],
  'a number that is none': [
    ...[0, -1, 1.5, 2 ** 53, '1', null, true, [1], {}].flatMap((n): [ErrorCode, unknown][] => [
      ['bad_frame', { type: 'edit', ref: 'r', n, text: 'x' }],
      ['bad_frame', { type: 'delete', ref: 'r', n }],
      ['bad_frame', { type: 'react', ref: 'r', n, emoji: '👍', on: true }],
      ['bad_frame', { type: 'history', ref: 'r', before: n }],
      ['bad_frame', { type: 'history', ref: 'r', around: n }],
      ['bad_frame', { type: 'history', ref: 'r', limit: n }],
    ]),
    ...[-1, 0.5, 2 ** 53, '1', null, true].flatMap((after): [ErrorCode, unknown][] => [
      ['bad_frame', { type: 'sync', ref: 'r', after }],
      ['bad_frame', { type: 'history', ref: 'r', after }],
      ['bad_frame', { type: 'mark', read: after }],
      ['bad_frame', { type: 'mark', delivered: after }],
    ]),
    ['bad_frame', '{"type":"delete","ref":"r","n":1e400}'],
    ['bad_frame', { type: 'sync', ref: 'r' }],
    ['bad_frame', { type: 'mark' }],
    ['bad_frame', { type: 'history', ref: 'r', limit: PAGE_SIZE + 1 }],
    ['bad_frame', { type: 'send', ref: 'r', text: 'x', reply_to: 0 }],
    ['bad_frame', { type: 'send', ref: 'r', text: 'x', reply_to: '1' }],
  ],
  'a number of nothing here': [
    ['no_such_message', { type: 'edit', ref: 'r', n: 4, text: 'x' }],
    ['no_such_message', { type: 'delete', ref: 'r', n: 4 }],
    ['no_such_message', { type: 'react', ref: 'r', n: Number.MAX_SAFE_INTEGER, emoji: '👍', on: true }],
    ['no_such_message', { type: 'react', ref: 'r', n: 4, emoji: '👍', on: false }],
    ['unknown_reply_to', { type: 'send', ref: 'r', text: 'x', reply_to: 4 }],
    ['unknown_reply_to', { type: 'send', ref: 'r', text: 'x', reply_to: Number.MAX_SAFE_INTEGER }],
    ['unknown_cursor', { type: 'sync', ref: 'r', after: Number.MAX_SAFE_INTEGER }],
  ],
  'what one may not do': [
    ['not_your_message', { type: 'edit', ref: 'r', n: 2, text: 'x' }],
    ['not_your_message', { type: 'delete', ref: 'r', n: 2 }],
    ['not_your_message', { type: 'edit', ref: 'r', n: 2, text: 'x', sender_id: 'ray', user_id: 'ray' }],
    ['message_deleted', { type: 'edit', ref: 'r', n: 3, text: 'x' }],
    ['message_deleted', { type: 'react', ref: 'r', n: 3, emoji: '👍', on: true }],
    ['message_deleted', { type: 'react', ref: 'r', n: 3, emoji: '👍', on: false }],
  ],
  'a reaction that is none': [
    ...['', 'x', '1', '👍👍', '👍 ', '\ufe0f', '\u200d', '🇩', '<b>', null, 1, ['👍'], '👍'.repeat(5000)].map(
      (emoji): [ErrorCode, unknown] => ['bad_frame', { type: 'react', ref: 'r', n: 1, emoji, on: true }],
    ),
    ['bad_frame', { type: 'react', ref: 'r', n: 1, on: true }],
    ['bad_frame', { type: 'react', ref: 'r', n: 1, emoji: '👍' }],
    ['bad_frame', { type: 'react', ref: 'r', n: 1, emoji: '👍', on: 1 }],
  ],
  'a contradiction': [
    ['bad_frame', { type: 'history', ref: 'r', before: 2, after: 1 }],
    ['bad_frame', { type: 'history', ref: 'r', before: 2, around: 2 }],
    ['bad_frame', { type: 'history', ref: 'r', after: 0, around: 2 }],
    ['bad_frame', { type: 'history', ref: 'r', before: 2, after: 1, around: 1 }],
    ['bad_frame', { type: 'typing' }],
    ['bad_frame', { type: 'typing', on: 'yes' }],
    ['bad_frame', '{"type":"send","ref":"r","text":"x","type":"mark"}'],
  ],
};

describe('a frame is answered one error, and changes nothing, if it has', () => {
  test.each(Object.entries(hostile))(
    '%s',
    async (_, frames) => {
      const { johns, rays, conversationId } = await chatting();
      await rays.settled();
      const stored = await dumpObject(conversationId);
      const heard = rays.frames.length;
      for (const [code, value] of frames) {
        const frame = typeof value === 'string' ? value : JSON.stringify(value);
        const answers = await answersTo(johns, frame);
        expect({ frame: frame.slice(0, 300), answers }).toEqual({
          frame: frame.slice(0, 300),
          answers: [
            {
              type: 'error',
              code,
              message: expect.stringMatching(/\S\.$/),
              ...(refOf(frame) === 'r' && { ref: 'r' }),
            },
          ],
        });
        expect(Object.keys(ERROR_CODES)).toContain(code);
      }
      expect(await dumpObject(conversationId)).toEqual(stored);
      await rays.settled();
      expect(rays.frames.slice(heard).filter(({ type }) => type !== 'page' && type !== 'changes')).toEqual([]);
      johns.send({ type: 'send', ref: 'r', text: 'The ref of what was refused is still free.' });
      expect(await johns.next('ok')).toMatchObject({ ref: 'r', n: 4 });
    },
    30_000,
  );

  test('no error repeats what is long', async () => {
    const { johns } = await chatting();
    for (const frame of Object.values(hostile).flatMap((group) => group.map(([, value]) => value))) {
      const answers = await answersTo(johns, typeof frame === 'string' ? frame : JSON.stringify(frame));
      expect(JSON.stringify(answers).length).toBeLessThan(400);
    }
  }, 30_000);
});

const paddedWith = (padding: string) => JSON.stringify({ type: 'send', ref: 'r', text: 'x', padding });

/** A `send` of so many bytes. */
function padded(bytes: number, filler = 'x'): string {
  const left = bytes - paddedWith('').length;
  const size = utf8Bytes(filler);
  return paddedWith(filler.repeat(Math.floor(left / size)) + 'x'.repeat(left % size));
}

describe('the size of a frame', () => {
  test('may be 64 KiB', async () => {
    const { johns } = await chatting();
    johns.sendRaw(padded(FRAME_MAX_BYTES));
    expect(await johns.answer('r')).toMatchObject({ type: 'ok' });
  });

  test('lets the longest message pass, however it is escaped', async () => {
    const { johns, conversationId } = await chatting();
    const escaped = '\\ud83d\\ude00'.repeat(MESSAGE_MAX_LENGTH);
    johns.sendRaw(`{"type":"send","ref":"r","text":"${escaped}"}`);
    expect(await johns.answer('r')).toMatchObject({ type: 'ok' });
    expect((await storedTexts(conversationId)).at(-1)).toBe('😀'.repeat(MESSAGE_MAX_LENGTH));
  });

  test.each([
    ['of one byte each', 'x'],
    ['of three bytes each: bytes count', '€'],
  ])('closes the socket with 1009 if it is more, in characters %s', async (_, filler) => {
    const { johns, rays, conversationId } = await chatting();
    johns.sendRaw(padded(FRAME_MAX_BYTES + 1, filler));
    expect(await johns.closed).toMatchObject({ code: 1009 });
    expect(await storedTexts(conversationId)).toEqual(['one', 'two', null]);
    await rays.say('The others are still here.');
  });
});

test('a binary frame closes the socket with 1003, and others stay open', async () => {
  const { johns, rays } = await chatting();
  johns.sendRaw(new TextEncoder().encode('{"type":"typing","on":true}').buffer as ArrayBuffer);
  expect(await johns.closed).toMatchObject({ code: 1003 });
  await rays.say('The others are still here.');
});

test.each([
  ['too large', 'x'.repeat(FRAME_MAX_BYTES + 1)],
  ['binary', new ArrayBuffer(1)],
])('frames behind one that is %s are ignored', async (_, bad) => {
  const { john, johns, conversationId } = await chatting();
  await runInDurableObject(objectOf(conversationId), (object, state) => {
    const [socket] = state.getWebSockets(tags.user(john.id));
    if (!socket) throw new Error('The socket is gone.');
    object.webSocketMessage(socket, bad);
    object.webSocketMessage(socket, JSON.stringify({ type: 'send', ref: 'later', text: 'later' }));
  });
  await johns.closed;
  expect(await storedTexts(conversationId)).toEqual(['one', 'two', null]);
});
