import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHANGES_MAX_ROWS, PAGE_MAX_BYTES, PAGE_SIZE } from '../../../src/config.ts';
import type { Cursor } from '../../../src/objects/connection.ts';
import { answer, mark } from '../../../src/conversation/rules.ts';
import type { ConversationStore } from '../../../src/conversation/store.ts';
import type { Operation } from '../../../src/protocol/client-frames.ts';
import { encodeFrame, type ServerFrame } from '../../../src/protocol/server-frames.ts';
import { utf8Bytes } from '../../../src/protocol/text.ts';
import { settings } from '../../../src/settings.ts';
import { openChat, type ChatSocket } from '../../helpers/chat-socket.ts';
import { changeUnheard, everythingSeenBy, Follower } from '../../helpers/follower.ts';
import { pairInConversation, type Person } from '../../helpers/people.ts';

const MESSAGES = 10_000;
const EDITED = 500;
const DELETED = 200;
const REACTIONS = 100;

const standard = { ...settings };

let away: { conversationId: string; john: Person; ray: Person; before: Cursor; johns: ChatSocket; rays: Follower };

/** What happened while ray was away. */
function live(store: ConversationStore, john: string, ray: string): void {
  const senderOf = (n: number) => store.message(n)?.sender_id ?? '';
  const by = (userId: string, operation: Operation) => {
    const { type } = answer(store, userId, operation, Date.now());
    if (type !== 'ok') throw new Error(`${operation.type} was not done, but: ${type}`);
  };
  for (let i = 1; i <= MESSAGES; i += 1) {
    by(i % 3 === 0 ? ray : john, { type: 'send', ref: `send ${i}`, text: `message ${i} ${'…'.repeat(i % 50)}` });
    if (i % 100 === 0) mark(store, i % 200 === 0 ? john : ray, { type: 'mark', read: i });
  }
  for (let i = 0; i < EDITED; i += 1) {
    const n = 1 + ((i * 37) % MESSAGES);
    by(senderOf(n), { type: 'edit', ref: `edit ${i}`, n, text: `edited ${i}` });
  }
  for (let i = 0; i < REACTIONS; i += 1) {
    by(john, { type: 'react', ref: `react ${i}`, n: 1 + ((i * 53) % MESSAGES), emoji: '👍', on: true });
  }
  for (let i = 0; i < DELETED; i += 1) {
    const n = 1 + ((i * 41) % MESSAGES);
    by(senderOf(n), { type: 'delete', ref: `delete ${i}`, n });
  }
}

beforeAll(async () => {
  Object.assign(settings, { rateBurst: 1_000_000 });
  const { john, ray, conversationId } = await pairInConversation();
  const johns = await openChat(conversationId, john.access);
  const rays = await Follower.open(conversationId, ray);
  // Something that ray has seen before, and that changes meanwhile.
  for (let n = 1; n <= 5; n += 1) await johns.say(`seen ${n}`);
  await rays.catchUp();
  const before = rays.replica.cursor;
  if (!before) throw new Error('The follower was never welcomed.');
  rays.socket.close(1000);
  await changeUnheard(conversationId, (store) => live(store, john.id, ray.id));
  away = { conversationId, john, ray, before, johns, rays };
});

afterAll(() => {
  Object.assign(settings, standard);
});

/** Reports what a way back costs. Its time depends on the machine, so it is never asserted. */
function report(how: string, startedAt: number, frames: readonly ServerFrame[]): void {
  const bytes = frames.reduce((sum, frame) => sum + utf8Bytes(encodeFrame(frame)), 0);
  // eslint-disable-next-line no-console -- it is a report
  console.log(`Back ${how}: ${frames.length} frames, ${bytes} bytes, ${Date.now() - startedAt} ms`);
}

/** Expects that a page is bounded, and returns how many rows it has. */
function rowsWithin(frame: { messages: unknown[]; members?: unknown[] } & ServerFrame, limit: number): number {
  const rows = frame.messages.length + (frame.members?.length ?? 0);
  expect(rows).toBeLessThanOrEqual(limit);
  expect(utf8Bytes(encodeFrame(frame))).toBeLessThanOrEqual(PAGE_MAX_BYTES + 300);
  return rows;
}

test('rule 4: who was away for 10,000 messages comes back by pages to exactly what the server has', async () => {
  const { conversationId, john, before, johns, rays } = away;
  Object.assign(settings, { resumeRows: 2 * MESSAGES });
  const startedAt = Date.now();
  expect(await rays.connect(before)).toMatchObject({ resumed: true });
  let arriving = 0;
  const pages = await rays.catchUp(async () => {
    arriving += 1;
    await johns.say(`arriving ${arriving}`);
  });
  report('by pages', startedAt, [rays.socket.welcome, ...pages]);

  const rows = pages.map((page) => rowsWithin(page, CHANGES_MAX_ROWS));
  expect(rows.slice(0, -1).every((count) => count === CHANGES_MAX_ROWS)).toBe(true);
  // The last page is short, since no more than one message came while another page was fetched.
  expect(pages.length).toBeLessThanOrEqual(Math.ceil((MESSAGES + 200) / CHANGES_MAX_ROWS) + 1);
  // What was said after the last page arrives by itself.
  const newest = 5 + MESSAGES + arriving;
  if (!rays.replica.messages.has(newest)) {
    await rays.socket.next('changes', ({ messages }) => messages.some(({ n }) => n === newest));
    rays.hear();
  }
  expect(rays.replica.gap).toBe(false);
  expect(rays.replica.messages.size).toBe(newest);
  expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
}, 60_000);

test('rule 4: or by a snapshot and the history, to the same', async () => {
  const { conversationId, john, before, johns, rays } = away;
  Object.assign(settings, { resumeRows: standard.resumeRows });
  const startedAt = Date.now();
  const welcome = await rays.connect(before);
  expect(welcome).toMatchObject({ resumed: false });
  expect(welcome.snapshot?.messages).toHaveLength(PAGE_SIZE);
  let arriving = 0;
  const pages = await rays.loadAll(async () => {
    arriving += 1;
    await johns.say(`arriving later ${arriving}`);
  });
  report('by snapshot and history', startedAt, [welcome, ...pages]);

  for (const page of pages) rowsWithin(page, PAGE_SIZE);
  await rays.catchUp();
  expect(rays.replica.state()).toEqual(await everythingSeenBy(conversationId, john));
}, 60_000);
