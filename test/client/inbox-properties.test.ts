import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { InboxServerFrame } from '../../src/protocol/inbox-frames.ts';
import { idOf, InboxServer, openInbox, reconnected } from './inbox-server.ts';
import { flush } from './tab.ts';

/** Something that happens at the server, or to a frame that is on its way to the client. */
type Step =
  | { readonly does: 'message' | 'leave' | 'pin' | 'archive'; readonly conversation: number; readonly on: boolean }
  | { readonly does: 'deliver' | 'repeat' | 'lose'; readonly which: number }
  | { readonly does: 'reconnect' | 'restore' | 'load' };

const conversation = fc.integer({ min: 1, max: 9 });
const steps = fc.array(
  fc.oneof(
    fc.record({
      does: fc.constantFrom('message', 'message', 'leave', 'pin', 'archive'),
      conversation,
      on: fc.boolean(),
    }),
    fc.record({ does: fc.constantFrom('deliver', 'deliver', 'deliver', 'repeat', 'lose'), which: fc.nat(30) }),
    fc.record({ does: fc.constantFrom('load', 'load', 'reconnect', 'restore') }),
  ),
  { minLength: 1, maxLength: 60 },
) as fc.Arbitrary<Step[]>;

/** Frames on their way, in no order that anybody could rely on. */
class Wire {
  readonly #frames: { readonly frame: InboxServerFrame; readonly deliver: () => void }[] = [];

  readonly take = (frame: InboxServerFrame, deliver: () => void): void => {
    // There is nothing before the welcome that could overtake it.
    if (frame.type === 'welcome') deliver();
    else this.#frames.push({ frame, deliver });
  };

  pass(does: 'deliver' | 'repeat' | 'lose', which: number): void {
    const index = which % Math.max(1, this.#frames.length);
    const it = this.#frames[index];
    if (!it) return;
    // An answer that is lost on a socket that lives would be noticed after a while, and the socket given up.
    const isAnswer = 'ref' in it.frame && it.frame.ref !== undefined;
    if (does !== 'lose') it.deliver();
    if (does === 'deliver' || (does === 'lose' && !isAnswer)) this.#frames.splice(index, 1);
  }

  /** Nothing of this socket arrives any more. */
  clear(): void {
    this.#frames.length = 0;
  }

  get isEmpty(): boolean {
    return this.#frames.length === 0;
  }
}

function change(
  server: InboxServer,
  { does, conversation: number, on }: Extract<Step, { on: boolean }>,
  at: number,
): void {
  const isThere = server.rows.has(idOf(number));
  if (does === 'message') server.message(number, at);
  else if (does === 'leave' && isThere) server.leave(number);
  else if (does === 'pin' && isThere) server.change(number, { pinned: on });
  else if (does === 'archive' && isThere) server.change(number, { archived: on });
}

test('whatever becomes of the frames, in the end the client has the rows of the server, and what is unread', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 6 }), async (run, rows, at) => {
      const server = new InboxServer();
      [server.pageRows, server.changesRows, server.resumeRows] = [rows, rows, rows * 4];
      for (let i = 1; i <= at; i += 1) server.message(i, i);
      const wire = new Wire();
      server.transmit = wire.take;
      const opened = await openInbox(server);
      const { tab, inbox } = opened;
      inbox.subscribe(() => {});
      const loads: Promise<void>[] = [];
      await flush();

      for (const [index, step] of run.entries()) {
        if ('on' in step) change(server, step, 100 + index);
        else if ('which' in step) wire.pass(step.does, step.which);
        else if (step.does === 'load') loads.push(inbox.loadMore());
        else {
          await reconnected(opened, () => {
            wire.clear();
            if (step.does === 'reconnect') return;
            server.epoch += 1;
            server.rev = 0;
            for (const it of server.rows.values()) server.change(it.conversation);
            server.removed.clear();
          });
        }
        await flush();
        expect(inbox.snapshot().cursor?.rev ?? 0).toBeLessThanOrEqual(server.rev);
      }

      server.transmit = (_, deliver) => deliver();
      for (; !wire.isEmpty; await flush()) wire.pass('deliver', 0);
      tab.chat.wake();
      await flush();
      await Promise.all(loads);
      for (; inbox.snapshot().has_more; await flush()) await inbox.loadMore();
      server.pageRows = 100;
      const { conversations } = server.list(({ archived }) => !archived);
      const expected = [
        ...conversations.filter(({ pinned }) => pinned),
        ...conversations.filter(({ pinned }) => !pinned),
      ];
      expect(inbox.snapshot().conversations.map(({ conversation: id, rev }) => [id, rev])).toEqual(
        expected.map(({ conversation: id, rev }) => [id, rev]),
      );
      expect(inbox.snapshot()).toMatchObject({
        unread: server.total,
        cursor: { epoch: server.epoch, rev: server.rev },
      });
      tab.chat.close();
    }),
  );
});
