import { afterEach, describe, expect, test, vi } from 'vitest';
import { Inbox } from '../../src/inbox/inbox.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { finished } from '../helpers/finished.ts';
import { acquainted, write } from '../helpers/inbox-pair.ts';
import { openInbox } from '../helpers/inbox-socket.ts';

const typing = (on: boolean) => ({ type: 'typing', on });

/** Calls that tell an inbox of somebody who types. */
function countTyping() {
  const method = Object.getOwnPropertyDescriptor(Inbox.prototype, 'typing')?.value as Inbox['typing'];
  return vi.spyOn(Inbox.prototype, 'typing').mockImplementation(async function first(this: Inbox, ...told) {
    return method.apply(this, told);
  });
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('who types', () => {
  test('is told to whoever has only an inbox open, and when they stop', async () => {
    const { john, ray, conversationId } = await acquainted();
    const johns = await openInbox(john.access);
    const rays = await openChat(conversationId, ray.access);
    rays.send(typing(true));
    expect(await johns.next('typing')).toMatchObject({ conversation: conversationId, user_id: ray.id, on: true });
    rays.send(typing(false));
    expect(await johns.next('typing')).toMatchObject({ user_id: ray.id, on: false });
  });

  test('is not told to their own inbox, nor to that of someone who has the conversation open', async () => {
    const { john, ray, conversationId } = await acquainted();
    const inboxes = [await openInbox(john.access), await openInbox(ray.access)];
    const johns = await openChat(conversationId, john.access);
    const rays = await openChat(conversationId, ray.access);
    const calls = countTyping();
    rays.send(typing(true));
    await johns.next('typing');
    for (const inbox of inboxes) await inbox.settled();
    expect(calls).not.toHaveBeenCalled();
  });

  test('is told to nobody under a block', async () => {
    const { john, ray, conversationId } = await acquainted();
    await openInbox(john.access);
    const rays = await openChat(conversationId, ray.access);
    await finished(`/api/users/${ray.id}/block/`, { method: 'PUT', token: john.access });
    const calls = countTyping();
    rays.send(typing(true));
    await rays.settled();
    expect(calls).not.toHaveBeenCalled();
  });
});

describe('an inbox where nobody listens', () => {
  test('is not told again and again, but once somebody listens there', async () => {
    const { john, ray, conversationId } = await acquainted();
    const rays = await openChat(conversationId, ray.access);
    const calls = countTyping();
    rays.send(typing(true));
    await vi.waitFor(() => expect(calls).toHaveBeenCalledTimes(1));
    await calls.mock.results[0]?.value;
    rays.send(typing(false));
    await rays.settled();
    expect(calls).toHaveBeenCalledTimes(1);
    const johns = await openInbox(john.access);
    // The next feed tells the conversation that somebody listens now.
    await write(conversationId, ray);
    vi.useFakeTimers({ now: Date.now() + 3000, toFake: ['Date'] });
    rays.send(typing(true));
    expect(await johns.next('typing')).toMatchObject({ on: true });
  });
});

test('an inbox that cannot be told of typing harms nothing', async () => {
  const { john, ray, conversationId } = await acquainted();
  await openInbox(john.access);
  const rays = await openChat(conversationId, ray.access);
  await write(conversationId, ray);
  const ill = vi.spyOn(Inbox.prototype, 'typing').mockRejectedValue(new Error('The inbox is not well.'));
  rays.send(typing(true));
  await vi.waitFor(() => expect(ill).toHaveBeenCalled());
  await rays.say('Hello');
  expect(rays.pending.filter(({ type }) => type === 'error')).toEqual([]);
});
