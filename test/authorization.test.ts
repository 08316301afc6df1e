import { listDurableObjectIds } from 'cloudflare:test';
import { env, exports } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { signToken } from '../src/auth/tokens.ts';
import { CLOSE } from '../src/protocol/close-codes.ts';
import { HOST } from './helpers/api.ts';
import { openChat } from './helpers/chat-socket.ts';
import { deactivate, pairInConversation, signedIn, type Person } from './helpers/people.ts';
import { pathOf, routesOf, type Route } from './helpers/routes.ts';
import { connect, upgrade } from './helpers/socket.ts';
import { claimsOf, resign } from './helpers/tokens.ts';

const SECRET_MESSAGE = 'meet me behind the old mill';

const CALLERS = [
  'anonymous',
  'member',
  'stranger',
  'expired',
  'logged out',
  'forged signature',
  'refresh as access',
  'inactive',
  'nonexistent',
] as const;
type Caller = (typeof CALLERS)[number];

/** What a caller holds: sent as `Authorization`, and in the body of the routes that take a token there. */
type Credentials = { access?: string; refresh?: string };

type Scene = { john: Person; ray: Person; conversationId: string; credentials: Credentials };

type Row = {
  /** The status that each kind of caller is answered with, in the order of CALLERS. */
  statuses: readonly [number, number, number, number, number, number, number, number, number];
  /** The body of a request that nothing but its caller is wrong with. */
  body?: (credentials: Credentials) => Record<string, unknown>;
  /** Whether members are shown the conversation's message. */
  showsMessage?: true;
};

const EVERYONE = (status: number): Row => ({
  statuses: [status, status, status, status, status, status, status, status, status],
});
/** Of a path in a conversation: a stranger is told that they are no member of it. */
const MEMBERS = (status: number): Row => ({ statuses: [401, status, 403, 401, 401, 401, 401, 401, 401] });

/**
 * Every route that there is. In each row: anonymous, member, stranger, expired, logged out, forged signature, refresh
 * as access, inactive, nonexistent.
 */
const EXPECTED: Record<string, Row> = {
  'GET /': EVERYONE(302),
  'GET /api/health': EVERYONE(200),
  'GET /api/schema': EVERYONE(200),
  'GET /api/docs': EVERYONE(200),
  'GET /api/asyncapi': EVERYONE(200),
  // 400: the request got as far as its empty body. A bad token is refused before that, none is not.
  'POST /api/register': { statuses: [400, 400, 400, 401, 401, 401, 401, 401, 401], body: () => ({}) },
  'POST /api/login': { ...EVERYONE(400), body: () => ({}) },
  'POST /api/token/refresh': {
    statuses: [400, 200, 200, 401, 401, 401, 401, 401, 401],
    body: ({ refresh }) => ({ refresh }),
  },
  // Takes a token of either type.
  'POST /api/token/verify': {
    statuses: [400, 200, 200, 401, 401, 401, 200, 401, 401],
    body: ({ access }) => ({ token: access }),
  },
  // Whoever was deactivated may still sign out.
  'POST /api/logout': {
    statuses: [400, 200, 200, 401, 401, 401, 401, 200, 401],
    body: ({ refresh }) => ({ refresh }),
  },
  'GET /api/users': { statuses: [401, 200, 200, 401, 401, 401, 401, 401, 401] },
  // The path names ray: a stranger opens a conversation of their own with him.
  'GET /api/users/:id/chat': { statuses: [401, 200, 200, 401, 401, 401, 401, 401, 401], showsMessage: true },
  // The first message is john's own.
  'GET /api/conversations/:id/messages': { ...MEMBERS(200), showsMessage: true },
  'POST /api/conversations/:id/messages': { ...MEMBERS(201), body: () => ({ text: 'another one' }) },
  'PATCH /api/conversations/:id/messages/:n': { ...MEMBERS(200), body: () => ({ text: 'edited' }) },
  'DELETE /api/conversations/:id/messages/:n': MEMBERS(200),
  'PUT /api/conversations/:id/messages/:n/reactions/:emoji': MEMBERS(200),
  'DELETE /api/conversations/:id/messages/:n/reactions/:emoji': MEMBERS(200),
  'PATCH /api/conversations/:id/marks': { ...MEMBERS(204), body: () => ({ read: 1 }) },
  'GET /api/conversations/:id/changes': { ...MEMBERS(200), showsMessage: true },
  'GET /ws/chat/:id': { statuses: [403, 101, 403, 403, 403, 403, 403, 403, 403] },
};

