import { createScheduledController, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, expect, test, vi } from 'vitest';
import { ACCESS_TOKEN_LIFETIME_S } from '../../src/config.ts';
import { connectRequest } from '../../src/conversation/connection.ts';
import worker from '../../src/worker.ts';
import { api } from '../helpers/api.ts';
import { connectOf, objectOf, open, query, storedTexts } from '../helpers/conversation.ts';
import { pendingNotices, setLeft, versionOf } from '../helpers/directory.ts';
import { breakD1 } from '../helpers/faults.ts';
import { endSession, pairInConversation } from '../helpers/people.ts';
import { TestSocket } from '../helpers/socket.ts';
import { claimsOf } from '../helpers/tokens.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('a socket whose token has expired hears nothing more, even if the alarm is late', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  const rays = await open(conversationId, ray.access);
  const later = Date.now() + ACCESS_TOKEN_LIFETIME_S * 1000 + 1;
  const longer = { ...(await connectOf(john, conversationId)), expires_at: later + 60_000 };
  const { webSocket } = await objectOf(conversationId).fetch(connectRequest(longer));
  if (!webSocket) throw new Error('Refused.');
  const johns = new TestSocket(webSocket);

  vi.useFakeTimers({ now: later, toFake: ['Date'] });
  johns.say('are you still there?', ray.id);
  expect(await rays.closed).toMatchObject({ code: 4401 });
  expect(rays.pending).toEqual([]);
  expect(JSON.parse(await johns.next())).toMatchObject({ message: 'are you still there?' });
  expect(await storedTexts(conversationId)).toEqual(['are you still there?']);
});

test('a session ends in a conversation that cannot reach the directory', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  const johns = await open(conversationId, john.access);
  const claims = await claimsOf(john.access);
  await setLeft(conversationId, ray.id, Date.now());
  const known = await versionOf(conversationId);
  const d1 = breakD1();
  const session = { session_id: claims.session_id, remember_until: Date.now() + 60_000 };
  await runInDurableObject(objectOf(conversationId), async (object) => {
    await expect(object.notify(known, { ended_sessions: [session] })).rejects.toThrow('Failed query');
  });
  d1.restore();
  expect(await johns.closed).toMatchObject({ code: 4410 });
  expect(await query(conversationId, 'SELECT session_id FROM ended_sessions')).toEqual([
    { session_id: claims.session_id },
  ]);
});

test('a clean-up that fails does not keep notices from being delivered', async () => {
  const { john, conversationId } = await pairInConversation();
  const johns = await open(conversationId, john.access);
  await endSession(await claimsOf(john.access), 'logout', Date.now());
  await env.DB.prepare(
    `CREATE TRIGGER stuck BEFORE DELETE ON refresh_tokens BEGIN SELECT raise(ABORT, 'stuck'); END`,
  ).run();
  await env.DB.prepare('UPDATE refresh_tokens SET expires_at = 0').run();
  await worker.scheduled(createScheduledController(), env);
  expect(await johns.closed).toMatchObject({ code: 4410 });
  expect(await pendingNotices()).toEqual([]);
  await env.DB.prepare('DROP TRIGGER stuck').run();
});

test('someone who has left reads nothing, not even what they have seen before', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  const johns = await open(conversationId, john.access);
  johns.say('a secret', ray.id);
  await johns.next();
  await setLeft(conversationId, ray.id, Date.now());
  const { status, text } = await api(`/api/users/${john.id}/chat/`, { token: ray.access });
  expect(status).toBe(403);
  expect(text).not.toContain('a secret');
});
