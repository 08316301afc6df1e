import type { MemberRow, MessageRow } from '../protocol/rows.ts';

/** Messages and members, by themselves or among other things of a frame. */
type Rows = { readonly messages: readonly MessageRow[]; readonly members: readonly MemberRow[] };

/** The rows that a client has of a conversation: every member, and the messages from some `n` on. */
export class Log {
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
    this.#messages.clear();
    this.#members.clear();
    this.#sent.clear();
    this.#startAt(1);
  }

  /** Has the rows of a snapshot in place of others. @param isSameHistory whether the others are of its history */
  replace(snapshot: Rows, isSameHistory: boolean): void {
    // A row that has not changed stays the same object.
    const [oldMessages, oldMembers] = [new Map(this.#messages), new Map(this.#members)];
    const unlessNew = <Row extends { readonly rev: number }>(row: Row, old: Row | undefined): Row =>
      isSameHistory && old?.rev === row.rev ? old : row;
    const messages = snapshot.messages.map((row) => unlessNew(row, oldMessages.get(row.n)));
    const members = snapshot.members.map((row) => unlessNew(row, oldMembers.get(row.user_id)));
    this.clear();
    this.#startAt(messages[0]?.n ?? 1);
    this.upsert({ messages, members });
  }

  /** Puts a page of older messages in front. @returns whether it ends where the messages begin */
  prepend(messages: readonly MessageRow[]): boolean {
    const [oldest, newest] = [messages[0], messages.at(-1)];
    if (!oldest || newest?.n !== this.#first - 1) return false;
    this.#first = oldest.n;
    this.upsert({ messages, members: [] });
    return true;
  }

  /** Takes rows over, unless there is one with a larger `rev`, or they are older than what is wanted. */
  upsert({ messages, members }: Rows): void {
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

  #startAt(n: number): void {
    this.#first = n;
    this.#last = n - 1;
    this.#run = null;
  }
}
