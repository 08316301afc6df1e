import type { Violation } from '../../../delivery/check.ts';
import type { Counts } from '../../../delivery/recorder.ts';

/** What some rounds were, and what came of them. */
export interface Totals {
  rounds: number;
  conversations: number;
  /** How many clients there were; one that is loaded anew is another one. */
  clients: number;
  sockets: number;
  /** How many of their connections went on from a cursor, and how many began with a snapshot. */
  resumed: number;
  snapshots: number;
  kills: number;
  /** How many operations were acknowledged in each life of the server: before its first kill, then after each. */
  acknowledgedByLife: number[];
  /** How many operations were asked for and not answered yet when the server was killed, each time. */
  openAtKills: number[];
  /** By type, and then by what became of them. */
  operations: Record<string, Record<string, number>>;
  stored: number;
  sightings: number;
  rows: number;
  faults: Record<string, number>;
  violations: Violation[];
  /** Who had not come to rest in time, and why. */
  unsettled: string[];
}

export function noTotals(): Totals {
  return {
    rounds: 0,
    conversations: 0,
    clients: 0,
    sockets: 0,
    resumed: 0,
    snapshots: 0,
    kills: 0,
    acknowledgedByLife: [],
    openAtKills: [],
    operations: {},
    stored: 0,
    sightings: 0,
    rows: 0,
    faults: {},
    violations: [],
    unsettled: [],
  };
}

const NUMBERS = [
  'rounds',
  'conversations',
  'clients',
  'sockets',
  'resumed',
  'snapshots',
  'kills',
  'stored',
  'sightings',
  'rows',
] as const;

/** Adds the later totals to the earlier ones. */
export function add(earlier: Totals, later: Totals): void {
  for (const name of NUMBERS) earlier[name] += later[name];
  addOperations(earlier.operations, later.operations);
  addNumbers(earlier.faults, Object.entries(later.faults));
  earlier.acknowledgedByLife.push(...later.acknowledgedByLife);
  earlier.openAtKills.push(...later.openAtKills);
  earlier.violations.push(...later.violations);
  earlier.unsettled.push(...later.unsettled);
}

/** Adds how many operations there were of each type and outcome. */
export function addOperations(earlier: Totals['operations'], later: Counts['operations']): void {
  for (const [type, outcomes] of Object.entries(later)) {
    addNumbers((earlier[type] ??= {}), Object.entries(outcomes));
  }
}

/** Adds numbers to those under the same names. */
export function addNumbers(
  earlier: Record<string, number>,
  later: Iterable<readonly [name: string, value: number]>,
): void {
  for (const [name, value] of later) earlier[name] = (earlier[name] ?? 0) + value;
}
