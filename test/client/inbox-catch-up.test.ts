import { describe, expect, test } from 'vitest';
import { CLOSE } from '../../src/protocol/close-codes.ts';
import { idOf, InboxServer, listed, lookAtInbox, openInbox, reconnected, tokensOf } from './inbox-server.ts';
import { flush, SERVER } from './tab.ts';

/** A server that has told of three conversations. */
function having3(server: InboxServer): void {
  for (let i = 1; i <= 3; i += 1) server.message(i, i * 1000);
}

/** Loses the next live `changes`. */
function loseNext(server: InboxServer): void {
  server.transmit = (frame, deliver) => {
    if (frame.type === 'changes' && frame.ref === undefined) server.transmit = (_, now) => now();
    else deliver();
  };
}

test('rule 3: a gap is closed before anything after it is applied', async () => {
  const { server, inbox } = await lookAtInbox(having3);
  loseNext(server);
  server.message(1, 4000);
  await flush();
  expect(listed(inbox)).toEqual([3, 2, 1]);
  const seen: number[][] = [];
  inbox.subscribe(() => seen.push(listed(inbox)));
  server.message(2, 5000);
  await flush();
  expect(server.of('sync').map(({ after }) => after)).toEqual([3]);
  expect(seen).toEqual([[2, 1, 3]]);
});

test('rule 3: what is unread in all is not taken from beyond a gap either', async () => {
  const { server, inbox } = await lookAtInbox(having3);
  server.isSilent = true;
  const { rev, total } = server;
  server.send({
    type: 'changes',
    after: rev + 1,
    rev: rev + 2,
    conversations: [],
    removed: [],
    total: { messages: 99, conversations: 99 },
    more: false,
  });
  await flush();
  expect(inbox.snapshot().unread).toEqual(total);
});

test('rule 3: a gap that opens while another is closed is closed, too', async () => {
  const { server, inbox } = await lookAtInbox(having3);
  loseNext(server);
  server.message(1, 4000);
  const held: (() => void)[] = [];
  server.transmit = (frame, deliver) => {
    if (frame.type === 'changes' && frame.ref !== undefined) held.push(deliver);
    else deliver();
  };
  server.message(2, 5000);
  await flush();
  // The answer is on its way, and what comes after it gets here first.
  loseNext(server);
  server.message(3, 6000);
  server.message(1, 7000);
  await flush();
  for (const deliver of held) deliver();
  await flush();
  expect(inbox.snapshot().cursor?.rev).toBe(server.rev);
  expect(listed(inbox)).toEqual([1, 3, 2]);
});

test('rule 4: who was away resumes from their cursor, over as many pages as it takes', async () => {
  const opened = await lookAtInbox(having3);
  const { server, inbox } = opened;
  server.changesRows = 2;
  await reconnected(opened, () => {
    for (let i = 4; i <= 8; i += 1) server.message(i, i * 1000);
    server.leave(2);
  });
  expect(server.connects).toEqual(['', '?after=3&epoch=1']);
  expect(server.of('sync').map(({ after }) => after)).toEqual([3, 5, 7]);
  expect(listed(inbox)).toEqual([8, 7, 6, 5, 4, 3, 1]);
  expect(inbox.snapshot()).toMatchObject({ connection: { status: 'online' }, unread: server.total });
});

test('rule 4: it is not online before everything is here', async () => {
  const opened = await lookAtInbox(having3);
  const { server, tab, inbox } = opened;
  server.changesRows = 1;
  server.refusal = ({ type }) =>
    type === 'sync' && server.of('sync').length === 2
      ? { code: 'rate_limited', message: 'You are too fast.', retry_after_ms: 700 }
      : undefined;
  await reconnected(opened, () => {
    server.message(1, 4000);
    server.message(2, 5000);
  });
  expect(inbox.snapshot().connection.status).toBe('connecting');
  tab.clock.pass(699);
  await flush();
  expect(listed(inbox)).toEqual([1, 3, 2]);
  tab.clock.pass(1);
  await flush();
  expect(listed(inbox)).toEqual([2, 1, 3]);
  expect(inbox.snapshot().connection.status).toBe('online');
});

