import { evictDurableObject, listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, test } from 'vitest';
import { settings } from '../../src/settings.ts';
import { api, HOST } from '../helpers/api.ts';
import { objectOf, storedMessages, storedTexts } from '../helpers/conversation.ts';
import { countQueries } from '../helpers/d1.ts';
import { pairInConversation, signedIn } from '../helpers/people.ts';
import { connect, TestSocket, upgrade } from '../helpers/socket.ts';
import { resign } from '../helpers/tokens.ts';

const textOf = (frame: string): string => JSON.parse(frame).message;

/** What a refused plain handshake says. */
async function refusal(answer: Response | Promise<Response>) {
  const { status, headers, webSocket } = await answer;
  expect(webSocket).toBeNull();
  expect(headers.get('Content-Type')).toBe('application/json');
  return { status, ...(await (await answer).json<Record<string, unknown>>()) };
}

const both = (first: string, second: string) => ({ query: `?token=${first}&token=${second}` });

const attempt = async (origin?: string) => {
  const { john, conversationId } = await pairInConversation();
  return upgrade(conversationId, john.access, { headers: origin === undefined ? {} : { Origin: origin } });
};

/** Runs `work` with other settings than the deployment's. */
async function withSettings<T>(changes: Partial<typeof settings>, work: () => Promise<T>): Promise<T> {
  const present = { ...settings };
  Object.assign(settings, changes);
  try {
    return await work();
  } finally {
    Object.assign(settings, present);
  }
}

const NOT_AUTHENTICATED = {
  status: 403,
  code: 'not_authenticated',
  detail: 'Authentication credentials were not provided.',
};
const BAD_TOKEN = { status: 403, code: 'token_not_valid', detail: 'Token is invalid or expired' };
const NO_CONVERSATION = { status: 403, code: 'no_such_conversation', detail: 'There is no such conversation.' };
const FOREIGN_PAGE = {
  status: 403,
  code: 'origin_not_allowed',
  detail: 'Pages of this origin may not open sockets here.',
};

describe('the token of a plain socket', () => {
  test('may travel in the query', async () => {
    const { john, conversationId } = await pairInConversation();
    expect((await upgrade(conversationId, undefined, { query: `?token=${john.access}` })).status).toBe(101);
  });

  test('may travel in Authorization', async () => {
    const { john, conversationId } = await pairInConversation();
    const headers = { Authorization: `Bearer ${john.access}` };
    expect((await upgrade(conversationId, undefined, { headers })).status).toBe(101);
  });

  test('is taken from Authorization before the query', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const headers = { Authorization: `Bearer ${john.access}` };
    const socket = await connect(conversationId, ray.access, { headers });
    socket.say('Hello', ray.id);
    expect(textOf(await socket.next())).toBe('Hello');
    expect(await storedMessages(conversationId)).toMatchObject([{ sender_id: john.id }]);
  });

  test('is the first one of two in the query', async () => {
    const { john, conversationId } = await pairInConversation();
    expect((await upgrade(conversationId, undefined, both(john.access, 'nonsense'))).status).toBe(101);
    expect(await refusal(upgrade(conversationId, undefined, both('nonsense', john.access)))).toEqual(BAD_TOKEN);
  });

  test('is looked for in the query when Authorization has another scheme', async () => {
    const { john, conversationId } = await pairInConversation();
    const headers = { Authorization: 'Basic am9objpzZWNyZXQ=' };
    expect((await upgrade(conversationId, john.access, { headers })).status).toBe(101);
  });

  test.each(['Bearer', 'Bearer two words', 'Bearer nonsense'])(
    'is not looked for in the query behind "Authorization: %s"',
    async (header) => {
      const { john, conversationId } = await pairInConversation();
      const answer = await upgrade(conversationId, john.access, { headers: { Authorization: header } });
      expect(await refusal(answer)).toMatchObject({ status: 403 });
    },
  );

  test('is not taken from a subprotocol: that is how chat.v1 does it', async () => {
    const { john, conversationId } = await pairInConversation();
    const answer = await upgrade(conversationId, undefined, { protocols: [`bearer.${john.access}`] });
    expect(await refusal(answer)).toEqual(NOT_AUTHENTICATED);
  });
});

