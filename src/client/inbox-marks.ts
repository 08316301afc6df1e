import type { InboxRow } from '../protocol/inbox-frames.ts';
import { Gatherer } from './gatherer.ts';
import type { InboxRows } from './inbox-rows.ts';
import type { Link } from './link.ts';
import type { Shared } from './shared.ts';

/** Milliseconds after which what was told has arrived: a connection that is dead is given up sooner. */
const ARRIVED_MS = 60_000;

/** Tells what this device has received of each conversation, so that others see it without anybody opening them. */
export class InboxMarks {
  readonly #rows: InboxRows;
  readonly #link: Link<'inbox'>;
  readonly #shared: Shared;
  readonly #gatherer: Gatherer;
  /** Up to which message, and when. A row does not say what is stored of it. */
  readonly #told = new Map<string, { readonly n: number; readonly at: number }>();
  #me = '';

  constructor(rows: InboxRows, link: Link<'inbox'>, shared: Shared) {
    this.#rows = rows;
    this.#link = link;
    this.#shared = shared;
    this.#gatherer = new Gatherer(shared.environment, () => this.#tell());
  }

  /** Tells soon what is not told yet. @param me whose inbox it is */
  tell(me: string): void {
    this.#me = me;
    if (this.#news().length > 0) this.#gatherer.soon();
  }

  /** Some were refused: they are told again after so many milliseconds. */
  refused(milliseconds: number): void {
    this.#forgetRecent();
    this.#gatherer.later(milliseconds);
  }

  /** The socket was lost, and perhaps the last marks with it. */
  lost(): void {
    this.#forgetRecent();
    this.#gatherer.cancel();
  }

  /** Forgets all. */
  clear(): void {
    this.#told.clear();
    this.#gatherer.cancel();
  }

  #forgetRecent(): void {
    const since = this.#shared.environment.elapsed() - ARRIVED_MS;
    for (const [conversation, { at }] of this.#told) if (at > since) this.#told.delete(conversation);
  }

  #tell(): void {
    const at = this.#shared.environment.elapsed();
    for (const { conversation, n } of this.#news()) {
      this.#told.set(conversation, { n, at });
      this.#link.tell({ type: 'mark', conversation, delivered: n });
    }
  }

  #news(): InboxRow[] {
    return Array.from(this.#rows.all).filter(
      ({ conversation, n, unread, last }) =>
        unread > 0 &&
        last.sender_id !== this.#me &&
        n > (this.#told.get(conversation)?.n ?? 0) &&
        // A conversation that is open tells its marks itself.
        !this.#shared.isOnline(conversation),
    );
  }
}
