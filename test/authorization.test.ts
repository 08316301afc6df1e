import { listDurableObjectIds } from 'cloudflare:test';
import { env, exports } from 'cloudflare:workers';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { deleteAccount, setActive } from '../src/auth/accounts.ts';
import { passwordState, signLink } from '../src/auth/links.ts';
import type { TokenPair } from '../src/auth/sessions.ts';
import { signToken } from '../src/auth/tokens.ts';
import { redeliverNotices } from '../src/deliver-notices.ts';
import { block } from '../src/directory/blocks.ts';
import { directory } from '../src/directory/database.ts';
import { findAccount } from '../src/directory/users.ts';
import { CLOSE } from '../src/protocol/close-codes.ts';
import { api, HOST, type ApiInit } from './helpers/api.ts';
import { Caller as ConversationCaller } from './helpers/caller.ts';
import { errorOf } from './helpers/chat-pair.ts';
import { openChat, type Asked, type ChatSocket } from './helpers/chat-socket.ts';
import { open, storedMessages } from './helpers/conversation.ts';
import { setLeft } from './helpers/directory.ts';
import { connectInbox, openInbox, upgradeInbox, type InboxSocket } from './helpers/inbox-socket.ts';
import { operatorKey } from './helpers/operator.ts';
import { pairInConversation, PASSWORD, signedIn, signIn, SOURCE, type Person } from './helpers/people.ts';
import { pathOf, routesOf, type Route } from './helpers/routes.ts';
import { connect, upgrade, type TestSocket } from './helpers/socket.ts';
import { dumpTables } from './helpers/tables.ts';
import { claimsOf, resign } from './helpers/tokens.ts';

const SECRET_MESSAGE = 'meet me behind the old mill';
const NEW_PASSWORD = 'staple battery horse correct';
const db = directory(env.DB);

// Who calls

/** What a caller holds: sent as `Authorization`, and in the body of the routes that take a token there. */
type Credentials = { access?: string; refresh?: string };
/** A conversation of john's with ray. */
type Pair = { john: Person; ray: Person; conversationId: string };

/** Every kind of caller, and what they hold. All but the stranger and the operator come, or pretend to come, as john. */
const CREDENTIALS = {
  anonymous: async () => ({}),
  member: async ({ john }) => tokensOf(john),
  'other session': async ({ john }) => signIn(john.id, 'another device'),
  blocked: async ({ john, ray }) => {
    await block(db, ray.id, john.id, Date.now());
    return tokensOf(john);
  },
  blocker: async ({ john, ray }) => {
    await block(db, john.id, ray.id, Date.now());
    return tokensOf(john);
  },
  'ex-member': async ({ john, conversationId }) => {
    await setLeft(conversationId, john.id, Date.now());
    return tokensOf(john);
  },
  stranger: async () => tokensOf(await signedIn('Stranger')),
  'ended session': async ({ john }) => {
    await succeed('/api/logout/', { json: { refresh: john.refresh } });
    return tokensOf(john);
  },
  deactivated: async ({ john }) => {
    await setActive(db, john.id, false, SOURCE, Date.now());
    return tokensOf(john);
  },
  deleted: async ({ john }) => {
    await deleteAccount(db, john.id, undefined, SOURCE, Date.now());
    return tokensOf(john);
  },
  expired: async ({ john }) => resigned(john, { exp: Math.floor(Date.now() / 1000) }),
  'forged signature': async ({ john }) => resigned(john, {}, 'a secret that somebody guessed, 32 bytes'),
  'refresh as access': async ({ john }) => ({ access: john.refresh, refresh: john.access }),
  nonexistent: async ({ john }) => resigned(john, { user_id: crypto.randomUUID() }),
  operator: async () => {
    const key = await operatorKey();
    return { access: key, refresh: key };
  },
} satisfies Record<string, (pair: Pair) => Promise<Credentials>>;

type Caller = keyof typeof CREDENTIALS;
const CALLERS = Object.keys(CREDENTIALS) as Caller[];

/** Who may read the conversation. */
const READERS = ['member', 'other session', 'blocked', 'blocker'] as const satisfies Caller[];
const isReader = (caller: Caller) => READERS.some((reader) => reader === caller);

function tokensOf({ access, refresh }: Person): TokenPair {
  return { access, refresh };
}

