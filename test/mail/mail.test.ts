import { env } from 'cloudflare:workers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { sendMail, sendsMail } from '../../src/mail/mail.ts';
import { MAIL_OFF, mailsTo, withSettings } from '../helpers/mailbox.ts';

const FROM = 'Chat <no-reply@example.org>';
const URL_OF_PROVIDER = 'https://mail.example.org/send';
const HTTP = { by: 'http', url: URL_OF_PROVIDER, key: 'key-of-the-provider', from: FROM } as const;
const BINDING = { by: 'binding', from: FROM } as const;

const mailTo = (to: string) => ({ to, subject: 'Hello', text: 'How are you?\n' });
const someone = () => `${crypto.randomUUID()}@example.org`;

let written: string[];

beforeEach(() => {
  written = [];
  for (const method of ['log', 'error'] as const) {
    vi.spyOn(console, method).mockImplementation((line: unknown) => {
      written.push(String(line));
    });
  }
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** The events that were logged, each with what it tells of the mail and must not. */
const logged = (to: string) =>
  written.map((line) => ({
    event: (JSON.parse(line) as { event: string }).event,
    secrets: [to, HTTP.key, 'How are you?'].filter((secret) => line.includes(secret)),
  }));

const FAILURE = [{ event: 'mail_failed', secrets: [] }];

/** The Worker's bindings, with Cloudflare's e-mail sending among them. */
const withBinding = (send: (message: unknown) => Promise<unknown>): Env =>
  ({ DB: env.DB, CONVERSATIONS: env.CONVERSATIONS, EMAIL: { send } }) as unknown as Env;

/** Has the provider answer so; returns the requests that it gets. Whatever the runtime refuses is refused here too. */
function provider(answer: (request: Request) => Response | Promise<Response>): { request: Request; body: unknown }[] {
  const requests: { request: Request; body: unknown }[] = [];
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
    const request = new Request(input, init);
    requests.push({ request, body: await request.clone().json() });
    return answer(request);
  });
  return requests;
}

describe('Cloudflare’s binding', () => {
  it('is given the mail', async () => {
    const [sent, to] = [[] as unknown[], someone()];
    const bindings = withBinding(async (message) => sent.push(message));
    await withSettings({ mail: BINDING }, () => sendMail(bindings, mailTo(to)));
    expect(sent).toEqual([{ from: FROM, ...mailTo(to) }]);
    expect(mailsTo(to)).toEqual([]);
    expect(written).toEqual([]);
  });

  it('that fails is logged, without the address, and fails nothing else', async () => {
    const to = someone();
    const bindings = withBinding(async () => {
      throw new Error('The destination is not allowed.');
    });
    await withSettings({ mail: BINDING }, () => sendMail(bindings, mailTo(to)));
    expect(logged(to)).toEqual(FAILURE);
  });

  it('that fails with words that hold the address is logged without it', async () => {
    const to = someone();
    const bindings = withBinding(async () => {
      throw new Error(`${to} is not a verified address.`);
    });
    await withSettings({ mail: BINDING }, () => sendMail(bindings, mailTo(to)));
    expect(logged(to)).toEqual(FAILURE);
  });
});

describe('an HTTP provider', () => {
  it('is sent the mail as JSON, with the key', async () => {
    const [requests, to] = [provider(() => new Response('{"id":1}')), someone()];
    await withSettings({ mail: HTTP }, () => sendMail(env, mailTo(to)));
    expect(written).toEqual([]);
    expect(requests).toHaveLength(1);
    const [{ request, body } = { request: undefined, body: undefined }] = requests;
    expect(request?.url).toBe(URL_OF_PROVIDER);
    expect(request?.method).toBe('POST');
    expect(request?.headers.get('Authorization')).toBe(`Bearer ${HTTP.key}`);
    expect(request?.headers.get('Content-Type')).toBe('application/json');
    expect(body).toEqual({ from: FROM, ...mailTo(to) });
    expect(mailsTo(to)).toEqual([]);
  });

  it.each([400, 401, 429, 500])('that answers %d is logged, without what it says', async (status) => {
    const to = someone();
    provider(() => new Response(`Cannot send to ${to}`, { status }));
    await withSettings({ mail: HTTP }, () => sendMail(env, mailTo(to)));
    expect(logged(to)).toEqual(FAILURE);
    expect(written[0]).toContain(String(status));
  });

  it('that redirects is not followed with the key, and is logged', async () => {
    const to = someone();
    const redirection = { status: 307, headers: { Location: 'https://elsewhere.example.org/' } };
    const requests = provider(() => new Response(null, redirection));
    await withSettings({ mail: HTTP }, () => sendMail(env, mailTo(to)));
    expect(requests.map(({ request }) => request.redirect)).toEqual([expect.not.stringMatching('follow')]);
    expect(logged(to)).toEqual(FAILURE);
  });

  it('that cannot be reached is logged', async () => {
    const to = someone();
    provider(() => Promise.reject(new TypeError('Network connection lost.')));
    await withSettings({ mail: HTTP }, () => sendMail(env, mailTo(to)));
    expect(logged(to)).toEqual(FAILURE);
  });
});

describe('without either', () => {
  it('development keeps mails for its mailbox', async () => {
    const to = someone();
    expect(sendsMail()).toBe(true);
    await sendMail(env, mailTo(to));
    expect(mailsTo(to)).toEqual([{ ...mailTo(to), sent_at: expect.any(Number) }]);
  });

  it('a deployment sends none, and keeps none', async () => {
    const to = someone();
    await withSettings(MAIL_OFF, async () => {
      expect(sendsMail()).toBe(false);
      await sendMail(env, mailTo(to));
    });
    expect(mailsTo(to)).toEqual([]);
    expect(written).toEqual([]);
  });
});

it.each([
  ['a binding', BINDING],
  ['a provider', HTTP],
])('a deployment with %s sends mail, also in development', async (_, mail) => {
  for (const development of [true, false]) {
    await withSettings({ development, mail }, async () => expect(sendsMail()).toBe(true));
  }
});
