import { ChatError } from './error.ts';
import type { Environment } from './environment.ts';
import type { Kind, Link, Question, ReceivedOf } from './link.ts';
import { newRef } from './ref.ts';

/** A question that has no ref yet. */
type Asked<Of extends Kind> = Question<Of> extends infer One ? (One extends unknown ? Omit<One, 'ref'> : never) : never;

type Request<Of extends Kind> = {
  /** Made when it is sent: where a list goes on may have changed meanwhile. */
  readonly frame: () => Asked<Of>;
  readonly answeredBy: 'page' | 'ok';
  readonly outcome: PromiseWithResolvers<unknown>;
  cancelRetry: () => void;
};

/** What was asked for and does no harm if it is done twice: it is simply asked again until it is answered. */
export class Requests<Of extends Kind> {
  readonly #link: Link<Of>;
  readonly #environment: Environment;
  readonly #onChange: () => void;
  readonly #open = new Set<Request<Of>>();
  #end: ChatError | undefined;

  /** @param onChange is called when {@link isEmpty} may have changed */
  constructor(link: Link<Of>, environment: Environment, onChange: () => void) {
    this.#link = link;
    this.#environment = environment;
    this.#onChange = onChange;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** What answers a frame, as soon as there is a connection. @throws ChatError if it is refused */
  async ask<Type extends 'page' | 'ok'>(answeredBy: Type, frame: () => Asked<Of>): Promise<ReceivedOf<Of, Type>> {
    const refusal = this.#end ?? this.#link.refusal;
    if (refusal) throw refusal;
    const request = { frame, answeredBy, outcome: Promise.withResolvers<unknown>(), cancelRetry: () => {} };
    this.#open.add(request);
    this.#ask(request);
    this.#onChange();
    try {
      return (await request.outcome.promise) as ReceivedOf<Of, Type>;
    } finally {
      this.#onChange();
    }
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

  /** Fails all, and whatever comes. */
  end(why: ChatError): void {
    this.#end = why;
    this.close(why);
  }

  #ask(request: Request<Of>): void {
    request.cancelRetry();
    const frame = { ...request.frame(), ref: newRef() };
    this.#link.ask(frame as unknown as Question<Of>, (answer) => {
      // Without an answer it is asked again over the next socket.
      if (answer === null || !this.#open.has(request)) return;
      if (answer.type === 'error' && answer.retry_after_ms !== undefined) {
        request.cancelRetry = this.#environment.after(answer.retry_after_ms, () => this.#ask(request));
        return;
      }
      this.#open.delete(request);
      if (answer.type === request.answeredBy) request.outcome.resolve(answer);
      else if (answer.type === 'error') request.outcome.reject(new ChatError(answer.code, answer.message));
      else request.outcome.reject(new ChatError('server', 'The server answered something else.'));
    });
  }
}
