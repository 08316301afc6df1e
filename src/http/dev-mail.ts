import { Hono } from 'hono';
import { html } from 'hono/html';
import * as v from 'valibot';
import { keptMails } from '../mail/mailbox.ts';
import type { AppEnv } from './app-env.ts';
import { smallPage } from './html.ts';
import { describe } from './openapi/describe.ts';

/** The mailbox of development, where mails arrive that a deployment would send. No other place has it. */
export const devMail = new Hono<AppEnv>();

devMail.get(
  '/dev/mail',
  describe({
    summary: 'The mails that this server would have sent',
    description: 'In development only, since it was started.',
    tags: ['Service'],
    bearer: false,
    produces: 'text/html',
    responses: { 200: { description: 'A page.', schema: v.string() } },
  }),
  (c) => {
    const mails = keptMails().map(
      ({ to, subject, text, sent_at }) =>
        html`<article>
          <p>
            <strong>${subject}</strong><br /><small>to ${to}, ${new Date(sent_at).toISOString()}</small>
          </p>
          <pre>${withLinks(text)}</pre>
        </article>`,
    );
    const content =
      mails.length > 0 ? html`${mails}` : html`<p>No mail has been sent since the server was started.</p>`;
    return smallPage(c, 'Mailbox', content);
  },
);

function withLinks(text: string) {
  return text.split(/(https?:\/\/\S+)/).map((part, i) => (i % 2 === 1 ? html`<a href="${part}">${part}</a>` : part));
}