/** Both tokens of a person, changed and signed again. */
async function resigned({ access, refresh }: Person, changes: Record<string, unknown>, secret?: string) {
  return { access: await resign(access, changes, secret), refresh: await resign(refresh, changes, secret) };
}

// What they are answered

/** By caller: a status and, if the refusal has one, its `code`. */
type Answers = Record<Caller, string>;

type Row = {
  answers: Answers;
  /** The body of a request that nothing but its caller is wrong with. */
  body?: (credentials: Credentials) => Record<string, unknown>;
  /** Whether those who may read the conversation are shown its message. */
  showsMessage?: true;
};

const EVERYONE = (answer: string) => Object.fromEntries(CALLERS.map((caller) => [caller, answer])) as Answers;
const SIGNED_IN = (answer: string): Answers => ({
  ...EVERYONE(answer),
  anonymous: '401',
  'ended session': '401 token_not_valid',
  deactivated: '401 user_inactive',
  deleted: '401 user_not_found',
  expired: '401 token_not_valid',
  'forged signature': '401 token_not_valid',
  'refresh as access': '401 token_not_valid',
  nonexistent: '401 user_not_found',
  operator: '401 token_not_valid',
});
/** Of a path in a conversation: whoever is no member of it is told so. */
const MEMBERS = (answer: string): Answers => ({
  ...SIGNED_IN(answer),
  stranger: '403 not_a_member',
  'ex-member': '403 not_a_member',
});
/** Of what reaches the other member. */
const WRITERS = (answer: string): Answers => ({
  ...MEMBERS(answer),
  blocked: '403 not_available',
  blocker: '403 not_available',
});
const OPERATOR = (answer: string): Answers => ({ ...EVERYONE('401 operator_key_needed'), operator: answer });
/** Of a route that takes a token in its body, where none is a field that is missing. Says nothing of what is wrong. */
const TOKEN_IN_BODY = (answer: string): Answers => ({
  ...SIGNED_IN(answer),
  anonymous: '400',
  deactivated: '401 token_not_valid',
  deleted: '401 token_not_valid',
  nonexistent: '401 token_not_valid',
});

/** Of an upgrade, whose refusals are all 403. */
const SOCKET = (answers: Answers): Answers => ({
  ...answers,
  anonymous: '403 not_authenticated',
  'ended session': '403 session_ended',
  deactivated: '403 user_inactive',
  deleted: '403 user_not_found',
  expired: '403 token_not_valid',
  'forged signature': '403 token_not_valid',
  'refresh as access': '403 token_not_valid',
  nonexistent: '403 user_not_found',
  operator: '403 token_not_valid',
});

const EMPTY = () => ({});

