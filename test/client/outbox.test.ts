import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Environment } from '../../src/client/environment.ts';
import { ChatError, memoryStorage } from '../../src/client/index.ts';
import { settings } from '../../src/settings.ts';
import { poolNetwork } from '../delivery/pool.ts';
import { storedMessages, storedTexts } from '../helpers/conversation.ts';
import { pairInConversation } from '../helpers/people.ts';
import { flush, online, openPair, openTab, quiet, SERVER, texts, until } from './tab.ts';

const defaults = { ...settings };
afterEach(() => {
  Object.assign(settings, defaults);
  vi.useRealTimers();
});

describe('a message', () => {
  test('is pending at once, then stored, then shown, and at no time in neither list', async () => {
    const { johnAt, rayAt } = await openPair();
    const seen: [messages: number, pending: number][] = [];
    johnAt.subscribe(() => seen.push([johnAt.snapshot().messages.length, johnAt.snapshot().pending.length]));
    const stored = johnAt.send('Hello', { ref: 'mine' });
    expect(johnAt.snapshot().pending).toMatchObject([{ type: 'send', ref: 'mine', text: 'Hello', error: null }]);
    const message = await stored;
    await until(() => johnAt.snapshot().messages.length === 1);
    expect(johnAt.snapshot()).toMatchObject({ messages: [message], pending: [] });
    expect(seen.every(([messages, pending]) => messages + pending === 1)).toBe(true);
    await until(() => rayAt.snapshot().messages.length === 1);
    expect(rayAt.snapshot().messages).toEqual([message]);
  });

  test('on its way stays the same object, whatever else is sent', async () => {
    const { johnAt, johns } = await openPair();
    johns.network.setOnline(false);
    void johnAt.send('one');
    const [first] = johnAt.snapshot().pending;
    void johnAt.send('two');
    expect(johnAt.snapshot().pending).toHaveLength(2);
    expect(johnAt.snapshot().pending[0]).toBe(first);
  });

  test('that is an answer says so', async () => {
    const { johnAt, rayAt } = await openPair();
    const { n } = await johnAt.send('Eight?');
    expect(await rayAt.send('Fine', { reply_to: n })).toMatchObject({ text: 'Fine', reply_to: n });
  });

  test.each([
    ['   ', 'is blank'],
    ['x'.repeat(4001), 'is longer than 4000 characters'],
    ['\ud800', 'contains half of a surrogate pair'],
  ])('that no server would take is refused at once: %j', async (text, why) => {
    const { johnAt, johns } = await openPair();
    const sent = johns.wire.length;
    await expect(johnAt.send(text)).rejects.toMatchObject({ code: 'invalid_text', message: `The text ${why}.` });
    await expect(johnAt.edit(1, text)).rejects.toMatchObject({ code: 'invalid_text' });
    expect(johnAt.snapshot().pending).toEqual([]);
    expect(johns.wire).toHaveLength(sent);
  });

  test.each(['', 'x'.repeat(65), '\udfff'])(
    'with a ref that could not be answered is refused at once: %j',
    async (ref) => {
      const { johnAt } = await openPair();
      await expect(johnAt.send('Hello', { ref })).rejects.toMatchObject({ code: 'bad_frame' });
      await expect(johnAt.edit(1, 'Hello', { ref })).rejects.toMatchObject({ code: 'bad_frame' });
      await expect(johnAt.delete(1, { ref })).rejects.toMatchObject({ code: 'bad_frame' });
      await expect(johnAt.react(1, '👍', true, { ref })).rejects.toMatchObject({ code: 'bad_frame' });
    },
  );

  test('says who sent it, although its answer is followed by the end of the session', async () => {
    const { john, conversationId } = await pairInConversation();
    const openSocket: Environment['openSocket'] = (url, protocols) => {
      const socket = poolNetwork.openSocket(url, protocols);
      socket.addEventListener('message', ({ data }) => {
        if (String(data).startsWith('{"type":"ok"')) queueMicrotask(() => void tab.chat.signOut());
      });
      return socket;
    };
    const tab = await openTab(john, { environment: { openSocket } });
    const conversation = tab.chat.conversation(conversationId);
    await online(conversation);
    expect(await conversation.send('Hello')).toMatchObject({ n: 1, sender_id: john.id });
    expect(conversation.snapshot().me).toBe(null);
  });

  test('under a ref that was used is the first one', async () => {
    const { johnAt } = await openPair();
    const first = await johnAt.send('first', { ref: 'mine' });
    expect(await johnAt.send('second', { ref: 'mine' })).toEqual(first);
    await quiet(johnAt);
    expect(texts(johnAt)).toEqual(['first']);
    expect(johnAt.snapshot().pending).toEqual([]);
  });

  test('under the ref of another operation is refused', async () => {
    const { johnAt } = await openPair();
    await johnAt.send('first');
    await johnAt.edit(1, 'edited', { ref: 'mine' });
    await expect(johnAt.send('second', { ref: 'mine' })).rejects.toMatchObject({ code: 'ref_used' });
  });
});

