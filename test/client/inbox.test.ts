import { describe, expect, test } from 'vitest';
import { flush } from './tab.ts';
import { idOf, InboxServer, listed, lookAtInbox, openInbox, reconnected } from './inbox-server.ts';

/** Gives a server so many conversations: number 1 is the oldest. */
const having = (count: number) => (server: InboxServer) => {
  for (let i = 1; i <= count; i += 1) server.message(i, i * 1000);
};

test('an inbox connects when it is subscribed to, and not before', async () => {
  const { server, inbox } = await openInbox();
  expect(server.connects).toEqual([]);
  expect(inbox.snapshot()).toMatchObject({ connection: { status: 'idle' }, conversations: [], cursor: null });
  inbox.subscribe(() => {});
  await flush();
  expect(server.connects).toEqual(['']);
  expect(inbox.snapshot()).toMatchObject({
    connection: { status: 'online' },
    me: server.me,
    cursor: { epoch: 1, rev: 0 },
  });
});

test('a chat has one inbox, which lets go of its socket some time after nobody looks at it any more', async () => {
  const { server, tab, inbox } = await openInbox();
  expect(tab.chat.inbox).toBe(inbox);
  const stop = inbox.subscribe(() => {});
  await flush();
  stop();
  tab.clock.pass(4999);
  expect(inbox.snapshot().connection.status).toBe('online');
  inbox.subscribe(() => {})();
  tab.clock.pass(4999);
  expect(inbox.snapshot().connection.status).toBe('online');
  tab.clock.pass(1);
  expect(inbox.snapshot().connection.status).toBe('idle');
  expect(server.connects).toHaveLength(1);
});

test('an inbox that is looked at again keeps its socket, however often it was left', async () => {
  const { server, tab, inbox } = await openInbox();
  const stop = inbox.subscribe(() => {});
  await flush();
  stop();
  stop();
  inbox.subscribe(() => {});
  tab.clock.pass(5000);
  expect(inbox.snapshot().connection.status).toBe('online');
  expect(server.connects).toHaveLength(1);
});

test('conversations come by their newest activity, pinned ones before all others, archived ones not at all', async () => {
  const { inbox } = await lookAtInbox((server) => {
    having(5)(server);
    server.change(2, { pinned: true });
    server.change(3, { pinned: true });
    server.change(4, { archived: true });
  });
  expect(listed(inbox)).toEqual([3, 2, 5, 1]);
});

test('conversations of the same time come by their id, the larger first', async () => {
  const { server, inbox } = await lookAtInbox();
  for (const conversation of [2, 3, 1]) server.message(conversation, 1000);
  await flush();
  expect(listed(inbox)).toEqual([3, 2, 1]);
});

test('a row has what the server has of it, and who is there', async () => {
  const { server, inbox } = await lookAtInbox(having(1));
  const { peer, ...row } = server.row(1);
  expect(inbox.snapshot().conversations).toEqual([
    { ...row, peer: { ...peer, online: false, last_seen: null }, typing: [] },
  ]);
});

test('a new message moves its conversation up, and a new conversation comes in', async () => {
  const { server, inbox } = await lookAtInbox(having(3));
  server.message(1, 4000);
  await flush();
  expect(listed(inbox)).toEqual([1, 3, 2]);
  server.message(9, 3500);
  await flush();
  expect(listed(inbox)).toEqual([1, 9, 3, 2]);
});

test('a conversation that is archived goes, and comes back with its row', async () => {
  const { server, inbox } = await lookAtInbox(having(2));
  server.change(2, { archived: true });
  await flush();
  expect(listed(inbox)).toEqual([1]);
  server.change(2, { archived: false });
  await flush();
  expect(listed(inbox)).toEqual([2, 1]);
});

