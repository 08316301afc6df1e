import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test';
import { vi } from 'vitest';
import { ConversationStore } from '../../src/conversation/store.ts';
import { objectOf } from '../helpers/conversation.ts';
import { raiseEpoch, versionOf } from '../helpers/directory.ts';
import { notify } from '../helpers/follower.ts';
import type { Restore } from './history.ts';

/** What a conversation had stored at one time. */
export interface Dump {
  readonly rev: number;
  readonly tables: Readonly<Record<string, readonly Record<string, SqlStorageValue>[]>>;
}

/** Takes note of all that a conversation has stored. */
export async function dump(conversationId: string): Promise<Dump> {
  // Both in one step: in between something could be stored.
  return runInDurableObject(objectOf(conversationId), (_, { storage: { sql } }) => {
    const names = sql
      .exec<{ name: string }>(
        `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'
        AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`,
      )
      .toArray()
      .map(({ name }) => name);
    const tables = Object.fromEntries(names.map((name) => [name, sql.exec(`SELECT * FROM "${name}"`).toArray()]));
    const { rev } = sql
      .exec<{ rev: number }>(`SELECT max(rev) AS rev FROM (SELECT rev FROM messages UNION ALL SELECT rev FROM members)`)
      .one();
    return { rev, tables };
  });
}

type Transaction = (this: ConversationStore, work: () => unknown) => unknown;

/** Makes what a store is asked to do in one step fail, in one of two places. */
export class FailingStore {
  /** How many steps are still to fail. */
  failures = 0;
  /** Whether they fail at their end, and are undone, rather than before they begin. */
  isLate = false;
  /** Whether nothing is stored for now. */
  isReadOnly = false;
  happened = 0;

  constructor() {
    const original = Object.getOwnPropertyDescriptor(ConversationStore.prototype, 'transaction')?.value as Transaction;
    const transaction = <Result>(store: ConversationStore, work: () => Result): Result => {
      if (this.isReadOnly) throw new Error('The store is being restored.');
      if (this.failures === 0) return original.call(store, work) as Result;
      this.failures -= 1;
      this.happened += 1;
      if (!this.isLate) throw new Error('The disk is full.');
      return original.call(store, () => {
        work();
        throw new Error('The disk is full.');
      }) as Result;
    };
    vi.spyOn(ConversationStore.prototype, 'transaction').mockImplementation(function fail(
      this: ConversationStore,
      work: () => unknown,
    ) {
      return transaction(this, work);
    });
  }
}

/** Sets a conversation back, as docs/operations.md says: its epoch rises before and after. */
export async function restore(conversationId: string, { rev, tables }: Dump, store: FailingStore): Promise<Restore> {
  await raiseEpoch(conversationId);
  // Whether anybody hears of it yet is left to chance: a notice may come late.
  if (rev % 2 === 0) await notify(conversationId, await versionOf(conversationId)).catch(() => {});
  store.isReadOnly = true;
  try {
    await runInDurableObject(objectOf(conversationId), async (_, { storage }) => {
      storage.transactionSync(() => {
        for (const [name, rows] of Object.entries(tables)) {
          storage.sql.exec(`DELETE FROM "${name}"`);
          for (const row of rows) {
            const columns = Object.keys(row);
            const names = columns.map((it) => `"${it}"`).join(', ');
            const places = columns.map(() => '?').join(', ');
            storage.sql.exec(`INSERT INTO "${name}" (${names}) VALUES (${places})`, ...Object.values(row));
          }
        }
      });
      await storage.sync();
    });
    await raiseEpoch(conversationId);
    // The object that is awake believes in what was there before.
    await abortAllDurableObjects();
  } finally {
    store.isReadOnly = false;
  }
  return { epoch: (await versionOf(conversationId)).epoch, rev };
}
