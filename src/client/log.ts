import type { MemberRow, MessageRow } from '../protocol/rows.ts';
import type { ServerFrameOf } from '../protocol/server-frames.ts';

/** Everything up to `rev` of the history that `epoch` names. */
export type Cursor = { readonly epoch: number; readonly rev: number };

/**
 * The rows that a client has of a conversation: every member, and the messages from some `n` on. What frames do to
 * them is what docs/protocol.md says, above all its rule 3.
 */
export class Log {
  cursor: Cursor | null = null;
  /** Whether a `changes` began beyond the cursor. Only a `sync` closes the gap. */
  hasGap = false;
  readonly #messages = new Map<number, MessageRow>();
  readonly #members = new Map<string, MemberRow>();
  /** The `n` of the messages, by sender and ref. */
  readonly #sent = new Map<string, number>();
  /** The first message that is wanted: changes of older ones are not kept. */
  #first = 1;
  /** Every message from the first to this one is here. */
  #last = 0;
  #run: readonly MessageRow[] | null = null;

  get first(): number {
    return this.#first;
  }

  get last(): number {
    return this.#last;
  }

  /** The messages, in order and without gaps: what follows one that is still missing is held back. */
  get messages(): readonly MessageRow[] {
    if (this.#run) return this.#run;
    const run: MessageRow[] = [];
    for (let n = this.#first; n <= this.#last; n += 1) {
      const row = this.#messages.get(n);
      if (row) run.push(row);
    }
    this.#run = run;
    return run;
  }

  get members(): Iterable<MemberRow> {
    return this.#members.values();
  }

  member(userId: string): MemberRow | undefined {
    return this.#members.get(userId);
  }

  /** Whether the message that a user has sent under a ref is in {@link messages}. */
  shows(userId: string, ref: string): boolean {
    const n = this.#sent.get(`${userId} ${ref}`) ?? 0;
    return n >= this.#first && n <= this.#last;
  }

  /** Forgets everything. */
  clear(): void {
    this.cursor = null;
    this.hasGap = false;
    this.#messages.clear();
    this.#members.clear();
    this.#sent.clear();
    this.#startAt(1);
  }

  welcome(frame: ServerFrameOf<'welcome'>): void {
    this.hasGap = false;
    if (frame.resumed) return;
    // A row that has not changed stays the same object.
    const isSameHistory = this.cursor?.epoch === frame.epoch;
    const [oldMessages, oldMembers] = [new Map(this.#messages), new Map(this.#members)];
    const reuse = <Row extends { readonly rev: number }>(row: Row, old: Row | undefined): Row =>
      isSameHistory && old?.rev === row.rev ? old : row;
    const messages = (frame.snapshot?.messages ?? []).map((row) => reuse(row, oldMessages.get(row.n)));
    const members = (frame.snapshot?.members ?? []).map((row) => reuse(row, oldMembers.get(row.user_id)));
    this.clear();
    this.cursor = { epoch: frame.epoch, rev: frame.rev };
    this.#startAt(messages[0]?.n ?? 1);
    this.#upsert(messages, members);
  }

  /** @param closesGap whether it answers the last `sync` of a row of them */
  changes(frame: ServerFrameOf<'changes'>, closesGap: boolean): void {
    if (!this.cursor) return;
    if (frame.after > this.cursor.rev) {
      this.hasGap = true;
      return;
    }
    this.#upsert(frame.messages, frame.members);
    if (frame.rev > this.cursor.rev) this.cursor = { ...this.cursor, rev: frame.rev };
    if (closesGap) this.hasGap = false;
  }

  /**
   * Puts a page of older messages in front.
   * @returns whether it fits: it is of this history, not older than what is here, and ends where the messages begin
   */
  prepend(page: ServerFrameOf<'page'>): boolean {
    const [oldest, newest] = [page.messages[0], page.messages.at(-1)];
    if (!this.#isCurrent(page) || !oldest || newest?.n !== this.#first - 1) return false;
    this.#first = oldest.n;
    this.#upsert(page.messages, []);
    return true;
  }

  #isCurrent(page: ServerFrameOf<'page'>): boolean {
    return this.cursor !== null && page.epoch === this.cursor.epoch && page.rev >= this.cursor.rev;
  }

  #startAt(n: number): void {
    this.#first = n;
    this.#last = n - 1;
    this.#run = null;
  }

  #upsert(messages: readonly MessageRow[], members: readonly MemberRow[]): void {
    for (const row of messages) {
      if (row.n < this.#first || (this.#messages.get(row.n)?.rev ?? 0) >= row.rev) continue;
      this.#messages.set(row.n, row);
      if (row.ref !== null) this.#sent.set(`${row.sender_id} ${row.ref}`, row.n);
      this.#run = null;
    }
    while (this.#messages.has(this.#last + 1)) this.#last += 1;
    for (const row of members) {
      if ((this.#members.get(row.user_id)?.rev ?? 0) < row.rev) this.#members.set(row.user_id, row);
    }
  }
}
