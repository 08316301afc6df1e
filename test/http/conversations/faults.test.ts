import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { Caller } from '../../helpers/caller.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { objectOf, open, query } from '../../helpers/conversation.ts';
import { breakD1 } from '../../helpers/faults.ts';
import { pairInConversation } from '../../helpers/people.ts';
import type { ApiAnswer } from '../../helpers/api.ts';

/** A conversation in which john has said two things, and ray has read nothing. */
async function said() {
  const { john, ray, conversationId } = await pairInConversation();
  const [johns, rays] = [new Caller(conversationId, john), new Caller(conversationId, ray)];
  for (const text of ['one', 'two']) await johns.say(text);
  await johns.react(2, '🎉');
  return { john, ray, conversationId, johns, rays };
}

/** Everything that a conversation has stored, and what its object believes in. */
async function everything(conversationId: string, reader: Caller) {
  const { body } = await reader.changes();
  return {
    body,
    messages: await query(conversationId, 'SELECT * FROM messages ORDER BY n'),
    operations: await query(conversationId, 'SELECT * FROM operations ORDER BY ref'),
    reactions: await query(conversationId, 'SELECT * FROM reactions ORDER BY rev'),
  };
}

/** Makes every statement of a kind fail in a conversation's store, from when it has already done its work. */
async function breakStore(conversationId: string, statement: string): Promise<void> {
  await query(conversationId, `CREATE TRIGGER broken AFTER ${statement} BEGIN SELECT raise(ABORT, 'broken'); END`);
}

async function repairStore(conversationId: string): Promise<void> {
  await query(conversationId, 'DROP TRIGGER broken');
}

function expectFault({ status, headers, body }: ApiAnswer): void {
  expect(status).toBe(500);
  expect(body).toEqual({
    detail: 'Internal server error.',
    code: 'internal_error',
    request_id: headers.get('X-Request-Id'),
  });
}

type Request = (johns: Caller, rays: Caller) => Promise<ApiAnswer>;
const FAULTS: [string, string, Request, number][] = [
  ['a message', 'INSERT ON messages', (johns) => johns.send('three', 'key'), 201],
  ['the marks of its sender', 'UPDATE ON members', (johns) => johns.send('three', 'key'), 201],
  ['the key of a message', 'INSERT ON operations', (johns) => johns.send('three', 'key'), 201],
  ['the key of an edit', 'INSERT ON operations', (johns) => johns.edit(1, 'one, edited', 'key'), 200],
  ['the deletion of reactions', 'DELETE ON reactions', (johns) => johns.remove(2, 'key'), 200],
  ['the key of a deletion', 'INSERT ON operations', (johns) => johns.remove(2, 'key'), 200],
  ['the rev of a reaction', 'UPDATE ON messages', (johns) => johns.react(1, '👍', 'key'), 200],
  ['the key of a reaction', 'INSERT ON operations', (johns) => johns.react(1, '👍', 'key'), 200],
  ['the end of a reaction', 'UPDATE ON messages', (johns) => johns.unreact(2, '🎉', 'key'), 200],
  ['marks', 'UPDATE ON members', (_, rays) => rays.mark({ read: 2 }), 204],
];

describe.each(FAULTS)('when %s cannot be stored', (_, statement, request, status) => {
  it('the request is answered 500, and nothing has changed, neither in the store nor in what the object believes', async () => {
    const { johns, rays, conversationId } = await said();
    const before = await everything(conversationId, johns);
    await breakStore(conversationId, statement);
    expectFault(await request(johns, rays));
    expect(await everything(conversationId, johns)).toEqual(before);
    await evictDurableObject(objectOf(conversationId));
    expect(await everything(conversationId, johns)).toEqual(before);
  });

  it('nobody is told of it, and the same request passes when it can, under the next rev', async () => {
    const { john, ray, johns, rays, conversationId } = await said();
    const { body: before } = await johns.changes();
    const [socket, plain] = [await openChat(conversationId, ray.access), await open(conversationId, john.access)];
    await breakStore(conversationId, statement);
    expectFault(await request(johns, rays));
    await repairStore(conversationId);
    expect((await request(johns, rays)).status).toBe(status);
    const { after, messages, members } = await socket.next('changes', ({ rev }) => rev > before.rev);
    expect(after).toBeLessThanOrEqual(before.rev);
    const revs = [...messages, ...members].map(({ rev }) => rev).filter((rev) => rev > before.rev);
    expect(Math.min(...revs)).toBe(before.rev + 1);
    await plain.settled();
    expect(plain.pending).toHaveLength(status === 201 ? 1 : 0);
  });
});

it('someone who came after marks that could not be stored misses nothing of what follows', async () => {
  const { johns, rays, conversationId } = await said();
  await breakStore(conversationId, 'UPDATE ON members');
  expectFault(await rays.mark({ read: 2 }));
  await repairStore(conversationId);
  const { body: cursor } = await rays.changes();
  await evictDurableObject(objectOf(conversationId));
  await johns.say('three');
  const { body } = await rays.changes(`?after=${cursor.rev}&epoch=${cursor.epoch}`);
  expect(body.messages).toContainEqual(expect.objectContaining({ n: 3, text: 'three' }));
});

describe('when D1 fails', () => {
  it('every request is answered 500, and nothing has changed', async () => {
    const { johns, conversationId } = await said();
    const before = await everything(conversationId, johns);
    const d1 = breakD1();
    const answers = [
      await johns.messages(),
      await johns.changes(),
      await johns.send('three', 'key'),
      await johns.edit(1, 'edited'),
      await johns.remove(1),
      await johns.react(1, '👍'),
      await johns.mark({ read: 1 }),
    ];
    d1.restore();
    for (const answer of answers) expectFault(answer);
    expect(await everything(conversationId, johns)).toEqual(before);
  });
});
