import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { HISTORY_SCAN_MAX, PAGE_SIZE } from '../../src/config.ts';
import { ConversationStore } from '../../src/conversation/store.ts';
import { api } from '../helpers/api.ts';
import { query } from '../helpers/conversation.ts';
import { createPerson, deactivate, pairInConversation, signedIn, type Person } from '../helpers/people.ts';
import { connect } from '../helpers/socket.ts';
import { dumpTables } from '../helpers/tables.ts';

type Message = { text: string; sender: { id: string; first_name: string; last_name: string }; created_at: string };

const chat = (caller: Pick<Person, 'access'>, peerId: string, search = '') =>
  api(`/api/users/${peerId}/chat/${search}`, { token: caller.access });

async function membersOf(conversationId: string): Promise<string[]> {
  const { results } = await env.DB.prepare('SELECT user_id FROM members WHERE conversation_id = ?')
    .bind(conversationId)
    .all<{ user_id: string }>();
  return results.map(({ user_id }) => user_id);
}

/** A conversation that holds the messages 1 … `count`, by its two members in turn. */
async function conversationWith(count: number) {
  const pair = await pairInConversation();
  const senders = [pair.john, pair.ray];
  // Before the object opens its store for the first time: it remembers the newest message.
  await runInDurableObject(env.CONVERSATIONS.getByName(pair.conversationId), (_, { storage }) => {
    const store = new ConversationStore(storage);
    for (let n = 1; n <= count; n++) {
      const sender_id = senders[n % 2]?.id ?? '';
      store.append({ sender_id, ref: `ref ${n}`, text: `message ${n}`, now: Date.UTC(2026, 0, 1, 0, 0, n) });
    }
  });
  return pair;
}

const senderOf = ({ id, first_name, last_name }: Person) => ({ id, first_name, last_name });
const textsOf = (messages: Message[]) => messages.map(({ text }) => text);
/** The texts of the messages from `newest` down to `oldest`. */
const texts = (newest: number, oldest: number) =>
  Array.from({ length: newest - oldest + 1 }, (_, i) => `message ${newest - i}`);

describe('opening a conversation', () => {
  it('for the first time makes one, without messages, of which both are members', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    const { status, body } = await chat(john, ray.id);
    expect(status).toBe(200);
    expect(body).toEqual({
      success: true,
      msg: 'User conversation with messages retrieved successfully.',
      data: { id: expect.stringMatching(/^[0-9a-f-]{36}$/), messages: [] },
      status: 200,
    });
    expect(new Set(await membersOf(body.data.id))).toEqual(new Set([john.id, ray.id]));
  });

  it('gives both sides the same id, every time', async () => {
    const [john, ray] = [await signedIn(), await signedIn()];
    const first = await chat(john, ray.id);
    for (const [caller, peer] of [
      [ray, john],
      [john, ray],
    ] as const) {
      expect((await chat(caller, peer.id)).body.data.id).toBe(first.body.data.id);
    }
  });

  it('50 times at once, from both sides, makes one conversation with exactly two members', async () => {
    const [john, ray] = [await signedIn(), await signedIn()];
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? chat(john, ray.id) : chat(ray, john.id))),
    );
    const ids = new Set(answers.map(({ body }) => body.data.id));
    expect(ids).toHaveLength(1);
    const [id] = ids;
    const members = await membersOf(id);
    expect(members).toHaveLength(2);
    expect(new Set(members)).toEqual(new Set([john.id, ray.id]));
  });

  it('with two people makes two conversations', async () => {
    const [john, ray, selena] = [await signedIn(), await createPerson(), await createPerson()];
    const ids = [(await chat(john, ray.id)).body.data.id, (await chat(john, selena.id)).body.data.id];
    expect(new Set(ids)).toHaveLength(2);
  });

  it('that is there already writes nothing to the directory', async () => {
    const { john, ray } = await pairInConversation();
    const before = await dumpTables();
    await chat(john, ray.id);
    await chat(ray, john.id);
    expect(await dumpTables()).toEqual(before);
  });

  it.each([
    ['in upper case', (id: string) => id.toUpperCase()],
    ['without dashes', (id: string) => id.replaceAll('-', '')],
  ])('takes the id of the other %s too', async (_, spell) => {
    const { john, ray, conversationId } = await pairInConversation();
    expect((await chat(john, spell(ray.id))).body.data.id).toBe(conversationId);
  });

  it('works with someone who was deactivated', async () => {
    const [john, ray] = [await signedIn(), await createPerson()];
    await deactivate(ray.id);
    expect((await chat(john, ray.id)).status).toBe(200);
  });
});

