import type { Violation } from './check.ts';
import type { History, Operation } from './history.ts';

/** What of a run is worth reading when it has failed. */
export function story({ operations, restores, server }: History, found: readonly Violation[]): string {
  return [
    ...found.map(({ rule, detail }) => `${rule}: ${detail}`),
    '',
    ...restores.map((it) => `restored: ${JSON.stringify(it)}`),
    ...operations.map(line),
    '',
    ...server.messages.map((row) => JSON.stringify(row)),
  ].join('\n');
}

function line({ client, ref, change, outcome, plain, abandoned }: Operation): string {
  const fate = outcome ?? (plain ? 'plain' : abandoned ? 'abandoned' : 'unanswered');
  return JSON.stringify([client, ref, change, fate]);
}
