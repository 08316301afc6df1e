import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server as HttpServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type Server } from '../helpers/node/wrangler-dev.ts';

const PASSWORD = 'correct horse battery';
const NEW_PASSWORD = 'incorrect zebra staple';
const LIVE = { ENVIRONMENT: 'production', JWT_SECRET: 'live_only_for_end_to_end_tests_0123456789abcdefghijklmnop' };

const get = (server: Server, path: string) => fetch(new URL(path, server.url), { redirect: 'manual' });

const post = (server: Server, path: string, body: object) =>
  fetch(new URL(path, server.url), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });

const register = (server: Server, email: string) =>
  post(server, '/api/register/', {
    first_name: 'Ana',
    last_name: 'Doe',
    email,
    password: PASSWORD,
    confirm_password: PASSWORD,
  });

const logIn = async (server: Server, email: string, password: string) =>
  (await post(server, '/api/login/', { email, password })).status;

const unescape = (html: string) => html.replaceAll('&amp;', '&');

/** Submits the one form of a page as a browser does, with more fields filled in. */
async function submit(page: Response, fields: Record<string, string>): Promise<Response> {
  const html = await page.text();
  const action = /<form method="post" action="([^"]+)">/.exec(html)?.[1] ?? '';
  const hidden = [...html.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)];
  return fetch(new URL(unescape(action), page.url), {
    method: 'POST',
    body: new URLSearchParams([
      ...hidden.map(([, name = '', value = '']) => [name, unescape(value)] as [string, string]),
      ...Object.entries(fields),
    ]),
  });
}

describe('a server for development', () => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server.stop());

  /** Where the link leads of the newest mail with a subject, in a mailbox that is looked at until the mail is there. */
  async function clickable(subject: string): Promise<string> {
    for (;;) {
      const html = await (await get(server, '/dev/mail/')).text();
      const [, article] = html.split(`<strong>${subject}</strong>`);
      const href = /<a href="([^"]+)">/.exec(article ?? '')?.[1];
      if (href !== undefined) return unescape(href);
    }
  }

  it('has a mailbox, where one clicks through the whole of registering and of forgetting a password', async () => {
    const email = 'ana@example.org';
    expect(await (await get(server, '/dev/mail/')).text()).toContain('No mail has been sent');
    expect((await register(server, email)).status).toBe(201);

    const verification = await fetch(await clickable('Confirm your e-mail address'));
    expect(verification.status).toBe(200);
    expect(await (await submit(verification, {})).text()).toContain('Your e-mail address is confirmed.');

    expect((await post(server, '/api/password-reset/', { email })).status).toBe(202);
    const link = await clickable('Choose a new password');
    expect(link).toMatch(`${server.url}/reset-password/?token=`);

    const refused = await submit(await fetch(link), { password: 'short', confirm_password: 'short' });
    expect(refused.status).toBe(400);
    const done = await submit(refused, { password: NEW_PASSWORD, confirm_password: NEW_PASSWORD });
    expect(done.status).toBe(200);
    expect(await done.text()).toContain('Your password is changed.');

    expect(await logIn(server, email, NEW_PASSWORD)).toBe(200);
    expect(await logIn(server, email, PASSWORD)).toBe(401);
    expect(await (await fetch(link)).text()).toContain('This link is not good any more.');
    expect(await (await get(server, '/dev/mail/')).text()).toContain('Your password was changed');
  });

  it('logs neither addresses nor tokens', () => {
    expect(server.output()).not.toContain('ana@example.org');
    expect(server.output()).not.toContain('eyJ');
  });
});

describe('a deployment without a provider', () => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer({ vars: LIVE });
  });
  afterAll(() => server.stop());

  it('has no mailbox', async () => {
    for (const path of ['/dev/mail/', '/dev/mail', '/dev/']) {
      const answer = await get(server, path);
      expect(answer.status).toBe(404);
      expect(await answer.json()).toEqual({ detail: 'Not found.' });
    }
    expect(await (await get(server, '/api/schema/')).text()).not.toContain('/dev/mail');
  });

  it('registers people, and says that it sends no mail', async () => {
    const email = 'bob@example.org';
    expect((await register(server, email)).status).toBe(201);
    const answer = await post(server, '/api/password-reset/', { email });
    expect(answer.status).toBe(501);
    expect(await answer.json()).toMatchObject({ code: 'mail_off' });
    expect(await logIn(server, email, PASSWORD)).toBe(200);
  });
});