/** Every route that there is. A public route with a body is sent an empty one, and got as far as that with a 400. */
const EXPECTED: Record<string, Row> = {
  'GET /': { answers: EVERYONE('302') },
  'GET /api/health': { answers: EVERYONE('200') },
  'GET /api/schema': { answers: EVERYONE('200') },
  'GET /api/docs': { answers: EVERYONE('200') },
  'GET /api/asyncapi': { answers: EVERYONE('200') },
  'GET /dev/mail': { answers: EVERYONE('200') },

  // A bad token is refused, none is not.
  'POST /api/register': { answers: { ...SIGNED_IN('400'), anonymous: '400' }, body: EMPTY },
  'POST /api/login': { answers: EVERYONE('400'), body: EMPTY },
  'POST /api/token/refresh': { answers: TOKEN_IN_BODY('200'), body: ({ refresh }) => ({ refresh }) },
  'POST /api/logout': { answers: TOKEN_IN_BODY('200'), body: ({ refresh }) => ({ refresh }) },
  'POST /api/token/verify': {
    // Takes a token of either type.
    answers: { ...TOKEN_IN_BODY('200'), 'refresh as access': '200' },
    body: ({ access }) => ({ token: access }),
  },

  // Opened by the token of a mail, whoever has it.
  'POST /api/password-reset': { answers: EVERYONE('400'), body: EMPTY },
  'POST /api/password-reset/confirm': { answers: EVERYONE('400'), body: EMPTY },
  'GET /reset-password': { answers: EVERYONE('400') },
  'POST /reset-password': { answers: EVERYONE('400'), body: EMPTY },
  'POST /api/email-verification/confirm': { answers: EVERYONE('400'), body: EMPTY },
  'GET /verify-email': { answers: EVERYONE('200') },
  'POST /verify-email': { answers: EVERYONE('400'), body: EMPTY },

  'GET /api/me': { answers: SIGNED_IN('200') },
  'PATCH /api/me': { answers: SIGNED_IN('200'), body: () => ({ first_name: 'Johanna' }) },
  'POST /api/me/password': {
    answers: SIGNED_IN('204'),
    body: () => ({ current_password: PASSWORD, password: NEW_PASSWORD, confirm_password: NEW_PASSWORD }),
  },
  'POST /api/me/delete': { answers: SIGNED_IN('204'), body: () => ({ password: PASSWORD }) },
  'POST /api/email-verification': { answers: SIGNED_IN('202') },
  'GET /api/me/security-events': { answers: SIGNED_IN('200') },
  'GET /api/me/sessions': { answers: SIGNED_IN('200') },
  'DELETE /api/me/sessions': { answers: SIGNED_IN('204') },
  // The session is john's.
  'DELETE /api/me/sessions/:id': { answers: { ...SIGNED_IN('204'), stranger: '404' } },
  'GET /api/me/blocks': { answers: SIGNED_IN('200') },

  'GET /api/users': { answers: SIGNED_IN('200') },
  // Paths name ray: a stranger opens a conversation of their own with him.
  'GET /api/users/:id/chat': {
    answers: { ...SIGNED_IN('200'), 'ex-member': '403 not_a_member' },
    showsMessage: true,
  },
  'PUT /api/users/:id/block': { answers: SIGNED_IN('204') },
  'DELETE /api/users/:id/block': { answers: SIGNED_IN('204') },

  // The first message is john's own.
  'GET /api/conversations/:id/messages': { answers: MEMBERS('200'), showsMessage: true },
  'POST /api/conversations/:id/messages': { answers: WRITERS('201'), body: () => ({ text: 'another one' }) },
  'PATCH /api/conversations/:id/messages/:n': { answers: WRITERS('200'), body: () => ({ text: 'edited' }) },
  // Taking back what one has said is always possible.
  'DELETE /api/conversations/:id/messages/:n': { answers: MEMBERS('200') },
  'PUT /api/conversations/:id/messages/:n/reactions/:emoji': { answers: WRITERS('200') },
  'DELETE /api/conversations/:id/messages/:n/reactions/:emoji': { answers: WRITERS('200') },
  'PATCH /api/conversations/:id/marks': { answers: MEMBERS('204'), body: () => ({ read: 1 }) },
  'GET /api/conversations/:id/changes': { answers: MEMBERS('200'), showsMessage: true },
  'GET /ws/chat/:id': { answers: SOCKET(MEMBERS('101')) },

  // One's own inbox, in which is what one is a member of.
  'GET /api/conversations': { answers: SIGNED_IN('200'), showsMessage: true },
  'PATCH /api/conversations/:id': { answers: MEMBERS('200'), body: () => ({ pinned: true }), showsMessage: true },
  // Has no plain frames.
  'GET /ws/inbox': { answers: SOCKET(SIGNED_IN('403 unknown_version')) },

  'GET /api/admin/users': { answers: OPERATOR('200') },
  'PATCH /api/admin/users/:id': { answers: OPERATOR('204'), body: () => ({ is_active: false }) },
  'DELETE /api/admin/users/:id': { answers: OPERATOR('204') },
  'GET /api/admin/users/:id/sessions': { answers: OPERATOR('200') },
  'DELETE /api/admin/users/:id/sessions': { answers: OPERATOR('204') },
};

/** How the chat.v1 socket of whoever may not read the conversation is closed. */
const CLOSED = {
  anonymous: CLOSE.unauthenticated,
  'ex-member': CLOSE.forbidden,
  stranger: CLOSE.forbidden,
  'ended session': CLOSE.sessionEnded,
  deactivated: CLOSE.unauthenticated,
  deleted: CLOSE.unauthenticated,
  expired: CLOSE.unauthenticated,
  'forged signature': CLOSE.unauthenticated,
  'refresh as access': CLOSE.unauthenticated,
  nonexistent: CLOSE.unauthenticated,
  operator: CLOSE.unauthenticated,
} satisfies Record<Exclude<Caller, (typeof READERS)[number]>, number>;

