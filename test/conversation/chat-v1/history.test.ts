import * as fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { FRAME_MAX_BYTES, MESSAGE_MAX_LENGTH, PAGE_MAX_BYTES, PAGE_SIZE } from '../../../src/config.ts';
import { encodeFrame, type ServerFrameOf } from '../../../src/protocol/server-frames.ts';
import { utf8Bytes } from '../../../src/protocol/text.ts';
import { settings } from '../../../src/settings.ts';
import { chatPair, messageRow, pageOf } from '../../helpers/chat-pair.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { changeUnheard } from '../../helpers/follower.ts';
import { pairInConversation } from '../../helpers/people.ts';

type Range = Parameters<typeof pageOf>[1];

const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
const nsOf = ({ messages }: ServerFrameOf<'page'>) => messages.map(({ n }) => n);

/** A chat.v1 socket of john's, in a conversation with so many messages of ray's. */
async function withMessages(count: number, text: (n: number) => string = (n) => `message ${n}`) {
  const pair = await pairInConversation();
  await (await openChat(pair.conversationId, pair.john.access)).settled();
  await changeUnheard(pair.conversationId, (store) => {
    for (const n of upTo(count)) store.append({ sender_id: pair.ray.id, ref: null, text: text(n), now: n });
  });
  return { ...pair, johns: await openChat(pair.conversationId, pair.john.access) };
}

const standard = { ...settings };
afterEach(() => {
  Object.assign(settings, standard);
});

