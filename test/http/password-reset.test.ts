import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { passwordState, signLink } from '../../src/auth/links.ts';
import { RESET_LINK_LIFETIME_S } from '../../src/config.ts';
import {
  conversationOf,
  dumpButAttempts,
  eventsOf,
  logIn,
  otherHash,
  SIGNED_IN,
  SIGNED_OUT,
  standing,
  storedHash,
} from '../helpers/accounts.ts';
import { app } from '../../src/http/app.ts';
import { api, HOST, type ApiAnswer } from '../helpers/api.ts';
import { openChat } from '../helpers/chat-socket.ts';
import { open } from '../helpers/conversation.ts';
import { breakD1 } from '../helpers/faults.ts';
import { finished } from '../helpers/finished.ts';
import { linkIn, MAIL_OFF, mailsTo, subjectsTo, tokenTo, withSettings } from '../helpers/mailbox.ts';
import { createPerson, deactivate, pairInConversation, PASSWORD, signedIn, signIn } from '../helpers/people.ts';
import { dumpTables } from '../helpers/tables.ts';
import { resign } from '../helpers/tokens.ts';

const NEW_PASSWORD = 'incorrect zebra staple';
const SESSION_ENDED = { code: 4410, reason: 'The session has ended.' };
const DEAD = { token: ['This link is not good any more. Ask for a new one.'] };
const LETTER = 'Choose a new password';

const ask = (email: unknown) => finished('/api/password-reset/', { json: { email } });
const choose = (token: unknown, password: unknown = NEW_PASSWORD, more: object = {}) =>
  finished('/api/password-reset/confirm/', { json: { token, password, confirm_password: password, ...more } });

/** The token of the mail that a person asks for. */
async function askedFor({ email }: { email: string }): Promise<string> {
  expect((await ask(email)).status).toBe(202);
  return tokenTo(email);
}

const replaceHash = ({ id }: { id: string }) =>
  env.DB.prepare('UPDATE users SET password = ? WHERE id = ?').bind(otherHash(), id).run();
const verifiedAt = (id: string) =>
  env.DB.prepare('SELECT email_verified_at AS at FROM users WHERE id = ?').bind(id).first<number>('at');
