import type { MessageRow } from '../../../src/protocol/rows.ts';
import { key, nameOfMessage, type Facts, type Known } from './facts.ts';

/**
 * What was asked for once took place once: within an epoch no id, no ref of a sender and no text is on two messages,
 * and a message does not get back what it has lost: the text before an edit, or any text once it was deleted.
 */
export function* twice({ epochs }: Facts): Iterable<string> {
  for (const [epoch, { messages }] of epochs) {
    const owners = new Map<string, MessageRow>();
    for (const byRev of messages.values()) {
      const versions = [...byRev.values()].sort((a, b) => a.row.rev - b.row.rev);
      for (const { row, by } of versions) {
        for (const [what, identity] of identities(row)) {
          const owner = owners.get(identity);
          if (!owner) owners.set(identity, row);
          else if (owner.n !== row.n) {
            yield `epoch ${epoch}: the same ${what} is on ${nameOfMessage(owner)} and, at ${by}, on ${nameOfMessage(row)}`;
          }
        }
      }
      yield* comesBack(epoch, versions);
    }
  }
}

function* identities({ id, sender_id, ref, text }: MessageRow): Iterable<[what: string, identity: string]> {
  yield ['id', key('id', id)];
  if (ref !== null) yield ['ref', key('ref', sender_id, ref)];
  if (text !== null) yield ['text', key('text', text)];
}

function* comesBack(epoch: number, versions: readonly Known<MessageRow>[]): Iterable<string> {
  const gone = new Set<string>();
  let before: MessageRow | undefined;
  for (const { row, by } of versions) {
    if (before && before.text !== row.text) {
      if (before.text !== null) gone.add(before.text);
      const isBack = before.text === null || (row.text !== null && gone.has(row.text));
      if (isBack) yield `epoch ${epoch}: ${nameOfMessage(before)} became ${nameOfMessage(row)} again, at ${by}`;
    }
    before = row;
  }
}
