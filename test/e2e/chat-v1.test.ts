import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MessageRow } from '../../src/protocol/rows.ts';
import { ChatClient, frameCheckOf, offer } from '../helpers/node/chat-client.ts';
import { chat, login, logout, register, type Person } from '../helpers/node/people.ts';
import { startServer, type Server } from '../helpers/node/wrangler-dev.ts';

/** Messages of each sender that are on their way at any moment. */
const WINDOW = 40;

describe('chat.v1 over kill -9 of the whole server', () => {
  const persistTo = mkdtempSync(join(tmpdir(), 'edge-chat-state-'));
  afterAll(() => rmSync(persistTo, { recursive: true, force: true }));

  /** How many answers both senders see together, in each life of the server that is cut short. */
  const KILL_AFTER = [25, 400];

  const start = () => startServer({ persistTo, vars: { RATE_BURST: '100000', RESUME_ROWS: '100000' } });

  test('every message is stored once, in the order of sending, under what its sender was told, and all know it', async () => {
    let server = await start();
    const people = [await register(server, 'Ana'), await register(server, 'Ben')] as const;
    const conversation = await chat(server, people[0], people[1]);
    const clients = [new ChatClient(), new ChatClient()] as const;
    const away = new ChatClient();
    await connect(away, server, conversation, people[1]);
    await away.settle();
    await away.socket.close();

    for (const [life, killAfter] of KILL_AFTER.entries()) {
      for (const [i, client] of clients.entries()) await connect(client, server, conversation, people[i]);
      expect(clients.map(({ welcome }) => welcome.resumed)).toEqual(clients.map(() => life > 0));
      await streamUntilKilled(server, clients, `life ${life}`, killAfter);
      // One more was sent for each answer, up to the end.
      for (const client of clients) expect(client.outbox.size).toBeGreaterThan(0);
      server = await start();
    }

    for (const [i, client] of clients.entries()) {
      await connect(client, server, conversation, people[i]);
      await client.hear(() => client.outbox.size === 0);
    }
    for (const client of clients) await client.settle();
    await connect(away, server, conversation, people[1]);
    expect(away.welcome).toMatchObject({ resumed: true });
    await away.settle();

    const stored = await allMessages(server, conversation, await login(server, people[0].email));
    await server.stop();

    const byRef = new Map(stored.map((row) => [row.ref, row]));
    expect(byRef.size, 'stored twice').toBe(stored.length);
    expect(stored.map(({ n }) => n)).toEqual(stored.map((_, i) => i + 1));
    expect(stored.length).toBe(clients[0].sent.size + clients[1].sent.size);
    for (const [i, client] of clients.entries()) {
      const theirs = stored.filter(({ sender_id }) => sender_id === people[i]?.id);
      expect(
        theirs.map(({ ref, text }) => [ref, text]),
        'lost, or not in the order of sending',
      ).toEqual([...client.sent]);
      expect(client.acknowledged.length).toBeGreaterThanOrEqual(client.sent.size);
      for (const { ref, n, rev, id, created_at } of client.acknowledged) {
        expect(byRef.get(ref)).toMatchObject({ n, rev, id, created_at });
      }
    }
    for (const { replica } of [...clients, away]) expect(replica.state().messages).toEqual(stored);
    for (const { replica } of clients) expect(replica.state().members).toEqual(away.replica.state().members);
  }, 120_000);
});

/** Connects in a new session of its user. */
async function connect(client: ChatClient, server: Server, conversation: string, person: Person | undefined) {
  const { access } = await login(server, person?.email ?? '');
  await client.connect(server, conversation, access);
}

/** Keeps messages on their way until the clients have seen so many answers and the server is gone. */
async function streamUntilKilled(server: Server, clients: readonly ChatClient[], name: string, killAfter: number) {
  let [said, answers] = [0, 0];
  const { promise: enough, resolve } = Promise.withResolvers<void>();
  const streams = clients.map((client, i) => {
    const sayOneMore = () => client.say(`${name}, client ${i}, ${(said += 1)}`);
    for (let k = 0; k < WINDOW; k += 1) sayOneMore();
    return client.hear(
      () => false,
      () => {
        sayOneMore();
        if ((answers += 1) === killAfter) resolve();
      },
    );
  });
  await Promise.race([enough, Promise.all(streams)]);
  await server.kill();
  await Promise.all(streams);
}

const bearer = (person: Person | undefined) => ['chat.v1', `bearer.${person?.access}`];

