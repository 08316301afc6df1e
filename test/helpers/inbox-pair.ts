import { runInDurableObject } from 'cloudflare:test';
import type { InboxConnect } from '../../src/inbox/connection.ts';
import { conversationOf } from './accounts.ts';
import { fed, inboxOf, say } from './inbox.ts';
import { pairInConversation, signedIn, type Person } from './people.ts';
import { claimsOf } from './tokens.ts';

/** What a statement yields on an inbox's own store. */
export async function inInbox<Row extends Record<string, SqlStorageValue>>(
  { id }: { id: string },
  sql: string,
  ...bindings: unknown[]
): Promise<Row[]> {
  return runInDurableObject(inboxOf(id), (_, { storage }) => storage.sql.exec<Row>(sql, ...bindings).toArray());
}

/** When the alarm of an inbox goes off, in milliseconds since 1970; null if it is not set. */
export async function inboxAlarm({ id }: { id: string }): Promise<number | null> {
  return runInDurableObject(inboxOf(id), async (_, { storage }) => storage.getAlarm());
}

/** Sends a message without a socket. Resolves when every inbox knows of it. */
export async function write(conversationId: string, from: { id: string }, text = 'Hello'): Promise<void> {
  await say(conversationId, from.id, text);
  await fed(conversationId);
}

/** john and ray, who has written one message to john. */
export async function acquainted(): Promise<{ john: Person; ray: Person; conversationId: string }> {
  const pair = await pairInConversation();
  await write(pair.conversationId, pair.ray);
  return pair;
}

/** Someone new who has written to a person. */
export async function acquaintanceOf(
  person: Person,
  firstName = 'Selena',
): Promise<Person & { conversationId: string }> {
  const other = await signedIn(firstName);
  const conversationId = await conversationOf(person, other);
  await write(conversationId, other);
  return { ...other, conversationId };
}

/** A connect as the Worker writes it for a person's inbox. */
export async function inboxConnectOf({ id, access }: Person): Promise<InboxConnect> {
  const { session_id, exp } = await claimsOf(access);
  return { user_id: id, session_id, expires_at: exp * 1000, request_id: 'test', epoch: 1, shows_presence: true };
}
