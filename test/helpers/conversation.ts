import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { expect } from 'vitest';
import { type Connect } from '../../src/conversation/connection.ts';
import { tags } from '../../src/objects/connection.ts';
import type { Conversation } from '../../src/conversation/conversation.ts';
import type { StoredMember, StoredMessage } from '../../src/conversation/store.ts';
import { api } from './api.ts';
import { versionOf } from './directory.ts';
import { pairInConversation, type Person } from './people.ts';
import { connect, type TestSocket } from './socket.ts';
import { claimsOf } from './tokens.ts';

/** The object of a conversation. */
export function objectOf(conversationId: string) {
  return env.CONVERSATIONS.getByName(conversationId);
}

/** A connect as the Worker writes it for its object, with what the directory says now. */
export async function connectOf(person: { id: string; access: string }, conversationId: string): Promise<Connect> {
  const { session_id, exp } = await claimsOf(person.access);
  return {
    conversation_id: conversationId,
    ...(await versionOf(conversationId)),
    user_id: person.id,
    session_id,
    expires_at: exp * 1000,
    request_id: 'test',
    protocol: 'plain',
  };
}

/** A socket that has sent something: the runtime finishes a close by the server on no other. */
export async function open(conversationId: string, token: string): Promise<TestSocket> {
  const socket = await connect(conversationId, token);
  await socket.settled();
  return socket;
}

/** john and ray, with a plain socket each. */
export async function chatting() {
  const pair = await pairInConversation();
  const johns = await open(pair.conversationId, pair.john.access);
  const rays = await open(pair.conversationId, pair.ray.access);
  return { ...pair, johns, rays };
}

/** Hands the object a frame of `sender` right after `change`: the frame was on its way to it meanwhile. */
export async function frameOnItsWay(
  conversationId: string,
  sender: { id: string },
  frame: object,
  change: (object: Conversation, socket: WebSocket) => Promise<void>,
): Promise<void> {
  await runInDurableObject(objectOf(conversationId), async (object, state) => {
    const [socket] = state.getWebSockets(tags.user(sender.id));
    if (!socket) throw new Error('The sender has no socket.');
    await change(object, socket);
    object.webSocketMessage(socket, JSON.stringify(frame));
  });
}

/** What a statement yields on an object's own store. */
export async function query<Row extends Record<string, SqlStorageValue>>(
  conversationId: string,
  sql: string,
  ...bindings: unknown[]
): Promise<Row[]> {
  return runInDurableObject(objectOf(conversationId), (_, { storage }) =>
    storage.sql.exec<Row>(sql, ...bindings).toArray(),
  );
}

/** The messages that a conversation has stored, oldest first. */
export async function storedMessages(conversationId: string): Promise<StoredMessage[]> {
  return query<StoredMessage>(conversationId, 'SELECT * FROM messages ORDER BY n');
}

/** Their texts. */
export async function storedTexts(conversationId: string): Promise<(string | null)[]> {
  return (await storedMessages(conversationId)).map(({ text }) => text);
}

/** The members that a conversation has stored, by user id; without what their inboxes have acknowledged. */
export async function storedMembers(conversationId: string): Promise<Map<string, Omit<StoredMember, 'fed_rev'>>> {
  const rows = await query<StoredMember>(conversationId, 'SELECT * FROM members');
  return new Map(rows.map(({ fed_rev: _fed_rev, ...row }) => [row.user_id, row]));
}

/** The version and epoch of the directory that a conversation has caught up with. */
export async function storedVersion(conversationId: string) {
  const [row] = await query<{ version: number; epoch: number }>(conversationId, 'SELECT version, epoch FROM directory');
  return row;
}

/** The texts of the whole history of `reader` and `peer`, oldest first, over as many pages as it has. */
export async function historyOf(reader: Person, peer: { id: string }): Promise<string[]> {
  const texts: string[] = [];
  let path: string | undefined = `/api/users/${peer.id}/chat/`;
  while (path !== undefined) {
    const { status, body } = await api(path, { token: reader.access });
    expect(status).toBe(200);
    texts.push(...body.data.messages.map((message: { text: string }) => message.text));
    path = body.data.next;
  }
  return texts.toReversed();
}
