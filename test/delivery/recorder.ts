import type { MemberRow, MessageRow } from '../../src/protocol/rows.ts';
import { same } from './check/same.ts';
import type { Final, History, InboxFinal, Mark, Operation, Outcome, Restore, Sighting, State } from './history.ts';

type DeepReadonly<T> = T extends object ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> } : T;

/** What a member is to a client besides their row: none of it has a rev. */
interface Presence {
  readonly online?: boolean;
  readonly last_seen?: number | null;
  readonly typing?: boolean;
}

/** A client's whole lists at one moment. Rows that have not changed are to be the same objects as before. */
export interface Shown {
  readonly epoch: number;
  readonly messages: readonly DeepReadonly<MessageRow>[];
  readonly members: readonly (DeepReadonly<MemberRow> & Presence)[];
}

/** What a client showed last, as it gave it and as it is recorded. */
interface Last {
  epoch: number;
  messages: Shown['messages'];
  members: Map<string, { given: Shown['members'][number]; row: MemberRow }>;
  range: Sighting['range'];
  gap: number | undefined;
}

/** How much a run did. */
export interface Counts {
  /** By type, and then by what became of them: an outcome, the code of a refusal, `plain`, `abandoned`, `unanswered`. */
  readonly operations: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly sightings: number;
  readonly rows: number;
  readonly restores: number;
}

/** Writes down what happens in a conversation while it is tried, by all of its clients. */
export class Recorder {
  readonly #operations: Operation[] = [];
  readonly #sightings: Sighting[] = [];
  readonly #finals: Final[] = [];
  readonly #restores: Restore[] = [];
  readonly #inboxes: InboxFinal[] = [];
  readonly #marks = new Map<string, Mark>();
  readonly #last = new Map<string, Last>();

  /** A client asks for something. @returns the same object, for {@link answered} */
  asked(operation: Operation): Operation {
    this.#operations.push(operation);
    return operation;
  }

  /** A client has learnt what became of an operation. */
  answered(operation: Operation, outcome: Outcome): void {
    operation.outcome = outcome;
  }

  /** A client is destroyed for good, and will not learn what became of an operation. */
  abandoned(operation: Operation): void {
    operation.abandoned = true;
  }

  /** A client asks that everything up to `read` counts as read. */
  marked({ client, user_id, epoch, read }: Mark): void {
    const key = `${client}\n${epoch}`;
    const before = this.#marks.get(key)?.read ?? 0;
    this.#marks.set(key, { client, user_id, epoch, read: Math.max(read, before) });
  }

  /** A client shows something else than before, or may do so: what is new about it is recorded. */
  saw(client: string, { epoch, messages, members }: Shown): void {
    const known = this.#last.get(client);
    const last: Last =
      known?.epoch === epoch ? known : { epoch, messages: [], members: new Map(), range: null, gap: undefined };
    const { rows, range, gap } = compare(messages, last);
    const changedMembers = this.#changedMembers(members, last);
    const isNews =
      last !== known || rows.length > 0 || changedMembers.length > 0 || gap !== last.gap || !same(range, last.range);
    this.#last.set(client, Object.assign(last, { messages, range, gap }));
    if (!isNews) return;
    const sighting = { client, epoch, messages: rows, members: changedMembers, range };
    this.#sightings.push(gap === undefined ? sighting : { ...sighting, gap });
  }

  /** The store was set back. */
  restored(restore: Restore): void {
    this.#restores.push(restore);
  }

  /** Everything has come to rest, and a client has loaded all there is. */
  settled(client: string, userId: string, shown: Shown): void {
    const marked = this.#marks.get(`${client}\n${shown.epoch}`)?.read ?? 0;
    this.#finals.push({ client, user_id: userId, marked, ...stateOf(shown) });
  }

  /** Everything has come to rest, and this is what somebody has of an inbox. */
  sawInbox(inbox: InboxFinal): void {
    this.#inboxes.push(inbox);
  }

  /** All that happened. @param server what the server answers someone who was never here before */
  history(server: Shown): History {
    return {
      operations: this.#operations,
      sightings: this.#sightings,
      finals: this.#finals,
      server: stateOf(server),
      restores: this.#restores,
      marks: [...this.#marks.values()],
      inboxes: this.#inboxes,
    };
  }

  /** How much happened. */
  counts(): Counts {
    const operations: Record<string, Record<string, number>> = {};
    for (const operation of this.#operations) {
      const ofType = (operations[operation.change.type] ??= {});
      const what = whatBecameOf(operation);
      ofType[what] = (ofType[what] ?? 0) + 1;
    }
    return {
      operations,
      sightings: this.#sightings.length,
      rows: this.#sightings.reduce((sum, { messages, members }) => sum + messages.length + members.length, 0),
      restores: this.#restores.length,
    };
  }

  #changedMembers(members: Shown['members'], { members: known }: Last): MemberRow[] {
    const changed: MemberRow[] = [];
    for (const given of members) {
      const before = known.get(given.user_id);
      if (before?.given === given) continue;
      const row = memberOf(given);
      const isNew = !before || !same(row, before.row);
      if (isNew) changed.push(row);
      known.set(given.user_id, { given, row });
    }
    return changed;
  }
}

/** What of a list of messages was not shown before. Called after every change: what is the same object costs little. */
function compare(messages: Shown['messages'], last: Last): Pick<Last, 'range' | 'gap'> & { rows: MessageRow[] } {
  const rows: MessageRow[] = [];
  const offset = last.range?.[0] ?? 0;
  let gap: number | undefined;
  let before: number | undefined;
  for (const given of messages) {
    const { n } = given;
    if (before !== undefined && n !== before + 1) gap ??= before;
    before = n;
    const known = last.messages[n - offset];
    if (known !== given && !(known?.n === n && same(known, given))) rows.push(given as MessageRow);
  }
  const [first, end] = [messages[0], messages.at(-1)];
  return { rows, gap, range: first && end ? [first.n, end.n] : null };
}

function stateOf({ epoch, messages, members }: Shown): State {
  return { epoch, messages: messages as readonly MessageRow[], members: members.map(memberOf) };
}

function memberOf({
  online: _online,
  last_seen: _last_seen,
  typing: _typing,
  ...row
}: Shown['members'][number]): MemberRow {
  return row;
}

function whatBecameOf({ outcome, plain, abandoned }: Operation): string {
  if (outcome) return outcome.type === 'refused' ? outcome.code : outcome.type;
  if (plain) return 'plain';
  return abandoned ? 'abandoned' : 'unanswered';
}