describe('a plain socket is refused with 403 and a reason', () => {
  test.each<[string, (access: string, refresh: string) => Promise<string | undefined>, object]>([
    ['no token', async () => undefined, NOT_AUTHENTICATED],
    ['an empty token', async () => '', NOT_AUTHENTICATED],
    ['nonsense', async () => 'nonsense', BAD_TOKEN],
    ['a refresh token', async (_, refresh) => refresh, { ...BAD_TOKEN, detail: 'Token has wrong type' }],
    ['an expired token', async (access) => resign(access, { exp: Math.floor(Date.now() / 1000) }), BAD_TOKEN],
    [
      'a token signed with another secret',
      async (access) => resign(access, {}, 'another_secret_of_at_least_32_bytes'),
      BAD_TOKEN,
    ],
    [
      'the token of someone who does not exist',
      async (access) => resign(access, { user_id: crypto.randomUUID() }),
      { status: 403, code: 'user_not_found', detail: 'User not found' },
    ],
    [
      'the token of another session of nobody',
      async (access) => resign(access, { sid: crypto.randomUUID() }),
      { status: 403, code: 'session_ended', detail: 'Token is invalid or expired' },
    ],
  ])('%s', async (_, token, expected) => {
    const { john, conversationId } = await pairInConversation();
    expect(await refusal(upgrade(conversationId, await token(john.access, john.refresh)))).toEqual(expected);
  });

  test('the token of a session that has ended', async () => {
    const { john, conversationId } = await pairInConversation();
    await api('/api/logout/', { json: { refresh: john.refresh } });
    expect(await refusal(upgrade(conversationId, john.access))).toMatchObject({ status: 403, code: 'session_ended' });
  });

  test('someone who is not a member', async () => {
    const { conversationId } = await pairInConversation();
    const selena = await signedIn('Selena');
    expect(await refusal(upgrade(conversationId, selena.access))).toEqual({
      status: 403,
      code: 'not_a_member',
      detail: 'You are not a member of this conversation.',
    });
  });
});

test('a socket that offers only protocols that nobody speaks is a plain one, with none of them', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  const protocols = ['soap', 'CHAT.V1', 'chat.v', 'chat.v1x', 'xchat.v1'];
  const answer = await upgrade(conversationId, john.access, { protocols });
  expect(answer.status).toBe(101);
  expect(answer.headers.get('Sec-WebSocket-Protocol')).toBeNull();
  if (!answer.webSocket) throw new Error('There is no socket.');
  const socket = new TestSocket(answer.webSocket);
  socket.say('Hello', ray.id);
  expect(textOf(await socket.next())).toBe('Hello');
});

