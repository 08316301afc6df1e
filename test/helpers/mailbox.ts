import { keptMails, type KeptMail } from '../../src/mail/mailbox.ts';
import { settings } from '../../src/settings.ts';

/** The mails that were sent to an address, newest first. */
export function mailsTo(email: string): KeptMail[] {
  return keptMails().filter(({ to }) => to === email);
}

/** Their subjects, newest first. */
export function subjectsTo(email: string): string[] {
  return mailsTo(email).map(({ subject }) => subject);
}

/** The link of a mail, which has exactly one, and the token in it. */
export function linkIn({ text }: { text: string }): { url: URL; token: string } {
  const links = text.match(/https?:\/\/\S+/g) ?? [];
  if (links.length !== 1) throw new Error(`Not one link, but ${links.length}: ${text}`);
  const url = new URL(links[0] ?? '');
  return { url, token: url.searchParams.get('token') ?? '' };
}

/** The token of the newest mail to an address that has a link. */
export function tokenTo(email: string): string {
  const mail = mailsTo(email).find(({ text }) => text.includes('?token='));
  if (!mail) throw new Error('There is no mail with a link.');
  return linkIn(mail).token;
}

/** Runs `work` as a deployment that differs in some settings. */
export async function withSettings<T>(changes: Partial<typeof settings>, work: () => Promise<T>): Promise<T> {
  const before = { ...settings };
  Object.assign(settings, changes);
  try {
    return await work();
  } finally {
    Object.assign(settings, before);
  }
}

/** What a deployment has that sends no mail. */
export const MAIL_OFF = { development: false, mail: undefined } as const;