describe('a conversation is not opened', () => {
  it.each([
    ['as it is', (id: string) => id],
    ['in upper case', (id: string) => id.toUpperCase()],
  ])('with oneself: %s', async (_, spell) => {
    const john = await signedIn();
    const before = await dumpTables();
    const { status, body } = await chat(john, spell(john.id));
    expect(status).toBe(400);
    expect(body).toEqual({ success: false, msg: 'Invalid recipient.', status: 400 });
    expect(await dumpTables()).toEqual(before);
  });

  it('with nobody', async () => {
    const john = await signedIn();
    const before = await dumpTables();
    const { status, body } = await chat(john, '00000000-0000-4000-8000-000000000000');
    expect(status).toBe(404);
    expect(body).toEqual({ detail: 'No UserAccount matches the given query.' });
    expect(await dumpTables()).toEqual(before);
  });

  it.each(['5', 'me', 'zzzzzzzz-0000-4000-8000-000000000000', '{00000000-0000-4000-8000-000000000000}', '%00', '%ff'])(
    'under an id that is none: %s',
    async (id) => {
      const john = await signedIn();
      const { status, body } = await chat(john, id);
      expect(status).toBe(404);
      expect(body).toEqual({ detail: 'Not found.' });
    },
  );

  it('without a token', async () => {
    const { id } = await createPerson();
    const before = await dumpTables();
    expect((await api(`/api/users/${id}/chat/`)).status).toBe(401);
    expect(await dumpTables()).toEqual(before);
  });
});

