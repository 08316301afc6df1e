import { expect, test } from 'vitest';
import type { Conversation } from '../../src/client/index.ts';
import { query, storedMembers } from '../helpers/conversation.ts';
import { raiseEpoch, versionOf } from '../helpers/directory.ts';
import { notify } from '../helpers/follower.ts';
import type { Person } from '../helpers/people.ts';
import { openPair, quiet, texts, until } from './tab.ts';

const memberOf = (conversation: Conversation, { id }: Person) =>
  conversation.snapshot().members.find(({ user_id }) => user_id === id);

test('what is shown is told to be delivered, and what was read to be read', async () => {
  const { johnAt, johns, rayAt, john } = await openPair();
  for (const text of ['one', 'two', 'three']) await rayAt.send(text);
  await until(() => texts(johnAt).length === 3);
  johns.clock.pass(1000);
  await until(() => memberOf(rayAt, john)?.delivered === 3);
  expect(memberOf(rayAt, john)?.read).toBe(0);
  johnAt.markRead(2);
  johns.clock.pass(1000);
  await until(() => memberOf(rayAt, john)?.read === 2);
  johnAt.markRead();
  johns.clock.pass(1000);
  await until(() => memberOf(rayAt, john)?.read === 3);
});

test('no more is marked than is here, and marks do not go back', async () => {
  const { johnAt, johns, rayAt, john } = await openPair();
  await rayAt.send('one');
  await rayAt.send('two');
  await until(() => texts(johnAt).length === 2);
  johnAt.markRead(7);
  johnAt.markRead(1);
  johns.clock.pass(1000);
  await until(() => memberOf(johnAt, john)?.read === 2);
  await rayAt.send('three');
  await until(() => texts(johnAt).length === 3);
  johns.clock.pass(1000);
  await until(() => memberOf(johnAt, john)?.delivered === 3);
  expect(memberOf(johnAt, john)?.read).toBe(2);
});

test('rule 7: a mark that was lost with its socket is told again', async () => {
  const { johnAt, johns, rayAt, john } = await openPair();
  await rayAt.send('one');
  await until(() => texts(johnAt).length === 1);
  johnAt.markRead();
  johns.network.cutAt('out', 1, false);
  johns.clock.pass(500);
  await until(() => johnAt.snapshot().connection.status === 'waiting');
  expect((await storedMembers(johnAt.id)).get(john.id)?.read).toBe(0);
  johns.clock.pass(1000);
  await until(() => johnAt.snapshot().connection.status === 'online');
  johns.clock.pass(1000);
  await until(() => memberOf(johnAt, john)?.read === 1);
});

test('rule 5: marks of another epoch replace those of the one before, though they are lower', async () => {
  const { johnAt, johns, rayAt, rays, john } = await openPair();
  await rayAt.send('one');
  await until(() => texts(johnAt).length === 1);
  johnAt.markRead();
  johns.clock.pass(1000);
  await until(() => memberOf(rayAt, john)?.read === 1);
  johns.kill();
  // As a backup has it.
  await query(johnAt.id, 'UPDATE members SET read = 0 WHERE user_id = ?', john.id);
  await raiseEpoch(johnAt.id);
  await notify(johnAt.id, await versionOf(johnAt.id));
  await until(() => rayAt.snapshot().connection.status === 'waiting');
  rays.clock.pass(1000);
  await until(() => rayAt.snapshot().connection.status === 'online');
  expect(memberOf(rayAt, john)?.read).toBe(0);
});

test('who types is shown until they stop', async () => {
  const { johnAt, rayAt, john, ray } = await openPair();
  const types = () => memberOf(rayAt, john)?.typing;
  johnAt.setTyping(true);
  await until(() => types() === true);
  expect(memberOf(rayAt, ray)?.typing).toBe(false);
  johnAt.setTyping(false);
  await until(() => types() === false);
});

test('strokes are told of every four seconds', async () => {
  const { johnAt, johns } = await openPair();
  const said = () => johns.wire.filter((line) => line.startsWith('> {"type":"typing"')).length;
  johnAt.setTyping(true);
  johnAt.setTyping(true);
  johns.clock.pass(3999);
  johnAt.setTyping(true);
  expect(said()).toBe(1);
  johns.clock.pass(1);
  johnAt.setTyping(true);
  expect(said()).toBe(2);
});

test('typing ends by itself for those who hear nothing more of it', async () => {
  const { johnAt, rayAt, rays, john } = await openPair();
  johnAt.setTyping(true);
  await until(() => memberOf(rayAt, john)?.typing === true);
  rays.clock.pass(5999);
  expect(memberOf(rayAt, john)?.typing).toBe(true);
  rays.clock.pass(1);
  expect(memberOf(rayAt, john)?.typing).toBe(false);
});

test('typing ends with the message', async () => {
  const { johnAt, rayAt, john } = await openPair();
  johnAt.setTyping(true);
  await until(() => memberOf(rayAt, john)?.typing === true);
  const seen: boolean[] = [];
  rayAt.subscribe(() => seen.push(texts(rayAt).length === 1 && memberOf(rayAt, john)?.typing === true));
  await johnAt.send('Hello');
  await until(() => texts(rayAt).length === 1);
  expect(seen).not.toContain(true);
});

test('who is here is shown, and when they were last here', async () => {
  const { rayAt, johns, john } = await openPair();
  await until(() => memberOf(rayAt, john)?.online === true);
  expect(memberOf(rayAt, john)?.last_seen).toBe(null);
  johns.chat.close();
  await until(() => memberOf(rayAt, john)?.online === false);
  expect(memberOf(rayAt, john)?.last_seen).toBeGreaterThan(0);
  await quiet(rayAt);
});
