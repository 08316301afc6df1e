import { createScheduledController } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import worker from '../../src/worker.ts';
import { api } from './api.ts';
import { dumpTables } from './tables.ts';

/** What the cron trigger does every minute. */
export const cronRun = () => worker.scheduled(createScheduledController(), env);

/** The hash of a user's password. */
export async function storedHash(userId: string): Promise<string> {
  return (await env.DB.prepare('SELECT password FROM users WHERE id = ?').bind(userId).first<string>('password')) ?? '';
}

/** A hash that no password has, as if a password had been changed to it: to hash one takes 0.2 s. */
export const otherHash = () => `$argon2id$v=19$m=12288,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$${crypto.randomUUID()}`;

/** What happened to a user's account: kind and, if a session ended, why; the oldest first. */
export async function eventsOf(userId: string): Promise<string[]> {
  const { results } = await env.DB.prepare('SELECT kind, reason FROM security_events WHERE user_id = ? ORDER BY seq')
    .bind(userId)
    .all<{ kind: string; reason: string | null }>();
  return results.map(({ kind, reason }) => (reason === null ? kind : `${kind}: ${reason}`));
}

/** Everything that the directory holds but how often somebody has tried something, and that they did so in vain. */
export async function dumpButAttempts(): Promise<Record<string, Record<string, unknown>[]>> {
  const { throttles: _throttles, security_events = [], ...tables } = await dumpTables();
  return { ...tables, security_events: security_events.filter(({ kind }) => kind !== 'wrong_password') };
}

/** The id of the conversation of two users, which is made if there is none. */
export async function conversationOf(one: { id: string }, other: { id: string }): Promise<string> {
  const conversation = await openDirectConversation(directory(env.DB), one.id, other.id, Date.now());
  if (!conversation) throw new Error('There is no conversation.');
  return conversation.id;
}

/**
 * What the two tokens of a session are answered: {@link SIGNED_IN} or {@link SIGNED_OUT}. A refresh token that is good is
 * used by that.
 */
export async function standing({ access, refresh }: { access: string; refresh: string }): Promise<number[]> {
  const answers = [await api('/api/me/', { token: access }), await api('/api/token/refresh/', { json: { refresh } })];
  return answers.map(({ status }) => status);
}

export const SIGNED_IN = [200, 200];
export const SIGNED_OUT = [401, 401];

/** Signs in as a client does. */
export const logIn = (email: string, password: string, headers: Record<string, string> = {}) =>
  api('/api/login/', { json: { email, password }, headers });
