import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Sockets } from '../../../src/objects/sockets.ts';
import { openChat, type ChatSocket } from '../../helpers/chat-socket.ts';
import { objectOf, open } from '../../helpers/conversation.ts';
import { countQueries } from '../../helpers/d1.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** john and ray, with five chat.v1 sockets each, and so many plain ones of ray's. */
async function crowd(plain: number) {
  const pair = await pairInConversation();
  const sockets: ChatSocket[] = [];
  for (let i = 0; i < 5; i += 1) {
    sockets.push(await openChat(pair.conversationId, pair.john.access));
    sockets.push(await openChat(pair.conversationId, pair.ray.access));
  }
  const plainSockets = [];
  for (let i = 0; i < plain; i += 1) plainSockets.push(await open(pair.conversationId, pair.ray.access));
  for (const socket of sockets) await socket.settled();
  const [sender] = sockets;
  if (!sender) throw new Error('There is no socket.');
  return { ...pair, sender, sockets, plainSockets };
}

/** What a frame is, of those that a message makes; undefined for any other value. */
function kindOf(frame: unknown): string | undefined {
  if (typeof frame !== 'object' || frame === null) return undefined;
  if ('recipient_id' in frame) return 'plain';
  return 'type' in frame && (frame.type === 'ok' || frame.type === 'changes') ? frame.type : undefined;
}

/** What the server does, in order, from when a message is sent until every socket has heard of it. */
async function stepsOfMessage({ conversationId, sender, sockets, plainSockets }: Awaited<ReturnType<typeof crowd>>) {
  const steps: string[] = [];
  await runInDurableObject(objectOf(conversationId), (_, { storage }) => {
    const prototype: DurableObjectStorage = Object.getPrototypeOf(storage);
    // eslint-disable-next-line typescript/unbound-method -- it is called with its own `this`
    const { transactionSync } = prototype;
    vi.spyOn(prototype, 'transactionSync').mockImplementation(function <T>(this: DurableObjectStorage, work: () => T) {
      steps.push('transaction begins');
      const result: T = transactionSync.call(this, work) as T;
      steps.push('transaction ends');
      return result;
    });
  });
  const { stringify } = JSON;
  vi.spyOn(JSON, 'stringify').mockImplementation((...args: Parameters<typeof stringify>) => {
    const kind = kindOf(args[0]);
    if (kind !== undefined) steps.push(`encode ${kind}`);
    return stringify(...args);
  });
  // eslint-disable-next-line typescript/unbound-method -- it is called with its own `this`
  const { send } = Sockets.prototype;
  vi.spyOn(Sockets.prototype, 'send').mockImplementation(function (this: Sockets, socket, frame) {
    const kind = kindOf(JSON.parse(frame));
    if (kind !== undefined) steps.push(`send ${kind}`);
    send.call(this, socket, frame);
  });
  const queries = await countQueries(async () => {
    sender.sendRaw('{"type":"send","ref":"cost","text":"Hello"}');
    for (const socket of sockets) await socket.next('changes');
    for (const socket of plainSockets) await socket.next();
  });
  vi.restoreAllMocks();
  return { steps, queries };
}

const times = (count: number, step: string) => Array<string>(count).fill(step);
const transaction = ['transaction begins', 'transaction ends'];

afterEach(() => {
  vi.restoreAllMocks();
});

describe('rule 1, a chat.v1 message takes one transaction, no D1, and each frame is encoded once for all sockets', () => {
  test('with ten chat.v1 sockets', async () => {
    expect(await stepsOfMessage(await crowd(0))).toEqual({
      queries: 0,
      steps: [...transaction, 'encode ok', 'send ok', 'encode changes', ...times(10, 'send changes')],
    });
  });

  test('with plain sockets too, for which there is one more frame', async () => {
    expect(await stepsOfMessage(await crowd(3))).toEqual({
      queries: 0,
      steps: [
        ...transaction,
        'encode ok',
        'send ok',
        'encode plain',
        ...times(3, 'send plain'),
        'encode changes',
        ...times(10, 'send changes'),
      ],
    });
  });

  test('also after an eviction, with one more transaction to open the store', async () => {
    const everyone = await crowd(0);
    await evictDurableObject(objectOf(everyone.conversationId));
    expect(await stepsOfMessage(everyone)).toEqual({
      queries: 0,
      steps: [...transaction, ...transaction, 'encode ok', 'send ok', 'encode changes', ...times(10, 'send changes')],
    });
  });
});