test('a conversation that was left goes, and no older row brings it back', async () => {
  const { server, inbox } = await lookAtInbox(having(2));
  const row = server.row(2);
  server.leave(2);
  await flush();
  expect(listed(inbox)).toEqual([1]);
  const { rev, total } = server;
  server.send({ type: 'changes', after: 0, rev, conversations: [row], removed: [], total, more: false });
  await flush();
  expect(listed(inbox)).toEqual([1]);
  server.message(2, 5000);
  await flush();
  expect(listed(inbox)).toEqual([2, 1]);
});

test('a conversation that was left and joined again is not taken out by what was told of before', async () => {
  const { server, inbox } = await lookAtInbox(having(2));
  server.leave(2);
  const removed = [...server.removed.values()];
  server.message(2, 5000);
  await flush();
  const { rev, total } = server;
  server.send({ type: 'changes', after: 0, rev, conversations: [], removed, total, more: false });
  await flush();
  expect(listed(inbox)).toEqual([2, 1]);
});

test('a row that is older than what is here changes nothing', async () => {
  const { server, inbox } = await lookAtInbox(having(1));
  const old = server.row(1);
  server.message(1, 2000);
  await flush();
  const { rev, total } = server;
  server.send({ type: 'changes', after: 0, rev, conversations: [old], removed: [], total, more: false });
  await flush();
  expect(inbox.snapshot().conversations[0]).toMatchObject({ n: 2 });
});

test('what is unread in all is what the server says, not the sum of the rows', async () => {
  const { server, inbox } = await lookAtInbox(having(150));
  expect(inbox.snapshot().conversations).toHaveLength(100);
  expect(inbox.snapshot().unread).toEqual({ messages: 150, conversations: 150 });
  server.change(150, { unread: 0 });
  await flush();
  expect(inbox.snapshot().unread).toEqual({ messages: 149, conversations: 149 });
});

test('a frame that comes twice does not bring back what was unread then', async () => {
  const { server, inbox } = await lookAtInbox(having(1));
  const { rev, total } = server;
  server.message(1, 2000);
  await flush();
  server.send({ type: 'changes', after: 0, rev, conversations: [], removed: [], total, more: false });
  await flush();
  expect(inbox.snapshot().unread).toEqual({ messages: 2, conversations: 1 });
});

test('what nothing changes stays the same object', async () => {
  const opened = await lookAtInbox(having(3));
  const { server, inbox } = opened;
  const before = inbox.snapshot();
  server.change(3, { unread: 7 });
  await flush();
  const after = inbox.snapshot();
  expect(after).not.toBe(before);
  expect(after.conversations[0]).not.toBe(before.conversations[0]);
  expect(after.conversations[1]).toBe(before.conversations[1]);
  expect(after.connection).toBe(before.connection);
  server.resumeRows = -1;
  await reconnected(opened);
  expect(server.connects).toHaveLength(2);
  expect(inbox.snapshot().conversations).toBe(after.conversations);
});

test('listeners hear of changes, and of nothing else', async () => {
  const { server, inbox } = await lookAtInbox(having(1));
  let calls = 0;
  inbox.subscribe(() => (calls += 1));
  const before = inbox.snapshot();
  const { rev, total } = server;
  server.send({ type: 'changes', after: rev, rev, conversations: [], removed: [], total, more: false });
  await flush();
  expect(calls).toBe(0);
  expect(inbox.snapshot()).toBe(before);
  server.message(1, 2000);
  await flush();
  expect(calls).toBe(1);
});

test('older conversations are loaded a page at a time, until there are none', async () => {
  const { server, inbox } = await lookAtInbox(having(250));
  expect(listed(inbox)).toEqual(Array.from({ length: 100 }, (_, i) => 250 - i));
  expect(inbox.snapshot().has_more).toBe(true);
  await inbox.loadMore();
  expect(listed(inbox)).toHaveLength(200);
  await inbox.loadMore();
  expect(listed(inbox)).toEqual(Array.from({ length: 250 }, (_, i) => 250 - i));
  expect(inbox.snapshot().has_more).toBe(false);
  await inbox.loadMore();
  expect(server.of('list')).toHaveLength(2);
});

