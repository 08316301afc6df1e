import { DEV_MAILBOX_MAX } from '../config.ts';

/** A mail as the mailbox of development has it. `sent_at` is in milliseconds since 1970. */
export type KeptMail = {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly sent_at: number;
};

const mails: KeptMail[] = [];

/** Puts a mail into the mailbox of development. It is in memory only: a new server begins with an empty one. */
export function keepMail(mail: Omit<KeptMail, 'sent_at'>, now: number): void {
  mails.unshift({ ...mail, sent_at: now });
  mails.length = Math.min(mails.length, DEV_MAILBOX_MAX);
}

/** The mails that were kept, newest first. */
export function keptMails(): readonly KeptMail[] {
  return mails;
}
