import { describe, expect, test } from 'vitest';
import type { Inbox } from '../../src/client/index.ts';
import { idOf, InboxServer, lookAtInbox, peerOf, reconnected } from './inbox-server.ts';
import { flush } from './tab.ts';

/** A server with two conversations, the second above the first. */
function havingTwo(server: InboxServer): void {
  server.message(1, 1000);
  server.message(2, 2000);
}

const typists = (inbox: Inbox) => inbox.snapshot().conversations.map(({ typing }) => typing);

function type(server: InboxServer, conversation: number, on = true, user_id = peerOf(conversation)): void {
  server.send({ type: 'typing', conversation: idOf(conversation), user_id, on });
}

describe('somebody who types', () => {
  test('does so in one conversation, until they stop', async () => {
    const { server, inbox } = await lookAtInbox(havingTwo);
    type(server, 1);
    await flush();
    expect(typists(inbox)).toEqual([[], [peerOf(1)]]);
    type(server, 1, false);
    await flush();
    expect(typists(inbox)).toEqual([[], []]);
  });

  test('is shown for six seconds after they last said so', async () => {
    const { server, tab, inbox } = await lookAtInbox(havingTwo);
    type(server, 1);
    await flush();
    tab.clock.pass(4000);
    type(server, 1);
    await flush();
    tab.clock.pass(5999);
    expect(typists(inbox)).toEqual([[], [peerOf(1)]]);
    tab.clock.pass(1);
    expect(typists(inbox)).toEqual([[], []]);
  });

  test('does so no longer once their message is here', async () => {
    const { server, inbox } = await lookAtInbox(havingTwo);
    type(server, 1);
    type(server, 2);
    await flush();
    server.message(1, 3000);
    await flush();
    expect(typists(inbox)).toEqual([[], [peerOf(2)]]);
  });

  test('goes on when the row changes otherwise, or somebody else has written', async () => {
    const { server, inbox } = await lookAtInbox(havingTwo);
    type(server, 1);
    await flush();
    server.change(1, { pinned: true });
    await flush();
    expect(typists(inbox)).toEqual([[peerOf(1)], []]);
    server.message(1, 3000, server.me);
    await flush();
    expect(typists(inbox)).toEqual([[peerOf(1)], []]);
  });

  test('is forgotten with the socket', async () => {
    const opened = await lookAtInbox(havingTwo);
    const { server, inbox } = opened;
    type(server, 1);
    await flush();
    server.close();
    await flush();
    expect(typists(inbox)).toEqual([[], []]);
    await reconnected(opened);
    expect(typists(inbox)).toEqual([[], []]);
  });

  test('changes their own conversation only', async () => {
    const { server, inbox } = await lookAtInbox(havingTwo);
    const before = inbox.snapshot().conversations;
    type(server, 1);
    await flush();
    const after = inbox.snapshot().conversations;
    expect(after[0]).toBe(before[0]);
    type(server, 1);
    await flush();
    expect(inbox.snapshot().conversations).toBe(after);
  });

  test('keeps their place among others who type when they say it again', async () => {
    const { server, inbox } = await lookAtInbox((it) => void it.message(1, 1000));
    for (const user of [1, 2, 1]) type(server, 1, true, peerOf(user));
    await flush();
    expect(typists(inbox)).toEqual([[peerOf(1), peerOf(2)]]);
  });
});

const peers = (inbox: Inbox) => inbox.snapshot().conversations.map(({ peer }) => [peer?.online, peer?.last_seen]);

describe('who is there', () => {
  test('is known from the first', async () => {
    const { inbox } = await lookAtInbox((server) => {
      havingTwo(server);
      server.presence = [
        { user_id: peerOf(1), online: true, last_seen: null },
        { user_id: peerOf(2), online: false, last_seen: 1500 },
      ];
    });
    expect(peers(inbox)).toEqual([
      [false, 1500],
      [true, null],
    ]);
  });

  test('is told as they come and go', async () => {
    const { server, inbox } = await lookAtInbox(havingTwo);
    server.send({ type: 'presence', user_id: peerOf(1), online: true, last_seen: null });
    await flush();
    expect(peers(inbox)).toEqual([
      [false, null],
      [true, null],
    ]);
    server.send({ type: 'presence', user_id: peerOf(1), online: false, last_seen: 2500 });
    await flush();
    expect(peers(inbox)).toEqual([
      [false, null],
      [false, 2500],
    ]);
  });

  test('is told anew by every socket', async () => {
    const opened = await lookAtInbox((server) => {
      havingTwo(server);
      server.presence = [{ user_id: peerOf(1), online: true, last_seen: null }];
    });
    await reconnected(opened, () => (opened.server.presence = []));
    expect(peers(opened.inbox)).toEqual([
      [false, null],
      [false, null],
    ]);
  });
});
