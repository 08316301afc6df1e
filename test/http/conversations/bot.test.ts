import { expect, test } from 'vitest';
import type { MemberRow, MessageRow } from '../../../src/protocol/rows.ts';
import { Caller } from '../../helpers/caller.ts';
import { openChat } from '../../helpers/chat-socket.ts';
import { storedMembers, storedTexts } from '../../helpers/conversation.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** Keeps what a program without a socket knows, from `changes` alone. */
class Bot {
  readonly caller: Caller;
  readonly messages = new Map<number, MessageRow>();
  readonly members = new Map<string, MemberRow>();
  /** Of each answer, whether it went on from the cursor. */
  readonly resumed: boolean[] = [];
  cursor: { after: number; epoch: number } | undefined;

  constructor(caller: Caller) {
    this.caller = caller;
  }

  /** Catches up. Returns the messages that it had not, or not like this. */
  async poll(): Promise<MessageRow[]> {
    const fresh: MessageRow[] = [];
    for (let more = true; more;) {
      const query = this.cursor ? `?after=${this.cursor.after}&epoch=${this.cursor.epoch}` : '';
      const { status, body } = await this.caller.changes(query);
      if (status !== 200) throw new Error(`Not changes: ${status} ${JSON.stringify(body)}`);
      this.resumed.push(body.resumed);
      for (const row of body.messages as MessageRow[]) this.messages.set(row.n, row);
      for (const row of body.members as MemberRow[]) this.members.set(row.user_id, row);
      fresh.push(...body.messages);
      this.cursor = { after: body.rev, epoch: body.epoch };
      more = body.more ?? false;
    }
    return fresh;
  }
}

test('a bot without a socket reads, answers, reacts, edits, deletes and marks, and polls what others do', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  const [bot, rays] = [new Bot(new Caller(conversationId, john)), await openChat(conversationId, ray.access)];
  await rays.say('Are you there?');

  // It begins with what there is.
  expect(await bot.poll()).toMatchObject([{ n: 1, sender_id: ray.id, text: 'Are you there?' }]);
  expect([...bot.members.keys()].sort()).toEqual([john.id, ray.id].sort());

  // It answers. The answer to its first try is lost, so it tries again.
  const first = await bot.caller.send('I am', 'answer-1', { reply_to: 1 });
  const second = await bot.caller.send('I am', 'answer-1', { reply_to: 1 });
  expect([first.status, second.status]).toEqual([201, 200]);
  expect(second.body).toEqual({ ...first.body, duplicate: true });
  expect(first.body).toMatchObject({ n: 2 });

  // It reacts, reads, corrects and takes back what it said.
  expect((await bot.caller.react(1, '👋', 'wave-1')).status).toBe(200);
  expect((await bot.caller.mark({ read: 2 })).status).toBe(204);
  expect((await bot.caller.edit(2, 'I am here', 'edit-1')).status).toBe(200);
  await bot.caller.say('never mind', 'answer-2');
  expect((await bot.caller.remove(3, 'delete-1')).status).toBe(200);

  // What it did itself comes with the next poll, once.
  expect(await bot.poll()).toMatchObject([
    { n: 1, text: 'Are you there?', reactions: [{ emoji: '👋', user_ids: [john.id] }] },
    { n: 2, ref: 'answer-1', text: 'I am here', reply_to: 1, edited_at: expect.any(Number) },
    { n: 3, text: null, deleted_at: expect.any(Number) },
  ]);
  expect(bot.members.get(john.id)).toMatchObject({ read: 3, delivered: 3 });
  expect(await bot.poll()).toEqual([]);

  // What others do comes too, as it stands when it asks.
  await rays.ok({ type: 'react', n: 2, emoji: '🎉', on: true });
  await rays.say('Good');
  rays.send({ type: 'mark', read: 4 });
  await rays.settled();
  expect(await bot.poll()).toMatchObject([
    { n: 2, reactions: [{ emoji: '🎉', user_ids: [ray.id] }] },
    { n: 4, text: 'Good' },
  ]);
  expect(bot.members.get(ray.id)).toMatchObject({ read: 4, delivered: 4 });

  // Every poll but the first went on from the one before.
  expect(bot.resumed).toEqual([false, true, true, true]);

  // It knows everything, and so does the one with the socket.
  expect(await storedTexts(conversationId)).toEqual(['Are you there?', 'I am here', null, 'Good']);
  expect([...bot.messages.values()]).toEqual((await bot.caller.messages()).body.messages);
  expect((await storedMembers(conversationId)).get(john.id)).toMatchObject(bot.members.get(john.id) ?? {});
});