test('rule 5: a snapshot replaces every row', async () => {
  const opened = await lookAtInbox(having3);
  const { server, inbox } = opened;
  await reconnected(opened, () => {
    server.epoch = 2;
    server.rev = 0;
    server.rows.clear();
    server.message(2, 500);
  });
  expect(listed(inbox)).toEqual([2]);
  expect(inbox.snapshot()).toMatchObject({
    conversations: [{ rev: 1, last: { created_at: 500 } }],
    unread: { messages: 1, conversations: 1 },
    cursor: { epoch: 2, rev: 1 },
  });
});

test('rule 5: what was removed in one history may be in another', async () => {
  const opened = await lookAtInbox(having3);
  const { server, inbox } = opened;
  server.leave(2);
  await flush();
  await reconnected(opened, () => {
    server.epoch = 2;
    server.rev = 0;
    server.message(2, 2000);
  });
  expect(listed(inbox)).toContain(2);
});

describe('rule 6: a last frame that was lost', () => {
  test('is noticed within five minutes', async () => {
    const { server, tab, inbox } = await lookAtInbox(having3);
    loseNext(server);
    server.message(1, 4000);
    for (let seconds = 0; seconds < 300; seconds += 25) {
      expect(listed(inbox)).toEqual([3, 2, 1]);
      tab.clock.pass(25_000);
      await flush();
    }
    expect(listed(inbox)).toEqual([1, 3, 2]);
  });

  test('is noticed at once by a page that wakes up', async () => {
    const { server, tab, inbox } = await lookAtInbox(having3);
    loseNext(server);
    server.message(1, 4000);
    await flush();
    tab.chat.wake();
    await flush();
    expect(listed(inbox)).toEqual([1, 3, 2]);
  });
});

test('a cursor that the server does not know is dropped', async () => {
  const opened = await lookAtInbox(having3);
  const { server, tab, inbox } = opened;
  server.refusal = ({ type }) =>
    type === 'sync' ? { code: 'unknown_cursor', message: 'It is not known.' } : undefined;
  await reconnected(opened);
  expect(inbox.snapshot().connection).toMatchObject({ status: 'waiting', problem: { code: 'server' } });
  tab.clock.pass(1000);
  await flush();
  expect(server.connects).toEqual(['', '?after=3&epoch=1', '']);
  expect(inbox.snapshot().connection.status).toBe('online');
});

test('frames of a socket that was given up are not heard', async () => {
  const { server, inbox } = await lookAtInbox(having3);
  const late: (() => void)[] = [];
  server.transmit = (_, deliver) => late.push(deliver);
  server.message(1, 4000);
  server.transmit = (_, deliver) => deliver();
  server.isSilent = true;
  inbox.reconnect();
  for (const deliver of late) deliver();
  await flush();
  expect(listed(inbox)).toEqual([3, 2, 1]);
});

describe('a close', () => {
  test('of an inbox that may not be opened stops, until it is to reconnect', async () => {
    const { server, tab, inbox } = await lookAtInbox(having3);
    server.close(CLOSE.replaced, 'Too many sockets.');
    await flush();
    expect(inbox.snapshot().connection).toMatchObject({ status: 'stopped', problem: { code: 'replaced' } });
    tab.clock.pass(600_000);
    expect(server.connects).toHaveLength(1);
    await expect(inbox.archived()).rejects.toMatchObject({ code: 'replaced' });
    inbox.reconnect();
    await flush();
    expect(inbox.snapshot().connection).toMatchObject({ status: 'online', problem: null });
  });

  test('fails what was asked for, if it is for good', async () => {
    const { server, inbox } = await lookAtInbox(having3);
    server.isSilent = true;
    const page = inbox.archived();
    server.close(CLOSE.forbidden);
    await expect(page).rejects.toMatchObject({ code: 'not_a_member' });
  });

  test('loses no page that was asked for, if it is not', async () => {
    const opened = await lookAtInbox(having3);
    const { server, inbox } = opened;
    server.change(1, { archived: true });
    server.isSilent = true;
    const page = inbox.archived();
    await reconnected(opened, () => (server.isSilent = false));
    expect((await page).conversations).toHaveLength(1);
  });
});

