import { ChatError } from './error.ts';
import type { Environment } from './environment.ts';
import type { Kind, Link, Question, ReceivedOf } from './link.ts';
import { newRef } from './ref.ts';

/** Milliseconds between two looks whether the last frame was lost. */
const PROBE_MS = 5 * 60_000;

/** Everything up to `rev` of the history that `epoch` names. */
export type Cursor = { readonly epoch: number; readonly rev: number };

/** What comes of catching up. */
export type CatchUpEvents<Of extends Kind> = {
  /** Takes rows over: each replaces one with a smaller `rev`. The cursor is at them, or was beyond them before. */
  apply(changes: ReceivedOf<Of, 'changes'>): void;
  /** Everything is here. */
  caughtUp(): void;
  /** It looks whether the last frame was lost: something else may have been, too. */
  probing?(): void;
};

/**
 * Up to where everything is here, and how the rest gets here: the rules 3, 4 and 6 of docs/protocol.md, which hold for
 * whatever rows have a `rev`.
 */
export class CatchUp<Of extends Kind> {
  cursor: Cursor | null = null;
  /** Whether nothing is known to be missing. */
  isDone = false;
  readonly #link: Link<Of>;
  readonly #environment: Environment;
  readonly #events: CatchUpEvents<Of>;
  #isSyncing = false;
  /** The largest `rev` of the frames that were not applied, since they begin beyond the cursor. */
  #beyond = 0;
  #cancelProbe = () => {};
  #cancelRetry = () => {};

  constructor(link: Link<Of>, environment: Environment, events: CatchUpEvents<Of>) {
    this.#link = link;
    this.#environment = environment;
    this.#events = events;
  }

  /** Where a socket is to go on from, as a query. */
  get query(): string {
    return this.cursor ? `?after=${this.cursor.rev}&epoch=${this.cursor.epoch}` : '';
  }

  /** Begins with a new socket. What its snapshot holds is here already. */
  welcomed({ epoch, rev, resumed }: ReceivedOf<Of, 'welcome'>): void {
    this.#beyond = 0;
    if (resumed) return this.sync();
    this.cursor = { epoch, rev };
    this.#caughtUp();
  }

  /** Takes `changes` that were not asked for. */
  received(frame: ReceivedOf<Of, 'changes'>): void {
    this.#take(frame);
    if (this.#beyond > 0) this.sync();
  }

  /** Whether a page is of this history, and not older than what is here. */
  isCurrent(page: { readonly epoch: number; readonly rev: number }): boolean {
    return this.cursor !== null && page.epoch === this.cursor.epoch && page.rev >= this.cursor.rev;
  }

  /** If the very last frame was lost, nothing else would tell. */
  probe(): void {
    this.#events.probing?.();
    this.sync();
  }

  /** Asks for what has changed, a page after the other, unless it is asking already. */
  sync(): void {
    const { cursor } = this;
    if (this.#isSyncing || !cursor) return;
    this.#isSyncing = true;
    const frame = { type: 'sync', ref: newRef(), after: cursor.rev } as const;
    this.#link.ask(frame as Question<Of>, (answer) => {
      if (answer?.type === 'error' && answer.retry_after_ms !== undefined) {
        this.#cancelRetry = this.#environment.after(answer.retry_after_ms, () => {
          this.#isSyncing = false;
          this.sync();
        });
        return;
      }
      this.#isSyncing = false;
      if (answer?.type === 'changes') this.#synced(answer as unknown as ReceivedOf<Of, 'changes'>);
      else if (answer) {
        // The server does not know this cursor: begin anew.
        this.cursor = null;
        this.#link.lose(new ChatError('server', answer.type === 'error' ? answer.message : 'It was not understood.'));
      }
    });
  }

  /** The socket was lost. */
  lost(): void {
    this.#isSyncing = false;
    this.isDone = false;
    this.#cancelProbe();
    this.#cancelRetry();
  }

  #take(frame: ReceivedOf<Of, 'changes'>): void {
    if (!this.cursor) return;
    if (frame.after > this.cursor.rev) {
      this.#beyond = Math.max(this.#beyond, frame.rev);
      return;
    }
    if (frame.rev > this.cursor.rev) this.cursor = { ...this.cursor, rev: frame.rev };
    this.#events.apply(frame);
  }

  #synced(frame: ReceivedOf<Of, 'changes'>): void {
    this.#take(frame);
    const isMissing = frame.more || this.#beyond > (this.cursor?.rev ?? 0);
    if (!frame.more) this.#beyond = 0;
    if (isMissing) this.sync();
    else this.#caughtUp();
  }

  #caughtUp(): void {
    this.isDone = true;
    this.#link.caughtUp();
    this.#cancelProbe();
    this.#cancelProbe = this.#environment.after(PROBE_MS, () => this.probe());
    this.#events.caughtUp();
  }
}
