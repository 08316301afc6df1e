import { expect, onTestFinished, test, vi } from 'vitest';
import { settings } from '../../src/settings.ts';
import { raiseEpoch, versionOf } from '../helpers/directory.ts';
import { notify } from '../helpers/follower.ts';
import { flush, online, openPair, openTab, quiet, texts, until } from './tab.ts';

test('what nothing changes stays the same object', async () => {
  const { johnAt, johns, rayAt } = await openPair();
  await rayAt.send('one');
  await rayAt.send('two');
  await until(() => texts(johnAt).length === 2);
  johns.clock.pass(1000);
  await until(() => johnAt.snapshot().members.every(({ delivered }) => delivered === 2));
  const before = johnAt.snapshot();
  expect(johnAt.snapshot()).toBe(before);
  await rayAt.react(1, '👍', true);
  await until(() => johnAt.snapshot() !== before);
  const after = johnAt.snapshot();
  expect(after.messages[0]).not.toBe(before.messages[0]);
  expect(after.messages[1]).toBe(before.messages[1]);
  expect(after.members).toBe(before.members);
  expect(after.pending).toBe(before.pending);
  expect(after.connection).toBe(before.connection);
});

test('a listener hears of changes until it is taken out', async () => {
  const { johnAt, rayAt } = await openPair();
  let [first, second] = [0, 0];
  const stop = johnAt.subscribe(() => (first += 1));
  johnAt.subscribe(() => (second += 1));
  await rayAt.send('one');
  await until(() => texts(johnAt).length === 1);
  expect(first).toBeGreaterThan(0);
  expect(second).toBe(first);
  stop();
  const before = first;
  await rayAt.send('two');
  await until(() => texts(johnAt).length === 2);
  expect(first).toBe(before);
  expect(second).toBeGreaterThan(before);
});

test('a listener that another one takes out is not called any more', async () => {
  const { johnAt } = await openPair();
  let [first, second] = [0, 0];
  johnAt.subscribe(() => {
    first += 1;
    stopSecond();
  });
  const stopSecond = johnAt.subscribe(() => (second += 1));
  await johnAt.send('one');
  await until(() => first > 0);
  expect(second).toBe(0);
});

/** What is thrown in microtasks until the end of the test, without anybody to catch it. */
function uncaught(): unknown[] {
  const thrown: unknown[] = [];
  const queue = globalThis.queueMicrotask;
  const spy = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((work) => {
    queue(() => {
      try {
        work();
      } catch (error) {
        thrown.push(error);
      }
    });
  });
  onTestFinished(() => spy.mockRestore());
  return thrown;
}

test('a listener that throws harms nobody, and its error is not lost', async () => {
  const { johnAt } = await openPair();
  const thrown = uncaught();
  let [first, second] = [0, 0];
  const stop = johnAt.subscribe(() => {
    first += 1;
    throw new Error('It is broken.');
  });
  johnAt.subscribe(() => (second += 1));
  await johnAt.send('one');
  await until(() => texts(johnAt).length === 1 && first > 0);
  stop();
  await flush();
  expect(second).toBe(first);
  expect(thrown).toEqual(Array.from({ length: first }, () => new Error('It is broken.')));
});

test('rule 3: a gap is closed before anything after it is applied', async () => {
  const { johnAt, johns, rayAt } = await openPair();
  johns.network.lose(1);
  await rayAt.send('one');
  await until(() => johns.network.faults.get('changes lost') === 1);
  expect(texts(johnAt)).toEqual([]);
  await rayAt.send('two');
  await until(() => texts(johnAt).length === 2);
  expect(texts(johnAt)).toEqual(['one', 'two']);
});

test('rule 6: a last frame that was lost is noticed by the probe', async () => {
  const { johnAt, johns, rayAt } = await openPair();
  johns.network.lose(1);
  await rayAt.send('one');
  await until(() => johns.network.faults.get('changes lost') === 1);
  // A ping every 25 seconds, which is to be answered within ten.
  for (let seconds = 0; seconds < 300; seconds += 25) {
    expect(texts(johnAt)).toEqual([]);
    const pongs = johns.wire.filter((line) => line === '< pong').length;
    johns.clock.pass(25_000);
    await until(() => johns.wire.filter((line) => line === '< pong').length > pongs);
  }
  await until(() => texts(johnAt).length === 1);
});

test('rule 6: and at once by a page that wakes up', async () => {
  const { johnAt, johns, rayAt } = await openPair();
  johns.network.lose(1);
  await rayAt.send('one');
  await until(() => johns.network.faults.get('changes lost') === 1);
  expect(texts(johnAt)).toEqual([]);
  johns.chat.wake();
  await until(() => texts(johnAt).length === 1);
});

test('rule 4: who was away resumes from their cursor, over as many pages as it takes', async () => {
  Object.assign(settings, { rateBurst: 100_000 });
  const { johnAt, johns, rayAt } = await openPair();
  await rayAt.send('first');
  await until(() => texts(johnAt).length === 1);
  johns.network.setOnline(false);
  await Promise.all(Array.from({ length: 300 }, (_, i) => rayAt.send(`${i}`)));
  await rayAt.edit(1, 'edited');
  johns.network.setOnline(true);
  johns.clock.pass(1000);
  await until(() => johnAt.snapshot().connection.status === 'online');
  expect(texts(johnAt)).toEqual(['edited', ...Array.from({ length: 300 }, (_, i) => `${i}`)]);
  expect(johns.wire.filter((line) => line.startsWith('> {"type":"sync"')).length).toBe(2);
  expect(johns.wire.filter((line) => line.includes('"snapshot"'))).toHaveLength(1);
});