/** How the chat.v1 socket of each kind of caller but members is closed. */
const CLOSED = {
  anonymous: CLOSE.unauthenticated,
  stranger: CLOSE.forbidden,
  expired: CLOSE.unauthenticated,
  'logged out': CLOSE.sessionEnded,
  'forged signature': CLOSE.unauthenticated,
  'refresh as access': CLOSE.unauthenticated,
  inactive: CLOSE.unauthenticated,
  nonexistent: CLOSE.unauthenticated,
} satisfies Record<Exclude<Caller, 'member'>, number>;

/** Both tokens of a person, changed and signed again. */
async function resigned({ access, refresh }: Person, changes: Record<string, unknown>, secret?: string) {
  return { access: await resign(access, changes, secret), refresh: await resign(refresh, changes, secret) };
}

/** Every kind of caller, given john, who is a member of the conversation. */
const CREDENTIALS: Record<Caller, (john: Person) => Promise<Credentials>> = {
  anonymous: async () => ({}),
  member: async ({ access, refresh }) => ({ access, refresh }),
  stranger: async () => {
    const { access, refresh } = await signedIn('Stranger');
    return { access, refresh };
  },
  expired: (john) => resigned(john, { exp: Math.floor(Date.now() / 1000) }),
  'logged out': async ({ access, refresh }) => {
    const answer = await fetchJson('POST', '/api/logout/', undefined, { refresh });
    if (answer.status !== 200) throw new Error(`Not logged out: ${answer.status}`);
    return { access, refresh };
  },
  'forged signature': (john) => resigned(john, {}, 'a secret that somebody guessed, 32 bytes'),
  'refresh as access': async ({ access, refresh }) => ({ access: refresh, refresh: access }),
  inactive: async ({ id, access, refresh }) => {
    await deactivate(id);
    return { access, refresh };
  },
  nonexistent: (john) => resigned(john, { user_id: crypto.randomUUID() }),
};

/** A conversation of john's with ray that holds a message of john's, and the caller's credentials. */
async function scene(caller: Caller): Promise<Scene> {
  const pair = await pairInConversation();
  const socket = await connect(pair.conversationId, pair.john.access);
  socket.say(SECRET_MESSAGE, pair.ray.id);
  await socket.settled();
  return { ...pair, credentials: await CREDENTIALS[caller](pair.john) };
}

function fetchJson(method: string, path: string, access: string | undefined, json?: unknown): Promise<Response> {
  const isSocket = path.startsWith('/ws/');
  return exports.default.fetch(
    new Request(`https://${HOST}${path}`, {
      method,
      headers: {
        ...(access === undefined ? {} : { Authorization: `Bearer ${access}` }),
        ...(isSocket ? { Upgrade: 'websocket' } : {}),
        ...(json === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      redirect: 'manual',
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    }),
  );
}

async function ask(route: Route, { ray, conversationId, credentials }: Scene): Promise<Response> {
  const path = pathOf(route, { userId: ray.id, conversationId });
  return fetchJson(route.method, path, credentials.access, EXPECTED[nameOf(route)]?.body?.(credentials));
}

/** A conversation as its endpoint tells of it. */
async function chat(caller: Person, peer: Person) {
  const answer = await fetchJson('GET', `/api/users/${peer.id}/chat/`, caller.access);
  const { data } = await answer.json<{ data: { id: string; messages: { text: string; sender: { id: string } }[] } }>();
  return data;
}

const nameOf = ({ method, path }: Route) => `${method} ${path}`;

describe('every route', () => {
  it('has a row in the table of who may use it, and the table has no other', () => {
    expect(Object.keys(EXPECTED).toSorted()).toEqual(routesOf().map(nameOf).toSorted());
  });
});

describe.each(routesOf().map((route) => [nameOf(route), route] as const))('%s', (name, route) => {
  it.each(CALLERS.map((caller, i) => [caller, EXPECTED[name]?.statuses[i]] as const))(
    '%s: %d',
    async (caller, expected) => {
      const answer = await ask(route, await scene(caller));
      const text = answer.webSocket ? '' : await answer.text();
      expect(answer.status).toBe(expected);
      // Only members see the message, and only where messages are shown.
      expect(text.includes(SECRET_MESSAGE)).toBe(caller === 'member' && EXPECTED[name]?.showsMessage === true);
      // A refusal for the caller's sake says how to do better.
      expect(answer.headers.get('WWW-Authenticate')).toBe(expected === 401 ? 'Bearer realm="api"' : null);
      answer.webSocket?.accept();
      answer.webSocket?.close();
    },
  );
});

describe('a conversation whose object does not exist yet', () => {
  it('gets none from whoever may not use it', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const stranger = await signedIn('Stranger');
    const before = await listDurableObjectIds(env.CONVERSATIONS);
    for (const route of routesOf().filter(({ path }) => path.startsWith('/api/conversations/'))) {
      for (const id of [conversationId, crypto.randomUUID()]) {
        const path = pathOf(route, { userId: ray.id, conversationId: id });
        const body = EXPECTED[nameOf(route)]?.body?.({});
        const answer = await fetchJson(route.method, path, stranger.access, body);
        expect(answer.status).toBe(id === conversationId ? 403 : 404);
        expect((await fetchJson(route.method, path, `${john.access}x`, body)).status).toBe(401);
      }
    }
    expect(await listDurableObjectIds(env.CONVERSATIONS)).toHaveLength(before.length);
  });
});

describe('a chat.v1 socket', () => {
  const refused = CALLERS.filter((caller) => caller !== 'member');

  it.each(refused.map((caller) => [caller, CLOSED[caller]] as const))('%s: closed with %d', async (caller, code) => {
    const { conversationId, credentials } = await scene(caller);
    const protocols = ['chat.v1', ...(credentials.access === undefined ? [] : [`bearer.${credentials.access}`])];
    const socket = await connect(conversationId, undefined, { protocols });
    expect(await socket.closed).toMatchObject({ code });
    expect(socket.pending).toEqual([]);
  });

  it('member: welcomed, and shown the message', async () => {
    const { john, conversationId, credentials } = await scene('member');
    const { welcome } = await openChat(conversationId, credentials.access ?? '');
    expect(welcome).toMatchObject({ me: john.id, conversation: conversationId });
    expect(welcome.snapshot?.messages).toMatchObject([{ text: SECRET_MESSAGE }]);
  });
});

describe('a conversation', () => {
  it('reaches nobody but its members', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const stranger = await signedIn('Stranger');
    const { id: ownId } = await chat(stranger, ray);
    const member = await connect(conversationId, ray.access);
    const elsewhere = await connect(ownId, stranger.access);
    const chatElsewhere = await openChat(ownId, stranger.access);
    const socket = await connect(conversationId, john.access);
    socket.say(SECRET_MESSAGE, ray.id);
    expect(JSON.parse(await member.next())).toEqual({ message: SECRET_MESSAGE, recipient_id: ray.id });
    await elsewhere.settled();
    await chatElsewhere.settled();
    expect(elsewhere.pending).toEqual([]);
    expect(chatElsewhere.pending).toEqual([]);
  });
});

