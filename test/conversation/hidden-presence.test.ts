import { evictDurableObject } from 'cloudflare:test';
import { expect, test } from 'vitest';
import { api } from '../helpers/api.ts';
import { chatPair } from '../helpers/chat-pair.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { objectOf } from '../helpers/conversation.ts';
import { pairInConversation, type Person } from '../helpers/people.ts';

async function show({ access }: Person, show_presence: 'contacts' | 'nobody'): Promise<void> {
  const { status } = await api('/api/me/', { method: 'PATCH', token: access, json: { show_presence } });
  expect(status).toBe(200);
}

test('who hides when they are here is told to others as gone at once, and as here when they show it again', async () => {
  const { ray, johns } = await chatPair();
  await show(ray, 'nobody');
  const hidden = await johns.next('presence', ({ user_id, online }) => user_id === ray.id && !online);
  expect(hidden).toMatchObject({ online: false });
  await show(ray, 'contacts');
  expect(await johns.next('presence', ({ user_id }) => user_id === ray.id)).toMatchObject({ online: true });
});

test('who hides it is in nobody’s welcome but their own, nor is when they were last here', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  await show(ray, 'nobody');
  const rays = await openChat(conversationId, ray.access);
  expect(rays.welcome.online).toEqual([ray.id]);
  const johns = await openChat(conversationId, john.access);
  expect(johns.welcome).toMatchObject({ online: [john.id], last_seen: {} });
  rays.close(1000);
  await rays.closed;
  const again = await openChat(conversationId, john.access);
  expect(again.welcome).toMatchObject({ online: [john.id], last_seen: {} });
});

test('who hides it is not told of when they come and go, but sees others do, also after the object has slept', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  await show(ray, 'nobody');
  const johns = await openChat(conversationId, john.access);
  const rays = await openChat(conversationId, ray.access);
  await evictDurableObject(objectOf(conversationId));
  rays.close(1000);
  await rays.closed;
  await johns.settled();
  expect(johns.pending.filter(({ type }) => type === 'presence')).toEqual([]);
  const raysAgain = await openChat(conversationId, ray.access);
  johns.close(1000);
  await johns.closed;
  expect(await raysAgain.next('presence')).toMatchObject({ user_id: john.id, online: false });
});
