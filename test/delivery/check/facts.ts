import type { MemberRow, MessageRow } from '../../../src/protocol/rows.ts';
import type { History, Operation, Outcome } from '../history.ts';

type Change = Operation['change'];
type Of<Type extends Change['type']> = Extract<Change, { type: Type }>;

/** An operation, with its place among all of them. */
export interface Asked<Kind extends Change = Change> {
  readonly operation: Operation;
  readonly change: Kind;
  readonly position: number;
}

/** Each kind of operation. */
export type AskedSend = Asked<Of<'send'>>;
export type AskedEdit = Asked<Of<'edit'>>;
export type AskedDelete = Asked<Of<'delete'>>;
export type AskedReact = Asked<Of<'react'>>;

/** A row, and who had it first. */
export interface Known<Row> {
  readonly row: Row;
  readonly by: string;
}

/** Every row that was known in one epoch, by its key and its rev. */
export interface Versions {
  readonly messages: Map<number, Map<number, Known<MessageRow>>>;
  readonly members: Map<string, Map<number, Known<MemberRow>>>;
}

/** A history, and what is looked up in it by several rules. */
export interface Facts {
  readonly history: History;
  /** The server's messages by n. */
  readonly stored: ReadonlyMap<number, MessageRow>;
  /** Everything that clients showed, and in the server's epoch what it has. */
  readonly epochs: ReadonlyMap<number, Versions>;
  readonly asked: readonly Asked[];
  /** By {@link key} of user and ref. */
  readonly sends: ReadonlyMap<string, readonly AskedSend[]>;
  /** Those of plain sockets, by {@link key} of user and text. */
  readonly plain: ReadonlyMap<string, readonly AskedSend[]>;
  /** By {@link key} of user, n and text. */
  readonly edits: ReadonlyMap<string, readonly AskedEdit[]>;
  /** By {@link key} of user and n. */
  readonly deletes: ReadonlyMap<string, readonly AskedDelete[]>;
  /** By {@link key} of user, n and {@link plainEmoji}. */
  readonly reacts: ReadonlyMap<string, readonly AskedReact[]>;
  /** By {@link key} of user and n: whether its text was to be changed, or taken away. */
  readonly changed: ReadonlySet<string>;
  /** The smallest rev that a restore after an epoch went back to: what is larger was taken back. */
  lowestRestore(epoch: number): number;
}

/** The key of a map, of several parts. */
export function key(...parts: readonly (string | number | null)[]): string {
  return parts.join('\n');
}

/** An emoji without what its spellings differ in. */
export function plainEmoji(emoji: string): string {
  return emoji.replaceAll('\ufe0f', '');
}

/** How details name an operation. */
export function nameOf({ client, ref, plain, change }: Operation): string {
  const target = change.type === 'send' ? JSON.stringify(change.text) : `of message ${change.n}`;
  return `${client}: ${plain ? 'plain ' : ''}${change.type} ${target}${ref === null ? '' : `, ref ${ref}`}`;
}

/** How details name a message. */
export function nameOfMessage({ n, rev, sender_id, ref, text }: MessageRow): string {
  return `message ${n} (rev ${rev}, of ${sender_id}, ref ${ref}, ${JSON.stringify(text)})`;
}

/** Whether what was at a rev in an epoch is still there: no restore since then took it back. Not if rev is not known. */
export function isKept(facts: Facts, epoch: number, rev: number | null): boolean {
  return (rev ?? Infinity) <= facts.lowestRestore(epoch);
}

/** Whether an operation cannot have taken place. */
export function isRefused({ outcome }: Operation): boolean {
  return outcome?.type === 'refused';
}

/** Whether an operation may have taken effect after one that was acknowledged, so that it may have undone it. */
export function mayFollow(facts: Facts, later: Asked, earlier: Asked): boolean {
  const { outcome } = later.operation;
  if (outcome?.type === 'refused') return false;
  const [rev, earlierRev] = [revOf(outcome), revOf(earlier.operation.outcome)];
  if (outcome && rev !== null && rev > facts.lowestRestore(outcome.epoch)) return false;
  if (rev !== null && earlierRev !== null) return rev > earlierRev;
  // A client has its operations take place in the order in which it asked for them.
  return later.operation.client !== earlier.operation.client || later.position > earlier.position;
}

function revOf(outcome: Outcome | undefined): number | null {
  return outcome?.type === 'acknowledged' ? outcome.rev : null;
}

/** Looks through a history once. */
export function factsOf(history: History): Facts {
  const asked = history.operations.map((operation, position) => ({ operation, change: operation.change, position }));
  const [sends, plain] = [new Map<string, AskedSend[]>(), new Map<string, AskedSend[]>()];
  const [edits, deletes] = [new Map<string, AskedEdit[]>(), new Map<string, AskedDelete[]>()];
  const reacts = new Map<string, AskedReact[]>();
  const changed = new Set<string>();
  for (const { operation, change, position } of asked) {
    const user = operation.user_id;
    if ((change.type === 'edit' || change.type === 'delete') && !isRefused(operation)) changed.add(key(user, change.n));
    switch (change.type) {
      case 'send':
        if (operation.plain) add(plain, key(user, change.text), { operation, change, position });
        else add(sends, key(user, operation.ref), { operation, change, position });
        break;
      case 'edit':
        add(edits, key(user, change.n, change.text), { operation, change, position });
        break;
      case 'delete':
        add(deletes, key(user, change.n), { operation, change, position });
        break;
      case 'react':
        add(reacts, key(user, change.n, plainEmoji(change.emoji)), { operation, change, position });
        break;
    }
  }
  return {
    history,
    stored: new Map(history.server.messages.map((row) => [row.n, row])),
    epochs: versionsOf(history),
    asked,
    sends,
    plain,
    edits,
    deletes,
    reacts,
    changed,
    lowestRestore: lowestRestoreOf(history),
  };
}

function versionsOf({ server, sightings }: History): Map<number, Versions> {
  const epochs = new Map<number, Versions>();
  // The server comes first: it is what the others are compared with.
  for (const { client: by, epoch, messages, members } of [{ client: 'the server', ...server }, ...sightings]) {
    const versions = epochs.get(epoch) ?? { messages: new Map(), members: new Map() };
    epochs.set(epoch, versions);
    for (const row of messages) addVersion(versions.messages, row.n, { row, by });
    for (const row of members) addVersion(versions.members, row.user_id, { row, by });
  }
  return epochs;
}

function addVersion<Key, Row extends { rev: number }>(
  versions: Map<Key, Map<number, Known<Row>>>,
  rowKey: Key,
  known: Known<Row>,
): void {
  let byRev = versions.get(rowKey);
  if (!byRev) versions.set(rowKey, (byRev = new Map()));
  if (!byRev.has(known.row.rev)) byRev.set(known.row.rev, known);
}

function lowestRestoreOf({ restores }: History): Facts['lowestRestore'] {
  const found = new Map<number, number>();
  return (epoch) => {
    const lowest =
      found.get(epoch) ?? Math.min(Infinity, ...restores.filter((it) => it.epoch > epoch).map(({ rev }) => rev));
    found.set(epoch, lowest);
    return lowest;
  };
}

function add<Value>(map: Map<string, Value[]>, mapKey: string, value: Value): void {
  const values = map.get(mapKey);
  if (values) values.push(value);
  else map.set(mapKey, [value]);
}
