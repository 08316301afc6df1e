import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { MESSAGE_MAX_LENGTH, PAGE_SIZE } from '../../../src/config.ts';
import { ConversationStore } from '../../../src/conversation/store.ts';
import { api } from '../../helpers/api.ts';
import { Caller, nextOf } from '../../helpers/caller.ts';
import { objectOf } from '../../helpers/conversation.ts';
import { raiseEpoch } from '../../helpers/directory.ts';
import { pairInConversation } from '../../helpers/people.ts';

type Row = { n: number };

/** A conversation that holds so many messages of john's. */
async function conversationWith(count: number, text = (n: number) => `message ${n}`) {
  const pair = await pairInConversation();
  // Before the object opens its store for the first time: it remembers the newest message.
  await runInDurableObject(objectOf(pair.conversationId), (_, { storage }) => {
    const store = new ConversationStore(storage);
    store.transaction(() => {
      for (let n = 1; n <= count; n += 1) store.append({ sender_id: pair.john.id, ref: `${n}`, text: text(n), now: n });
    });
  });
  return { ...pair, rays: new Caller(pair.conversationId, pair.ray) };
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
const ns = (messages: Row[]) => messages.map(({ n }) => n);

/** The pages from a query on, by following `Link`. */
async function walk(rays: Caller, token: string, query: string): Promise<number[][]> {
  const pages: number[][] = [];
  for (let answer = await rays.messages(query); ;) {
    expect(answer.status).toBe(200);
    pages.push(ns(answer.body.messages));
    const next = nextOf(answer);
    expect(answer.body.more).toBe(next !== undefined);
    if (next === undefined) return pages;
    answer = await api(next, { token });
  }
}

describe('reading messages', () => {
  it('gives the newest page, oldest first, with the epoch and rev that it belongs to', async () => {
    const { rays, john } = await conversationWith(150);
    const { status, body } = await rays.messages();
    expect(status).toBe(200);
    expect(body).toEqual({
      // The two members have taken a rev each.
      epoch: 1,
      rev: 152,
      messages: expect.any(Array),
      more: true,
    });
    expect(ns(body.messages)).toEqual(upTo(150).slice(50));
    expect(body.messages.at(-1)).toMatchObject({ n: 150, sender_id: john.id, ref: '150', text: 'message 150' });
  });

  it('of a conversation without messages gives none', async () => {
    const { rays } = await conversationWith(0);
    for (const query of ['', '?before=1', '?after=0', '?around=1']) {
      const answer = await rays.messages(query);
      expect(answer.body).toMatchObject({ messages: [], more: false });
      expect(nextOf(answer)).toBeUndefined();
    }
  });

  it.each([
    ['?before=4&limit=2', [2, 3], true],
    ['?before=3&limit=2', [1, 2], false],
    ['?before=1', [], false],
    ['?before=9007199254740991&limit=1', [10], true],
    ['?after=4&limit=2', [5, 6], true],
    ['?after=8&limit=2', [9, 10], false],
    ['?after=0&limit=3', [1, 2, 3], true],
    ['?after=10', [], false],
    ['?after=9007199254740991', [], false],
    ['?around=5&limit=4', [4, 5, 6, 7], true],
    ['?around=5&limit=1', [5], true],
    ['?around=1&limit=4', [1, 2, 3], true],
    ['?around=10', upTo(10), false],
    ['?around=500&limit=2', [10], true],
    ['?limit=3', [8, 9, 10], true],
    ['?limit=100', upTo(10), false],
  ])('by %s', async (query, expected, more) => {
    const { rays } = await conversationWith(10);
    const { status, body } = await rays.messages(query);
    expect(status).toBe(200);
    expect(ns(body.messages)).toEqual(expected);
    expect(body.more).toBe(more);
  });

  it.each([
    ['limit=0', { limit: ['Ensure this value is greater than or equal to 1.'] }],
    ['limit=101', { limit: ['Ensure this value is less than or equal to 100.'] }],
    ['limit=x', { limit: ['A valid integer is required.'] }],
    ['limit=', { limit: ['A valid integer is required.'] }],
    ['limit=1.5', { limit: ['A valid integer is required.'] }],
    ['limit=-1', { limit: ['A valid integer is required.'] }],
    ['before=0', { before: ['Ensure this value is greater than or equal to 1.'] }],
    ['before=x', { before: ['A valid integer is required.'] }],
    ['after=-1', { after: ['A valid integer is required.'] }],
    ['after=9007199254740992', { after: ['A valid integer is required.'] }],
    ['around=0', { around: ['Ensure this value is greater than or equal to 1.'] }],
    ['around=NaN', { around: ['A valid integer is required.'] }],
    ['limit=0&before=x', { limit: [expect.any(String)], before: [expect.any(String)] }],
  ])('by ?%s is refused by name', async (query, errors) => {
    const { rays } = await conversationWith(1);
    const { status, body } = await rays.messages(`?${query}`);
    expect(status).toBe(400);
    expect(body).toEqual(errors);
  });

  it.each(['before=2&after=1', 'before=2&around=1', 'after=0&around=1', 'before=3&after=0&around=2'])(
    'by ?%s is refused: only one of them may be given',
    async (query) => {
      const { rays } = await conversationWith(3);
      const { status, body } = await rays.messages(`?${query}`);
      expect(status).toBe(400);
      expect(body).toEqual({ non_field_errors: ['Only one of "before", "after" and "around" may be given.'] });
    },
  );

  it('names the epoch of the directory, even if the object has not heard of it', async () => {
    const { rays, conversationId } = await conversationWith(1);
    expect((await rays.messages()).body.epoch).toBe(1);
    await raiseEpoch(conversationId);
    expect((await rays.messages()).body.epoch).toBe(2);
  });
});

describe('`Link: rel="next"`', () => {
  it.each([1, 7, PAGE_SIZE])('leads from the newest message to the first, %d at a time, each once', async (limit) => {
    const count = limit === 1 ? 12 : 250;
    const { rays, ray } = await conversationWith(count);
    const pages = await walk(rays, ray.access, limit === PAGE_SIZE ? '' : `?limit=${limit}`);
    expect(pages.toReversed().flat()).toEqual(upTo(count));
    expect(pages).toHaveLength(Math.ceil(count / limit));
  });

  it.each([7, PAGE_SIZE])('leads from the first message to the newest, %d at a time, each once', async (limit) => {
    const { rays, ray } = await conversationWith(250);
    const pages = await walk(rays, ray.access, `?after=0&limit=${limit}`);
    expect(pages.flat()).toEqual(upTo(250));
    expect(pages).toHaveLength(Math.ceil(250 / limit));
  });

  it.each([
    ['', (pages: number[][]) => pages.toReversed().flat()],
    ['?after=0', (pages: number[][]) => pages.flat()],
  ])('leaves nothing out where long messages make pages short: from "%s"', async (query, inOrder) => {
    const { rays, ray } = await conversationWith(80, () => '\u4e2d'.repeat(MESSAGE_MAX_LENGTH));
    const pages = await walk(rays, ray.access, query);
    expect(pages.length).toBeGreaterThan(2);
    expect(inOrder(pages)).toEqual(upTo(80));
  });

  it('passes deleted messages, which keep their place', async () => {
    const { john, ray, rays, conversationId } = await conversationWith(10);
    const johns = new Caller(conversationId, john);
    for (const n of [1, 4, 5, 6, 10]) await johns.remove(n);
    expect((await walk(rays, ray.access, '?limit=2')).toReversed().flat()).toEqual(upTo(10));
  });

  it('goes on at the same place when something is said meanwhile, and after that when walking up', async () => {
    const { john, ray, rays, conversationId } = await conversationWith(6);
    const [down, up] = [await rays.messages('?limit=4'), await rays.messages('?after=0&limit=4')];
    await new Caller(conversationId, john).say('in between');
    expect(ns((await api(nextOf(down) ?? '', { token: ray.access })).body.messages)).toEqual([1, 2]);
    expect(ns((await api(nextOf(up) ?? '', { token: ray.access })).body.messages)).toEqual([5, 6, 7]);
  });

  it('is not given around a message, where it would have two directions', async () => {
    const { rays } = await conversationWith(10);
    const answer = await rays.messages('?around=5&limit=2');
    expect(answer.body.more).toBe(true);
    expect(answer.headers.has('Link')).toBe(false);
  });
});
