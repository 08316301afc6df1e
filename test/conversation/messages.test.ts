import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { FRAME_MAX_BYTES, MESSAGE_MAX_LENGTH } from '../../src/config.ts';
import { Conversation } from '../../src/conversation/conversation.ts';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { api } from '../helpers/api.ts';
import { historyOf, storedTexts } from '../helpers/conversation.ts';
import { pairInConversation, signedIn } from '../helpers/people.ts';
import { connect } from '../helpers/socket.ts';

const frameOf = (message: unknown, recipient_id: unknown) => JSON.stringify({ message, recipient_id });
const numbered = (count: number, name: string) => Array.from({ length: count }, (_, index) => `${name} ${index}`);

/** john and ray, with a socket each. */
async function chatting() {
  const pair = await pairInConversation();
  const [johns, rays] = [
    await connect(pair.conversationId, pair.john.access),
    await connect(pair.conversationId, pair.ray.access),
  ];
  return { ...pair, johns, rays };
}

const padded = (frame: string, bytes: number) => frame + ' '.repeat(bytes - new TextEncoder().encode(frame).length);

/** Resolves when the object has handled so many frames; a socket that is closing gives no answer to wait for. */
function handledFrames(): { reach(count: number): Promise<void> } {
  const handled = vi.spyOn(Conversation.prototype, 'webSocketMessage');
  return { reach: (count) => vi.waitFor(() => expect(handled).toHaveBeenCalledTimes(count), 4000) };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a message', () => {
  test('reaches every socket of both members and both histories', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const sockets = [
      await connect(conversationId, john.access),
      await connect(conversationId, john.access),
      await connect(conversationId, ray.access),
      await connect(conversationId, ray.access),
    ];
    sockets[0]?.say('Hello', ray.id);
    for (const socket of sockets) {
      expect(JSON.parse(await socket.next())).toEqual({ message: 'Hello', recipient_id: ray.id });
    }
    for (const [person, peer] of [
      [john, ray],
      [ray, john],
    ] as const) {
      const { body } = await api(`/api/users/${peer.id}/chat/`, { token: person.access });
      expect(body.data.messages).toMatchObject([{ text: 'Hello', sender: { id: john.id } }]);
    }
  });

  test('to someone who is away waits in the history', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await connect(conversationId, john.access);
    johns.say('are you there?', ray.id);
    await johns.next();
    expect(await historyOf(ray, john)).toEqual(['are you there?']);
  });

  test('does not come twice to a socket that opens after it', async () => {
    const { johns, ray, conversationId } = await chatting();
    johns.say('before', ray.id);
    await johns.next();
    const late = await connect(conversationId, ray.access);
    await late.settled();
    expect(late.pending).toEqual([]);
  });

  test('is not heard in any other conversation of the same people', async () => {
    const { john, ray, johns } = await chatting();
    const selena = await signedIn('Selena');
    const other = await openDirectConversation(directory(env.DB), john.id, selena.id, Date.now());
    const johnsOther = await connect(other?.id ?? '', john.access);
    johns.say('for ray', ray.id);
    await johns.next();
    await johnsOther.settled();
    expect(johnsOther.pending).toEqual([]);
    expect(await historyOf(selena, john)).toEqual([]);
  });

  test('of 4,000 emoji, each escaped, passes', async () => {
    const { john, ray, johns, rays } = await chatting();
    const text = '😀'.repeat(MESSAGE_MAX_LENGTH);
    johns.send(`{"message":"${'\\ud83d\\ude00'.repeat(MESSAGE_MAX_LENGTH)}","recipient_id":"${ray.id}"}`);
    expect(await johns.next()).toBe(frameOf(text, ray.id));
    expect(await rays.next()).toBe(frameOf(text, ray.id));
    expect(await historyOf(ray, john)).toEqual([text]);
  });

  test.each([
    ['U+0000', 'a\0b'],
    ['nothing but U+0000', '\0'],
    ['every control character', String.fromCharCode(...Array.from({ length: 32 }, (_, code) => code), 0x7f, 0x85)],
    ['line separators', 'a\u2028b\u2029c'],
    ['a byte order mark first', '\ufeffHello'],
    ['noncharacters', '\ufffe\uffff\u{10ffff}'],
    ['a joined family and a flag', '👩‍👩‍👧‍👦🇩🇪'],
    ['right-to-left with an override', 'שלום \u202eabc\u202c'],
    ['many combining marks', `e${'\u0301'.repeat(200)}`],
    ['both normal forms, apart', '\u00e9e\u0301'],
    ['characters of SQL and HTML', `'; DROP TABLE messages; -- <script>"\\`],
  ])('survives unchanged: %s', async (_, text) => {
    const { john, ray, johns, rays } = await chatting();
    johns.say(text, ray.id);
    expect(await johns.next()).toBe(frameOf(text, ray.id));
    expect(await rays.next()).toBe(frameOf(text, ray.id));
    expect(await historyOf(ray, john)).toEqual([text]);
  });

  test('goes out with the two keys of the original only, and with its recipient as spelled', async () => {
    const { ray, johns, rays } = await chatting();
    const recipient = ray.id.toUpperCase();
    johns.send(JSON.stringify({ type: 'chat', message: 'Hello', recipient_id: recipient, n: 7 }));
    expect(JSON.parse(await johns.next())).toEqual({ message: 'Hello', recipient_id: recipient });
    expect(JSON.parse(await rays.next())).toEqual({ message: 'Hello', recipient_id: recipient });
  });
});

