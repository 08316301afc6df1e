import type { PageRange } from '../protocol/client-frames.ts';
import type { ServerFrameOf } from '../protocol/server-frames.ts';
import { ChatError } from './error.ts';
import type { Environment } from './environment.ts';
import type { Link } from './link.ts';

type Page = ServerFrameOf<'page'>;
type Request = {
  /** Made when it is sent: where the messages begin may have changed meanwhile. */
  readonly range: () => Partial<PageRange>;
  readonly outcome: PromiseWithResolvers<Page>;
};

/** Pages of history that were asked for. They only read, so they are simply asked for again until they are answered. */
export class Requests {
  readonly #link: Link;
  readonly #environment: Environment;
  readonly #open = new Set<Request>();
  readonly #cancels = new Set<() => void>();

  constructor(link: Link, environment: Environment) {
    this.#link = link;
    this.#environment = environment;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** A page, as soon as there is a connection. @throws ChatError */
  page(range: Request['range']): Promise<Page> {
    const request = { range, outcome: Promise.withResolvers<Page>() };
    this.#open.add(request);
    this.#ask(request);
    return request.outcome.promise;
  }

  /** There is a new socket: everything is asked again. */
  askAll(): void {
    for (const request of this.#open) this.#ask(request);
  }

  /** Fails all. */
  close(why: ChatError): void {
    for (const cancel of this.#cancels) cancel();
    this.#cancels.clear();
    for (const { outcome } of this.#open) outcome.reject(why);
    this.#open.clear();
  }

  #ask(request: Request): void {
    const frame = { type: 'history', ref: crypto.randomUUID(), limit: 100, ...request.range() } as const;
    this.#link.ask(frame, (answer) => {
      // Without an answer it is asked again over the next socket.
      if (answer === null || !this.#open.has(request)) return;
      if (answer.type === 'error' && answer.retry_after_ms !== undefined) {
        const cancel = this.#environment.after(answer.retry_after_ms, () => {
          this.#cancels.delete(cancel);
          if (this.#open.has(request)) this.#ask(request);
        });
        this.#cancels.add(cancel);
        return;
      }
      this.#open.delete(request);
      if (answer.type === 'page') request.outcome.resolve(answer);
      else if (answer.type === 'error') request.outcome.reject(new ChatError(answer.code, answer.message));
      else request.outcome.reject(new ChatError('server', 'The server answered something else.'));
    });
  }
}