describe('the history', () => {
  it('holds the messages, newest first, with their senders and times', async () => {
    const { john, ray } = await conversationWith(3);
    for (const [caller, peer] of [
      [john, ray],
      [ray, john],
    ] as const) {
      const { body } = await chat(caller, peer.id);
      expect(body.data.messages).toEqual([
        { text: 'message 3', sender: senderOf(ray), created_at: '2026-01-01T00:00:03.000Z' },
        { text: 'message 2', sender: senderOf(john), created_at: '2026-01-01T00:00:02.000Z' },
        { text: 'message 1', sender: senderOf(ray), created_at: '2026-01-01T00:00:01.000Z' },
      ]);
    }
  });

  it('holds texts as they were said', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const socket = await connect(conversationId, john.access);
    const said = ['  padded\n', 'Ünï😀 <b>&"\u2028', 'a\0b', '{"message":"x"}'];
    for (const text of said) socket.say(text, ray.id);
    await socket.settled();
    expect(textsOf((await chat(ray, john.id)).body.data.messages)).toEqual(said.toReversed());
  });

  it('holds messages as they now stand, at the time when they were said, and none that were deleted', async () => {
    const { john, ray, conversationId } = await conversationWith(4);
    const messages = `/api/conversations/${conversationId}/messages/`;
    await api(`${messages}2/`, { method: 'PATCH', token: john.access, json: { text: 'edited' } });
    await api(`${messages}3/`, { method: 'DELETE', token: ray.access });
    const { body } = await chat(ray, john.id);
    expect(body.data.messages).toEqual([
      { text: 'message 4', sender: senderOf(john), created_at: '2026-01-01T00:00:04.000Z' },
      { text: 'edited', sender: senderOf(john), created_at: '2026-01-01T00:00:02.000Z' },
      { text: 'message 1', sender: senderOf(ray), created_at: '2026-01-01T00:00:01.000Z' },
    ]);
  });

  it('leads on behind a long stretch of deleted messages, by a page that is short', async () => {
    const { john, ray, conversationId } = await conversationWith(HISTORY_SCAN_MAX + 2);
    await query(conversationId, 'UPDATE messages SET text = NULL, deleted_at = 1 WHERE n > 2');
    const { body, headers } = await chat(john, ray.id);
    expect(body.data.messages).toEqual([]);
    expect(body.data.next).toBe(`/api/users/${ray.id}/chat/?before=3`);
    expect(headers.get('Link')).toBe(`<${body.data.next}>; rel="next"`);
    const older = await api(body.data.next, { token: john.access });
    expect(textsOf(older.body.data.messages)).toEqual(texts(2, 1));
    expect(older.body.data).not.toHaveProperty('next');
  });

  it('of up to 100 messages is one page', async () => {
    const { john, ray } = await conversationWith(PAGE_SIZE);
    const { body, headers } = await chat(john, ray.id);
    expect(textsOf(body.data.messages)).toEqual(texts(PAGE_SIZE, 1));
    expect(body.data).not.toHaveProperty('next');
    expect(headers.has('Link')).toBe(false);
  });

  it('of more is paged: `data.next` and `Link` lead to older messages, until all were seen once', async () => {
    const { john, ray, conversationId } = await conversationWith(250);
    const seen: string[][] = [];
    for (let path: string | undefined = `/api/users/${ray.id}/chat/`; path !== undefined;) {
      const { body, headers } = await api(path, { token: john.access });
      expect(body.data.id).toBe(conversationId);
      expect(headers.get('Link') ?? undefined).toBe(body.data.next && `<${body.data.next}>; rel="next"`);
      seen.push(textsOf(body.data.messages));
      path = body.data.next;
    }
    expect(seen).toEqual([texts(250, 151), texts(150, 51), texts(50, 1)]);
  });

  it('goes on at the same place when something is said in between', async () => {
    const { john, ray, conversationId } = await conversationWith(120);
    const { body } = await chat(john, ray.id);
    const socket = await connect(conversationId, ray.access);
    socket.say('in between', john.id);
    await socket.settled();
    const older = await api(body.data.next, { token: john.access });
    expect(textsOf(older.body.data.messages)).toEqual(texts(20, 1));
  });

  it.each([
    ['1', []],
    ['2', texts(1, 1)],
    ['00003', texts(2, 1)],
    ['4', texts(3, 1)],
    ['9007199254740991', texts(3, 1)],
  ])('before %s is what was said before that', async (before, expected) => {
    const { john, ray } = await conversationWith(3);
    const { body } = await chat(john, ray.id, `?before=${before}`);
    expect(textsOf(body.data.messages)).toEqual(expected);
  });

  const NOT_A_NUMBER = 'A valid integer is required.';
  it.each([
    ['', NOT_A_NUMBER],
    ['0', 'Ensure this value is greater than or equal to 1.'],
    ['-1', NOT_A_NUMBER],
    ['+1', NOT_A_NUMBER],
    ['1.5', NOT_A_NUMBER],
    ['1e3', NOT_A_NUMBER],
    ['0x10', NOT_A_NUMBER],
    [' 1', NOT_A_NUMBER],
    ['１', NOT_A_NUMBER],
    ['NaN', NOT_A_NUMBER],
    ['Infinity', NOT_A_NUMBER],
    ['9007199254740992', NOT_A_NUMBER],
    ['9'.repeat(400), NOT_A_NUMBER],
    ['1;DROP TABLE messages', NOT_A_NUMBER],
    ["1' OR '1'='1", NOT_A_NUMBER],
    ['\0', NOT_A_NUMBER],
  ])('before %j is refused', async (before, message) => {
    const { john, ray } = await pairInConversation();
    const { status, body } = await chat(john, ray.id, `?before=${encodeURIComponent(before)}`);
    expect(status).toBe(400);
    expect(body).toEqual({ before: [message] });
  });

  it('is nobody else’s: a third person who opens a conversation with a member gets another one, empty', async () => {
    const { ray, conversationId } = await conversationWith(3);
    const stranger = await signedIn('Stranger');
    const { body } = await chat(stranger, ray.id);
    expect(body.data.id).not.toBe(conversationId);
    expect(body.data.messages).toEqual([]);
  });
});