describe('rule 8: operations take place in the order in which they were asked for', () => {
  test('the next is sent when the one before it is answered', async () => {
    const { johnAt, johns } = await openPair();
    await Promise.all(['one', 'two', 'three'].map((text) => johnAt.send(text)));
    const steps = johns.wire.flatMap(
      (line) => /^(> \{"type":"send"|< \{"type":"ok")/.exec(line)?.[0].slice(0, 1) ?? [],
    );
    expect(steps).toEqual(['>', '<', '>', '<', '>', '<']);
  });

  const boundaries = (['out', 'in'] as const).flatMap((direction) =>
    [1, 2, 3, 4, 5].flatMap((frames) => [true, false].map((passes) => ({ direction, frames, passes }))),
  );
  test.each(boundaries)('over a socket that ends at a frame: $direction, $frames, passes: $passes', async (at) => {
    const { johnAt, johns, rayAt } = await openPair();
    johns.network.cutAt(at.direction, at.frames, at.passes);
    const sent = ['one', 'two', 'three', 'four', 'five'].map((text) => johnAt.send(text));
    await until(() => johnAt.snapshot().connection.status === 'waiting' || johnAt.snapshot().pending.length === 0);
    johns.clock.pass(1000);
    const stored = await Promise.all(sent);
    expect(stored.map(({ n }) => n)).toEqual([1, 2, 3, 4, 5]);
    await until(() => texts(rayAt).length === 5 && texts(johnAt).length === 5);
    expect(texts(johnAt)).toEqual(['one', 'two', 'three', 'four', 'five']);
    expect(rayAt.snapshot().messages).toEqual(johnAt.snapshot().messages);
  });

  test('when the server wants none for a while', async () => {
    Object.assign(settings, { rateBurst: 22, ratePerSecond: 1 });
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
    const { johnAt, johns } = await openPair();
    const sent = Array.from({ length: 30 }, (_, i) => johnAt.send(`${i}`));
    const refusals = () => johns.wire.filter((line) => line.includes('rate_limited')).length;
    await until(() => refusals() > 0);
    while (johnAt.snapshot().pending.length > 0) {
      const before = refusals();
      vi.setSystemTime(Date.now() + 5000);
      johns.clock.pass(5000);
      await until(() => johnAt.snapshot().pending.length === 0 || refusals() > before);
    }
    expect(refusals()).toBeGreaterThan(1);
    expect((await Promise.all(sent)).map(({ n }) => n)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  });

  test('over another socket that comes before the time at which the server wants more', async () => {
    Object.assign(settings, { rateBurst: 22, ratePerSecond: 1 });
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
    const { johnAt, johns } = await openPair();
    const frames = (start: string) => johns.wire.filter((line) => line.startsWith(start));
    const sent = Array.from({ length: 30 }, (_, i) => johnAt.send(`${i}`));
    await until(() => frames('< {"type":"error"').length === 1);
    const wait = Number(/"retry_after_ms":(\d+)/.exec(frames('< {"type":"error"').join())?.[1]);
    const before = frames('> {"type":"send"').length;
    // The server's clock goes ahead, so that nothing but the client itself holds it back.
    vi.setSystemTime(Date.now() + 60_000);
    johnAt.reconnect();
    await until(() => frames('< {"type":"welcome"').length === 2);
    await flush();
    johns.clock.pass(wait - 1);
    await flush();
    expect(frames('> {"type":"send"')).toHaveLength(before);
    johns.clock.pass(1);
    await until(() => frames('> {"type":"send"').length > before);
    expect(await sent[before - 1]).toMatchObject({ n: before });
  });

  test('over a reload on a device whose clock went back', async () => {
    const { john, conversationId } = await pairInConversation();
    const first = await openTab(john);
    first.network.setOnline(false);
    const before = first.chat.conversation(conversationId);
    for (const text of ['one', 'two']) void before.send(text);
    await until(() => before.snapshot().me !== null);
    await Promise.resolve();
    await until(() => before.snapshot().connection.status === 'waiting');
    first.kill();
    const second = await openTab(undefined, { storage: first.storage });
    second.clock.skew = -3_600_000;
    second.network.setOnline(false);
    const after = second.chat.conversation(conversationId);
    for (const text of ['three', 'four']) void after.send(text);
    await until(() => after.snapshot().pending.length === 4);
    second.kill();
    const third = await openTab(undefined, { storage: first.storage });
    await online(third.chat.conversation(conversationId));
    await until(() => third.chat.conversation(conversationId).snapshot().pending.length === 0);
    expect(await storedTexts(conversationId)).toEqual(['one', 'two', 'three', 'four']);
  });
});

describe('an operation whose answer was lost is repeated under its ref', () => {
  test.each([
    ['an edit', 'edit', (at: Awaited<ReturnType<typeof openPair>>['johnAt']) => at.edit(1, 'mine')],
    ['a reaction', 'react', (at: Awaited<ReturnType<typeof openPair>>['johnAt']) => at.react(1, '👍', true)],
    ['a deletion', 'delete', (at: Awaited<ReturnType<typeof openPair>>['johnAt']) => at.delete(1)],
  ])('%s', async (_, type, operate) => {
    const { john, johnAt, johns } = await openPair();
    await johnAt.send('one');
    const other = (await openTab(john)).chat.conversation(johnAt.id);
    await online(other);
    johns.network.cutAt('out', 1, true);
    const done = operate(johnAt);
    await until(() => johnAt.snapshot().connection.status === 'waiting');
    if (type === 'edit') await other.edit(1, 'newer');
    if (type === 'react') await other.react(1, '👍', false);
    johns.clock.pass(1000);
    await done;
    await quiet(johnAt);
    const [row] = johnAt.snapshot().messages;
    expect(row).toMatchObject({ text: { edit: 'newer', react: 'one', delete: null }[type], reactions: [] });
    const [first, second] = johns.wire.filter((line) => line.startsWith(`> {"type":"${type}"`));
    expect(second).toBe(first);
  });
});

describe('what is pending survives the end of its page', () => {
  test.each([
    ['before it was sent', { direction: 'out', frames: 1, passes: false } as const],
    ['after it was stored, before the answer came', { direction: 'in', frames: 1, passes: false } as const],
  ])('a message, %s', async (_, at) => {
    const { johnAt, johns, rayAt } = await openPair();
    johns.network.cutAt(at.direction, at.frames, at.passes);
    void johnAt.send('Hello', { ref: 'mine' });
    await until(() => johnAt.snapshot().connection.status === 'waiting');
    johns.kill();
    const next = await openTab(undefined, { storage: johns.storage });
    const again = next.chat.conversation(johnAt.id);
    await until(() => again.snapshot().pending.length === 1 || rayAt.snapshot().messages.length === 1);
    // Nobody looks at the conversation, but what waits in it is sent.
    await until(() => next.wire.some((line) => line.startsWith('< {"type":"ok"')));
    await until(() => again.snapshot().messages.length === 1 && again.snapshot().pending.length === 0);
    await until(() => rayAt.snapshot().messages.length === 1);
    expect(await storedMessages(johnAt.id)).toMatchObject([{ n: 1, ref: 'mine', text: 'Hello' }]);
    expect(await next.storage.entries('')).toHaveLength(1);
  });

  test('an edit, a reaction and a deletion, in their order', async () => {
    const { johnAt, johns } = await openPair();
    for (const text of ['one', 'two']) await johnAt.send(text);
    await until(() => johnAt.snapshot().pending.length === 0);
    johns.network.setOnline(false);
    void johnAt.edit(1, 'edited');
    void johnAt.react(1, '👍', true);
    void johnAt.delete(2);
    expect(johnAt.snapshot().pending.map(({ type }) => type)).toEqual(['edit', 'react', 'delete']);
    await flush();
    johns.kill();
    const next = await openTab(undefined, { storage: johns.storage });
    const again = next.chat.conversation(johnAt.id);
    await online(again);
    await until(() => again.snapshot().pending.length === 0);
    expect(again.snapshot().messages).toMatchObject([{ text: 'edited', reactions: [{ emoji: '👍' }] }, { text: null }]);
  });
});

/** john's message was refused. */
async function refused() {
  const pair = await openPair();
  const sent = pair.johnAt.send('Hello', { reply_to: 7, ref: 'mine' });
  await expect(sent).rejects.toMatchObject({ code: 'unknown_reply_to' });
  return pair;
}

describe('a refused message', () => {
  test('stays, with the reason, over a reload', async () => {
    const { johnAt, johns } = await refused();
    const pending = [{ ref: 'mine', text: 'Hello', error: { code: 'unknown_reply_to' } }];
    expect(johnAt.snapshot().pending).toMatchObject(pending);
    expect(johnAt.snapshot().pending[0]?.error).toBeInstanceOf(ChatError);
    await flush();
    johns.kill();
    const again = (await openTab(undefined, { storage: johns.storage })).chat.conversation(johnAt.id);
    await online(again);
    expect(again.snapshot().pending).toMatchObject(pending);
  });

  test('holds nothing up', async () => {
    const { johnAt } = await refused();
    expect(await johnAt.send('next')).toMatchObject({ n: 1 });
  });

  test('can be tried again, under its ref', async () => {
    const { johnAt, rayAt } = await refused();
    for (let n = 1; n <= 7; n += 1) await rayAt.send(`${n}`);
    expect(await johnAt.retry('mine')).toMatchObject({ n: 8, ref: 'mine', text: 'Hello', reply_to: 7 });
    await until(() => johnAt.snapshot().messages.length === 8);
    expect(johnAt.snapshot().pending).toEqual([]);
    await expect(johnAt.retry('mine')).rejects.toMatchObject({ code: 'not_refused' });
  });

  test('can be dropped', async () => {
    const { johnAt, johns } = await refused();
    johnAt.discard('mine');
    expect(johnAt.snapshot().pending).toEqual([]);
    await flush();
    expect(await johns.storage.entries('')).toHaveLength(1);
  });
});

test('a refused edit, deletion or reaction goes, and its promise says why', async () => {
  const { johnAt, rayAt } = await openPair();
  await rayAt.send('not yours');
  await expect(johnAt.edit(1, 'mine')).rejects.toMatchObject({ code: 'not_your_message' });
  await expect(johnAt.delete(1)).rejects.toMatchObject({ code: 'not_your_message' });
  await expect(johnAt.react(1, 'nonsense', true)).rejects.toMatchObject({ code: 'bad_frame' });
  expect(johnAt.snapshot().pending).toEqual([]);
});

test('a frame that is too large fails alone', async () => {
  const { johnAt, johns } = await openPair();
  await johnAt.send('one');
  const large = johnAt.react(1, 'x'.repeat(70_000), true);
  const next = johnAt.send('two');
  await expect(large).rejects.toMatchObject({ code: 'too_large' });
  johns.clock.pass(1000);
  expect(await next).toMatchObject({ n: 2 });
});

test('what was asked for while the session is being restored is sent', async () => {
  const { john, conversationId } = await pairInConversation();
  const tab = await openTab(john, { storage: memoryStorage() });
  expect(tab.chat.snapshot().status).toBe('restoring');
  expect(await tab.chat.conversation(conversationId).send('early')).toMatchObject({ n: 1, sender_id: john.id });
});

test('what somebody else has kept in its place holds nothing up', async () => {
  const { john, conversationId } = await pairInConversation();
  const storage = memoryStorage();
  await storage.set(`${SERVER} outbox/${john.id}/${conversationId}/0000000000000001 x`, null);
  const tab = await openTab(john, { storage });
  expect(await tab.chat.conversation(conversationId).send('Hello')).toMatchObject({ n: 1 });
});
