import { readFileSync } from 'node:fs';

const DOCUMENT = new URL('../../../docs/differences.md', import.meta.url);

/** The ids of the table in docs/differences.md, in its order. */
export function readDifferences(): readonly string[] {
  const rows = readFileSync(DOCUMENT, 'utf8').matchAll(/^\| `([a-z0-9-]+)` +\|/gm);
  return Array.from(rows, ([, id]) => id ?? '');
}

const KNOWN = new Set(readDifferences());

/** What was cited so far, once for each time. */
export const cited: string[] = [];

/**
 * Ends the name of a test of something that differs on purpose.
 * @param id a row of docs/differences.md
 * @throws Error if there is no such row: what is not listed there is no difference but a fault
 */
export function because(id: string): string {
  if (!KNOWN.has(id)) throw new Error(`docs/differences.md has no row "${id}"`);
  cited.push(id);
  return ` [differs: ${id}]`;
}

/** Prints a line also when every test passes, when vitest's shorter reporters show nothing of the console. */
export function report(line: string): void {
  process.stdout.write(`${line}\n`);
}