/** Those who have an inbox, but not the conversation in it. */
const WITHOUT_IT = ['stranger', 'ex-member'] as const satisfies Caller[];
const hasInbox = (caller: Caller) => isReader(caller) || WITHOUT_IT.some((one) => one === caller);

// How they are asked

type Scene = Pair & { sessionId: string; credentials: Credentials };

/**
 * A conversation of john's with ray that holds a message of john's, a session of john's, and the caller's credentials.
 * john's inbox knows of the message and, if he has left, of that.
 */
async function scene(caller: Caller): Promise<Scene> {
  const pair = await pairInConversation();
  await new ConversationCaller(pair.conversationId, pair.john).say(SECRET_MESSAGE);
  await untilListed(pair.john, 1);
  const { session_id } = await claimsOf(pair.john.access);
  const credentials = await CREDENTIALS[caller](pair);
  if (caller === 'ex-member') {
    await redeliverNotices(env);
    await untilListed(pair.john, 0);
  }
  return { ...pair, sessionId: session_id, credentials };
}

/** Waits until somebody's inbox has so many conversations: they tell it after they have answered. */
async function untilListed({ access }: Person, count: number): Promise<void> {
  await vi.waitFor(async () => {
    const { body } = await api('/api/conversations/', { token: access });
    if (body.conversations.length !== count) throw new Error(`The inbox has ${body.conversations.length}.`);
  });
}

const shared = new Map<Caller, Promise<Scene>>();

/** A scene that nobody changes who is answered as is expected of them. */
function sceneToLookAt(caller: Caller): Promise<Scene> {
  const known = shared.get(caller) ?? scene(caller);
  shared.set(caller, known);
  return known;
}

function sceneFor({ method }: Route, caller: Caller, expected = ''): Promise<Scene> {
  return method === 'GET' || /^[34]/.test(expected) ? sceneToLookAt(caller) : scene(caller);
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

async function ask(route: Route, { ray, conversationId, sessionId, credentials }: Scene): Promise<Response> {
  const path = pathOf(route, { userId: ray.id, conversationId, sessionId });
  return fetchJson(route.method, path, credentials.access, EXPECTED[nameOf(route)]?.body?.(credentials));
}

/** Asks for something that must be done. */
async function succeed(path: string, init: ApiInit) {
  const { status, body } = await api(path, init);
  if (status >= 300) throw new Error(`${path}: ${status} ${JSON.stringify(body)}`);
  return body;
}

/** An answer as the tables have it. */
function summaryOf({ status, headers }: Response, text: string): string {
  const isRefusal = status >= 400 && headers.get('Content-Type') === 'application/json';
  const { code } = isRefusal ? (JSON.parse(text) as { code?: string }) : {};
  return code === undefined ? String(status) : `${status} ${code}`;
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
  it.each(CALLERS.map((caller) => [caller, EXPECTED[name]?.answers[caller]] as const))(
    '%s: %s',
    async (caller, expected) => {
      const answer = await ask(route, await sceneFor(route, caller, expected));
      const text = answer.webSocket ? '' : await answer.text();
      expect(summaryOf(answer, text)).toBe(expected);
      // Only those who may read see the message, and only where messages are shown.
      expect(text.includes(SECRET_MESSAGE)).toBe(isReader(caller) && EXPECTED[name]?.showsMessage === true);
      // A refusal for the caller's sake says how to do better.
      expect(answer.headers.get('WWW-Authenticate')).toBe(answer.status === 401 ? 'Bearer realm="api"' : null);
      answer.webSocket?.accept();
      answer.webSocket?.close();
    },
  );
});

/** What the directory holds but for notices, which come and go, and a conversation's messages. */
async function everything(conversationId: string) {
  const { notices: _, ...tables } = await dumpTables();
  return { tables, messages: await storedMessages(conversationId) };
}

describe('whoever is refused', () => {
  it.each(CALLERS)('has changed nothing: %s', async (caller) => {
    const refused = routesOf().filter((route) => /^40[134]/.test(EXPECTED[nameOf(route)]?.answers[caller] ?? ''));
    const own = await scene(caller);
    const before = await everything(own.conversationId);
    for (const route of refused) await (await ask(route, own)).text();
    expect(await everything(own.conversationId)).toEqual(before);
  });
});