describe('a page of history, oldest first', () => {
  test.each<[string, Range, number[], boolean]>([
    ['the newest', { limit: 3 }, [8, 9, 10], true],
    ['the newest, as many as there are', { limit: 10 }, upTo(10), false],
    ['the newest, fewer than asked for', { limit: 11 }, upTo(10), false],
    ['the newest, without a limit', {}, upTo(10), false],
    ['before one', { before: 5, limit: 2 }, [3, 4], true],
    ['before one, to the beginning', { before: 5, limit: 4 }, [1, 2, 3, 4], false],
    ['before the first', { before: 1 }, [], false],
    ['before the one that comes next', { before: 11, limit: 2 }, [9, 10], true],
    ['before what is far away', { before: Number.MAX_SAFE_INTEGER, limit: 2 }, [9, 10], true],
    ['after one', { after: 5, limit: 2 }, [6, 7], true],
    ['after one, to the end', { after: 5, limit: 5 }, upTo(10, 6), false],
    ['after nothing', { after: 0, limit: 2 }, [1, 2], true],
    ['after the newest', { after: 10 }, [], false],
    ['after what is far away', { after: Number.MAX_SAFE_INTEGER }, [], false],
    ['around one', { around: 5, limit: 4 }, [4, 5, 6, 7], true],
    ['around one, with an odd limit', { around: 5, limit: 3 }, [4, 5, 6], true],
    ['around one, which is all', { around: 5, limit: 1 }, [5], true],
    ['around one, everything', { around: 5, limit: 100 }, upTo(10), false],
    ['around the first', { around: 1, limit: 4 }, [1, 2, 3], true],
    ['around the newest', { around: 10, limit: 4 }, [9, 10], true],
    ['around what is far away', { around: 1000, limit: 4 }, [9, 10], true],
  ])('%s', async (_, range, ns, more) => {
    const { johns } = await withMessages(10);
    const page = await pageOf(johns, range);
    expect(nsOf(page)).toEqual(ns);
    expect(page.more).toBe(more);
  });

  test.each<[string, Range]>([
    ['the newest', {}],
    ['before', { before: 1 }],
    ['after', { after: 0 }],
    ['around', { around: 1 }],
  ])('of an empty conversation is empty: %s', async (_, range) => {
    const { johns } = await chatPair();
    expect(await pageOf(johns, range)).toMatchObject({ messages: [], more: false, rev: 2, epoch: 1 });
  });

  test('of a conversation with one message, in every direction', async () => {
    const { johns } = await withMessages(1);
    for (const range of [{}, { before: 2 }, { after: 0 }, { around: 1, limit: 1 }, { limit: 1 }]) {
      expect(await pageOf(johns, range)).toMatchObject({ messages: [{ n: 1 }], more: false });
    }
  });

  test(`has ${PAGE_SIZE} messages at most, and as many without a limit`, async () => {
    const { johns } = await withMessages(PAGE_SIZE + 1);
    expect(nsOf(await pageOf(johns))).toEqual(upTo(PAGE_SIZE + 1, 2));
    johns.sendRaw(`{"type":"history","ref":"more","limit":${PAGE_SIZE + 1}}`);
    expect(await johns.answer('more')).toMatchObject({ type: 'error', code: 'bad_frame' });
  });

  test('says as of which rev it is, and of which epoch', async () => {
    const { johns } = await chatPair();
    const { rev } = await johns.say('one');
    const { rev: edited } = await johns.ok({ type: 'edit', n: 1, text: 'two' });
    expect(edited).toBeGreaterThan(rev);
    expect(await pageOf(johns)).toMatchObject({ rev: edited, epoch: johns.welcome.epoch, messages: [{ rev: edited }] });
  });

  test('has deleted messages in their places, and counts them', async () => {
    const { johns } = await chatPair();
    for (const text of ['one', 'two', 'three']) await johns.say(text);
    await johns.ok({ type: 'delete', n: 2 });
    await johns.ok({ type: 'delete', n: 3 });
    expect((await pageOf(johns, { limit: 2 })).messages).toMatchObject([
      { n: 2, text: null, deleted_at: expect.any(Number), reactions: [] },
      { n: 3, text: null },
    ]);
    expect((await pageOf(johns, { around: 2, limit: 3 })).messages).toMatchObject([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  test('is the same for both members', async () => {
    const { johns, rays } = await chatPair();
    await johns.say('one');
    await rays.say('two', { reply_to: 1 });
    await rays.ok({ type: 'react', n: 1, emoji: '👍', on: true });
    expect((await pageOf(rays)).messages).toEqual((await pageOf(johns)).messages);
  });
});

describe('long messages make short pages', () => {
  const LONGEST = '😀'.repeat(MESSAGE_MAX_LENGTH);

  test('which are not much larger than the limit, and together have everything', async () => {
    const { johns } = await withMessages(100, () => LONGEST);
    const ns: number[] = [];
    let page: ServerFrameOf<'page'> | undefined;
    do {
      page = await pageOf(johns, page ? { before: ns[0] } : {});
      expect(utf8Bytes(encodeFrame(page))).toBeLessThanOrEqual(PAGE_MAX_BYTES + 1000);
      expect(page.messages.length).toBeGreaterThan(5);
      expect(page.more).toBe(page.messages[0]?.n !== 1);
      ns.unshift(...nsOf(page));
    } while (page.more);
    expect(ns).toEqual(upTo(100));
  });

  test('forwards too', async () => {
    const { johns } = await withMessages(100, () => LONGEST);
    const ns: number[] = [];
    for (let more = true; more;) {
      const page = await pageOf(johns, { after: ns.at(-1) ?? 0 });
      expect(utf8Bytes(encodeFrame(page))).toBeLessThanOrEqual(PAGE_MAX_BYTES + 1000);
      ns.push(...nsOf(page));
      more = page.more;
    }
    expect(ns).toEqual(upTo(100));
  });

  test.each([1, 2, 50, 99, 100])('around %i, which is always among them', async (around) => {
    const { johns } = await withMessages(100, () => LONGEST);
    const page = await pageOf(johns, { around });
    expect(utf8Bytes(encodeFrame(page))).toBeLessThanOrEqual(PAGE_MAX_BYTES + 1000);
    expect(nsOf(page)).toContain(around);
    expect(nsOf(page)).toEqual(upTo(nsOf(page).at(-1) ?? 0, nsOf(page)[0]));
    expect(page.more).toBe(true);
  });

  test('but never empty ones: a message that takes six bytes for each character is a page', async () => {
    const { johns } = await chatPair();
    const text = `a${'\u0001'.repeat(MESSAGE_MAX_LENGTH - 1)}`;
    await johns.say(text);
    expect(utf8Bytes(JSON.stringify(text))).toBeLessThan(FRAME_MAX_BYTES);
    expect(await messageRow(johns, 1)).toMatchObject({ text });
  });
});

test('pages in either direction, from anywhere, with any limit, together have every message once', async () => {
  Object.assign(settings, { rateBurst: 1_000_000 });
  const { johns } = await withMessages(40, (n) => (n % 7 === 0 ? 'x'.repeat(4000) : `message ${n}`));
  const limits = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 42 }), limits, fc.boolean(), async (start, script, forwards) => {
      const ns: number[] = [];
      for (let i = 0, more = true; more; i += 1) {
        const limit = script[i % script.length] ?? 1;
        const page = await pageOf(
          johns,
          forwards ? { after: ns.at(-1) ?? start, limit } : { before: ns[0] ?? start + 1, limit },
        );
        expect(page.messages.length).toBeLessThanOrEqual(limit);
        if (forwards) ns.push(...nsOf(page));
        else ns.unshift(...nsOf(page));
        more = page.more;
      }
      expect(ns).toEqual(forwards ? upTo(40, start + 1) : upTo(Math.min(start, 40)));
    }),
    { numRuns: 15 },
  );
});
