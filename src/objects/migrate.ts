/**
 * Brings a store up to date, in one transaction. Each step that was applied is kept with its text.
 * @throws Error if a step was edited after a store had applied it, or if the store is from a newer release
 */
export function migrate(storage: DurableObjectStorage, migrations: readonly string[]): void {
  const { sql } = storage;
  storage.transactionSync(() => {
    sql.exec('CREATE TABLE IF NOT EXISTS migrations (step INTEGER PRIMARY KEY, text TEXT NOT NULL)');
    const applied = sql.exec<{ text: string }>('SELECT text FROM migrations ORDER BY step').toArray();
    if (applied.length > migrations.length) {
      throw new Error(
        `The store is at step ${applied.length}, this release knows ${migrations.length}. Deploy a newer one.`,
      );
    }
    for (const [step, text] of migrations.entries()) {
      const earlier = applied[step]?.text;
      if (earlier === undefined) {
        sql.exec(text);
        sql.exec('INSERT INTO migrations (step, text) VALUES (?, ?)', step, text);
      } else if (earlier !== text) {
        throw new Error(`Step ${step} was edited after this store applied it. Restore it and add a new step.`);
      }
    }
  });
}