describe('a conversation whose object does not exist yet', () => {
  it.each(['stranger', 'ex-member'] as const)('gets none from whoever may not use it: %s', async (caller) => {
    const pair = await pairInConversation();
    const { john, ray, conversationId } = pair;
    const { access } = await CREDENTIALS[caller](pair);
    const before = await listDurableObjectIds(env.CONVERSATIONS);
    for (const route of routesOf().filter(({ path }) => path.startsWith('/api/conversations/'))) {
      for (const id of [conversationId, crypto.randomUUID()]) {
        const path = pathOf(route, { userId: ray.id, conversationId: id });
        const body = EXPECTED[nameOf(route)]?.body?.({});
        const answer = await fetchJson(route.method, path, access, body);
        expect(answer.status).toBe(id === conversationId ? 403 : 404);
        expect((await fetchJson(route.method, path, `${john.access}x`, body)).status).toBe(401);
      }
    }
    expect(await listDurableObjectIds(env.CONVERSATIONS)).toHaveLength(before.length);
  });
});

describe('a chat.v1 socket', () => {
  const refused = Object.entries(CLOSED) as [keyof typeof CLOSED, number][];

  it.each(refused)('%s: closed with %d', async (caller, code) => {
    const { conversationId, credentials }: Scene = await sceneToLookAt(caller);
    const protocols = ['chat.v1', ...(credentials.access === undefined ? [] : [`bearer.${credentials.access}`])];
    const socket = await connect(conversationId, undefined, { protocols });
    expect(await socket.closed).toMatchObject({ code });
    expect(socket.pending).toEqual([]);
  });

  it.each(READERS)('%s: welcomed, and shown the message', async (caller) => {
    const { john, conversationId, credentials }: Scene = await sceneToLookAt(caller);
    const { welcome } = await openChat(conversationId, credentials.access ?? '');
    expect(welcome).toMatchObject({ me: john.id, conversation: conversationId });
    expect(welcome.snapshot?.messages).toMatchObject([{ text: SECRET_MESSAGE }]);
  });
});

describe('a socket of an inbox', () => {
  const refused = (Object.entries(CLOSED) as [keyof typeof CLOSED, number][]).filter(([caller]) => !hasInbox(caller));

  it.each(refused)('%s: closed with %d', async (caller, code) => {
    const { credentials }: Scene = await sceneToLookAt(caller);
    const socket = await connectInbox(credentials.access);
    expect(await socket.closed).toMatchObject({ code });
    expect(socket.pending).toEqual([]);
  });

  it.each(READERS)('%s: welcomed, and shown the conversation', async (caller) => {
    const { john, conversationId, credentials }: Scene = await sceneToLookAt(caller);
    const { welcome } = await openInbox(credentials.access ?? '');
    expect(welcome.me).toBe(john.id);
    expect(welcome.snapshot?.conversations).toMatchObject([
      { conversation: conversationId, last: { text: SECRET_MESSAGE } },
    ]);
  });

  it.each(WITHOUT_IT)('%s: welcomed, and shown nothing of it', async (caller) => {
    const { conversationId, credentials }: Scene = await sceneToLookAt(caller);
    const socket = await openInbox(credentials.access ?? '');
    expect(socket.welcome.snapshot?.conversations).toEqual([]);
    for (const unread of [false, true]) {
      for (const archived of [false, true]) {
        const page = await socket.ask({ type: 'list', unread, archived });
        expect(page).toMatchObject({ type: 'page', conversations: [] });
      }
    }
    expect(await socket.refused({ type: 'set', conversation: conversationId, pinned: true })).toBe(
      'no_such_conversation',
    );
    socket.send({ type: 'mark', conversation: conversationId, read: 1 });
    expect(await socket.next('error')).toMatchObject({ code: 'no_such_conversation' });
  });
});

