import { listDurableObjectIds, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CLOSING_SOCKETS_MAX } from '../../src/config.ts';
import { inboxConnectRequest } from '../../src/inbox/connection.ts';
import { settings } from '../../src/settings.ts';
import { api } from '../helpers/api.ts';
import { countQueries } from '../helpers/d1.ts';
import { inboxOf } from '../helpers/inbox.ts';
import { inboxConnectOf } from '../helpers/inbox-pair.ts';
import { connectInbox, openInbox, upgradeInbox } from '../helpers/inbox-socket.ts';
import { signedIn, type Person } from '../helpers/people.ts';
import { TestSocket, upgrade } from '../helpers/socket.ts';
import { resign } from '../helpers/tokens.ts';

const usual = { ...settings };

/** What a refused handshake says that does not offer chat.v1. */
async function refusal(answer: Promise<Response>) {
  const { status, webSocket } = await answer;
  expect(webSocket).toBeNull();
  return { status, ...(await (await answer).json<Record<string, unknown>>()) };
}

/** The code that an attempt is closed with which offers chat.v1. */
async function closeCode(token: string | undefined, options?: Parameters<typeof connectInbox>[1]): Promise<number> {
  return (await (await connectInbox(token, options)).closed).code;
}

/** Whose inbox answers an upgrade. */
async function welcomed(answer: Promise<Response>): Promise<string> {
  const { status, headers, webSocket } = await answer;
  expect(status).toBe(101);
  expect(headers.get('Sec-WebSocket-Protocol')).toBe('chat.v1');
  if (!webSocket) throw new Error('There is no socket.');
  const { type, me } = JSON.parse(await new TestSocket(webSocket).next());
  expect(type).toBe('welcome');
  return me;
}

const withToken: Record<string, (access: string) => Parameters<typeof upgradeInbox>[0]> = {
  'a subprotocol': (access) => ({ protocols: ['chat.v1', `bearer.${access}`] }),
  Authorization: (access) => ({ protocols: ['chat.v1'], headers: { Authorization: `Bearer ${access}` } }),
  'the query': (access) => ({ protocols: ['chat.v1'], query: `?token=${access}` }),
};

const badTokens: [string, number, string, (person: Person) => Promise<string | undefined>][] = [
  ['no token', 4401, 'not_authenticated', async () => undefined],
  ['nonsense', 4401, 'token_not_valid', async () => 'nonsense'],
  ['a refresh token', 4401, 'token_not_valid', async ({ refresh }) => refresh],
  [
    'an expired token',
    4401,
    'token_not_valid',
    async ({ access }) => resign(access, { exp: Math.floor(Date.now() / 1000) }),
  ],
  [
    'a token signed with another secret',
    4401,
    'token_not_valid',
    async ({ access }) => resign(access, {}, 'another_secret_of_at_least_32_bytes'),
  ],
  [
    'the token of someone who does not exist',
    4401,
    'user_not_found',
    async ({ access }) => resign(access, { user_id: crypto.randomUUID() }),
  ],
  [
    'the token of a session that never was',
    4410,
    'session_ended',
    async ({ access }) => resign(access, { sid: crypto.randomUUID() }),
  ],
];

afterEach(() => {
  vi.useRealTimers();
  Object.assign(settings, usual);
});

describe('a socket in the inbox', () => {
  test.each(Object.entries(withToken))('is opened with the token in %s', async (_, options) => {
    const john = await signedIn('John');
    expect(await welcomed(upgradeInbox(options(john.access)))).toBe(john.id);
  });

  test('is opened without a slash behind the path, too', async () => {
    const john = await signedIn('John');
    const protocols = ['chat.v1', `bearer.${john.access}`];
    expect(await welcomed(upgrade('', undefined, { protocols, path: '/ws/inbox' }))).toBe(john.id);
  });

  test('costs one query of D1 where nobody else is told', async () => {
    const john = await signedIn('John');
    expect(await countQueries(() => openInbox(john.access))).toBe(1);
    expect(await countQueries(() => openInbox(john.access))).toBe(1);
  });

  test('answers ping', async () => {
    const john = await signedIn('John');
    const johns = await openInbox(john.access);
    johns.sendRaw('ping');
    expect(await johns.socket.next()).toBe('pong');
  });

  test('is opened in the inbox of the token, whatever identity the client writes into the header of ours', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    const forged = { 'X-Edge-Chat-Connect': JSON.stringify(await inboxConnectOf(ray)) };
    const protocols = ['chat.v1', `bearer.${john.access}`];
    expect(await welcomed(upgradeInbox({ protocols, headers: forged }))).toBe(john.id);
  });

  test('of somebody else is opened by no request that the Worker would not make', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    const answer = await inboxOf(john.id).fetch(inboxConnectRequest(await inboxConnectOf(ray)));
    expect(answer.status).toBe(400);
    expect((await inboxOf(john.id).fetch('https://object/connect', { headers: { Upgrade: 'websocket' } })).status).toBe(
      400,
    );
  });
});

