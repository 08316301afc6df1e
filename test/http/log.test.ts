import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { api } from '../helpers/api.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { breakD1 } from '../helpers/faults.ts';
import { createPerson, pairInConversation, PASSWORD, signedIn } from '../helpers/people.ts';
import { connect, upgrade } from '../helpers/socket.ts';
import { claimsOf } from '../helpers/tokens.ts';

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

/** The lines written so far, each read as what it should be: one JSON object. */
const lines = () => written.map((line) => JSON.parse(line) as Record<string, unknown>);
const linesOf = (event: string) => lines().filter((line) => line['event'] === event);

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe('a request', () => {
  it('writes one line with its id, method, path, status, duration and user', async () => {
    const { id, access } = await signedIn();
    const { headers } = await api('/api/users/', { token: access });
    expect(lines()).toEqual([
      {
        event: 'request',
        request_id: headers.get('X-Request-Id'),
        method: 'GET',
        path: expect.stringMatching(/^\/api\/users\/?$/),
        status: 200,
        duration_ms: expect.any(Number),
        user_id: id,
      },
    ]);
  });

  it.each([
    ['GET', '/api/health/', 200],
    ['POST', '/api/login/', 400],
    ['GET', '/api/users/', 401],
    ['GET', '/nothing', 404],
    ['DELETE', '/api/login/', 405],
    ['OPTIONS', '/api/login/', 204],
    ['GET', '/', 302],
    ['GET', '/ws/chat/x/', 426],
  ])('writes one line without a user if it has none: %s %s, %d', async (method, path, status) => {
    await api(path, { method });
    expect(linesOf('request')).toHaveLength(1);
    const [line] = linesOf('request');
    expect(line).toMatchObject({ method, status, request_id: expect.stringMatching(UUID) });
    expect(line).not.toHaveProperty('user_id');
  });

  it('writes no query', async () => {
    const { access } = await signedIn();
    await api(`/api/users/?token=${access}&search=secret-words`, { token: access });
    await api('/nothing?secret-words');
    const output = written.join('\n');
    expect(output).not.toContain('?');
    expect(output).not.toContain('secret-words');
  });

  it('writes one line even if the path holds line breaks and quotes', async () => {
    await api('/a%0a{"event":"request","user_id":"forged"}%0d%0a');
    expect(written).toHaveLength(1);
    expect(written[0]).not.toMatch(/[\n\r]/);
    expect(lines()[0]).not.toHaveProperty('user_id');
  });
});

describe('a socket', () => {
  it('writes lines when it opens and when it closes, with the ids of the request, the conversation and the user', async () => {
    const { john, conversationId } = await pairInConversation();
    const socket = await connect(conversationId, john.access);
    const [request] = linesOf('request');
    expect(request).toMatchObject({ status: 101, user_id: john.id });
    const ids = { conversation_id: conversationId, user_id: john.id };
    expect(linesOf('socket_opened')).toEqual([
      { event: 'socket_opened', request_id: request?.['request_id'], protocol: 'plain', ...ids },
    ]);
    socket.close(1000, 'done');
    await socket.closed;
    expect(linesOf('socket_closed')).toEqual([{ event: 'socket_closed', code: 1000, was_clean: true, ...ids }]);
  });

  it('writes which protocol it speaks', async () => {
    const { john, conversationId } = await pairInConversation();
    await openChat(conversationId, john.access);
    expect(linesOf('socket_opened')).toMatchObject([{ conversation_id: conversationId, protocol: 'chat.v1' }]);
  });

  it('writes why it was refused', async () => {
    const { conversationId } = await pairInConversation();
    const stranger = await signedIn();
    await upgrade(conversationId, stranger.access);
    const [request] = linesOf('request');
    expect(request).toMatchObject({ status: 403 });
    expect(linesOf('socket_refused')).toEqual([
      { event: 'socket_refused', request_id: request?.['request_id'], code: 'not_a_member' },
    ]);
  });

  it('writes nothing for a message', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const socket = await connect(conversationId, john.access);
    const before = written.length;
    socket.say('Hello', ray.id);
    await socket.settled();
    expect(written).toHaveLength(before);
  });

  it('writes nothing for a frame of chat.v1, whatever it is answered', async () => {
    const { john, conversationId } = await pairInConversation();
    const socket = await openChat(conversationId, john.access);
    const before = written.length;
    await socket.say('Hello');
    await socket.ok({ type: 'edit', n: 1, text: 'Hello?' });
    expect(await socket.refused({ type: 'delete', n: 2 })).toBe('no_such_message');
    socket.sendRaw('nonsense');
    await socket.settled();
    expect(written).toHaveLength(before);
  });
});