describe('a member who was blocked', () => {
  const NOT_AVAILABLE = 'This user is not available.';
  const WRITING: Asked[] = [
    { type: 'send', text: 'Hello?' },
    { type: 'edit', n: 1, text: 'Hello?' },
    { type: 'react', n: 1, emoji: '👍', on: true },
    { type: 'react', n: 1, emoji: '👍', on: false },
  ];
  const writingRoutes = routesOf().filter((route) => EXPECTED[nameOf(route)]?.answers.blocked === '403 not_available');

  it.each(writingRoutes.map((route) => [nameOf(route), route] as const))(
    'is told no more than that the other is not available: %s',
    async (_, route) => {
      const answer = await ask(route, await sceneToLookAt('blocked'));
      expect(await answer.json()).toEqual({ detail: NOT_AVAILABLE, code: 'not_available' });
    },
  );

  it.each(WRITING)('is told no more over a chat.v1 socket: %j', async (frame) => {
    const { conversationId, credentials } = await sceneToLookAt('blocked');
    const socket = await openChat(conversationId, credentials.access ?? '');
    expect(await errorOf(socket, { ...frame, ref: 'x' })).toEqual({
      type: 'error',
      ref: 'x',
      code: 'not_available',
      message: NOT_AVAILABLE,
    });
  });

  it('is told no more over a plain socket', async () => {
    const { ray, conversationId, credentials } = await sceneToLookAt('blocked');
    const socket = await connect(conversationId, credentials.access);
    socket.say('Hello?', ray.id);
    expect(await socket.next()).toBe(`Error: ${NOT_AVAILABLE}`);
  });

  it('is not heard: neither is anything told, nor stored', async () => {
    const { ray, conversationId, credentials } = await scene('blocked');
    const [raysChat, raysPlain] = [await openChat(conversationId, ray.access), await open(conversationId, ray.access)];
    const chatSocket = await openChat(conversationId, credentials.access ?? '');
    const plain = await connect(conversationId, credentials.access);
    const before = await new ConversationCaller(conversationId, ray).changes();
    for (const frame of WRITING) await chatSocket.refused(frame);
    plain.say('Hello?', ray.id);
    await plain.settled();
    await raysChat.settled();
    await raysPlain.settled();
    expect({ chat: raysChat.pending, plain: raysPlain.pending }).toEqual({ chat: [], plain: [] });
    expect((await new ConversationCaller(conversationId, ray).changes()).body).toEqual(before.body);
  });
});

/** A session of john's that is about to end, and all who may end it. */
type Ending = Pair & {
  /** The session: its newest tokens, and a refresh token that it has used long ago. */
  device: Person & { used: string };
  deviceId: string;
  /** Another session of john's. */
  elsewhere: TokenPair;
  operator: string;
};

type Way = {
  end: (ending: Ending) => Promise<unknown>;
  /** What the other session's access token is answered. */
  elsewhere: '200' | '401';
  /** Why the ended one is refused, if not because it has ended. */
  because?: 'user_inactive' | 'user_not_found';
};

/** Every way in which sessions end before their time. */
const WAYS: Record<string, Way> = {
  'signing out': {
    end: ({ device }) => succeed('/api/logout/', { json: { refresh: device.refresh } }),
    elsewhere: '200',
  },
  'another session that ends it': {
    end: ({ deviceId, elsewhere }) =>
      succeed(`/api/me/sessions/${deviceId}/`, { method: 'DELETE', token: elsewhere.access }),
    elsewhere: '200',
  },
  'another session that ends all others': {
    end: ({ elsewhere }) => succeed('/api/me/sessions/', { method: 'DELETE', token: elsewhere.access }),
    elsewhere: '200',
  },
  'a refresh token that was used again': {
    end: ({ device }) => api('/api/token/refresh/', { json: { refresh: device.used } }),
    elsewhere: '200',
  },
  'a change of the password': {
    end: ({ elsewhere }) =>
      succeed('/api/me/password/', {
        json: { current_password: PASSWORD, password: NEW_PASSWORD, confirm_password: NEW_PASSWORD },
        token: elsewhere.access,
      }),
    elsewhere: '200',
  },
  'a reset of the password': {
    end: async ({ john }) => {
      const account = await findAccount(db, { id: john.id });
      if (!account) throw new Error('The user has no account.');
      const link = { user_id: john.id, state: passwordState(account) };
      const token = await signLink('password_reset', link, 60, Date.now());
      const json = { token, password: NEW_PASSWORD, confirm_password: NEW_PASSWORD };
      await succeed('/api/password-reset/confirm/', { json });
    },
    elsewhere: '401',
  },
  'the operator, who ends all of them': {
    end: ({ john, operator }) =>
      succeed(`/api/admin/users/${john.id}/sessions/`, { method: 'DELETE', token: operator }),
    elsewhere: '401',
  },
  'the operator, who deactivates the account': {
    end: ({ john, operator }) => activate(john, operator, false),
    elsewhere: '401',
    because: 'user_inactive',
  },
  'the operator, who deactivates the account and activates it again': {
    end: async ({ john, operator }) => {
      await activate(john, operator, false);
      await activate(john, operator, true);
    },
    elsewhere: '401',
  },
  'the operator, who deletes the account': {
    end: ({ john, operator }) => succeed(`/api/admin/users/${john.id}/`, { method: 'DELETE', token: operator }),
    elsewhere: '401',
    because: 'user_not_found',
  },
  'the deletion of the account': {
    end: ({ elsewhere }) => succeed('/api/me/delete/', { json: { password: PASSWORD }, token: elsewhere.access }),
    elsewhere: '401',
    because: 'user_not_found',
  },
};