test('a page that is asked for again before it has come is asked for once', async () => {
  const { server, inbox } = await lookAtInbox(having(250));
  await Promise.all([inbox.loadMore(), inbox.loadMore()]);
  expect(listed(inbox)).toHaveLength(200);
  expect(server.of('list')).toHaveLength(1);
});

test('an inbox nobody looks at connects to load a page', async () => {
  const server = new InboxServer();
  having(150)(server);
  const { inbox } = await openInbox(server);
  await inbox.loadMore();
  expect(listed(inbox)).toHaveLength(150);
});

test('rows from below the last page are shown when it reaches them, and pinned ones at once', async () => {
  const { server, inbox } = await lookAtInbox(having(150));
  server.change(10, { muted_until: 5 });
  server.change(20, { pinned: true });
  await flush();
  expect(listed(inbox)).toEqual([20, ...Array.from({ length: 100 }, (_, i) => 150 - i)]);
  server.change(20, { pinned: false });
  await flush();
  expect(listed(inbox)).not.toContain(20);
  await inbox.loadMore();
  expect(listed(inbox)).toHaveLength(150);
  expect(inbox.snapshot().conversations.find(({ conversation }) => conversation === idOf(10))?.muted_until).toBe(5);
});

/** Has a message overtake the first page, as it does when the list is read for a while. */
function overtake(server: InboxServer): void {
  server.transmit = (frame, deliver) => {
    if (frame.type === 'page' && server.of('list').length === 1) {
      server.message(1, 1500);
      queueMicrotask(deliver);
    } else deliver();
  };
}

describe('a page that is older than what is here', () => {
  test('is asked for again', async () => {
    const { server, inbox } = await lookAtInbox(having(150));
    overtake(server);
    await inbox.loadMore();
    expect(server.of('list')).toHaveLength(2);
    expect(listed(inbox)).toHaveLength(150);
    expect(inbox.snapshot().conversations.find(({ conversation }) => conversation === idOf(1))?.n).toBe(2);
  });

  test('is not passed on either', async () => {
    const { server, inbox } = await lookAtInbox(having(2));
    overtake(server);
    expect((await inbox.unread()).conversations.map(({ n }) => n)).toEqual([1, 2]);
    expect(server.of('list')).toHaveLength(2);
  });
});

test('a page of another history is asked for again, from where the list goes on now', async () => {
  const opened = await lookAtInbox(having(250));
  const { server, inbox } = opened;
  server.transmit = (frame, deliver) => {
    if (frame.type !== 'page') deliver();
  };
  const loading = inbox.loadMore();
  await flush();
  await reconnected(opened, () => {
    server.epoch = 2;
    server.pageRows = 120;
    server.transmit = (_, deliver) => deliver();
  });
  await loading;
  expect(server.of('list').map(({ before }) => before)).toEqual([`151000.${idOf(151)}`, `131000.${idOf(131)}`]);
  expect(listed(inbox)).toHaveLength(240);
});

test('archived conversations come in pages of their own, and not into the list', async () => {
  const { server, inbox } = await lookAtInbox((it) => {
    having(4)(it);
    for (const conversation of [1, 2, 3]) it.change(conversation, { archived: true });
  });
  server.pageRows = 2;
  const first = await inbox.archived();
  expect(first.conversations.map(({ conversation }) => conversation)).toEqual([idOf(3), idOf(2)]);
  const second = await inbox.archived(first.next ?? undefined);
  expect(second).toMatchObject({ conversations: [{ conversation: idOf(1), typing: [] }], next: null });
  expect(listed(inbox)).toEqual([4]);
});

test('so do those with something unread', async () => {
  const { inbox } = await lookAtInbox((server) => {
    having(3)(server);
    server.change(2, { unread: 0 });
  });
  const page = await inbox.unread();
  expect(page.conversations.map(({ conversation }) => conversation)).toEqual([idOf(3), idOf(1)]);
  expect(page.next).toBe(null);
});