test('a page that is refused for now is asked for again when it is time', async () => {
  const { server, tab, inbox } = await lookAtInbox(having3);
  server.refusal = () => ({ code: 'rate_limited', message: 'You are too fast.', retry_after_ms: 300 });
  const page = inbox.unread();
  await flush();
  server.refusal = () => undefined;
  tab.clock.pass(299);
  await flush();
  expect(server.of('list')).toHaveLength(1);
  tab.clock.pass(1);
  expect((await page).conversations).toHaveLength(3);
});

describe('the inbox of a user', () => {
  test('who signs out is forgotten', async () => {
    const { tab, inbox } = await lookAtInbox(having3);
    await tab.chat.signOut();
    expect(inbox.snapshot()).toMatchObject({
      connection: { status: 'signed_out' },
      me: null,
      conversations: [],
      has_more: false,
      unread: { messages: 0, conversations: 0 },
      cursor: null,
    });
    await expect(inbox.loadMore()).rejects.toMatchObject({ code: 'signed_out' });
    await expect(inbox.update(idOf(1), { pinned: true })).rejects.toMatchObject({ code: 'signed_out' });
  });

  test('who signs out is not asked any more for what they wanted', async () => {
    const { server, tab, inbox } = await lookAtInbox(having3);
    server.isSilent = true;
    const asked = [inbox.archived(), inbox.update(idOf(1), { pinned: true }), inbox.update(idOf(1), { pinned: false })];
    await flush();
    const failed = Promise.all(asked.map(async (it) => expect(it).rejects.toMatchObject({ code: 'signed_out' })));
    await tab.chat.signOut();
    await failed;
  });

  test('is not shown to the next one', async () => {
    const { server, tab, inbox } = await lookAtInbox(having3);
    const other = crypto.randomUUID();
    await tab.storage.set(`${SERVER} session`, tokensOf(other));
    await flush();
    expect(server.connects).toEqual(['', '']);
    expect(inbox.snapshot()).toMatchObject({ me: other, connection: { status: 'online' } });
  });

  test('is not changed for the next one as they wanted', async () => {
    const { server, tab, inbox } = await lookAtInbox(having3);
    server.refusal = () => ({ code: 'unavailable', message: 'Not now.', retry_after_ms: 300 });
    const changes = [true, false].map((pinned) => inbox.update(idOf(1), { pinned }));
    const failed = Promise.all(changes.map(async (it) => expect(it).rejects.toMatchObject({ code: 'signed_out' })));
    await flush();
    await tab.storage.set(`${SERVER} session`, tokensOf(crypto.randomUUID()));
    await failed;
    expect(server.of('set')).toHaveLength(1);
  });
});

test('an inbox of a client that was closed refuses everything, and leaves no timer', async () => {
  const { server, tab, inbox } = await lookAtInbox(having3);
  tab.chat.close();
  await expect(inbox.archived()).rejects.toMatchObject({ code: 'closed' });
  await expect(inbox.update(idOf(1), { pinned: true })).rejects.toMatchObject({ code: 'closed' });
  inbox.subscribe(() => {});
  await flush();
  expect(server.connects).toHaveLength(1);
  expect(inbox.snapshot().connection.status).toBe('idle');
  expect(tab.clock.next).toBe(undefined);
});

test('without a session nothing is asked for', async () => {
  const { tab, inbox } = await openInbox();
  await tab.chat.signOut();
  inbox.subscribe(() => {});
  expect(inbox.snapshot().connection.status).toBe('signed_out');
  await expect(inbox.unread()).rejects.toMatchObject({ code: 'signed_out' });
});
