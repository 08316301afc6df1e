import { MAIL_TIMEOUT_MS } from '../config.ts';
import { logError } from '../log.ts';
import { settings, type MailSettings } from '../settings.ts';
import { keepMail } from './mailbox.ts';

/** A mail of plain text to one address. */
export type Mail = { readonly to: string; readonly subject: string; readonly text: string };

/** Whether this deployment sends mail. */
export function sendsMail(): boolean {
  return settings.mail !== undefined || settings.development;
}

/**
 * Sends a mail: by Cloudflare's e-mail binding or by an HTTP provider, as the deployment is configured; in development,
 * where none is, into the mailbox at `/dev/mail/`. Never fails: what could not be sent is logged, and whoever waits for
 * it asks again.
 */
export async function sendMail(env: Env, mail: Mail): Promise<void> {
  try {
    if (settings.mail) await deliver(env, settings.mail, mail);
    else if (settings.development) keepMail(mail, Date.now());
  } catch (error) {
    logError('mail_failed', error);
  }
}

async function deliver(env: Env, mail: MailSettings, { to, subject, text }: Mail): Promise<void> {
  const message = { from: mail.from, to, subject, text };
  if (mail.by === 'binding') {
    // Only a deployment that sends mail this way has the binding.
    const { EMAIL } = env as { EMAIL?: SendEmail };
    await EMAIL?.send(message).catch((error: unknown) => {
      // Its message may repeat the address; its code does not.
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'no code';
      throw new Error(`The e-mail binding refused: ${code}.`);
    });
    return;
  }
  const answer = await fetch(mail.url, {
    method: 'POST',
    headers: { Authorization: `Bearer ${mail.key}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(message),
    // A redirect counts as a refusal: the key goes to nobody else.
    redirect: 'manual',
    signal: AbortSignal.timeout(MAIL_TIMEOUT_MS),
  });
  // Its body may repeat the address.
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`The mail provider answered ${answer.status}.`);
}