async function activate({ id }: Person, operator: string, isActive: boolean): Promise<void> {
  await succeed(`/api/admin/users/${id}/`, { method: 'PATCH', json: { is_active: isActive }, token: operator });
}

/** A session of john's that has been refreshed twice. */
async function deviceOf(john: Person): Promise<Ending['device']> {
  const second: TokenPair = await succeed('/api/token/refresh/', { json: { refresh: john.refresh } });
  const third: TokenPair = await succeed('/api/token/refresh/', { json: { refresh: second.refresh } });
  return { ...john, ...third, used: john.refresh };
}

describe.each(Object.entries(WAYS))('a session that was ended by %s', (_, { end, elsewhere, because }) => {
  let ending: Ending;
  let openChatSocket: ChatSocket;
  let openPlainSocket: TestSocket;
  let openInboxSocket: InboxSocket;

  beforeAll(async () => {
    const pair = await pairInConversation();
    const { session_id } = await claimsOf(pair.john.access);
    const device = await deviceOf(pair.john);
    ending = {
      ...pair,
      device,
      deviceId: session_id,
      elsewhere: await signIn(pair.john.id),
      operator: await operatorKey(),
    };
    openChatSocket = await openChat(pair.conversationId, device.access);
    openPlainSocket = await open(pair.conversationId, device.access);
    openInboxSocket = await openInbox(device.access);
    await end(ending);
  });

  it('has an access token that is refused', async () => {
    const { access } = ending.device;
    expect((await fetchJson('GET', '/api/users/', access)).status).toBe(401);
    expect((await fetchJson('GET', '/api/conversations/', access)).status).toBe(401);
    const path = `/api/conversations/${ending.conversationId}/`;
    expect((await fetchJson('PATCH', path, access, { pinned: true })).status).toBe(401);
  });

  it('has a refresh token that is refused', async () => {
    const { refresh } = ending.device;
    expect(await api('/api/token/refresh/', { json: { refresh } })).toMatchObject({
      status: 401,
      body: { code: 'token_not_valid' },
    });
  });

  it('opens no chat.v1 socket', async () => {
    const protocols = ['chat.v1', `bearer.${ending.device.access}`];
    const socket = await connect(ending.conversationId, undefined, { protocols });
    const code = because === undefined ? CLOSE.sessionEnded : CLOSE.unauthenticated;
    expect(await socket.closed).toMatchObject({ code });
    expect(socket.pending).toEqual([]);
  });

  it('opens no socket of its inbox', async () => {
    const socket = await connectInbox(ending.device.access);
    const code = because === undefined ? CLOSE.sessionEnded : CLOSE.unauthenticated;
    expect(await socket.closed).toMatchObject({ code });
    expect(socket.pending).toEqual([]);
  });

  it('opens no plain socket', async () => {
    const answer = await upgrade(ending.conversationId, ending.device.access);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ code: because ?? 'session_ended' });
  });

  it('has its open sockets closed', async () => {
    for (const socket of [openChatSocket, openPlainSocket, openInboxSocket]) {
      expect(await socket.closed).toMatchObject({ code: CLOSE.sessionEnded });
    }
  });

  it(`leaves another session of its user with ${elsewhere}`, async () => {
    expect(String((await fetchJson('GET', '/api/users/', ending.elsewhere.access)).status)).toBe(elsewhere);
  });
});