test('600 and 600 frames, pipelined from both sides, arrive completely and in one order for all', async () => {
  const { john, ray, johns, rays, conversationId } = await chatting();
  const raysOther = await connect(conversationId, ray.access);
  const [fromJohn, fromRay] = [numbered(600, 'john'), numbered(600, 'ray')];
  for (const text of fromJohn) johns.say(text, ray.id);
  for (const text of fromRay) rays.say(text, john.id);

  const heard = await johns.take(1200);
  expect(await rays.take(1200)).toEqual(heard);
  expect(await raysOther.take(1200)).toEqual(heard);

  const texts = heard.map((frame): string => JSON.parse(frame).message);
  expect(texts.filter((text) => text.startsWith('john'))).toEqual(fromJohn);
  expect(texts.filter((text) => text.startsWith('ray'))).toEqual(fromRay);
  expect(await historyOf(ray, john)).toEqual(texts);
}, 30_000);

describe('a recipient who is not the other member', () => {
  test.each([
    ['someone with whom the sender has another conversation', true],
    ['someone with whom the sender has none', false],
  ])('gets nothing, and nobody else does: %s', async (_, haveConversation) => {
    const { john, ray, johns, rays, conversationId } = await chatting();
    const selena = await signedIn('Selena');
    const db = directory(env.DB);
    const other = haveConversation ? await openDirectConversation(db, john.id, selena.id, Date.now()) : undefined;
    const selenas = other && (await connect(other.id, selena.access));

    johns.say('astray', selena.id);
    expect(await johns.next()).toBe('Error: Conversation matching query does not exist.');
    for (const socket of [johns, rays, selenas]) {
      await socket?.settled();
      expect(socket?.pending ?? []).toEqual([]);
    }
    expect(await storedTexts(conversationId)).toEqual([]);
    expect(await historyOf(selena, john)).toEqual([]);
    expect(await historyOf(ray, john)).toEqual([]);
  });
});

describe('a bad frame', () => {
  test.each<[string, (rayId: string) => string, string]>([
    ['not JSON', () => 'Hello', 'Error: The frame is not valid JSON.'],
    ['empty', () => '', 'Error: The frame is not valid JSON.'],
    ['not an object', () => '[]', 'Error: The frame is not a JSON object with "message" and "recipient_id".'],
    ['a key missing', () => '{"message":"Hello"}', 'Error: The frame has no "recipient_id".'],
    ['recipient null', () => frameOf('Hello', null), 'Error: UserAccount matching query does not exist.'],
    ['recipient no UUID', () => frameOf('Hello', 'abc'), "Error: ['“abc” is not a valid UUID.']"],
    ['message no string', (id) => frameOf(5, id), 'Error: "message" is not a string.'],
    ['message blank', (id) => frameOf(' \n', id), 'Error: "message" is blank.'],
    ['message too long', (id) => frameOf('x'.repeat(4001), id), 'Error: "message" is longer than 4000 characters.'],
    ['half of a surrogate pair', (id) => frameOf('\ud800', id), 'Error: "message" contains half of a surrogate pair.'],
  ])('is answered to its sender alone, stores nothing and leaves the socket open: %s', async (_, frame, answer) => {
    const { ray, johns, rays, conversationId } = await chatting();
    johns.send(frame(ray.id));
    johns.say('and on', ray.id);
    expect(await johns.take(2)).toEqual([answer, frameOf('and on', ray.id)]);
    expect(await rays.next()).toBe(frameOf('and on', ray.id));
    expect(await storedTexts(conversationId)).toEqual(['and on']);
  });
});

