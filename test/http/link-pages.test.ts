import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import * as passwords from '../../src/auth/passwords.ts';
import { BODY_MAX_BYTES, RESET_LINK_LIFETIME_S } from '../../src/config.ts';
import { logIn, SIGNED_OUT, standing } from '../helpers/accounts.ts';
import { api, type ApiAnswer } from '../helpers/api.ts';
import { finished } from '../helpers/finished.ts';
import { subjectsTo, tokenTo } from '../helpers/mailbox.ts';
import { PASSWORD, signedIn, type Person } from '../helpers/people.ts';
import { dumpTables } from '../helpers/tables.ts';

const NEW_PASSWORD = 'incorrect zebra staple';
const DEAD = 'This link is not good any more. Ask for a new one.';
const INJECTION = `"><script>alert(1)</script><img src=x onerror='alert(1)'>&amp;`;

const look = (page: string, token?: string) =>
  api(`/${page}/${token === undefined ? '' : `?token=${encodeURIComponent(token)}`}`);

const post = (path: string, fields: Record<string, string>) =>
  finished(path, {
    body: new URLSearchParams(fields).toString(),
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  });

const choose = (token: string, password = NEW_PASSWORD, confirm_password = password) =>
  post(`/reset-password/?token=${encodeURIComponent(token)}`, { password, confirm_password });

const verify = (token: string) => post('/verify-email/', { token });

/** Where the one form of a page goes, and what is hidden in it. */
function formIn({ text }: ApiAnswer): { action: string; hidden: Record<string, string> } {
  const [, action = ''] = /<form method="post" action="([^"]+)">/.exec(text) ?? [];
  const hidden = [...text.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)" \/>/g)];
  return { action, hidden: Object.fromEntries(hidden.map(([, name = '', value = '']) => [name, value])) };
}

/** Fills in the form of a page and submits it, as a browser does. */
function submit(page: ApiAnswer, fields: Record<string, string>): Promise<ApiAnswer> {
  const { action, hidden } = formIn(page);
  return post(action, { ...hidden, ...fields });
}

async function resetToken({ email }: { email: string }): Promise<string> {
  await finished('/api/password-reset/', { json: { email } });
  return tokenTo(email);
}

async function verificationToken({ access, email }: Person): Promise<string> {
  await finished('/api/email-verification/', { method: 'POST', token: access });
  return tokenTo(email);
}

const titleOf = ({ text }: ApiAnswer) => /<title>([^<]*)<\/title>/.exec(text)?.[1];
const headingOf = ({ text }: ApiAnswer) => /<h1>([^<]*)<\/h1>/.exec(text)?.[1];
const errorsIn = ({ text }: ApiAnswer) =>
  [...text.matchAll(/<p class="error" role="alert">([^<]*)<\/p>/g)].map(([, problem]) => problem);
/** What the form would send for the token. */
const tokenIn = (page: ApiAnswer) => {
  const { action, hidden } = formIn(page);
  return hidden['token'] ?? new URLSearchParams(action.split('?')[1]).get('token') ?? undefined;
};
const isVerified = async ({ access }: Person): Promise<boolean> =>
  (await api('/api/me/', { token: access })).body.email_verified;

/** Every page that can be seen here, by what is to be seen on it. */
async function everyPage(): Promise<Record<string, ApiAnswer>> {
  const ana = await signedIn();
  const [reset, verification] = [await resetToken(ana), await verificationToken(ana)];
  return {
    'the form for a password': await look('reset-password', reset),
    'the form with an error': await choose(reset, 'short'),
    'a dead link for a password': await look('reset-password', 'nonsense'),
    'a dead link that was posted': await choose('nonsense'),
    'the button of a verification': await look('verify-email', verification),
    'a dead verification': await verify('nonsense'),
    'a verification that is done': await verify(verification),
    'a password that is changed': await choose(reset),
  };
}

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** What is true of each of some pages. */
const ofEach = <T>(pages: Record<string, ApiAnswer>, fact: (page: ApiAnswer) => T): Record<string, T> =>
  Object.fromEntries(Object.entries(pages).map(([what, page]) => [what, fact(page)]));

/** The policy of a page that allows the one style sheet in it. */
async function policyFor({ text }: ApiAnswer): Promise<string> {
  const style = /<style>([^]*)<\/style>/.exec(text)?.[1] ?? '';
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(style));
  return [
    "default-src 'none'",
    `style-src 'sha256-${btoa(String.fromCharCode(...new Uint8Array(digest)))}'`,
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
}

