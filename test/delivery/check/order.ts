import type { MessageRow } from '../../../src/protocol/rows.ts';
import { key, nameOf, nameOfMessage, type Facts } from './facts.ts';
import { differences, same } from './same.ts';

/** Messages are numbered 1, 2, 3 …, as time goes on; and those of a client in the order in which it asked. */
export function* order(facts: Facts): Iterable<string> {
  let before: MessageRow | undefined;
  for (const row of facts.history.server.messages) {
    const expected = (before?.n ?? 0) + 1;
    if (row.n !== expected) yield `the server has ${nameOfMessage(row)} where ${expected} was expected`;
    if (before && row.created_at < before.created_at) {
      yield `message ${row.n} was created at ${row.created_at}, message ${before.n} at ${before.created_at}`;
    }
    before = row;
  }
  yield* ownOrder(facts);
}

/** A ref that was asked for again has no place of its own. */
function* ownOrder(facts: Facts): Iterable<string> {
  const [byRef, byText] = [new Map<string, number>(), plainTexts(facts)];
  for (const { n, sender_id, ref } of facts.history.server.messages) {
    if (ref !== null) byRef.set(key(sender_id, ref), n);
  }
  const last = new Map<string, { n: number; name: string }>();
  for (const { operation, change } of facts.asked) {
    const { client, user_id, ref, plain } = operation;
    if (change.type !== 'send' || operation.unordered) continue;
    const sent = plain ? key(user_id, change.text) : key(user_id, ref);
    if ((plain ? facts.plain : facts.sends).get(sent)?.length !== 1) continue;
    const n = (plain ? byText : byRef).get(sent);
    if (n === undefined) continue;
    const queue = key(client, plain ? 'plain' : 'chat.v1');
    const before = last.get(queue);
    if (before && n <= before.n) {
      yield `${nameOf(operation)} is message ${n}; before it was asked ${before.name}, which is message ${before.n}`;
    }
    last.set(queue, { n, name: nameOf(operation) });
  }
}

/** Where texts of plain messages are, also those that were seen before they were edited. */
function plainTexts({ epochs, stored }: Facts): Map<string, number> {
  const places = new Map<string, number>();
  for (const { messages } of epochs.values()) {
    for (const [n, byRev] of messages) {
      for (const { row } of byRev.values()) {
        const isPlain = row.ref === null && row.text !== null;
        if (isPlain && stored.get(n)?.id === row.id) places.set(key(row.sender_id, row.text), n);
      }
    }
  }
  return places;
}

/** Within an epoch everyone has the same message under an n, and the same row under its rev. */
export function* oneOrder({ history, epochs }: Facts): Iterable<string> {
  for (const [epoch, { messages }] of epochs) {
    for (const [n, byRev] of messages) {
      const [first, ...others] = byRev.values();
      for (const { row, by } of others) {
        if (!first || row.id === first.row.id) continue;
        yield `epoch ${epoch}: message ${n} is ${row.id} at ${by} and ${first.row.id} at ${first.by}`;
      }
    }
  }
  for (const { client, epoch, messages, members } of history.sightings) {
    const versions = epochs.get(epoch);
    for (const row of messages) {
      const known = versions?.messages.get(row.n)?.get(row.rev);
      if (known && !same(row, known.row)) {
        yield `epoch ${epoch}: message ${row.n} at rev ${row.rev} has, at ${client} and ${known.by}, ${differences(row, known.row)}`;
      }
    }
    for (const row of members) {
      const known = versions?.members.get(row.user_id)?.get(row.rev);
      if (known && !same(row, known.row)) {
        yield `epoch ${epoch}: member ${row.user_id} at rev ${row.rev} has, at ${client} and ${known.by}, ${differences(row, known.row)}`;
      }
    }
  }
}
