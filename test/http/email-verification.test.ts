import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { emailState, signLink } from '../../src/auth/links.ts';
import { VERIFICATION_LINK_LIFETIME_S } from '../../src/config.ts';
import { dumpButAttempts, eventsOf, logIn, SIGNED_IN, standing } from '../helpers/accounts.ts';
import { api, HOST } from '../helpers/api.ts';
import { finished } from '../helpers/finished.ts';
import { linkIn, MAIL_OFF, mailsTo, subjectsTo, tokenTo, withSettings } from '../helpers/mailbox.ts';
import { createPerson, deactivate, PASSWORD, signedIn, type Person } from '../helpers/people.ts';
import { dumpTables } from '../helpers/tables.ts';
import { resign } from '../helpers/tokens.ts';

const LETTER = 'Confirm your e-mail address';
const DEAD = { token: ['This link is not good any more. Ask for a new one.'] };

type SignedIn = { access: string };
const ask = ({ access }: SignedIn) => finished('/api/email-verification/', { method: 'POST', token: access });
const confirm = (token: unknown) => finished('/api/email-verification/confirm/', { json: { token } });
const isVerified = async ({ access }: SignedIn): Promise<boolean> =>
  (await api('/api/me/', { token: access })).body.email_verified;
const newAddress = () => `${crypto.randomUUID()}@example.org`;
const register = (email: string) =>
  finished('/api/register/', {
    json: { first_name: 'Ana', last_name: 'Doe', email, password: PASSWORD, confirm_password: PASSWORD },
  });
const move = ({ access }: SignedIn, email: string) =>
  finished('/api/me/', { method: 'PATCH', token: access, json: { email, current_password: PASSWORD } });

/** The token of the mail that a person asks for. */
async function askedFor(person: Person): Promise<string> {
  expect(await ask(person)).toMatchObject({ status: 202, text: '' });
  return tokenTo(person.email);
}

afterEach(() => {
  vi.useRealTimers();
});

describe('the mail', () => {
  it('comes at registration, with a link to the page of this host', async () => {
    const email = newAddress();
    expect((await register(email.toUpperCase())).status).toBe(201);
    expect(subjectsTo(email)).toEqual([LETTER]);
    const { url } = linkIn(mailsTo(email)[0] ?? { text: '' });
    expect([url.origin, url.pathname]).toEqual([`https://${HOST}`, '/verify-email/']);
  });

  it('does not come for a registration that is refused', async () => {
    const bob = await createPerson('Bob');
    expect((await register(bob.email)).status).toBe(400);
    expect(subjectsTo(bob.email)).toEqual([]);
  });

  it('comes when it is asked for', async () => {
    const ana = await signedIn();
    const before = await dumpButAttempts();
    expect((await ask(ana)).status).toBe(202);
    expect(subjectsTo(ana.email)).toEqual([LETTER]);
    expect(await dumpButAttempts()).toEqual(before);
  });

  it('does not come where the address is verified: 202 all the same', async () => {
    const ana = await signedIn();
    await confirm(await askedFor(ana));
    expect((await ask(ana)).status).toBe(202);
    expect(subjectsTo(ana.email)).toEqual([LETTER]);
  });

  it('cannot be asked for too often, and counts together with those of a password', async () => {
    const ana = await signedIn();
    await withSettings({ mailsPerHour: 2 }, async () => {
      expect((await ask(ana)).status).toBe(202);
      expect((await finished('/api/password-reset/', { json: { email: ana.email } })).status).toBe(202);
      const { status, headers } = await ask(ana);
      expect(status).toBe(429);
      expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0);
    });
    expect(subjectsTo(ana.email)).toHaveLength(2);
  });

  it('is for whoever is signed in', async () => {
    expect((await api('/api/email-verification/', { method: 'POST' })).status).toBe(401);
  });
});