describe('every page', () => {
  it('is HTML with a title, in no cache, and not framed', async () => {
    const pages = await everyPage();
    const shown = ofEach(pages, (page) => ({
      isDocument: /^<!doctype html>\s*<html lang="en">/.test(page.text),
      isTitled: titleOf(page) !== undefined && titleOf(page) === headingOf(page),
      headers: Object.fromEntries(page.headers),
    }));
    const headers = {
      'content-type': 'text/html; charset=UTF-8',
      'cache-control': 'no-store',
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
    };
    expect(shown).toEqual(
      ofEach(pages, () => ({ isDocument: true, isTitled: true, headers: expect.objectContaining(headers) })),
    );
  });

  it('has no script, nothing that would need one, and loads nothing', async () => {
    const active = /<(script|iframe|img|link|object|base)\b|javascript:|\son\w+\s*=|\ssrc\s*=|@import|url\(/i;
    const pages = await everyPage();
    expect(ofEach(pages, ({ text }) => active.exec(text)?.[0])).toEqual(ofEach(pages, () => undefined));
  });

  it('states a policy that allows its one style sheet and its own form, and nothing else', async () => {
    const pages = await everyPage();
    const [first] = Object.values(pages);
    const policy = first && (await policyFor(first));
    expect(ofEach(pages, ({ headers }) => headers.get('Content-Security-Policy'))).toEqual(ofEach(pages, () => policy));
    expect(policy).not.toContain('unsafe-');
  });

  it('tells no other site its address, which has the token in it', async () => {
    const pages = await everyPage();
    expect(ofEach(pages, ({ headers }) => headers.get('Referrer-Policy'))).toEqual(ofEach(pages, () => 'same-origin'));
  });
});

describe('the page to choose a new password', () => {
  it('shows a form, and looking changes nothing, however often and whoever looks', async () => {
    const ana = await signedIn();
    const token = await resetToken(ana);
    const before = await dumpTables();
    for (const method of ['GET', 'HEAD', 'GET']) {
      expect((await api(`/reset-password/?token=${token}`, { method })).status).toBe(200);
    }
    expect(tokenIn(await look('reset-password', token))).toBe(token);
    expect(await dumpTables()).toEqual(before);
    expect((await choose(token)).status).toBe(200);
  });

  it('has fields that password managers know', async () => {
    const { text } = await look('reset-password', await resetToken(await signedIn()));
    expect(text).toContain('autocomplete="username"');
    expect(text.match(/<input [^>]*type="password" autocomplete="new-password" required/g)).toHaveLength(2);
    expect(text.match(/<label for="(password|confirm)">/g)).toHaveLength(2);
  });

  it('changes the password by its form', async () => {
    const ana = await signedIn();
    const page = await look('reset-password', await resetToken(ana));
    const done = await submit(page, { password: NEW_PASSWORD, confirm_password: NEW_PASSWORD });
    expect(done.status).toBe(200);
    expect(headingOf(done)).toBe('Done');
    expect((await logIn(ana.email, NEW_PASSWORD)).status).toBe(200);
    expect(await standing(ana)).toEqual(SIGNED_OUT);
    expect(subjectsTo(ana.email)[0]).toBe('Your password was changed');
  });

  it.each([
    ['too short', 'x7!', undefined, 'This password is too short. It must contain at least 8 characters.'],
    ['common', 'password', undefined, 'This password is too common.'],
    ['not the same twice', NEW_PASSWORD, 'something else', 'Password fields didn&#39;t match.'],
    ['empty', '', '', 'This field may not be blank.'],
  ])('says what is wrong, with the token kept: %s', async (_, password, confirmation, message) => {
    const ana = await signedIn();
    const token = await resetToken(ana);
    const page = await choose(token, password, confirmation);
    expect(page.status).toBe(400);
    expect(errorsIn(page)).toContain(message);
    expect(tokenIn(page)).toBe(token);
    expect(page.text).not.toContain(NEW_PASSWORD);
    const again = await submit(page, { password: NEW_PASSWORD, confirm_password: NEW_PASSWORD });
    expect(again.status).toBe(200);
  });

  it('shows itself again, with the token kept, when too many passwords are being hashed', async () => {
    const token = await resetToken(await signedIn());
    vi.spyOn(passwords, 'hashPassword').mockRejectedValueOnce(new passwords.HasherBusyError());
    const page = await choose(token);
    expect(page.status).toBe(503);
    expect(page.headers.get('Retry-After')).toBe('1');
    expect(tokenIn(page)).toBe(token);
    expect((await submit(page, { password: NEW_PASSWORD, confirm_password: NEW_PASSWORD })).status).toBe(200);
  });

  it.each([
    ['there is no token', () => undefined],
    ['it is nonsense', () => 'nonsense'],
    ['it is empty', () => ''],
    ['it is no link', ({ access }: Person) => access],
    ['it is for something else', (ana: Person) => verificationToken(ana)],
  ])('says that the link is dead, without a form, if %s', async (_, take) => {
    const page = await look('reset-password', await take(await signedIn()));
    expect(page.status).toBe(400);
    expect(page.text).toContain(DEAD);
    expect(page.text).not.toContain('<form');
  });

  it('says so of a link that is used, or too old, to those who look and to those who post', async () => {
    const ana = await signedIn();
    const [used, old] = [await resetToken(ana), await resetToken(await signedIn('Bob'))];
    await choose(used);
    vi.setSystemTime(Date.now() + RESET_LINK_LIFETIME_S * 1000);
    for (const token of [used, old]) {
      for (const page of [await look('reset-password', token), await choose(token)]) {
        expect(page.status).toBe(400);
        expect(page.text).toContain(DEAD);
        expect(page.text).not.toContain('<form');
      }
    }
  });
});

describe('the page to verify an address', () => {
  it('shows a button, and looking changes nothing', async () => {
    const ana = await signedIn();
    const token = await verificationToken(ana);
    const before = await dumpTables();
    for (const method of ['GET', 'HEAD', 'GET']) {
      expect((await api(`/verify-email/?token=${token}`, { method })).status).toBe(200);
    }
    const page = await look('verify-email', token);
    expect(tokenIn(page)).toBe(token);
    expect(await dumpTables()).toEqual(before);
    expect(await isVerified(ana)).toBe(false);
  });

  it('verifies by its button', async () => {
    const ana = await signedIn();
    const done = await submit(await look('verify-email', await verificationToken(ana)), {});
    expect(done.status).toBe(200);
    expect(headingOf(done)).toBe('Done');
    expect(await isVerified(ana)).toBe(true);
  });

  it.each([
    [
      'it was used',
      async (ana: Person) => {
        const token = await verificationToken(ana);
        await verify(token);
        return token;
      },
    ],
    ['it is nonsense', async () => 'nonsense'],
    ['it is empty', async () => ''],
    ['it is for something else', (ana: Person) => resetToken(ana)],
  ])('says that the link is dead if %s', async (_, take) => {
    const page = await verify(await take(await signedIn()));
    expect(page.status).toBe(400);
    expect(page.text).toContain(DEAD);
    expect(page.text).not.toContain('<form');
  });
});

describe('what is typed into the address or the form', () => {
  it.each(['reset-password', 'verify-email'])('is never taken for HTML: %s', async (page) => {
    for (const { text } of [
      await look(page, INJECTION),
      await post(`/${page}/?token=${encodeURIComponent(INJECTION)}`, { token: INJECTION }),
      await post(`/${page}/?token=x`, { token: INJECTION, password: INJECTION, confirm_password: INJECTION }),
      await post(`/${page}/?token=x`, { token: 'x', password: 'x', confirm_password: 'y', '"><script>': INJECTION }),
    ]) {
      expect(text).not.toMatch(/<script|<img/);
    }
  });

  it('is never taken for HTML either if it is somebody’s address', async () => {
    const ana = await signedIn();
    const email = `o'neill&"<b>${ana.id}@example.org`;
    await env.DB.prepare('UPDATE users SET email = ? WHERE id = ?').bind(email, ana.id).run();
    const { text } = await look('reset-password', await resetToken({ email }));
    expect(text).not.toMatch(/<b>|o'neill|"</);
    expect(text).toContain('o&#39;neill&amp;&quot;&lt;b&gt;');
  });

  it('is escaped where it is shown', async () => {
    const { text, status } = await look('verify-email', INJECTION);
    expect(status).toBe(200);
    expect(text).toContain('value="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;');
  });

  it.each(['reset-password', 'verify-email'])(
    `is refused if it is more than ${BODY_MAX_BYTES} bytes: %s`,
    async (page) => {
      expect((await post(`/${page}/?token=x`, { token: 'x'.repeat(BODY_MAX_BYTES) })).status).toBe(413);
    },
  );
});

it('sends no mail from a page that was only looked at', async () => {
  const ana = await signedIn();
  await look('reset-password', await resetToken(ana));
  await look('verify-email', await verificationToken(ana));
  expect(subjectsTo(ana.email)).toEqual(['Confirm your e-mail address', 'Choose a new password']);
  expect((await logIn(ana.email, PASSWORD)).status).toBe(200);
});
