import { expect, it } from 'vitest';
import { DEV_MAILBOX_MAX } from '../../src/config.ts';
import { keepMail, keptMails } from '../../src/mail/mailbox.ts';

const mail = (subject: string) => ({ to: 'ana@example.org', subject, text: 'Hello.\n' });

it('has the newest mail first, with its time', () => {
  keepMail(mail('one'), 1000);
  keepMail(mail('two'), 2000);
  expect(keptMails()).toEqual([
    { ...mail('two'), sent_at: 2000 },
    { ...mail('one'), sent_at: 1000 },
  ]);
});

it(`keeps the newest ${DEV_MAILBOX_MAX}`, () => {
  for (let i = 1; i <= DEV_MAILBOX_MAX + 5; i += 1) keepMail(mail(`mail ${i}`), i);
  expect(keptMails()).toHaveLength(DEV_MAILBOX_MAX);
  expect(keptMails().at(0)?.subject).toBe(`mail ${DEV_MAILBOX_MAX + 5}`);
  expect(keptMails().at(-1)?.subject).toBe('mail 6');
});
