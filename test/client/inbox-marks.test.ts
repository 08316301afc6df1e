import { describe, expect, test } from 'vitest';
import { pairInConversation } from '../helpers/people.ts';
import { idle, InboxServer, lookAtInbox, openInbox, reconnected } from './inbox-server.ts';
import { flush, online, openTab, until } from './tab.ts';

const delivered = ({ heard }: InboxServer) =>
  heard.flatMap((frame) => (frame.type === 'mark' ? [[Number(frame.conversation.slice(-12)), frame.delivered]] : []));

describe('what has arrived', () => {
  test('is told of every conversation with something unread, half a second later', async () => {
    const { server, tab } = await lookAtInbox((it) => {
      it.message(1, 1000);
      it.message(2, 2000);
      it.message(2, 3000);
      it.change(3);
    });
    tab.clock.pass(499);
    await flush();
    expect(delivered(server)).toEqual([]);
    tab.clock.pass(1);
    await flush();
    expect(delivered(server)).toEqual([
      [2, 2],
      [1, 1],
    ]);
  });

  test('is told once, and again when there is more', async () => {
    const { server, tab } = await lookAtInbox((it) => void it.message(1, 1000));
    tab.clock.pass(500);
    server.change(1, { pinned: true });
    await flush();
    tab.clock.pass(500);
    await flush();
    expect(delivered(server)).toEqual([[1, 1]]);
    server.message(1, 2000);
    server.message(1, 3000);
    await flush();
    tab.clock.pass(500);
    await flush();
    expect(delivered(server)).toEqual([
      [1, 1],
      [1, 3],
    ]);
  });

  test('is not told of what the user has written themselves', async () => {
    const { server, tab } = await lookAtInbox();
    server.change(1, { unread: 1, last: { n: 1, sender_id: server.me, text: 'mine', created_at: 1000 } });
    await flush();
    tab.clock.pass(500);
    await flush();
    expect(delivered(server)).toEqual([]);
  });

  test('is told of conversations that are not in the list, too', async () => {
    const { server, tab } = await lookAtInbox((it) => {
      it.message(1, 1000);
      it.change(1, { archived: true });
      for (let i = 2; i <= 102; i += 1) it.change(i, { last: { ...it.change(i).last, created_at: i * 1000 } });
    });
    server.message(1, 500);
    await flush();
    tab.clock.pass(500);
    await flush();
    expect(delivered(server)).toEqual([[1, 2]]);
  });

  test('is told of a page that was loaded', async () => {
    const { server, tab, inbox } = await lookAtInbox((it) => {
      it.message(1, 1);
      for (let i = 2; i <= 101; i += 1) it.change(i, { last: { ...it.change(i).last, created_at: i * 1000 } });
    });
    tab.clock.pass(500);
    await inbox.loadMore();
    tab.clock.pass(500);
    await flush();
    expect(delivered(server)).toEqual([[1, 1]]);
  });

  test('is not told before everything is here', async () => {
    const opened = await lookAtInbox();
    const { server, tab } = opened;
    server.changesRows = 1;
    server.refusal = ({ type }) =>
      type === 'sync' && server.of('sync').length === 2
        ? { code: 'rate_limited', message: 'You are too fast.', retry_after_ms: 3000 }
        : undefined;
    await reconnected(opened, () => {
      server.message(1, 1000);
      server.message(2, 2000);
    });
    tab.clock.pass(2999);
    await flush();
    expect(delivered(server)).toEqual([]);
    tab.clock.pass(1);
    await flush();
    tab.clock.pass(500);
    await flush();
    expect(delivered(server)).toEqual([
      [1, 1],
      [2, 1],
    ]);
  });

  test('is told again if the socket was lost soon after, and not if it held', async () => {
    const opened = await lookAtInbox((it) => void it.message(1, 1000));
    const { server, tab } = opened;
    await idle(opened, 65);
    server.message(2, 2000);
    await flush();
    tab.clock.pass(500);
    await flush();
    await reconnected(opened);
    tab.clock.pass(500);
    await flush();
    expect(delivered(server)).toEqual([
      [1, 1],
      [2, 1],
      [2, 1],
    ]);
  });

  test('is told again if it was refused, when it is time', async () => {
    const { server, tab } = await lookAtInbox((it) => void it.message(1, 1000));
    server.refusal = () => ({ code: 'rate_limited', message: 'You are too fast.', retry_after_ms: 2000 });
    tab.clock.pass(500);
    await flush();
    server.refusal = () => undefined;
    server.change(1, { pinned: true });
    await flush();
    tab.clock.pass(1999);
    await flush();
    expect(delivered(server)).toEqual([[1, 1]]);
    tab.clock.pass(1);
    await flush();
    expect(delivered(server)).toEqual([
      [1, 1],
      [1, 1],
    ]);
  });

  test('is told anew of another history', async () => {
    const opened = await lookAtInbox((it) => void it.message(1, 1000));
    const { server, tab } = opened;
    await idle(opened, 65);
    await reconnected(opened, () => (server.epoch = 2));
    tab.clock.pass(500);
    await flush();
    expect(delivered(server)).toEqual([
      [1, 1],
      [1, 1],
    ]);
  });
});