test('a list never shows what comes after a message that is still missing', async () => {
  Object.assign(settings, { rateBurst: 100_000 });
  const { johnAt, johns, rayAt } = await openPair();
  johns.network.setOnline(false);
  await Promise.all(Array.from({ length: 250 }, (_, i) => rayAt.send(`${i}`)));
  // Its row comes last now, on the second page.
  await rayAt.edit(3, 'edited');
  const runs: number[][] = [];
  johnAt.subscribe(() => runs.push(johnAt.snapshot().messages.map(({ n }) => n)));
  johns.network.setOnline(true);
  johns.clock.pass(1000);
  await until(() => texts(johnAt).length === 250);
  expect(runs.every((run) => run.every((n, index) => n === index + 1))).toBe(true);
  expect(runs.map(({ length }) => length)).toContain(2);
});

test('more than the server sends one by one comes as a snapshot, from which older messages are loaded', async () => {
  Object.assign(settings, { rateBurst: 100_000, resumeRows: 100 });
  const { johnAt, johns, rayAt } = await openPair();
  johns.network.setOnline(false);
  await Promise.all(Array.from({ length: 350 }, (_, i) => rayAt.send(`${i + 1}`)));
  johns.network.setOnline(true);
  johns.clock.pass(1000);
  await until(() => johnAt.snapshot().connection.status === 'online');
  expect(johnAt.snapshot()).toMatchObject({ has_older: true });
  expect(texts(johnAt)[0]).toBe('251');
  await johnAt.loadOlder();
  expect(texts(johnAt)[0]).toBe('151');
  await johnAt.loadOlder(60);
  expect(texts(johnAt)[0]).toBe('51');
  await johnAt.loadOlder(42);
  expect(texts(johnAt)).toEqual(Array.from({ length: 350 }, (_, i) => `${i + 1}`));
  expect(johnAt.snapshot()).toMatchObject({ has_older: false });
  await johnAt.loadOlder();
  expect(texts(johnAt)).toHaveLength(350);
  expect((await johnAt.history({ around: 200, limit: 3 })).messages.map(({ n }) => n)).toEqual([199, 200, 201]);
  expect(await johnAt.history({ after: 349 })).toMatchObject({ messages: [{ n: 350 }], more: false });
});

test('history that cannot be is refused', async () => {
  const { johnAt } = await openPair();
  await expect(johnAt.history({ limit: 101 })).rejects.toMatchObject({ code: 'bad_frame' });
  await expect(johnAt.history({ before: 2, after: 1 })).rejects.toMatchObject({ code: 'bad_frame' });
});

test('changes of messages older than those loaded are not shown, and are there when they are loaded', async () => {
  Object.assign(settings, { rateBurst: 100_000 });
  const { john, rayAt, johnAt } = await openPair();
  await Promise.all(Array.from({ length: 120 }, (_, i) => rayAt.send(`${i + 1}`)));
  const late = (await openTab(john)).chat.conversation(johnAt.id);
  await online(late);
  expect(texts(late)[0]).toBe('21');
  await rayAt.edit(5, 'edited');
  await rayAt.edit(120, 'edited');
  await until(() => texts(late).at(-1) === 'edited');
  expect(texts(late)[0]).toBe('21');
  await late.loadOlder();
  expect(texts(late).slice(3, 6)).toEqual(['4', 'edited', '6']);
});

test('rule 5: another epoch replaces what is shown, and nothing of the outbox', async () => {
  const { johnAt, johns, rayAt } = await openPair();
  await rayAt.send('one');
  await until(() => texts(johnAt).length === 1);
  johns.network.setOnline(false);
  const pending = johnAt.send('two');
  await raiseEpoch(johnAt.id);
  await notify(johnAt.id, await versionOf(johnAt.id));
  johns.network.setOnline(true);
  johns.clock.pass(1000);
  expect(await pending).toMatchObject({ n: 2 });
  await until(() => texts(johnAt).length === 2);
  expect(johnAt.snapshot().cursor?.epoch).toBe((await versionOf(johnAt.id)).epoch);
});

test('a conversation nobody looks at any more lets go of its socket after a while', async () => {
  const { john, johnAt } = await openPair();
  const tab = await openTab(john);
  const conversation = tab.chat.conversation(johnAt.id);
  expect(conversation.snapshot().connection.status).toBe('idle');
  const stop = conversation.subscribe(() => {});
  await until(() => conversation.snapshot().connection.status === 'online');
  stop();
  tab.clock.pass(4000);
  expect(conversation.snapshot().connection.status).toBe('online');
  conversation.subscribe(() => {})();
  tab.clock.pass(4000);
  expect(conversation.snapshot().connection.status).toBe('online');
  tab.clock.pass(1000);
  expect(conversation.snapshot().connection.status).toBe('idle');
  await quiet(conversation);
  expect(conversation.snapshot().connection.status).toBe('online');
});