describe('the link', () => {
  it('verifies the address', async () => {
    const ana = await signedIn();
    const token = await askedFor(ana);
    expect(await isVerified(ana)).toBe(false);
    expect(await confirm(token)).toMatchObject({ status: 204, text: '' });
    expect(await isVerified(ana)).toBe(true);
    expect(await eventsOf(ana.id)).toEqual(['login', 'email_verified']);
    expect(await standing(ana)).toEqual(SIGNED_IN);
  });

  it('works for whoever has just registered, and needs no session', async () => {
    const email = newAddress();
    await register(email);
    expect((await confirm(tokenTo(email))).status).toBe(204);
    const { body } = await logIn(email, PASSWORD);
    expect(await isVerified(body)).toBe(true);
  });

  it('is refused the second time, and changes nothing', async () => {
    const ana = await signedIn();
    const token = await askedFor(ana);
    await confirm(token);
    const before = await dumpTables();
    expect(await confirm(token)).toMatchObject({ status: 400, body: DEAD });
    expect(await dumpTables()).toEqual(before);
    expect(await isVerified(ana)).toBe(true);
  });

  it('used twice at once verifies once', async () => {
    const ana = await signedIn();
    const token = await askedFor(ana);
    const answers = await Promise.all([confirm(token), confirm(token)]);
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([204, 400]);
    expect((await eventsOf(ana.id)).filter((event) => event === 'email_verified')).toHaveLength(1);
  });

  it('of an old address is refused, and the one of the new address is good', async () => {
    const ana = await signedIn();
    const old = await askedFor(ana);
    const email = newAddress();
    await move(ana, email);
    expect(await confirm(old)).toMatchObject({ status: 400, body: DEAD });
    expect(await isVerified(ana)).toBe(false);
    expect((await confirm(tokenTo(email))).status).toBe(204);
  });

  it('of an address that another account has now does not verify it there', async () => {
    const ana = await signedIn();
    const old = await askedFor(ana);
    await move(ana, newAddress());
    const bob = await signedIn('Bob');
    await move(bob, ana.email);
    expect(await confirm(old)).toMatchObject({ status: 400, body: DEAD });
    expect(await isVerified(bob)).toBe(false);
  });

  it('is good for three days', async () => {
    const ana = await signedIn();
    const token = await askedFor(ana);
    const made = Math.floor(Date.now() / 1000) * 1000;
    vi.setSystemTime(made + VERIFICATION_LINK_LIFETIME_S * 1000 + 1000);
    expect((await confirm(token)).body).toEqual(DEAD);
    vi.setSystemTime(made + VERIFICATION_LINK_LIFETIME_S * 1000 - 1000);
    expect((await confirm(token)).status).toBe(204);
  });

  it('is no good for an account that was deactivated', async () => {
    const ana = await signedIn();
    const token = await askedFor(ana);
    await deactivate(ana.id);
    const before = await dumpTables();
    expect(await confirm(token)).toMatchObject({ status: 400, body: DEAD });
    expect(await dumpTables()).toEqual(before);
  });

  it.each([
    [
      'a link for a password',
      async ({ id, email }: Person) =>
        signLink('password_reset', { user_id: id, state: emailState({ email }) }, 3600, Date.now()),
    ],
    ['an access token', async ({ access }: Person) => access],
    ['a refresh token', async ({ refresh }: Person) => refresh],
    [
      'a link of somebody else',
      async ({ id }: Person) => resign(await askedFor(await signedIn('Bob')), { user_id: id }),
    ],
    ['a link of nobody', async () => resign(await askedFor(await signedIn()), { user_id: crypto.randomUUID() })],
    [
      'a link with a signature of somebody else',
      async (ana: Person) => resign(await askedFor(ana), {}, `${env.JWT_SECRET}x`),
    ],
    ['nonsense', async () => 'nonsense'],
  ])('is not to be had otherwise: %s changes nothing', async (_, take) => {
    const ana = await signedIn();
    const token = await take(ana);
    const before = await dumpTables();
    expect(await confirm(token)).toMatchObject({ status: 400, body: DEAD });
    expect(await dumpTables()).toEqual(before);
  });

  it.each([
    [{}, 'This field is required.'],
    [{ token: '' }, 'This field may not be blank.'],
    [{ token: null }, 'This field may not be null.'],
  ])('has to be there: %j', async (json, message) => {
    const { status, body } = await api('/api/email-verification/confirm/', { json });
    expect(status).toBe(400);
    expect(body).toEqual({ token: [message] });
  });
});

describe('where no mail is sent', () => {
  it('asking for it is answered 501', async () => {
    const ana = await signedIn();
    await withSettings(MAIL_OFF, async () => {
      const { status, body } = await ask(ana);
      expect(status).toBe(501);
      expect(body.code).toBe('mail_off');
    });
    expect(subjectsTo(ana.email)).toEqual([]);
  });

  it('registration and a change of address work, and nothing is sent', async () => {
    const [email, another] = [newAddress(), newAddress()];
    await withSettings(MAIL_OFF, async () => {
      expect((await register(email)).status).toBe(201);
      const { body } = await logIn(email, PASSWORD);
      expect((await move(body, another)).status).toBe(200);
    });
    expect([...subjectsTo(email), ...subjectsTo(another)]).toEqual([]);
  });
});