describe('who may not connect', () => {
  test.each(badTokens)('is closed over chat.v1: %s', async (_, code, __, token) => {
    const john = await signedIn('John');
    expect(await closeCode(await token(john))).toBe(code);
  });

  test.each(badTokens)('is answered 403 without chat.v1: %s', async (_, __, code, token) => {
    const john = await signedIn('John');
    const access = await token(john);
    const headers = access === undefined ? {} : { Authorization: `Bearer ${access}` };
    expect(await refusal(upgradeInbox({ headers }))).toMatchObject({ status: 403, code });
  });

  test('makes no object', async () => {
    const john = await signedIn('John');
    const before = await listDurableObjectIds(env.INBOXES);
    await closeCode('nonsense');
    await closeCode(await resign(john.access, { user_id: crypto.randomUUID() }));
    await closeCode(john.access, { query: '?after=x' });
    expect(await listDurableObjectIds(env.INBOXES)).toHaveLength(before.length);
  });

  test.each([
    ['in Authorization', (access: string) => ({ headers: { Authorization: `Bearer ${access}` } })],
    ['in the query', (access: string) => ({ query: `?token=${access}` })],
    [
      'beside protocols that nobody speaks',
      (access: string) => ({ protocols: ['soap'], headers: { Authorization: `Bearer ${access}` } }),
    ],
  ])('does not offer chat.v1, with a good token %s: an inbox speaks nothing else', async (_, options) => {
    const john = await signedIn('John');
    expect(await refusal(upgradeInbox(options(john.access)))).toEqual({
      status: 403,
      code: 'unknown_version',
      detail: 'An inbox speaks chat.v1 only: offer that subprotocol.',
    });
  });

  test('offers only a version that there is not: 4426', async () => {
    const john = await signedIn('John');
    const protocols = ['chat.v2', `bearer.${john.access}`];
    expect(await closeCode(undefined, { protocols })).toBe(4426);
  });

  test('is a page of another origin, over chat.v1 and without it, before anything is looked up', async () => {
    const john = await signedIn('John');
    const headers = { Origin: 'https://evil.example' };
    const queries = await countQueries(async () => {
      expect(await closeCode(john.access, { headers })).toBe(4403);
      expect(await refusal(upgradeInbox({ headers, query: `?token=${john.access}` }))).toMatchObject({
        status: 403,
        code: 'origin_not_allowed',
      });
    });
    expect(queries).toBe(0);
  });

  test('sends no upgrade: 426', async () => {
    const john = await signedIn('John');
    const answer = await api('/ws/inbox/', { token: john.access });
    expect(answer.status).toBe(426);
    expect(answer.headers.get('Upgrade')).toBe('websocket');
    expect(answer.body).toMatchObject({ code: 'upgrade_required' });
  });

  test.each([
    '?after=1',
    '?epoch=1',
    '?after=-1&epoch=1',
    '?after=1.5&epoch=1',
    '?after=x&epoch=1',
    '?after=&epoch=',
    '?after=1&epoch=1e3',
    '?after=9007199254740993&epoch=1',
  ])('has a bad cursor: 4400 for %s', async (query) => {
    const john = await signedIn('John');
    expect(await closeCode(john.access, { query })).toBe(4400);
  });

  test('connects too often: told when to come back, and closed with 4429', async () => {
    const john = await signedIn('John');
    Object.assign(settings, { rateBurst: 10, ratePerSecond: 1 });
    const first = await openInbox(john.access);
    const second = await connectInbox(john.access);
    expect(JSON.parse(await second.next())).toMatchObject({
      type: 'error',
      code: 'rate_limited',
      retry_after_ms: expect.any(Number),
    });
    expect(await second.closed).toMatchObject({ code: 4429 });
    expect(first.welcome.me).toBe(john.id);
  });
});

describe('a user who opens more sockets than they may have', () => {
  test('loses the one that was silent longest; the new one is welcomed and the others stay', async () => {
    const john = await signedIn('John');
    Object.assign(settings, { socketsPerUser: 3 });
    const [first, second, third] = [
      await openInbox(john.access),
      await openInbox(john.access),
      await openInbox(john.access),
    ];
    vi.setSystemTime(Date.now() + 1000);
    await first.settled();
    await third.settled();
    const fourth = await openInbox(john.access);
    expect(await second.closed).toMatchObject({ code: 4409 });
    for (const socket of [first, third, fourth]) await socket.settled();
  });

  test('costs nobody else a socket', async () => {
    const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
    Object.assign(settings, { socketsPerUser: 1 });
    const [johns, rays] = [await openInbox(john.access), await openInbox(ray.access)];
    for (const socket of [johns, rays]) expect(await socket.refused({ type: 'sync', after: 9 })).toBe('unknown_cursor');
  });

  test(`and never answers a close may have ${CLOSING_SOCKETS_MAX} that are closed, and no more`, async () => {
    const john = await signedIn('John');
    Object.assign(settings, { socketsPerUser: 1, rateBurst: 1_000_000 });
    const connecting = inboxConnectRequest(await inboxConnectOf(john));
    // All are held: a client's end that is garbage would be collected, and its socket with it.
    const answers: Response[] = [];
    for (let i = 0; i < CLOSING_SOCKETS_MAX + 3; i += 1) {
      const answer = await inboxOf(john.id).fetch(connecting.clone());
      answers.push(answer);
      // Half open: the client does not answer when the server closes.
      answer.webSocket?.accept({ allowHalfOpen: true });
    }
    expect(answers.map(({ status }) => status)).toEqual([
      ...Array.from({ length: CLOSING_SOCKETS_MAX + 1 }, () => 101),
      403,
      403,
    ]);
    expect(await answers.at(-1)?.json()).toMatchObject({ reason: 'rate_limited' });
    const kept = await runInDurableObject(inboxOf(john.id), (_, state) => state.getWebSockets().length);
    expect(kept).toBe(CLOSING_SOCKETS_MAX + 1);
    for (const { webSocket } of answers) webSocket?.close();
  });
});