describe('the page that opens a socket', () => {
  test.each([
    ['none: a client that is no browser', undefined],
    ["this server's own", `https://${HOST}`],
    ['its own, in upper case', `HTTPS://${HOST.toUpperCase()}`],
    ['its own, with the port spelled out', `https://${HOST}:443`],
    ['localhost', 'http://localhost'],
    ['localhost, another port and scheme', 'https://localhost:4711'],
    ['localhost in upper case', 'HTTP://LOCALHOST:8000'],
    ['127.0.0.1', 'http://127.0.0.1:8000'],
    ['[::1]', 'http://[::1]:8000'],
  ])('may be, in development: %s', async (_, origin) => {
    expect((await attempt(origin)).status).toBe(101);
  });

  test.each([
    ['another host', 'https://evil.example'],
    ['this host over another scheme', `http://${HOST}`],
    ['this host on another port', `https://${HOST}:8443`],
    ['a subdomain of this host', `https://app.${HOST}`],
    ['a host that ends like this one', `https://evil${HOST}`],
    ['a host that begins like this one', `https://${HOST}.evil.example`],
    ['this host as a user name', `https://${HOST}@evil.example`],
    ['null', 'null'],
    ['no scheme', HOST],
    ['no scheme, a loopback address', '127.0.0.1:8000'],
    ['no scheme, localhost', 'localhost:8000'],
    ['a subdomain of localhost', 'http://sub.localhost:8000'],
    ['a host that begins like a loopback address', 'http://127.0.0.1.evil.example'],
    ['a host that begins like localhost', 'http://localhost.evil.example'],
    ['any address', 'http://0.0.0.0:8000'],
    ['two of them', `https://${HOST}, https://evil.example`],
  ])('may not be: %s', async (_, origin) => {
    expect(await refusal(attempt(origin))).toEqual(FOREIGN_PAGE);
  });

  test.each(['http://localhost:8000', 'http://127.0.0.1:8000', 'http://[::1]:8000'])(
    'may not be a loopback one in production: %s',
    async (origin) => {
      const answer = await withSettings({ development: false }, () => attempt(origin));
      expect(await refusal(answer)).toEqual(FOREIGN_PAGE);
    },
  );

  test('may be one of ALLOWED_ORIGINS, in any case, and nothing like it', async () => {
    const allowed = { development: false, allowedOrigins: new Set(['https://app.example.net']) };
    await withSettings(allowed, async () => {
      expect((await attempt('https://app.example.net')).status).toBe(101);
      expect((await attempt('https://APP.example.net')).status).toBe(101);
      for (const origin of ['http://app.example.net', 'https://app.example.net:444', 'https://example.net']) {
        expect(await refusal(attempt(origin))).toEqual(FOREIGN_PAGE);
      }
    });
  });

  test('is looked at before anything else, so that a foreign page learns nothing', async () => {
    const { conversationId } = await pairInConversation();
    const headers = { Origin: 'https://evil.example' };
    const queries = await countQueries(async () => {
      for (const [id, token] of [
        [conversationId, 'nonsense'],
        ['lobby', undefined],
      ] as const) {
        expect(await refusal(upgrade(id, token, { headers }))).toEqual(FOREIGN_PAGE);
      }
    });
    expect(queries).toBe(0);
  });
});

describe('the conversation id in the path', () => {
  test.each([
    ['in upper case', (id: string) => id.toUpperCase()],
    ['without dashes', (id: string) => id.replaceAll('-', '')],
    ['in upper case without dashes', (id: string) => id.replaceAll('-', '').toUpperCase()],
  ])('%s leads to the same room', async (_, spell) => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await connect(spell(conversationId), john.access);
    const rays = await connect(conversationId, ray.access);
    johns.say('which room?', ray.id);
    expect(textOf(await rays.next())).toBe('which room?');
    expect(await storedTexts(conversationId)).toEqual(['which room?']);
  });

  test('may come without a slash behind it', async () => {
    const { john, conversationId } = await pairInConversation();
    const path = `/ws/chat/${conversationId}`;
    expect((await upgrade(conversationId, john.access, { path })).status).toBe(101);
  });

  test.each([
    ['a word', () => 'lobby'],
    ['braces', (id: string) => `{${id}}`],
    ['a URN', (id: string) => `urn:uuid:${id}`],
    ['a digit too few', (id: string) => id.slice(1)],
    ['something behind it', (id: string) => `${id}%00`],
    ['a broken escape', (id: string) => `${id}%zz`],
    ['a very long one', () => 'a'.repeat(4000)],
  ])('is refused when it is none: %s', async (_, spell) => {
    const { john, conversationId } = await pairInConversation();
    const before = await listDurableObjectIds(env.CONVERSATIONS);
    expect(await refusal(upgrade(spell(conversationId), john.access))).toEqual(NO_CONVERSATION);
    expect(await listDurableObjectIds(env.CONVERSATIONS)).toHaveLength(before.length);
  });

  test('that the directory does not know is refused, and no object is made for it', async () => {
    const john = await signedIn('John');
    const before = await listDurableObjectIds(env.CONVERSATIONS);
    expect(await refusal(upgrade(crypto.randomUUID(), john.access))).toEqual(NO_CONVERSATION);
    expect(await listDurableObjectIds(env.CONVERSATIONS)).toHaveLength(before.length);
  });

  test('of a conversation that the caller may not open makes no object either', async () => {
    const { conversationId } = await pairInConversation();
    const selena = await signedIn('Selena');
    const before = await listDurableObjectIds(env.CONVERSATIONS);
    expect((await upgrade(conversationId, selena.access)).status).toBe(403);
    expect((await upgrade(conversationId, 'nonsense')).status).toBe(403);
    expect(await listDurableObjectIds(env.CONVERSATIONS)).toHaveLength(before.length);
  });
});

