import type { InboxRow, RemovedRow } from '../protocol/inbox-frames.ts';

/** Some rows, and where the list goes on after them: null at its end. */
type Page = { readonly conversations: readonly InboxRow[]; readonly next: string | null };

/**
 * The rows that a client has of an inbox: every conversation from the newest activity down to some place, and of those
 * below it what happens to have come.
 */
export class InboxRows {
  readonly #rows = new Map<string, InboxRow>();
  /** The `rev` at which conversations were left: what is older of them must not come back. */
  readonly #removed = new Map<string, number>();
  #next: string | null = null;
  #listed: readonly InboxRow[] | null = null;

  /** Where the list goes on; null if everything is here. */
  get next(): string | null {
    return this.#next;
  }

  get all(): Iterable<InboxRow> {
    return this.#rows.values();
  }

  get(conversation: string): InboxRow | undefined {
    return this.#rows.get(conversation);
  }

  /**
   * Those that are not archived, pinned ones first and then by activity. What is below the last page is left out unless
   * it is pinned, since something above it may be missing.
   */
  get listed(): readonly InboxRow[] {
    const end = this.#next === null ? null : placeOf(this.#next);
    this.#listed ??= [...this.#rows.values()]
      .filter((row) => !row.archived && (row.pinned || end === null || order(place(row), end) <= 0))
      .sort((a, b) => Number(b.pinned) - Number(a.pinned) || order(place(a), place(b)));
    return this.#listed;
  }

  /** Forgets everything. */
  clear(): void {
    this.#rows.clear();
    this.#removed.clear();
    this.#next = null;
    this.#listed = null;
  }

  /** Has the rows of a snapshot in place of others. @param isSameHistory whether the others are of its history */
  replace({ conversations, next }: Page, isSameHistory: boolean): void {
    const old = new Map(isSameHistory ? this.#rows : []);
    this.clear();
    this.#next = next;
    // A row that has not changed stays the same object.
    this.upsert(
      conversations.map((row) => {
        const before = old.get(row.conversation);
        return before?.rev === row.rev ? before : row;
      }),
    );
  }

  /** Puts the next page below the rows. */
  append({ conversations, next }: Page): void {
    this.#next = next;
    this.upsert(conversations);
  }

  /** Takes rows over, and conversations out, unless something newer is known of them. */
  upsert(rows: readonly InboxRow[], removed: readonly RemovedRow[] = []): void {
    this.#listed = null;
    for (const row of rows) {
      if (row.rev <= this.#revOf(row.conversation)) continue;
      this.#rows.set(row.conversation, row);
      this.#removed.delete(row.conversation);
    }
    for (const { conversation, rev } of removed) {
      if (rev <= this.#revOf(conversation)) continue;
      this.#rows.delete(conversation);
      this.#removed.set(conversation, rev);
    }
  }

  #revOf(conversation: string): number {
    return this.#rows.get(conversation)?.rev ?? this.#removed.get(conversation) ?? 0;
  }
}

/** Where a conversation is in the list. */
type Place = { readonly time: number; readonly id: string };

function place({ last, conversation }: InboxRow): Place {
  return { time: last.created_at, id: conversation };
}

/** The place of the last conversation before that one: what the protocol's `next` says. */
function placeOf(next: string): Place {
  const [time, id = ''] = next.split('.');
  return { time: Number(time), id };
}

/** The newest first. */
function order(a: Place, b: Place): number {
  return b.time - a.time || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}
