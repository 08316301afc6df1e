import type { PageRange } from '../protocol/client-frames.ts';
import type { ServerFrameOf } from '../protocol/server-frames.ts';
import { ChatError } from './error.ts';
import type { Environment } from './environment.ts';
import type { Link } from './link.ts';
import { newRef } from './ref.ts';

type Page = ServerFrameOf<'page'>;
type Request = {
  /** Made when it is sent: where the messages begin may have changed meanwhile. */
  readonly range: () => Partial<PageRange>;
  readonly outcome: PromiseWithResolvers<Page>;
  cancelRetry: () => void;
};

/** Pages of history that were asked for. They only read, so they are simply asked for again until they are answered. */
export class Requests {
  readonly #link: Link;
  readonly #environment: Environment;
  readonly #open = new Set<Request>();

  constructor(link: Link, environment: Environment) {
    this.#link = link;
    this.#environment = environment;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** A page, as soon as there is a connection. @throws ChatError */
  page(range: Request['range']): Promise<Page> {
    const request = { range, outcome: Promise.withResolvers<Page>(), cancelRetry: () => {} };
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
    for (const { outcome, cancelRetry } of this.#open) {
      cancelRetry();
      outcome.reject(why);
    }
    this.#open.clear();
  }

  #ask(request: Request): void {
    request.cancelRetry();
    const frame = { type: 'history', ref: newRef(), limit: 100, ...request.range() } as const;
    this.#link.ask(frame, (answer) => {
      // Without an answer it is asked again over the next socket.
      if (answer === null || !this.#open.has(request)) return;
      if (answer.type === 'error' && answer.retry_after_ms !== undefined) {
        request.cancelRetry = this.#environment.after(answer.retry_after_ms, () => this.#ask(request));
        return;
      }
      this.#open.delete(request);
      if (answer.type === 'page') request.outcome.resolve(answer);
      else if (answer.type === 'error') request.outcome.reject(new ChatError(answer.code, answer.message));
      else request.outcome.reject(new ChatError('server', 'The server answered something else.'));
    });
  }
}
