import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Caller } from '../../helpers/caller.ts';
import { query } from '../../helpers/conversation.ts';
import { pairInConversation } from '../../helpers/people.ts';

const METHODS = ['log', 'info', 'warn', 'error', 'debug'] as const;
let written: string[];

beforeEach(() => {
  written = [];
  for (const method of METHODS) {
    vi.spyOn(console, method).mockImplementation((...values: unknown[]) => {
      written.push(values.map(String).join(' '));
    });
  }
});
afterEach(() => {
  vi.restoreAllMocks();
});

const SECRETS = { text: 'meet me behind the old mill', edited: 'meet me at the harbour', key: 'order-4711' };

/** Says and does what one can, and what one cannot. */
async function everydayLife(conversationId: string, johns: Caller, rays: Caller): Promise<void> {
  const { text, edited, key } = SECRETS;
  await johns.send(text, key);
  await johns.send(text, key);
  await johns.send(text, `"${key}`.repeat(20));
  await johns.send({ text }, key);
  await johns.send(text, `${key}-2`, { reply_to: 99 });
  await johns.send(`${text}\ud800`, key);
  await johns.ask('messages/', { key, body: `{"text":"${text}`, headers: { 'Content-Type': 'application/json' } });
  await johns.ask('messages/', { key, body: text, headers: { 'Content-Type': 'text/plain' } });
  await johns.ask('messages/', { key, body: new URLSearchParams({ text }) });
  await johns.ask(`messages/?text=${encodeURIComponent(text)}`);
  await johns.edit(1, edited, `${key}-3`);
  await rays.edit(1, edited, key);
  await rays.react(1, '👍', key);
  await johns.messages();
  await johns.changes();
  await johns.mark({ read: 1, text });
  await johns.remove(1, `${key}-4`);
  await johns.edit(1, edited, `${key}-5`);
  await query(conversationId, `CREATE TRIGGER broken BEFORE INSERT ON messages BEGIN SELECT raise(ABORT, 'x'); END`);
  expect((await johns.send(text, `${key}-6`)).status).toBe(500);
}

test('no line holds a text or a key, whatever is done and whatever fails', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  await everydayLife(conversationId, new Caller(conversationId, john), new Caller(conversationId, ray));
  expect(written.length).toBeGreaterThan(18);
  const output = written.join('\n');
  expect(output).toContain('"status":500');
  for (const secret of [...Object.values(SECRETS), john.access, ray.access]) expect(output).not.toContain(secret);
});

test('a fault of the object is written down once, with the id that the answer has', async () => {
  const { john, conversationId } = await pairInConversation();
  const johns = new Caller(conversationId, john);
  await johns.say('Hello');
  await query(conversationId, `CREATE TRIGGER broken BEFORE INSERT ON messages BEGIN SELECT raise(ABORT, 'x'); END`);
  const { body } = await johns.send('Hello');
  const faults = written.map((line) => JSON.parse(line)).filter(({ event }) => event === 'request_failed');
  expect(faults).toMatchObject([{ request_id: body.request_id, stack: expect.stringMatching(/\n +at /) }]);
});