/** ray's inbox, and his conversation with john, who has written. */
async function inConversation() {
  const { john, ray, conversationId } = await pairInConversation();
  const server = new InboxServer(ray.id);
  const opened = await openInbox(server, ray);
  const johnAt = (await openTab(john)).chat.conversation(conversationId);
  const rayAt = opened.tab.chat.conversation(conversationId);
  opened.inbox.subscribe(() => {});
  await johnAt.send('one');
  const last = { n: 1, sender_id: john.id, text: 'one', created_at: 1000 };
  return { ...opened, johnAt, rayAt, told: () => server.change(conversationId, { last, unread: 1 }) };
}

test('a conversation that is open tells what has arrived itself', async () => {
  const { server, tab, rayAt, told } = await inConversation();
  await online(rayAt);
  told();
  await flush();
  tab.clock.pass(500);
  await flush();
  expect(server.of('mark')).toEqual([]);
});

test('a conversation that is not leaves it to the inbox', async () => {
  const { server, tab, rayAt, told } = await inConversation();
  told();
  await flush();
  tab.clock.pass(500);
  await flush();
  expect(server.of('mark')).toEqual([{ type: 'mark', conversation: rayAt.id, delivered: 1 }]);
});

/** What an inbox was told of what was read. */
const readsAt = (server: { of(type: 'mark'): readonly { readonly read?: number | undefined }[] }) =>
  server.of('mark').filter(({ read }) => read !== undefined);

describe('a conversation that the user wants to come back to', () => {
  test('counts as read when they have read it', async () => {
    const { server, rayAt, told } = await inConversation();
    await online(rayAt);
    told();
    server.change(rayAt.id, { marked_unread: true });
    await flush();
    rayAt.markRead();
    await until(() => readsAt(server).length > 0);
    expect(readsAt(server)).toEqual([{ type: 'mark', conversation: rayAt.id, read: 1 }]);
    server.change(rayAt.id, { marked_unread: false });
    await flush();
    rayAt.markRead();
    await flush();
    expect(readsAt(server)).toHaveLength(1);
  });

  test('may be marked again', async () => {
    const { server, rayAt, told } = await inConversation();
    await online(rayAt);
    told();
    for (const times of [1, 2]) {
      server.change(rayAt.id, { marked_unread: true });
      await flush();
      rayAt.markRead();
      await flush();
      expect(readsAt(server)).toHaveLength(times);
      server.change(rayAt.id, { marked_unread: false });
      await flush();
    }
  });

  test('stays so while they have not read all of it', async () => {
    const { server, rayAt, johnAt, told } = await inConversation();
    await online(rayAt);
    await johnAt.send('two');
    await until(() => rayAt.snapshot().messages.length === 2);
    told();
    server.change(rayAt.id, { marked_unread: true, n: 2 });
    await flush();
    rayAt.markRead(1);
    await flush();
    expect(readsAt(server)).toEqual([]);
    rayAt.markRead(2);
    await flush();
    expect(readsAt(server)).toHaveLength(1);
  });
});

test('reading what nobody wanted to come back to asks the inbox for nothing', async () => {
  const { server, rayAt, told } = await inConversation();
  await online(rayAt);
  told();
  await flush();
  rayAt.markRead();
  await flush();
  expect(readsAt(server)).toEqual([]);
});