const unknownAddress = () => `${crypto.randomUUID()}@example.org`;
const shownIn = ({ status, text, headers }: ApiAnswer) => ({
  status,
  text,
  headers: [...headers].filter(([name]) => name !== 'x-request-id' && name !== 'date'),
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('asking for a new password', () => {
  it('sends a mail with a link to the page of this host', async () => {
    const ana = await createPerson();
    expect(await ask(ana.email)).toMatchObject({ status: 202, text: '' });
    expect(subjectsTo(ana.email)).toEqual([LETTER]);
    const { url } = linkIn(mailsTo(ana.email)[0] ?? { text: '' });
    expect([url.origin, url.pathname]).toEqual([`https://${HOST}`, '/reset-password/']);
    expect([...url.searchParams.keys()]).toEqual(['token']);
  });

  it('sends a deployment’s link with https, whatever scheme and port the request came by', async () => {
    const ana = await createPerson();
    const context = createExecutionContext();
    const production = { development: false, mail: { by: 'binding', from: 'chat@example.org' } } as const;
    const sent: string[] = [];
    const EMAIL = { send: async ({ text }: { text: string }) => void sent.push(text) };
    await withSettings(production, async () => {
      const request = new Request<unknown, IncomingRequestCfProperties>(`http://${HOST}:8080/api/password-reset/`, {
        method: 'POST',
        body: new URLSearchParams({ email: ana.email }),
      });
      expect((await app.fetch(request, { ...env, EMAIL }, context)).status).toBe(202);
      await waitOnExecutionContext(context);
    });
    expect(sent).toHaveLength(1);
    expect(linkIn({ text: sent[0] ?? '' }).url.origin).toBe(`https://${HOST}`);
  });

  it('takes the address in any case, and sends to the one that is stored', async () => {
    const ana = await createPerson();
    await ask(`  ${ana.email.toUpperCase()} `);
    expect(subjectsTo(ana.email)).toEqual([LETTER]);
  });

  it('changes nothing, and ends no session', async () => {
    const ana = await signedIn();
    const before = await dumpButAttempts();
    await ask(ana.email);
    expect(await dumpButAttempts()).toEqual(before);
  });

  it('is answered the same for known, unknown, inactive and deleted addresses; only the known get mail', async () => {
    const [known, inactive, deleted] = [await createPerson(), await createPerson(), await signedIn()];
    await deactivate(inactive.id);
    await finished('/api/me/delete/', { token: deleted.access, json: { password: PASSWORD } });
    const expected = shownIn(await ask(known.email));
    expect(expected).toMatchObject({ status: 202, text: '' });
    const others = [inactive.email, deleted.email, `deleted:${deleted.id}`, unknownAddress(), 'nobody', "' OR 1=1 --"];
    for (const email of others) {
      expect(shownIn(await ask(email))).toEqual(expected);
      expect(subjectsTo(email)).toEqual([]);
    }
    expect(subjectsTo(known.email)).toEqual([LETTER]);
  });

  it('has the work done behind the answer: it does not fail where the work fails', async () => {
    const ana = await createPerson();
    const prepare = env.DB.prepare.bind(env.DB);
    vi.spyOn(env.DB, 'prepare').mockImplementation((sql) =>
      prepare(sql.includes('from "users"') ? 'SELECT * FROM no_such_table' : sql),
    );
    expect(await ask(ana.email)).toMatchObject({ status: 202, text: '' });
    expect(subjectsTo(ana.email)).toEqual([]);
  });

  it.each([
    ['none', {}, 'This field is required.'],
    ['a blank one', { email: ' ' }, 'This field may not be blank.'],
    ['a list', { email: ['a@example.org'] }, 'Not a valid string.'],
  ])('takes an address: %s is refused', async (_, json, message) => {
    const { status, body } = await finished('/api/password-reset/', { json });
    expect(status).toBe(400);
    expect(body).toEqual({ email: [message] });
  });

  it('too often is refused for that address, whether it has an account or not, with the same answer', async () => {
    const [known, unknown] = [await createPerson(), unknownAddress()];
    vi.setSystemTime(Date.now());
    await withSettings({ mailsPerHour: 2 }, async () => {
      const refusals: ApiAnswer[] = [];
      for (const email of [known.email, unknown]) {
        expect((await ask(email)).status).toBe(202);
        expect((await ask(email.toUpperCase())).status).toBe(202);
        refusals.push(await ask(email));
      }
      expect(refusals[0]?.status).toBe(429);
      expect(Number(refusals[0]?.headers.get('Retry-After'))).toBeGreaterThan(0);
      expect(refusals.map(shownIn)[1]).toEqual(refusals.map(shownIn)[0]);
      expect(subjectsTo(known.email)).toEqual([LETTER, LETTER]);
      expect((await ask((await createPerson()).email)).status).toBe(202);
      vi.setSystemTime(Date.now() + Number(refusals[0]?.headers.get('Retry-After')) * 1000);
      expect((await ask(known.email)).status).toBe(202);
    });
  });

  it('is answered 501 where no mail is sent, alike for all, and nothing is counted', async () => {
    const ana = await createPerson();
    await withSettings(MAIL_OFF, async () => {
      const before = await dumpTables();
      for (const email of [ana.email, unknownAddress()]) {
        const { status, body } = await ask(email);
        expect(status).toBe(501);
        expect(body.code).toBe('mail_off');
      }
      expect(await dumpTables()).toEqual(before);
    });
    expect(subjectsTo(ana.email)).toEqual([]);
  });
});

describe('the link', () => {
  it('changes the password', async () => {
    const ana = await createPerson();
    expect(await choose(await askedFor(ana))).toMatchObject({ status: 204, text: '' });
    expect((await logIn(ana.email, NEW_PASSWORD)).status).toBe(200);
    expect((await logIn(ana.email, PASSWORD)).status).toBe(401);
  });

  it('ends every session: tokens are refused', async () => {
    const ana = await signedIn();
    const phone = await signIn(ana.id);
    const bob = await signedIn('Bob');
    await choose(await askedFor(ana));
    expect(await standing(ana)).toEqual(SIGNED_OUT);
    expect(await standing(phone)).toEqual(SIGNED_OUT);
    expect(await standing(bob)).toEqual(SIGNED_IN);
  });

  it('closes every socket with 4410, of both kinds, in every conversation, and those of nobody else', async () => {
    const { john, ray, conversationId } = await pairInConversation();
    const otherId = await conversationOf(john, await createPerson('Selena'));
    const closing = [
      await open(conversationId, john.access),
      await openChat(conversationId, (await signIn(john.id)).access),
      await openChat(otherId, john.access),
    ];
    const rays = await open(conversationId, ray.access);
    await choose(await askedFor(john));
    for (const socket of closing) expect(await socket.closed).toEqual(SESSION_ENDED);
    await rays.settled();
  });

  it('is an event, and a mail says that the password was changed', async () => {
    const ana = await signedIn();
    await choose(await askedFor(ana));
    expect(await eventsOf(ana.id)).toEqual(['login', 'session_ended: password_reset', 'password_reset']);
    expect(subjectsTo(ana.email)).toEqual(['Your password was changed', LETTER]);
  });

  it('verifies the address, and leaves the time at which it was verified before', async () => {
    const [ana, bob] = [await createPerson(), await createPerson()];
    await env.DB.prepare('UPDATE users SET email_verified_at = 1 WHERE id = ?').bind(bob.id).run();
    expect(await verifiedAt(ana.id)).toBeNull();
    await choose(await askedFor(ana));
    await choose(await askedFor(bob));
    expect(await verifiedAt(ana.id)).toBeGreaterThan(1);
    expect(await verifiedAt(bob.id)).toBe(1);
  });

  it('is good once', async () => {
    const ana = await createPerson();
    const token = await askedFor(ana);
    await choose(token);
    const before = await dumpTables();
    const { status, body } = await choose(token, 'yet another sentence');
    expect(status).toBe(400);
    expect(body).toEqual(DEAD);
    expect(await dumpTables()).toEqual(before);
  });

  it('used twice at once, for different passwords, is used by exactly one', async () => {
    const ana = await createPerson();
    const token = await askedFor(ana);
    const passwords = [NEW_PASSWORD, 'yet another sentence'];
    const answers = await Promise.all(passwords.map((password) => choose(token, password)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([204, 400]);
    expect(answers.find(({ status }) => status === 400)?.body).toEqual(DEAD);
    const winner = answers.findIndex(({ status }) => status === 204);
    expect((await logIn(ana.email, passwords[winner] ?? '')).status).toBe(200);
    expect((await logIn(ana.email, passwords[1 - winner] ?? '')).status).toBe(401);
    expect((await eventsOf(ana.id)).filter((event) => event === 'password_reset')).toHaveLength(1);
    expect(subjectsTo(ana.email)).toEqual(['Your password was changed', LETTER]);
  }, 30_000);

  it('is good if a later one was asked for, until one of them is used', async () => {
    const ana = await createPerson();
    const [first, second] = [await askedFor(ana), await askedFor(ana)];
    expect((await choose(first)).status).toBe(204);
    expect((await choose(second)).status).toBe(400);
  });

  it('is good for an hour', async () => {
    const ana = await createPerson();
    const token = await askedFor(ana);
    const made = Math.floor(Date.now() / 1000) * 1000;
    vi.setSystemTime(made + RESET_LINK_LIFETIME_S * 1000 + 1000);
    expect((await choose(token)).body).toEqual(DEAD);
    vi.setSystemTime(made + RESET_LINK_LIFETIME_S * 1000 - 1000);
    expect((await choose(token)).status).toBe(204);
  });

  it.each([
    ['the password was changed', replaceHash],
    [
      'the address was changed',
      ({ access }: { access: string }) =>
        finished('/api/me/', {
          method: 'PATCH',
          token: access,
          json: { email: unknownAddress(), current_password: PASSWORD },
        }),
    ],
    ['the account was deactivated', ({ id }: { id: string }) => deactivate(id)],
  ])('is dead once %s', async (_, change) => {
    const ana = await signedIn();
    const token = await askedFor(ana);
    await change(ana);
    const before = await dumpTables();
    expect(await choose(token)).toMatchObject({ status: 400, body: DEAD });
    expect(await dumpTables()).toEqual(before);
  });

  it.each([
    [
      'a verification',
      async ({ id, access, email }: Awaited<ReturnType<typeof signedIn>>) => {
        await finished('/api/email-verification/', { method: 'POST', token: access });
        expect(id).toBeTruthy();
        return tokenTo(email);
      },
    ],
    ['an access token', async ({ access }: { access: string }) => access],
    ['a refresh token', async ({ refresh }: { refresh: string }) => refresh],
    [
      'one for a verification with the state of a reset',
      async ({ id, email }: { id: string; email: string }) =>
        signLink(
          'email_verification',
          { user_id: id, state: passwordState({ email, password: await storedHash(id) }) },
          3600,
          Date.now(),
        ),
    ],
    [
      'one of somebody else',
      async ({ id }: { id: string }) => resign(await askedFor(await createPerson()), { user_id: id }),
    ],
    ['one of nobody', async () => resign(await askedFor(await createPerson()), { user_id: crypto.randomUUID() })],
  ])('is not to be had otherwise: %s changes nothing', async (_, take) => {
    const ana = await signedIn();
    const token = await take(ana);
    const before = await dumpTables();
    expect(await choose(token)).toMatchObject({ status: 400, body: DEAD });
    expect(await dumpTables()).toEqual(before);
  });

  it('is not good with another signature, or without one', async () => {
    const ana = await createPerson();
    const token = await askedFor(ana);
    const [header = '', payload = '', signature = ''] = token.split('.');
    const first = signature.startsWith('A') ? 'B' : 'A';
    for (const tampered of [
      `${header}.${payload}.${first}${signature.slice(1)}`,
      `${header}.${payload}.`,
      'nonsense',
    ]) {
      expect(await choose(tampered)).toMatchObject({ status: 400, body: DEAD });
    }
    expect((await choose(token)).status).toBe(204);
  });

  it('opens nothing else', async () => {
    const ana = await createPerson();
    const token = await askedFor(ana);
    expect((await api('/api/me/', { token })).status).toBe(401);
    expect((await api('/api/token/refresh/', { json: { refresh: token } })).status).toBe(401);
    expect((await api('/api/email-verification/confirm/', { json: { token } })).status).toBe(400);
  });

  it('is still good after D1 has failed', async () => {
    const ana = await createPerson();
    const token = await askedFor(ana);
    const d1 = breakD1();
    expect((await choose(token)).status).toBe(500);
    d1.restore();
    expect((await choose(token)).status).toBe(204);
  });
});

describe('a password that is refused', () => {
  it.each([
    ['the two differ', { password: NEW_PASSWORD, confirm_password: 'another' }, ["Password fields didn't match."]],
    ['it is too short', twice('x7!'), ['This password is too short. It must contain at least 8 characters.']],
    ['it is common', twice('password'), ['This password is too common.']],
    ['it is a number', twice('7391046285'.repeat(4)), ['This password is entirely numeric.']],
    [
      'it is several of these',
      twice('qwerty'),
      ['This password is too short. It must contain at least 8 characters.', 'This password is too common.'],
    ],
    ['it is their name', twice('Annabelle1'), ['The password is too similar to the first name.']],
  ])('because %s is told in Django’s words, and the link stays good', async (_, passwords, expected) => {
    const ana = await createPerson('Annabelle');
    const token = await askedFor(ana);
    const before = await dumpTables();
    const { status, body } = await finished('/api/password-reset/confirm/', { json: { token, ...passwords } });
    expect(status).toBe(400);
    expect(body).toEqual({ password: expected });
    expect(await dumpTables()).toEqual(before);
    expect((await choose(token)).status).toBe(204);
  });

  it('because it is missing is told with everything else that is', async () => {
    const { status, body } = await api('/api/password-reset/confirm/', { json: {} });
    expect(status).toBe(400);
    expect(body).toEqual({
      token: ['This field is required.'],
      password: ['This field is required.'],
      confirm_password: ['This field is required.'],
    });
  });
});

function twice(password: string) {
  return { password, confirm_password: password };
}