describe('a request that is no upgrade', () => {
  test('is answered 426 and told what to send', async () => {
    const { john, conversationId } = await pairInConversation();
    const answer = await api(`/ws/chat/${conversationId}/?token=${john.access}`);
    expect(answer.status).toBe(426);
    expect(answer.headers.get('Upgrade')).toBe('websocket');
    expect(answer.body).toEqual({
      detail: 'This path is a WebSocket. Send an upgrade request.',
      code: 'upgrade_required',
    });
  });

  test('is answered 426 when it asks for another protocol', async () => {
    const { john, conversationId } = await pairInConversation();
    const path = `/ws/chat/${conversationId}/`;
    expect((await api(path, { token: john.access, headers: { Upgrade: 'h2c' } })).status).toBe(426);
  });

  test('is answered 405 when its method is not GET', async () => {
    const { john, conversationId } = await pairInConversation();
    const answer = await api(`/ws/chat/${conversationId}/`, { method: 'POST', token: john.access });
    expect(answer.status).toBe(405);
    expect(answer.headers.get('Allow')).toContain('GET');
    expect(answer.body).toEqual({ detail: 'Method "POST" not allowed.' });
  });
});

test('an upgrade asked for in another case is one', async () => {
  const { john, conversationId } = await pairInConversation();
  const headers = { Upgrade: 'WebSocket' };
  expect((await upgrade(conversationId, john.access, { headers })).status).toBe(101);
});

test.each(['/ws/', '/ws/chat/', '/ws/nope/', '/ws/chat/a/b/'])('an upgrade of %s is answered 404', async (path) => {
  const john = await signedIn('John');
  expect(await refusal(upgrade('', john.access, { path }))).toEqual({ status: 404, detail: 'Not found.' });
});

describe('the queries to D1', () => {
  test('that a connect costs are two at first, with the members, and then one', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    expect(await countQueries(() => connect(conversationId, john.access))).toBe(2);
    expect(await countQueries(() => connect(conversationId, john.access))).toBe(1);
    expect(await countQueries(() => connect(conversationId, ray.access))).toBe(1);
  });

  test('that a connect costs are one after an eviction, too', async () => {
    const { john, conversationId } = await pairInConversation();
    await connect(conversationId, john.access);
    await evictDurableObject(objectOf(conversationId));
    expect(await countQueries(() => connect(conversationId, john.access))).toBe(1);
  });

  test('that a message costs are none, right after an eviction neither', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const johns = await connect(conversationId, john.access);
    const rays = await connect(conversationId, ray.access);
    const exchange = async () => {
      johns.say('ping?', ray.id);
      await rays.next();
      rays.say('pong!', john.id);
      await johns.take(2);
      await rays.next();
      johns.send('nonsense');
      await johns.next();
    };
    expect(await countQueries(exchange)).toBe(0);
    await evictDurableObject(objectOf(conversationId));
    expect(await countQueries(exchange)).toBe(0);
  });

  test('that a refused connect costs are at most one', async () => {
    const { john, conversationId } = await pairInConversation();
    const selena = await signedIn('Selena');
    for (const [id, token, expected] of [
      [conversationId, 'nonsense', 0],
      ['lobby', john.access, 0],
      [crypto.randomUUID(), john.access, 1],
      [conversationId, selena.access, 1],
    ] as const) {
      expect(await countQueries(() => upgrade(id, token))).toBe(expected);
    }
  });
});
