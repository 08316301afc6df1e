import type { Sighting } from '../history.ts';
import { isKept, type Facts } from './facts.ts';

/** What a client has shown so far in one epoch. */
interface Shown {
  readonly epoch: number;
  /** The newest rev of each row, by n or user id. */
  readonly revs: Map<number | string, number>;
  range: Sighting['range'];
  /** A range of which it is known that all of it was shown. */
  whole: Sighting['range'];
}

/**
 * A client shows rows that only get newer, under an n without gaps, and drops none from the end. It may begin at any n,
 * earlier or later than before: older messages are loaded, and a snapshot replaces them by the newest. What it showed
 * before a snapshot still counts: it never shows an older row again. A new epoch begins with nothing.
 */
export function* wentBack(facts: Facts): Iterable<string> {
  const clients = new Map<string, Shown>();
  for (const sighting of facts.history.sightings) {
    const { client, epoch } = sighting;
    let shown = clients.get(client);
    if (shown && epoch < shown.epoch) yield `${client} went from epoch ${shown.epoch} back to ${epoch}`;
    if (shown?.epoch !== epoch) clients.set(client, (shown = { epoch, revs: new Map(), range: null, whole: null }));
    yield* olderRows(shown, sighting);
    yield* smallerRange(shown, sighting);
  }
  yield* lowerMarks(facts);
}

function* olderRows({ revs }: Shown, { client, epoch, messages, members }: Sighting): Iterable<string> {
  const rows = [
    ...messages.map(({ n, rev }) => ({ rowKey: n, rev })),
    ...members.map(({ user_id, rev }) => ({ rowKey: user_id, rev })),
  ];
  for (const { rowKey, rev } of rows) {
    const before = revs.get(rowKey) ?? 0;
    if (rev < before) {
      const what = typeof rowKey === 'number' ? 'message' : 'member';
      yield `epoch ${epoch}: ${client} showed ${what} ${rowKey} at rev ${before}, then at rev ${rev}`;
    }
    revs.set(rowKey, rev);
  }
}

function* smallerRange(shown: Shown, { client, epoch, range, gap }: Sighting): Iterable<string> {
  if (gap !== undefined) yield `epoch ${epoch}: ${client} showed messages without the one behind ${gap}`;
  const before = shown.range;
  shown.range = range;
  if (before && (!range || range[1] < before[1])) {
    yield `epoch ${epoch}: ${client} showed messages up to ${before[1]}, then up to ${range?.[1] ?? 'none'}`;
  }
  if (!range) return;
  const [first, last] = range;
  const [wholeFirst, wholeLast] = shown.whole ?? [0, 0];
  for (let n = first; n <= last; n += 1) {
    if (n >= wholeFirst && n <= wholeLast) n = wholeLast;
    else if (!shown.revs.has(n)) yield `epoch ${epoch}: ${client} showed ${first} to ${last}, but never message ${n}`;
  }
  const joins = shown.whole && first <= wholeLast + 1 && last >= wholeFirst - 1;
  shown.whole = joins ? [Math.min(first, wholeFirst), Math.max(last, wholeLast)] : range;
}

/** Marks move up with a member's rev, and no further than there are messages. */
function* lowerMarks(facts: Facts): Iterable<string> {
  for (const [epoch, { members }] of facts.epochs) {
    for (const [userId, byRev] of members) {
      let [read, delivered] = [0, 0];
      for (const { row, by } of [...byRev.values()].sort((a, b) => a.row.rev - b.row.rev)) {
        const marks = `epoch ${epoch}: ${by} had member ${userId} at rev ${row.rev} with read ${row.read}, delivered ${row.delivered}`;
        const count = isKept(facts, epoch, row.rev) ? facts.history.server.messages.length : Infinity;
        if (row.read < read || row.delivered < delivered) yield `${marks}; before it was ${read}, ${delivered}`;
        else if (row.read > row.delivered || row.delivered > count) yield `${marks}, of ${count} messages`;
        [read, delivered] = [row.read, row.delivered];
      }
    }
  }
}