/** The header in which the Worker tells a conversation's object who connects, filled in by a client. */
async function claimed(by: Person, as: Person, conversationId: string): Promise<Record<string, string>> {
  const { session_id, exp } = await claimsOf(by.access);
  return {
    'X-Edge-Chat-Connect': JSON.stringify({
      conversation_id: conversationId,
      version: 1,
      epoch: 1,
      user_id: as.id,
      session_id,
      expires_at: exp * 1000,
      request_id: crypto.randomUUID(),
    }),
  };
}

describe('an identity that the client claims', () => {
  it('does not reach the conversation: what is said over the socket is said by the user of the token', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const headers = await claimed(john, ray, conversationId);
    const socket = await connect(conversationId, john.access, { headers });
    socket.say('Who said this?', ray.id);
    await socket.settled();
    expect((await chat(ray, john)).messages).toMatchObject([{ text: 'Who said this?', sender: { id: john.id } }]);
  });

  it('does not open a socket to whoever is not a member', async () => {
    const { john, conversationId } = await pairInConversation();
    const stranger = await signedIn('Stranger');
    const headers = await claimed(stranger, john, conversationId);
    expect((await upgrade(conversationId, stranger.access, { headers })).status).toBe(403);
    expect((await upgrade(conversationId, undefined, { headers })).status).toBe(403);
  });

  it('in the token counts only if the signature does', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const stranger = await signedIn('Stranger');
    const now = Math.floor(Date.now() / 1000);
    const posing = await resign(stranger.access, { user_id: ray.id }, 'x'.repeat(40));
    expect((await upgrade(conversationId, posing)).status).toBe(403);
    // Well signed, but the session is somebody else's: nobody but us could make such a token.
    const { session_id } = await claimsOf(stranger.access);
    const token = await signToken({ ...(await claimsOf(john.access)), session_id }, now);
    expect((await upgrade(conversationId, token)).status).toBe(403);
    expect((await fetchJson('GET', '/api/users/', token)).status).toBe(401);
  });

  it('must come from the Worker even if somebody reaches the object itself', async () => {
    const { conversationId } = await pairInConversation();
    const stub = env.CONVERSATIONS.getByName(conversationId);
    const answer = await stub.fetch('https://conversation/connect', { headers: { Upgrade: 'websocket' } });
    expect(answer.webSocket).toBeNull();
    expect(answer.status).toBe(400);
  });
});
