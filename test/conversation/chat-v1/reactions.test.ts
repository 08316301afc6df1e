import { runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test } from 'vitest';
import { REACTION_KINDS_MAX, REACTIONS_MAX } from '../../../src/config.ts';
import { settings } from '../../../src/settings.ts';
import { changesUpTo, chatPair, errorOf, messageRow, pageOf } from '../../helpers/chat-pair.ts';
import type { ChatSocket } from '../../helpers/chat-socket.ts';
import { objectOf, query } from '../../helpers/conversation.ts';
import { dumpObject } from '../../helpers/object-tables.ts';

const on = (emoji: string, n = 1) => ({ type: 'react', n, emoji, on: true }) as const;
const off = (emoji: string, n = 1) => ({ type: 'react', n, emoji, on: false }) as const;

/** As many emoji as needed, up to 80: 😀, 😁, 😂 … */
const emoji = (count: number) => Array.from({ length: count }, (_, i) => String.fromCodePoint(0x1f600 + i));

/** A pair with a message of john's. */
async function chatPairWithMessage() {
  const pair = await chatPair();
  await pair.johns.say('one');
  return pair;
}

/** Reactions of users who are not there: the conversations of today have two members. */
async function storeReactions(conversationId: string, kinds: string[], users: number): Promise<void> {
  await runInDurableObject(objectOf(conversationId), (_, { storage: { sql } }) => {
    for (let user = 0; user < users; user += 1) {
      const id = crypto.randomUUID();
      for (const [i, kind] of kinds.entries()) {
        sql.exec('INSERT INTO reactions (n, emoji, user_id, rev) VALUES (1, ?, ?, ?)', kind, id, -1000 + i);
      }
    }
  });
}

const countOf = async (socket: ChatSocket) =>
  (await messageRow(socket, 1)).reactions.reduce((sum, { user_ids }) => sum + user_ids.length, 0);

const standard = { ...settings };
afterEach(() => {
  Object.assign(settings, standard);
});

describe('a reaction', () => {
  test('gives its message the next rev, and is seen by both members, live and in history', async () => {
    const { ray, johns, rays } = await chatPairWithMessage();
    const before = await messageRow(rays, 1);
    const { rev: head } = await pageOf(johns);
    const ok = await rays.ok({ ...on('👍'), ref: 'up' });
    expect(ok).toEqual({ type: 'ok', ref: 'up', n: 1, rev: head + 1 });

    const row = { ...before, rev: ok.rev, reactions: [{ emoji: '👍', user_ids: [ray.id] }] };
    for (const socket of [johns, rays]) {
      expect((await changesUpTo(socket, ok.rev)).at(-1)?.messages.at(-1)).toEqual(row);
      expect(await messageRow(socket, 1)).toEqual(row);
    }
  });

  test('that is taken back is gone, with its emoji if it was the last', async () => {
    const { ray, johns, rays } = await chatPairWithMessage();
    await johns.ok(on('👍'));
    await rays.ok(on('👍'));
    await johns.ok(off('👍'));
    expect((await messageRow(rays, 1)).reactions).toEqual([{ emoji: '👍', user_ids: [ray.id] }]);
    const ok = await rays.ok(off('👍'));
    expect(await messageRow(johns, 1)).toMatchObject({ rev: ok.rev, reactions: [] });
  });

  test('is one’s own: taking it back leaves that of the other', async () => {
    const { ray, johns, rays } = await chatPairWithMessage();
    await rays.ok(on('👍'));
    await johns.ok(off('👍'));
    expect((await messageRow(johns, 1)).reactions).toEqual([{ emoji: '👍', user_ids: [ray.id] }]);
  });

  test('is not an edit', async () => {
    const { johns, rays } = await chatPairWithMessage();
    await rays.ok(on('👍'));
    expect(await messageRow(johns, 1)).toMatchObject({ text: 'one', edited_at: null });
  });

  test('of one message is not of another', async () => {
    const { johns, rays } = await chatPairWithMessage();
    await johns.say('two');
    await rays.ok(on('👍', 2));
    expect((await messageRow(johns, 1)).reactions).toEqual([]);
  });
});

describe('reactions are in the order of their first use', () => {
  test('emoji among each other, and the users of each', async () => {
    const { john, ray, johns, rays } = await chatPairWithMessage();
    await rays.ok(on('😀'));
    await rays.ok(on('👍'));
    await johns.ok(on('🎉'));
    await johns.ok(on('👍'));
    await johns.ok(on('😀'));
    const reactions = [
      { emoji: '😀', user_ids: [ray.id, john.id] },
      { emoji: '👍', user_ids: [ray.id, john.id] },
      { emoji: '🎉', user_ids: [john.id] },
    ];
    expect((await messageRow(johns, 1)).reactions).toEqual(reactions);
    expect((await messageRow(rays, 1)).reactions).toEqual(reactions);
  });

  test('one that was taken back and made again is the last', async () => {
    const { johns } = await chatPairWithMessage();
    for (const frame of [on('😀'), on('👍'), off('😀'), on('😀')]) await johns.ok(frame);
    expect((await messageRow(johns, 1)).reactions.map((it) => it.emoji)).toEqual(['👍', '😀']);
  });
});

