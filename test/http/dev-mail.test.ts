import { expect, it } from 'vitest';
import { keepMail } from '../../src/mail/mailbox.ts';
import { api } from '../helpers/api.ts';
import { finished } from '../helpers/finished.ts';
import { tokenTo } from '../helpers/mailbox.ts';
import { createPerson } from '../helpers/people.ts';

it('is empty at first, and says so', async () => {
  const { status, text } = await api('/dev/mail/');
  expect(status).toBe(200);
  expect(text).toContain('No mail has been sent since the server was started.');
});

it('shows a mail with a link to click on', async () => {
  const { email } = await createPerson();
  await finished('/api/password-reset/', { json: { email } });
  const { status, headers, text } = await api('/dev/mail/');
  expect(status).toBe(200);
  expect(headers.get('Content-Type')).toBe('text/html; charset=UTF-8');
  expect(text).toContain('Choose a new password');
  expect(text).toContain(`to ${email}`);
  const link = `https://chat.example.org/reset-password/?token=${tokenTo(email)}`;
  expect(text).toContain(`<a href="${link}">${link}</a>`);
});

it('shows the newest mail first', async () => {
  keepMail({ to: 'ana@example.org', subject: 'the older one', text: '\n' }, Date.now());
  keepMail({ to: 'ana@example.org', subject: 'the newer one', text: '\n' }, Date.now());
  const { text } = await api('/dev/mail/');
  expect(text.indexOf('the newer one')).toBeLessThan(text.indexOf('the older one'));
});

it('takes nothing in a mail for HTML', async () => {
  const evil = '"><script>alert(1)</script>';
  keepMail(
    { to: evil, subject: evil, text: `${evil} https://example.org/"onclick="alert(1) javascript:alert(1)\n` },
    0,
  );
  const { text } = await api('/dev/mail/');
  expect(text).not.toContain('<script');
  expect(text).toContain('<a href="https://example.org/&quot;onclick=&quot;alert(1)">');
  expect(text).not.toContain('href="javascript:');
});

it('has no script, states a policy, and is in no cache', async () => {
  const { headers, text } = await api('/dev/mail/');
  expect(text).not.toContain('<script');
  expect(headers.get('Content-Security-Policy')).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; /);
  expect(headers.get('Content-Security-Policy')).not.toContain('unsafe-');
  expect(headers.get('Cache-Control')).toBe('no-store');
});
