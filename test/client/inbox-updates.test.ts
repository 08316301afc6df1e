import { describe, expect, test } from 'vitest';
import { ChatError } from '../../src/client/index.ts';
import { idOf, InboxServer, lookAtInbox, openInbox, reconnected } from './inbox-server.ts';
import { flush } from './tab.ts';

/** A server with one conversation. */
function havingOne(server: InboxServer): void {
  server.message(1, 1000);
}

test('a change is asked for, and shown when the server has it', async () => {
  const { server, inbox } = await lookAtInbox(havingOne);
  await inbox.update(idOf(1), { pinned: true, muted_until: 5000 });
  expect(server.of('set')).toEqual([
    { type: 'set', ref: expect.any(String), conversation: idOf(1), pinned: true, muted_until: 5000 },
  ]);
  expect(inbox.snapshot().conversations).toMatchObject([{ pinned: true, muted_until: 5000, unread: 1 }]);
});

test('a change is asked for though nobody looks, and the socket goes some time after', async () => {
  const server = new InboxServer();
  havingOne(server);
  const { tab, inbox } = await openInbox(server);
  await inbox.update(idOf(1), { unread: false });
  expect(server.row(1)).toMatchObject({ unread: 0 });
  tab.clock.pass(5000);
  expect(inbox.snapshot().connection.status).toBe('idle');
});

describe('a change that is refused', () => {
  test.each(['too_many_pins', 'unavailable'])('says why: %s', async (code) => {
    const { server, inbox } = await lookAtInbox(havingOne);
    server.refusal = () => ({ code, message: 'It cannot be.' });
    const change = inbox.update(idOf(1), { pinned: true });
    await expect(change).rejects.toBeInstanceOf(ChatError);
    await expect(change).rejects.toMatchObject({ code, message: 'It cannot be.' });
  });

  test('because there is no such conversation says so', async () => {
    const { inbox } = await lookAtInbox(havingOne);
    await expect(inbox.update(idOf(2), { pinned: true })).rejects.toMatchObject({ code: 'no_such_conversation' });
  });

  test('because it changes nothing says so', async () => {
    const { inbox } = await lookAtInbox(havingOne);
    await expect(inbox.update(idOf(1), {})).rejects.toMatchObject({ code: 'bad_frame' });
  });

  test('for now is asked for again when it is time', async () => {
    const { server, tab, inbox } = await lookAtInbox(havingOne);
    server.refusal = () => ({ code: 'unavailable', message: 'Not now.', retry_after_ms: 300 });
    const change = inbox.update(idOf(1), { pinned: true });
    await flush();
    server.refusal = () => undefined;
    tab.clock.pass(299);
    await flush();
    expect(server.row(1).pinned).toBe(false);
    tab.clock.pass(1);
    await change;
    expect(server.row(1).pinned).toBe(true);
  });
});

test('a change that was not answered is asked for again over the next socket', async () => {
  const opened = await lookAtInbox(havingOne);
  const { server, inbox } = opened;
  server.isSilent = true;
  const change = inbox.update(idOf(1), { archived: true });
  await flush();
  await reconnected(opened, () => (server.isSilent = false));
  await change;
  expect(server.row(1).archived).toBe(true);
});

test('two changes of a conversation take place in the order in which they were asked for', async () => {
  const { server, tab, inbox } = await lookAtInbox(havingOne);
  server.refusal = ({ type }) =>
    type === 'set' && server.of('set').length === 1
      ? { code: 'unavailable', message: 'Not now.', retry_after_ms: 300 }
      : undefined;
  const changes = [inbox.update(idOf(1), { pinned: true }), inbox.update(idOf(1), { pinned: false })];
  await flush();
  tab.clock.pass(300);
  await Promise.all(changes);
  expect(server.of('set').map(({ pinned }) => pinned)).toEqual([true, true, false]);
});