test('two spellings of an emoji are one reaction, in its canonical spelling', async () => {
  const { john, johns } = await chatPairWithMessage();
  const first = await johns.ok(on('❤'));
  const second = await johns.ok(on('❤️'));
  expect(second.rev).toBe(first.rev);
  expect((await messageRow(johns, 1)).reactions).toEqual([{ emoji: '❤️', user_ids: [john.id] }]);
  await johns.ok(off('❤'));
  expect((await messageRow(johns, 1)).reactions).toEqual([]);
});

describe(`a message can have ${REACTION_KINDS_MAX} different emoji`, () => {
  test('and no more, whoever tries; but those that are there may be used, and one that goes makes room', async () => {
    const { johns, rays, conversationId } = await chatPairWithMessage();
    const kinds = emoji(REACTION_KINDS_MAX);
    for (const kind of kinds) await johns.ok(on(kind));
    const before = await dumpObject(conversationId);
    for (const socket of [johns, rays]) {
      expect(await errorOf(socket, { ...on('👍'), ref: 'too much' })).toMatchObject({
        code: 'too_many_reactions',
        ref: 'too much',
      });
    }
    expect(await dumpObject(conversationId)).toEqual(before);

    await rays.ok(on(kinds[0] ?? ''));
    await johns.ok(off(kinds[1] ?? ''));
    await rays.ok(on('👍'));
    expect((await messageRow(johns, 1)).reactions).toHaveLength(REACTION_KINDS_MAX);
  });
});

describe(`a message can have ${REACTIONS_MAX} reactions`, () => {
  test('and no more, though of known emoji; and one that goes makes room', async () => {
    const { johns, rays, conversationId } = await chatPairWithMessage();
    const kinds = emoji(REACTION_KINDS_MAX);
    await storeReactions(conversationId, kinds, REACTIONS_MAX / REACTION_KINDS_MAX - 1);
    for (const kind of kinds) await johns.ok(on(kind));
    expect(await countOf(rays)).toBe(REACTIONS_MAX);

    expect(await rays.refused(on(kinds[0] ?? ''))).toBe('too_many_reactions');
    expect(await countOf(rays)).toBe(REACTIONS_MAX);
    await johns.ok(off(kinds[3] ?? ''));
    await rays.ok(on(kinds[0] ?? ''));
    expect(await rays.refused(on(kinds[1] ?? ''))).toBe('too_many_reactions');
    expect(await countOf(rays)).toBe(REACTIONS_MAX);
  });
});

test('20,000 frames that react leave as many reactions as a message may have, and the rest is refused', async () => {
  Object.assign(settings, { rateBurst: 1_000_000 });
  const { john, ray, johns, rays, conversationId } = await chatPairWithMessage();
  const kinds = emoji(80);
  await runInDurableObject(objectOf(conversationId), (object, state) => {
    const sockets = [john, ray].map(({ id }) => state.getWebSockets(`user:${id}`)[0]);
    for (let i = 0; i < 20_000; i += 1) {
      const socket = sockets[i % 2];
      const frame = { ...on(kinds[i % kinds.length] ?? ''), ref: `flood ${i}` };
      if (socket) object.webSocketMessage(socket, JSON.stringify(frame));
    }
  });
  const answers: string[] = [];
  for (const socket of [johns, rays]) {
    await socket.answer(`flood ${socket === johns ? 19_998 : 19_999}`);
    for (const frame of socket.frames) {
      if (frame.type === 'error') answers.push(frame.code);
      if (frame.type === 'ok' && frame.ref.startsWith('flood')) answers.push('ok');
    }
  }
  expect(answers).toHaveLength(20_000);
  expect(new Set(answers)).toEqual(new Set(['ok', 'too_many_reactions']));
  const { reactions } = await messageRow(johns, 1);
  expect(reactions).toHaveLength(REACTION_KINDS_MAX);
  // Each ref that was used is remembered; those that were refused are not.
  const [used] = await query<{ count: number }>(
    conversationId,
    `SELECT count(*) AS count FROM operations WHERE type = 'react'`,
  );
  expect(used?.count).toBe(answers.filter((answer) => answer === 'ok').length);
}, 60_000);