/** What a provider got. */
type Received = { method: string | undefined; path: string | undefined; headers: IncomingHttpHeaders; body: unknown };

/** A mail provider on this machine, which answers as it is told to. */
class Provider {
  readonly received: Received[] = [];
  answer: (response: ServerResponse) => void = (response) => response.end('{}');
  readonly #server: HttpServer;
  readonly #waiting: (() => void)[] = [];

  constructor() {
    this.#server = createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (part: string) => (text += part));
      request.on('end', () => {
        const { method, url, headers } = request;
        this.received.push({ method, path: url, headers, body: JSON.parse(text || 'null') });
        this.answer(response);
        for (const wake of this.#waiting.splice(0)) wake();
      });
    });
  }

  async start(): Promise<string> {
    this.#server.listen(0, 'localhost');
    await once(this.#server, 'listening');
    return `http://localhost:${(this.#server.address() as AddressInfo).port}/v1/send`;
  }

  /** Resolves when it has got so many requests. */
  async got(count: number): Promise<void> {
    while (this.received.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

describe('a deployment with an HTTP provider', () => {
  const KEY = 'key-of-the-provider';
  const FROM = 'Chat <no-reply@example.org>';
  const provider = new Provider();
  const elsewhere = new Provider();
  let server: Server;
  let failures = 0;

  beforeAll(async () => {
    const url = await provider.start();
    server = await startServer({ vars: { ...LIVE, MAIL_URL: url, MAIL_FROM: FROM, MAIL_API_KEY: KEY } });
  });
  afterAll(async () => {
    provider.stop();
    elsewhere.stop();
    await server.stop();
  });

  /** Resolves when one more mail has failed, according to the log. */
  async function failed(): Promise<void> {
    failures += 1;
    await server.printed(new RegExp(`(?:"event":"mail_failed"[^]*?){${failures}}`));
  }

  it('sends it mails as JSON, with the key', async () => {
    const email = 'carol@example.org';
    expect((await register(server, email)).status).toBe(201);
    await provider.got(1);
    const [mail] = provider.received;
    expect(mail).toMatchObject({ method: 'POST', path: '/v1/send' });
    expect(mail?.headers).toMatchObject({ authorization: `Bearer ${KEY}`, 'content-type': 'application/json' });
    expect(mail?.body).toEqual({
      from: FROM,
      to: email,
      subject: 'Confirm your e-mail address',
      // A deployment is reached by https, whatever this test does.
      text: expect.stringContaining('https://localhost/verify-email/?token='),
    });
    expect((await get(server, '/dev/mail/')).status).toBe(404);
  });

  it.each<[string, (response: ServerResponse) => void]>([
    ['answers 500', (response) => response.writeHead(500).end('carol@example.org is not known here')],
    ['does not answer', () => {}],
    ['hangs up', (response) => response.destroy()],
  ])('answers as ever while it %s', async (_, answer) => {
    provider.answer = answer;
    const count = provider.received.length;
    const response = await post(server, '/api/password-reset/', { email: 'carol@example.org' });
    expect([response.status, await response.text()]).toEqual([202, '']);
    await provider.got(count + 1);
    await failed();
    expect(provider.received).toHaveLength(count + 1);
  });

  it('does not follow where it redirects to, where the key would be told', async () => {
    const location = await elsewhere.start();
    provider.answer = (response) => response.writeHead(307, { Location: location }).end();
    expect((await post(server, '/api/password-reset/', { email: 'carol@example.org' })).status).toBe(202);
    await failed();
    expect(elsewhere.received).toEqual([]);
  });

  it('has logged neither addresses, tokens, the key nor what the provider says', () => {
    expect(server.output()).toContain('mail_failed');
    for (const secret of ['carol@example.org', 'eyJ', KEY, 'is not known here']) {
      expect(server.output()).not.toContain(secret);
    }
  });

  it('sends again when it is well again', async () => {
    provider.answer = (response) => response.end('{}');
    const count = provider.received.length;
    expect((await register(server, 'dave@example.org')).status).toBe(201);
    await provider.got(count + 1);
    expect(provider.received.at(-1)?.body).toMatchObject({ to: 'dave@example.org' });
  });
});
