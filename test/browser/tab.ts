import type { Page } from 'playwright-core';
import type { Message } from '../../src/client/index.ts';
import type { Report } from './page.ts';

/** Milliseconds within which something that is waited for must happen. */
const DEADLINE_MS = 30_000;

/** A tab with the page of {@link ./page.ts}. */
export class Tab {
  readonly page: Page;
  /** All that the page has told since it was loaded, oldest first. */
  #reports: Report[] = [];
  readonly #listeners = new Set<() => void>();

  /** The frames that the page has sent over any socket, oldest first. */
  readonly sent: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => this.sent.push(String(payload))));
  }

  /** Takes a report of the page. */
  receive(json: string): void {
    this.#reports.push(JSON.parse(json) as Report);
    for (const listener of this.#listeners) listener();
  }

  /** All that the page has told since it was loaded, oldest first. */
  get reports(): readonly Report[] {
    return this.#reports;
  }

  /** How things stand in the page. */
  get now(): Report | undefined {
    return this.#reports.at(-1);
  }

  /** The texts of the messages, in their order. */
  get texts(): (string | null)[] {
    return this.now?.conversation.messages.map(({ text }) => text) ?? [];
  }

  /** Resolves when a condition holds of the page. @throws Error with how things stand, if it does not in time */
  until(condition: (report: Report) => boolean): Promise<Report> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void) => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        outcome();
      };
      const look = () => {
        const { now } = this;
        if (now && condition(now)) settle(() => resolve(now));
      };
      const error = new Error(`It did not come to hold that ${String(condition)}`);
      const timer = setTimeout(() => {
        error.message += `. This holds: ${JSON.stringify(this.now, null, 2)}`;
        settle(() => reject(error));
      }, DEADLINE_MS);
      this.#listeners.add(look);
      look();
    });
  }

  /** Resolves when the conversation is online. */
  online(): Promise<Report> {
    return this.until(({ conversation }) => conversation.connection.status === 'online');
  }

  /** Resolves when a message with each of the texts is shown, and nothing is on its way. */
  async shows(...texts: string[]): Promise<void> {
    await this.until(
      ({ conversation: { messages, pending } }) =>
        pending.length === 0 && texts.every((text) => messages.some((message) => message.text === text)),
    );
  }

  async signIn(email: string, password: string): Promise<void> {
    await this.page.evaluate((credentials) => app.chat.signIn(credentials), { email, password });
  }

  /** Sends a message. Resolves when it is pending. */
  async send(text: string, options: { ref?: string; reply_to?: number } = {}): Promise<void> {
    await this.page.evaluate(([what, how]) => void app.conversation.send(what, how), [text, options] as const);
  }

  /** Sends a message. Resolves when it is stored. */
  async store(text: string): Promise<Message> {
    return this.page.evaluate((it) => app.conversation.send(it), text);
  }

  /** What the client keeps in IndexedDB. */
  allKept(): Promise<Record<string, unknown>> {
    return this.page.evaluate(() => app.allKept());
  }

  /** Under which keys it keeps what is to be sent, and what was refused. */
  async outbox(): Promise<string[]> {
    return Object.keys(await this.allKept()).filter((key) => key.includes('outbox/'));
  }

  /** The session that it keeps, and under which key. */
  async session(): Promise<[key: string, tokens: { access: string; refresh: string }]> {
    const found = Object.entries(await this.allKept()).find(([key]) => key.endsWith(' session'));
    if (!found) throw new Error('No session is kept');
    return found as [string, { access: string; refresh: string }];
  }

  /** Loads the page anew. */
  async reload(): Promise<void> {
    const url = this.page.url();
    // When this page has come, the one before can tell nothing any more.
    await this.page.goto('about:blank');
    this.#reports = [];
    await this.page.goto(url);
  }
}
