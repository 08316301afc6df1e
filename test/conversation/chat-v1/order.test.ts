import { abortAllDurableObjects, evictAllDurableObjects } from 'cloudflare:test';
import * as fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { settings } from '../../../src/settings.ts';
import { openChat, type ChatSocket } from '../../helpers/chat-socket.ts';
import { storedMessages } from '../../helpers/conversation.ts';
import { openAtLast, Outbox } from '../../helpers/outbox.ts';
import { pairInConversation } from '../../helpers/people.ts';

const standard = { ...settings };

/** What happens to a socket's user, while so many frames of theirs have been sent and the last is on its way. */
type Fault = { after: number; kind: 'abort' | 'evict' | 'close' };

const fault = fc.record({
  after: fc.integer({ min: 1, max: 6 }),
  kind: fc.constantFrom<Fault['kind']>('abort', 'evict', 'close'),
});

/** Delivers everything, over as many sockets as it takes, while faults strike one after the other. */
async function deliverAll(outbox: Outbox, open: () => Promise<ChatSocket>, faults: Fault[]): Promise<void> {
  while (!outbox.isEmpty) {
    const socket = await open();
    let struck: Promise<unknown> | undefined;
    await outbox.deliver(socket, (frames) => {
      const [next] = faults;
      if (struck || !next || next.after > frames) return;
      faults.shift();
      struck = strike(next, socket);
    });
    await struck;
    socket.close(1000);
  }
}

async function strike({ kind }: Fault, socket: ChatSocket): Promise<void> {
  if (kind === 'close') return socket.close(1000);
  return kind === 'abort' ? abortAllDurableObjects() : evictAllDurableObjects();
}

/** Lets time pass, for whoever is told to wait. */
function wait(milliseconds: number): void {
  vi.setSystemTime(Date.now() + milliseconds);
}

afterEach(() => {
  vi.useRealTimers();
  Object.assign(settings, standard);
});

test('rule 8: what a client sends appears once and in its order, whatever strikes while a message is on its way', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        counts: fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 })),
        faults: fc.tuple(fc.array(fault, { maxLength: 4 }), fc.array(fault, { maxLength: 4 })),
        rateBurst: fc.constantFrom(1, 3, 1000),
      }),
      async ({ counts, faults, rateBurst }) => {
        // The clock of the server stands still but when somebody is told to wait.
        vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
        Object.assign(settings, { rateBurst, ratePerSecond: 5 });
        const { john, ray, conversationId } = await pairInConversation();
        const outboxes = [john, ray].map((person, index) => {
          const outbox = new Outbox(wait);
          for (let i = 0; i < (counts[index] ?? 0); i += 1) outbox.add(`${person.first_name} ${i}`);
          return { person, outbox, faults: [...(faults[index] ?? [])] };
        });
        await Promise.all(
          outboxes.map((it) =>
            deliverAll(it.outbox, () => openAtLast(conversationId, it.person.access, wait), it.faults),
          ),
        );

        const stored = await storedMessages(conversationId);
        expect(stored.map(({ n }) => n)).toEqual(stored.map((_, index) => index + 1));
        for (const [index, { person, outbox }] of outboxes.entries()) {
          const own = stored.filter(({ sender_id }) => sender_id === person.id);
          expect(own.map(({ text }) => text)).toEqual(
            Array.from({ length: counts[index] ?? 0 }, (_, i) => `${person.first_name} ${i}`),
          );
          expect(outbox.acknowledged.map(({ ref, n, id }) => ({ ref, n, id }))).toEqual(
            own.map(({ ref, n, id }) => ({ ref, n, id })),
          );
        }
        vi.useRealTimers();
      },
    ),
    {
      numRuns: 40,
      examples: [
        [
          {
            counts: [8, 8],
            faults: [
              [
                { after: 1, kind: 'abort' },
                { after: 2, kind: 'close' },
              ],
              [{ after: 3, kind: 'evict' }],
            ],
            rateBurst: 1,
          },
        ],
      ],
    },
  );
}, 60_000);

test('rule 8: a message that is refused for its rate stays first, and passes after the time that it was told', async () => {
  vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
  const { john, conversationId } = await pairInConversation();
  const johns = await openChat(conversationId, john.access);
  Object.assign(settings, { rateBurst: 2, ratePerSecond: 5 });
  const waits: number[] = [];
  const outbox = new Outbox((milliseconds) => {
    waits.push(milliseconds);
    wait(milliseconds);
  });
  for (const text of ['one', 'two', 'three', 'four']) outbox.add(text);
  await outbox.deliver(johns);
  expect(waits).toEqual([200, 200]);
  expect((await storedMessages(conversationId)).map(({ text }) => text)).toEqual(['one', 'two', 'three', 'four']);
});