/** What a key is answered where only the operator's is good. */
const statusFor = async (key: string) => (await api('/api/admin/users/', { token: key })).status;

describe('a key of the operator', () => {
  it('opens nothing any more once its time is over', async () => {
    expect(await statusFor(await operatorKey(Date.now()))).toBe(401);
  });

  it('is not what is stored of it', async () => {
    const key = await operatorKey();
    const { results } = await env.DB.prepare('SELECT key_hash FROM operator_keys').all<{ key_hash: string }>();
    expect(await statusFor(key)).toBe(200);
    for (const { key_hash } of results) expect(await statusFor(key_hash)).toBe(401);
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

describe('an inbox', () => {
  it('hears of no conversation but those of its user', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const stranger = await signedIn('Stranger');
    const { id: ownId } = await chat(stranger, ray);
    const [johns, strangers] = [await openInbox(john.access), await openInbox(stranger.access)];
    await new ConversationCaller(conversationId, ray).say(SECRET_MESSAGE);
    expect(await johns.row(conversationId)).toMatchObject({ last: { text: SECRET_MESSAGE } });
    await new ConversationCaller(ownId, ray).say('Good morning');
    // What the stranger hears of is told after what they must not hear of.
    expect(await strangers.row(ownId)).toMatchObject({ last: { text: 'Good morning' } });
    await strangers.settled();
    expect(strangers.welcome.snapshot?.conversations).toEqual([]);
    expect(JSON.stringify(strangers.frames)).not.toContain(conversationId);
    expect(JSON.stringify(strangers.frames)).not.toContain(john.id);
    const { body } = await api('/api/conversations/', { token: stranger.access });
    expect(body.conversations).toMatchObject([{ conversation: ownId }]);
  });

  it('is changed for its user alone', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    await new ConversationCaller(conversationId, ray).say(SECRET_MESSAGE);
    for (const person of [john, ray]) await untilListed(person, 1);
    const before = (await api('/api/conversations/', { token: ray.access })).body;
    const setting = { pinned: true, muted_until: 5, archived: true };
    await succeed(`/api/conversations/${conversationId}/`, { method: 'PATCH', json: setting, token: john.access });
    expect((await api('/api/conversations/', { token: ray.access })).body).toEqual(before);
  });
});

/** The header in which the Worker tells an object who connects, filled in by a client. */
async function claimed(by: Person, as: Person, conversationId?: string): Promise<Record<string, string>> {
  const { session_id, exp } = await claimsOf(by.access);
  return {
    'X-Edge-Chat-Connect': JSON.stringify({
      ...(conversationId === undefined
        ? { shows_presence: true }
        : { conversation_id: conversationId, version: 1, protocol: 'chat.v1' }),
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

  it('does not reach the inbox: the socket is in that of the user of the token', async () => {
    const { john, ray } = await pairInConversation();
    const headers = await claimed(ray, john);
    const socket = await connectInbox(ray.access, { headers });
    expect(JSON.parse(await socket.next())).toMatchObject({ type: 'welcome', me: ray.id });
    const nobody = await connectInbox(undefined, { headers });
    expect(await nobody.closed).toMatchObject({ code: CLOSE.unauthenticated });
    expect((await upgradeInbox({ headers })).status).toBe(403);
    // Nor does it say whose inbox is listed.
    const query = `?user_id=${john.id}`;
    const list = await api(`/api/conversations/${query}`, { token: ray.access, headers });
    expect(list.body).toMatchObject({ conversations: [] });
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

  it('must be that of the user whose inbox it is, even if somebody reaches the object itself', async () => {
    const { john, ray } = await pairInConversation();
    const headers = { Upgrade: 'websocket', ...(await claimed(ray, ray)) };
    const answer = await env.INBOXES.getByName(john.id).fetch('https://inbox/connect', { headers });
    expect(answer.webSocket).toBeNull();
    expect(answer.status).toBe(400);
    const own = await env.INBOXES.getByName(ray.id).fetch('https://inbox/connect', { headers });
    expect(own.status).toBe(101);
    own.webSocket?.accept();
    own.webSocket?.close();
  });
});
