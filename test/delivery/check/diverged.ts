import type { Facts } from './facts.ts';
import { differences, same } from './same.ts';

/** In the end each client has what the server has: every row, and nothing else. */
export function* diverged({ history: { finals, server } }: Facts): Iterable<string> {
  for (const { client, epoch, messages, members } of finals) {
    if (epoch !== server.epoch) yield `${client} ended in epoch ${epoch}, the server in ${server.epoch}`;
    yield* rowsDiverged(client, 'message', [messages, server.messages], ({ n }) => n);
    yield* rowsDiverged(client, 'member', [members, server.members], ({ user_id }) => user_id);
    for (const [index, { n }] of messages.entries()) {
      const before = messages[index - 1]?.n;
      if (before !== undefined && before >= n) yield `${client} ended with message ${n} behind ${before}`;
    }
  }
}

function* rowsDiverged<Row extends object>(
  client: string,
  what: string,
  [rows, stored]: readonly [readonly Row[], readonly Row[]],
  keyOf: (row: Row) => string | number,
): Iterable<string> {
  const byKey = new Map(rows.map((row) => [keyOf(row), row]));
  for (const expected of stored) {
    const rowKey = keyOf(expected);
    const row = byKey.get(rowKey);
    byKey.delete(rowKey);
    if (!row) yield `${client} ended without ${what} ${rowKey}`;
    else if (!same(row, expected)) {
      yield `${client} ended with ${what} ${rowKey} in which it and the server have ${differences(row, expected)}`;
    }
  }
  for (const rowKey of byKey.keys()) yield `${client} ended with ${what} ${rowKey}, which the server has not`;
}