describe('a socket of chat.v1 on a real server', () => {
  let server: Server;
  let [ana, ben, stranger]: Person[] = [];
  let conversation: string;

  beforeAll(async () => {
    server = await startServer();
    const people = [await register(server, 'Ana'), await register(server, 'Ben'), await register(server, 'Eve')];
    [ana, ben, stranger] = people;
    conversation = await chat(server, people[0]!, people[1]!);
  });
  afterAll(() => server.stop());

  test.each([
    ['a bad token', 4401, () => offer(server, conversation, ['chat.v1', 'bearer.nonsense'])],
    ['no token', 4401, () => offer(server, conversation, ['chat.v1'])],
    ['someone who is no member', 4403, () => offer(server, conversation, bearer(stranger))],
    ['a conversation that is not there', 4404, () => offer(server, randomUUID(), bearer(ana))],
    ['an id that is none', 4404, () => offer(server, 'nowhere', bearer(ana))],
    ['half a cursor', 4400, () => offer(server, `${conversation}?after=1`, bearer(ana))],
    ['a version that is not spoken', 4426, () => offer(server, conversation, ['chat.v9', `bearer.${ana?.access}`])],
  ])('is refused to %s by a close code that its client can read: %d', async (_, code, open) => {
    const socket = await open();
    const closed = await socket.closed;
    expect(closed.code).toBe(code);
    expect(closed.reason).not.toBe('');
    expect(socket.frames).toEqual([]);
  });

  test('is told its subprotocol, is welcomed first, and ends with a clean close handshake', async () => {
    const check = await frameCheckOf(server);
    const socket = await offer(server, `${conversation}/`, bearer(ana));
    expect(socket.protocol).toBe('chat.v1');
    const welcome = await socket.next();
    check('server', welcome);
    expect(JSON.parse(welcome)).toMatchObject({ type: 'welcome', conversation, me: ana?.id, online: [ana?.id] });
    await socket.ping();
    expect(await socket.close(1000)).toEqual({ code: 1000, reason: '' });
  });

  test('is closed with 4410 when its session ends', async () => {
    const another = await login(server, ben?.email ?? '');
    const socket = await offer(server, conversation, bearer(another));
    await socket.next();
    await socket.ping();
    await logout(server, another);
    expect(await socket.closed).toMatchObject({ code: 4410 });
    const again = await offer(server, conversation, bearer(another));
    expect(await again.closed).toMatchObject({ code: 4410 });
  });

  test('is closed with 1003 for a binary frame, and with 1009 for one that is too large', async () => {
    for (const [code, frame] of [
      [1003, new Uint8Array(1)],
      [1009, 'a'.repeat(70_000)],
    ] as const) {
      const socket = await offer(server, conversation, bearer(ana));
      await socket.next();
      socket.send(frame);
      expect(await socket.closed).toMatchObject({ code });
    }
  });

  test('shares a message of another program that has none, and the other way round', async () => {
    const client = new ChatClient();
    await client.connect(server, conversation, ben?.access ?? '');
    const said = await fetch(new URL(`/api/conversations/${conversation}/messages/`, server.url), {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${ana?.access}`,
        'Content-Type': 'application/json',
        'Idempotency-Key': 'from a bot',
      },
      body: JSON.stringify({ text: 'Hello' }),
    });
    expect(said.status).toBe(201);
    await client.hear(() => client.replica.messages.size === 1);
    client.say('Hello, bot');
    await client.settle();
    await client.socket.close();
    const stored = await allMessages(server, conversation, ana);
    expect(stored).toMatchObject([
      { ref: 'from a bot', text: 'Hello' },
      { sender_id: ben?.id, text: 'Hello, bot' },
    ]);
    expect(client.replica.state().messages).toEqual(stored);
  });
});

/** Every message of a conversation, oldest first, page by page. */
async function allMessages(server: Server, conversation: string, reader: Person | undefined): Promise<MessageRow[]> {
  const rows: MessageRow[] = [];
  let path: string | undefined = `/api/conversations/${conversation}/messages/?after=0`;
  while (path !== undefined) {
    const response: Response = await fetch(new URL(path, server.url), {
      headers: { Authorization: `Bearer ${reader?.access}` },
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    rows.push(...((await response.json()) as { messages: MessageRow[] }).messages);
    path = /^<([^>]+)>; rel="next"$/.exec(response.headers.get('Link') ?? '')?.[1];
  }
  return rows;
}