test('ping is answered pong, and is not a message', async () => {
  const { johns, rays, conversationId } = await chatting();
  johns.send('ping');
  expect(await johns.next()).toBe('pong');
  await rays.settled();
  expect(rays.pending).toEqual([]);
  expect(await storedTexts(conversationId)).toEqual([]);
});

describe('the size of a frame', () => {
  test('may be 64 KiB', async () => {
    const { ray, johns } = await chatting();
    johns.send(padded(frameOf('ünï', ray.id), FRAME_MAX_BYTES));
    expect(await johns.next()).toBe(frameOf('ünï', ray.id));
  });

  test.each<[string, (rayId: string) => string]>([
    ['one byte more', (id) => padded(frameOf('a', id), FRAME_MAX_BYTES + 1)],
    ['fewer characters, but more bytes', (id) => padded(frameOf('€'.repeat(4000), id), FRAME_MAX_BYTES + 1)],
    ['many characters that are each three bytes', (id) => frameOf('€'.repeat(22_000), id)],
    ['a megabyte', (id) => frameOf('x'.repeat(2 ** 20), id)],
  ])('may not be larger: %s', async (_, frame) => {
    const { ray, johns, rays, conversationId } = await chatting();
    johns.send(frame(ray.id));
    expect(await johns.closed).toEqual({ code: 1009, reason: 'A frame may have at most 65536 bytes.' });
    await rays.settled();
    expect(rays.pending).toEqual([]);
    expect(await storedTexts(conversationId)).toEqual([]);
  });
});

test('a binary frame closes its socket with 1003, and no other', async () => {
  const { john, ray, johns, rays, conversationId } = await chatting();
  const johnsOther = await connect(conversationId, john.access);
  johns.send(new Uint8Array([123, 125]).buffer);
  expect(await johns.closed).toEqual({ code: 1003, reason: 'Only text frames are understood.' });
  johnsOther.say('still here', ray.id);
  expect(await rays.next()).toBe(frameOf('still here', ray.id));
  expect(await storedTexts(conversationId)).toEqual(['still here']);
});

describe('a message to oneself', () => {
  test('is answered "Invalid recipient.", then the socket closes with 1000; frames queued behind it count', async () => {
    const { john, ray, johns, rays, conversationId } = await chatting();
    johns.say('before', ray.id);
    johns.say('me', john.id);
    johns.say('queued', ray.id);
    johns.say('me again', john.id);
    johns.say('queued too', ray.id);

    expect(await johns.take(2)).toEqual([frameOf('before', ray.id), 'Invalid recipient.']);
    expect(await johns.closed).toMatchObject({ code: 1000 });
    expect(johns.pending).toEqual([]);
    expect(await rays.take(3)).toEqual([
      frameOf('before', ray.id),
      frameOf('queued', ray.id),
      frameOf('queued too', ray.id),
    ]);
    expect(await storedTexts(conversationId)).toEqual(['before', 'queued', 'queued too']);
  });

  test('leaves the other sockets of the sender open', async () => {
    const { john, ray, johns, conversationId } = await chatting();
    const johnsOther = await connect(conversationId, john.access);
    johns.say('me', john.id);
    await johns.closed;
    johnsOther.say('still here', ray.id);
    expect(await johnsOther.next()).toBe(frameOf('still here', ray.id));
  });
});

describe('frames that are queued behind a frame that closes the socket do not count', () => {
  test.each<[string, number, (ids: { john: string; ray: string }) => (string | ArrayBuffer)[]]>([
    ['too large', 1009, () => ['x'.repeat(FRAME_MAX_BYTES + 1)]],
    ['binary', 1003, () => [new ArrayBuffer(8)]],
    ['binary, behind a message to oneself', 1000, ({ john }) => [frameOf('me', john), new ArrayBuffer(8)]],
    ['too large, behind one', 1000, ({ john }) => [frameOf('me', john), 'x'.repeat(FRAME_MAX_BYTES + 1)]],
  ])('%s', async (_, code, frames) => {
    const { john, ray, johns, rays, conversationId } = await chatting();
    const handled = handledFrames();
    const closing = frames({ john: john.id, ray: ray.id });
    johns.say('before', ray.id);
    for (const frame of closing) johns.send(frame);
    johns.say('queued', ray.id);
    johns.say('queued too', ray.id);

    expect(await johns.closed).toMatchObject({ code });
    await handled.reach(closing.length + 3);
    await rays.settled();
    expect(rays.pending).toEqual([frameOf('before', ray.id)]);
    expect(await storedTexts(conversationId)).toEqual(['before']);
  });
});
