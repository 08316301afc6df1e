import { vi } from 'vitest';

/** The statements that `work` executes, and what they cost. */
export function statementsOf({ sql }: DurableObjectStorage, work: () => unknown) {
  const exec = vi.spyOn(sql, 'exec');
  work();
  const statements = exec.mock.calls.map(([text, ...bindings], i) => ({ text, bindings, cursor: cursorOf(exec, i) }));
  exec.mockRestore();
  return statements;
}

function cursorOf(exec: { mock: { results: { value: unknown }[] } }, i: number) {
  return exec.mock.results[i]?.value as SqlStorageCursor<Record<string, SqlStorageValue>>;
}

/** Rows that `work` reads and writes. Entries of indexes count, as they are billed. */
export function costOf(storage: DurableObjectStorage, work: () => unknown): { read: number; written: number } {
  const cursors = statementsOf(storage, work).map(({ cursor }) => cursor);
  return {
    read: cursors.reduce((sum, { rowsRead }) => sum + rowsRead, 0),
    written: cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0),
  };
}

/** The tables that a statement would read as a whole, the indexes that it would use, and whether it would sort. */
export function planOf({ sql }: DurableObjectStorage, text: string, bindings: readonly unknown[] = []) {
  const plan = sql.exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${text}`, ...bindings).toArray();
  const found = (pattern: RegExp) => plan.flatMap(({ detail }) => pattern.exec(detail)?.[1] ?? []);
  return {
    scanned: found(/^SCAN (\w+)/),
    indexes: found(/USING (?:COVERING )?INDEX (\w+)/),
    sorted: plan.some(({ detail }) => detail.startsWith('USE TEMP B-TREE')),
  };
}
