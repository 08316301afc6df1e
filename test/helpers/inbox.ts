import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { expect, vi } from 'vitest';
import { ConversationStore } from '../../src/conversation/store.ts';
import type { InboxRow } from '../../src/protocol/inbox-frames.ts';
import { objectOf, query } from './conversation.ts';
import { versionOf } from './directory.ts';

/** The inbox of a user. */
export function inboxOf(userId: string) {
  return env.INBOXES.getByName(userId);
}

/** What the inbox of a user holds, by the call that the Worker makes. */
export async function inboxRows(userId: string, archived = false): Promise<InboxRow[]> {
  const range = { unread: false, archived, limit: 100 };
  const list = await inboxOf(userId).list({ epoch: 1, shows_presence: true }, range);
  if (!list || 'type' in list) throw new Error('The inbox is closed, or asked too often.');
  return list.conversations;
}

/** How a conversation stands in somebody's inbox; undefined if it does not show there. */
export async function inboxRow(userId: string, conversationId: string): Promise<InboxRow | undefined> {
  return (await inboxRows(userId)).find(({ conversation }) => conversation === conversationId);
}

/** Whose inbox has not acknowledged how a conversation stands now, as an object would find that has woken up. */
export async function dueInboxes(conversationId: string): Promise<string[]> {
  return runInDurableObject(objectOf(conversationId), (_, { storage }) => new ConversationStore(storage).dueFeeds());
}

/** Waits until every inbox has acknowledged how a conversation stands. */
export async function fed(conversationId: string): Promise<void> {
  await vi.waitFor(async () => expect(await dueInboxes(conversationId)).toEqual([]), { timeout: 5000, interval: 10 });
}

/** What each member's inbox has acknowledged last. */
export async function fedRevs(conversationId: string): Promise<Map<string, number>> {
  const rows = await query<{ user_id: string; fed_rev: number }>(
    conversationId,
    'SELECT user_id, fed_rev FROM members',
  );
  return new Map(rows.map(({ user_id, fed_rev }) => [user_id, fed_rev]));
}

/** When the alarm of a conversation goes off, in milliseconds since 1970; null if it is not set. */
export async function alarmOf(conversationId: string): Promise<number | null> {
  return runInDurableObject(objectOf(conversationId), async (_, { storage }) => storage.getAlarm());
}

/** How a conversation stands for a member by its log alone, counted without the store. */
export async function standingBySql(conversationId: string, userId: string) {
  const [row] = await query<{ n: number; read: number; unread: number; sender_id: string; text: string | null }>(
    conversationId,
    `SELECT last.n, last.sender_id, last.text, members.read,
       min(100, (SELECT count(*) FROM messages
                 WHERE n > members.read AND sender_id <> members.user_id AND deleted_at IS NULL)) AS unread
     FROM members, messages AS last
     WHERE members.user_id = ? AND last.n = (SELECT max(n) FROM messages)`,
    userId,
  );
  return row;
}

/** Has a member send a message, edit, delete, react or mark, by the call that the Worker makes for them over HTTP. */
export async function request(
  conversationId: string,
  userId: string,
  frame: Parameters<ReturnType<typeof objectOf>['request']>[2],
): Promise<void> {
  const answer = await objectOf(conversationId).request(await versionOf(conversationId), userId, frame);
  if (answer === undefined || answer?.type === 'error') throw new Error(`Refused: ${JSON.stringify(answer)}`);
}

/** The same: a message. */
export async function say(conversationId: string, userId: string, text: string): Promise<void> {
  await request(conversationId, userId, { type: 'send', ref: crypto.randomUUID(), text });
}
