import { afterEach, expect, test } from 'vitest';
import * as fc from 'fast-check';
import { settings } from '../../../src/settings.ts';
import { query, storedMessages } from '../../helpers/conversation.ts';
import { everythingSeenBy, expectContiguous } from '../../helpers/follower.ts';
import { pairInConversation } from '../../helpers/people.ts';
import { commands, connectPlain, NAMES, reconnect, send, type Model, type World } from '../../helpers/world.ts';

const standard = { ...settings };

afterEach(() => {
  Object.assign(settings, standard);
});

/** Two users, with three chat.v1 clients and a plain socket. */
async function begin(): Promise<{ model: Model; real: World }> {
  Object.assign(settings, standard, { rateBurst: 1_000_000 });
  const { john, ray, conversationId } = await pairInConversation();
  const model: Model = { connected: new Set(), plain: false, messages: 0 };
  const people = { john1: john, john2: john, ray1: ray };
  const real: World = { conversationId, people, followers: {}, stored: [], unsure: [], plainTexts: [], plain: [] };
  for (const name of NAMES) await send(name, 3).run(model, real);
  await connectPlain.run(model, real);
  return { model, real };
}

/** Rule 2 and the numbers: every message once, n without gaps, each rev once. @returns the texts as they were sent */
async function expectOnce({ conversationId, stored, plainTexts }: World): Promise<string[]> {
  const messages = await storedMessages(conversationId);
  const members = await query<{ rev: number }>(conversationId, 'SELECT rev FROM members');
  expect(messages.map(({ n }) => n)).toEqual(messages.map((_, index) => index + 1));
  const revs = [...messages, ...members].map(({ rev }) => rev);
  expect(new Set(revs).size).toBe(revs.length);

  const withRef = messages.filter(({ ref }) => ref !== null);
  expect(withRef.map(({ n, id, ref, sender_id }) => ({ n, id, ref, sender_id }))).toEqual(
    stored
      .map(({ ok, userId }) => ({ n: ok.n, id: ok.id, ref: ok.ref, sender_id: userId }))
      .toSorted((a, b) => a.n - b.n),
  );
  const fromPlain = messages.filter(({ ref }) => ref === null);
  expect(fromPlain).toHaveLength(plainTexts.length);
  const texts = new Map<number, string>(stored.map(({ ok, text }) => [ok.n, text]));
  fromPlain.forEach(({ n }, index) => texts.set(n, plainTexts[index] ?? ''));
  return messages.map(({ n }) => texts.get(n) ?? '');
}

/** Plain sockets have heard every message since they were opened; those that were lost, up to some point. */
async function expectPlainHeard({ plain }: World, texts: string[]): Promise<void> {
  for (const { socket, since, isOpen } of plain) {
    if (isOpen) await socket.settled();
    const heard = socket.pending.map((frame): string => JSON.parse(frame).message);
    expect(heard).toEqual(texts.slice(since, isOpen ? undefined : since + heard.length));
  }
}

test('rules 1 to 6: whatever happens, all replicas end as the server is, and what was acknowledged is there once', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (script) => {
      const { model, real } = await begin();
      await fc.asyncModelRun(() => ({ model, real }), script);

      for (const name of NAMES) if (!model.connected.has(name)) await reconnect(name).run(model, real);
      const truth = await everythingSeenBy(real.conversationId, real.people.john1);
      for (const follower of Object.values(real.followers)) {
        await follower.catchUp();
        expectContiguous(follower.live, follower.socket.welcome.rev);
        const { messages, members } = follower.replica.state();
        expect(members).toEqual(truth.members);
        // One that began from a snapshot has not all, but what it has is so.
        expect(messages).toEqual(truth.messages.filter(({ n }) => follower.replica.messages.has(n)));
        await follower.loadAll();
        expect(follower.replica.state()).toEqual(truth);
        follower.socket.close(1000);
      }
      const texts = await expectOnce(real);
      expect(truth.messages).toHaveLength(texts.length);
      await expectPlainHeard(real, texts);
    }),
    { numRuns: 40 },
  );
}, 60_000);
