import type { Totals } from './totals.ts';

/** Outcomes that are not the code of a refusal. */
const OTHER_OUTCOMES = ['acknowledged', 'plain', 'abandoned', 'unanswered'] as const;

/** What some rounds on a real server were and what came of them, as Markdown that reads well as it is. */
export function report(totals: Totals): string {
  const {
    rounds,
    conversations,
    clients,
    sockets,
    resumed,
    snapshots,
    kills,
    openAtKills,
    stored,
    violations,
    unsettled,
  } = totals;
  return [
    `- Rounds: ${rounds}, with ${conversations} conversations`,
    `- Clients: ${clients}, counting each reload; they opened ${sockets} sockets`,
    `- Connections: ${resumed} went on from a cursor, ${snapshots} began with a snapshot`,
    `- Kills of the server: ${kills}`,
    `- Operations under way at each kill: ${openAtKills.join(', ')}`,
    `- Messages stored: ${stored}`,
    ...seen(totals),
    `- Not settled: ${unsettled.length}`,
    ...unsettled.map((detail) => `  - ${detail}`),
    `- Violations: ${violations.length}`,
    ...violations.map(({ rule, detail }) => `  - ${rule}: ${detail}`),
    '',
    ...operationsTable(totals.operations),
  ].join('\n');
}

/** What test/delivery/delivery.test.ts prints. */
export interface RunTotals extends Pick<Totals, 'clients' | 'sightings' | 'rows' | 'operations' | 'faults'> {
  readonly runs: number;
  readonly restores: number;
  readonly violations: number;
}

/** What the runs inside of workerd were, likewise. */
export function reportOfRuns(totals: RunTotals): string {
  return [
    `- Runs: ${totals.runs}, of one conversation each`,
    `- Clients: ${totals.clients}`,
    `- Restores of the store: ${totals.restores}`,
    ...seen(totals),
    `- Violations: ${totals.violations}`,
    '',
    ...operationsTable(totals.operations),
  ].join('\n');
}

function seen({ rows, sightings, faults, operations }: Pick<Totals, 'sightings' | 'rows' | 'operations' | 'faults'>) {
  return [
    `- Rows seen: ${rows}, in ${sightings} looks`,
    `- Faults: ${list(faults)}`,
    `- Refusals: ${list(refusals(operations))}`,
  ];
}

function operationsTable(operations: Totals['operations']): string[] {
  const columns = ['asked', 'acknowledged', 'refused', 'plain, never answered', 'abandoned', 'unanswered'];
  const rows = Object.entries(operations).map(([type, outcomes]) => {
    const [acknowledged, plain, abandoned, unanswered] = OTHER_OUTCOMES.map((outcome) => outcomes[outcome] ?? 0);
    const asked = sum(Object.values(outcomes));
    const refused = sum(Object.values(refusals({ [type]: outcomes })));
    return [type, asked, acknowledged, refused, plain, abandoned, unanswered];
  });
  return [['operation', ...columns], ['---', ...columns.map(() => '---:')], ...rows].map(
    (cells) => `| ${cells.join(' | ')} |`,
  );
}

/** How often each code was the answer. */
function refusals(operations: Totals['operations']): Record<string, number> {
  const codes: Record<string, number> = {};
  for (const [outcome, count] of Object.values(operations).flatMap((outcomes) => Object.entries(outcomes))) {
    const isCode = !(OTHER_OUTCOMES as readonly string[]).includes(outcome);
    if (isCode) codes[outcome] = (codes[outcome] ?? 0) + count;
  }
  return codes;
}

function list(counts: Readonly<Record<string, number>>): string {
  const entries = Object.entries(counts).sort(([, a], [, b]) => b - a);
  return entries.length === 0 ? 'none' : entries.map(([name, count]) => `${name} ${count}`).join(', ');
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