describe('a refresh token that was reused', () => {
  it('is written down with the user and the session, for somebody to look into', async () => {
    const person = await signedIn();
    const { body: second } = await api('/api/token/refresh/', { json: { refresh: person.refresh } });
    await api('/api/token/refresh/', { json: { refresh: second.refresh } });
    const { headers } = await api('/api/token/refresh/', { json: { refresh: person.refresh } });
    const { session_id } = await claimsOf(person.refresh);
    const about = { event: 'security', request_id: headers.get('X-Request-Id'), user_id: person.id, session_id };
    expect(linesOf('security')).toEqual([
      { kind: 'token_reused', ...about },
      { kind: 'session_ended', reason: 'token_reuse', ...about },
    ]);
  });
});

describe('a fault of ours', () => {
  it('is written down with its stack and the id of the request, besides the request’s own line', async () => {
    const { access } = await signedIn();
    breakD1();
    const { headers } = await api('/api/users/', { token: access });
    const request_id = headers.get('X-Request-Id');
    expect(linesOf('request_failed')).toMatchObject([
      { request_id, error: 'Error', stack: expect.stringMatching(/\n +at /) },
    ]);
    expect(linesOf('request')).toMatchObject([{ request_id, status: 500 }]);
  });
});

describe('no line ever holds', () => {
  const SECRETS = {
    email: 'Somebody.Private@example.org',
    password: 'my very own pass phrase',
    wrong: 'not my pass phrase at all',
    text: 'meet me behind the old mill',
  };

  /** Everything that must not be found: in any spelling that the server makes of it. */
  const forbidden = new Set<string>();
  const forbid = (...texts: string[]) => {
    for (const text of texts) forbidden.add(text.toLowerCase());
  };

  /** Says and does, with all the ways in which it goes wrong, what people say and do. */
  async function everydayLife(): Promise<void> {
    const { email, password, wrong, text } = SECRETS;
    const json = { first_name: 'Some', last_name: 'Body', email, password, confirm_password: password };
    await api('/api/register/', { json: { ...json, confirm_password: wrong } });
    await api('/api/register/', { json: { ...json, password: '', email: `${email}!` } });
    await api('/api/register/', { json });
    await api('/api/register/', { json });
    await api('/api/login/', { json: { email, password: wrong } });
    await api('/api/login/', {
      body: `{"email":"${email}","password":"${password}`,
      headers: { 'Content-Type': 'application/json' },
    });
    await api('/api/login/', { body: `email=${email}&password=${password}` });
    const { body: tokens } = await api('/api/login/', { json: { email, password } });
    forbid(
      email,
      password,
      wrong,
      text,
      tokens.access,
      tokens.refresh,
      ...tokens.access.split('.').slice(1),
      ...tokens.refresh.split('.').slice(1),
    );
    for (const token of [tokens.access, tokens.refresh]) forbid((await claimsOf(token)).jti);

    const token: string = tokens.access;
    const peer = await signedIn();
    const { body: chat } = await api(`/api/users/${peer.id}/chat/?before=1&q=${encodeURIComponent(text)}`, { token });
    for (const options of [
      { query: `?token=${token}` },
      { headers: { Authorization: `Bearer ${token}` } },
      { protocols: ['chat.v1', `bearer.${token}`] },
      { query: `?token=${tokens.refresh}` },
      { query: `?token=${token}x` },
      { query: `?token=${token}`, headers: { Origin: 'https://evil.example' } },
    ]) {
      const { webSocket } = await upgrade(chat.data.id, undefined, options);
      webSocket?.accept();
      webSocket?.close(1000, text);
    }
    const socket = await connect(chat.data.id, token);
    socket.say(text, peer.id);
    socket.say(text, crypto.randomUUID());
    socket.say({ text }, peer.id);
    socket.send(text);
    await socket.settled();
    const chatSocket = await openChat(chat.data.id, token);
    const { n } = await chatSocket.say(text, { ref: text });
    await chatSocket.ok({ type: 'edit', n, text: `${text}!` });
    await chatSocket.refused({ type: 'edit', n: n + 1, text });
    chatSocket.sendRaw(JSON.stringify({ type: text, text }));
    await chatSocket.settled();
    const messages = `/api/conversations/${chat.data.id}/messages/`;
    await api(messages, { token, json: { text }, headers: { 'Idempotency-Key': text } });
    await api(messages, { token, json: { text: [text] } });
    await api(`${messages}${n}/`, { method: 'PATCH', token, json: { text } });
    await api(`${messages}${n}/reactions/${encodeURIComponent('👍')}/`, { method: 'PUT', token });
    await api(`${messages}?before=${encodeURIComponent(text)}`, { token });
    await api(`/api/conversations/${chat.data.id}/changes/`, { token });
    await api(`/api/users/${peer.id}/chat/`, { token });
    await api('/api/token/verify/', { json: { token } });
    const { body: next } = await api('/api/token/refresh/', { json: { refresh: tokens.refresh } });
    forbid(next.access, next.refresh);
    await api('/api/token/refresh/', { json: { refresh: next.refresh } });
    await api('/api/token/refresh/', { json: { refresh: tokens.refresh } });
    await api('/api/logout/', { json: { refresh: next.refresh } });
    await api('/api/users/', { token });
    await api('/api/users/', { headers: { Authorization: `Bearer ${token} ${token}` } });
    await socket.closed;
    await chatSocket.closed;
  }

  const found = () => [...forbidden].filter((secret) => written.join('\n').toLowerCase().includes(secret));

  it('a token, a password, an address or the text of a message, whatever people do', { timeout: 20_000 }, async () => {
    await everydayLife();
    expect(linesOf('request').length).toBeGreaterThan(20);
    expect(found()).toEqual([]);
  });

  it('one of them when the database fails at any moment', { timeout: 20_000 }, async () => {
    const { email, password, text } = SECRETS;
    const { john, ray, conversationId } = await pairInConversation();
    const fresh = await createPerson();
    forbid(email, password, text, PASSWORD, fresh.email, john.access, john.refresh);
    for (const token of [john.access, john.refresh]) forbid((await claimsOf(token)).jti);
    const { results } = await env.DB.prepare('SELECT password FROM users').all<{ password: string }>();
    forbid(...results.map((row) => row.password));
    const { results: hashes } = await env.DB.prepare('SELECT jti_hash FROM refresh_tokens').all<{ jti_hash: string }>();
    forbid(...hashes.map((row) => row.jti_hash));

    const fault = breakD1();
    const json = { first_name: 'Some', last_name: 'Body', email, password, confirm_password: password };
    await api('/api/register/', { json });
    await api('/api/login/', { json: { email: fresh.email, password: PASSWORD } });
    for (const path of ['/api/token/refresh/', '/api/logout/']) await api(path, { json: { refresh: john.refresh } });
    for (const token of [john.access, john.refresh]) await api('/api/token/verify/', { json: { token } });
    await api('/api/users/', { token: john.access });
    await api(`/api/users/${ray.id}/chat/`, { token: john.access });
    await upgrade(conversationId, john.access);
    fault.restore();
    expect(linesOf('request_failed')).toHaveLength(9);
    expect(found()).toEqual([]);
  });

  it('one of them when the database fails at a write', { timeout: 20_000 }, async () => {
    const { email, password } = SECRETS;
    const person = await createPerson();
    forbid(email, password, person.email);
    const prepare = env.DB.prepare.bind(env.DB);
    vi.spyOn(env.DB, 'prepare').mockImplementation((sql) =>
      prepare(sql.startsWith('insert') ? sql.replace(/^insert into "\w+"/, 'insert into "no_such_table"') : sql),
    );
    const json = { first_name: 'Some', last_name: 'Body', email: `new.${email}`, password, confirm_password: password };
    forbid(json.email, '$argon2id$');
    expect((await api('/api/register/', { json })).status).toBe(500);
    expect((await api('/api/login/', { json: { email: person.email, password: PASSWORD } })).status).toBe(500);
    expect(found()).toEqual([]);
  });
});
