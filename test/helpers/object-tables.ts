import { runInDurableObject } from 'cloudflare:test';
import { objectOf } from './conversation.ts';

/**
 * The rows of every table of a conversation's own store, by table: to see that something stored nothing. Without what its
 * members' inboxes have acknowledged, which they may do at any time.
 */
export async function dumpObject(conversationId: string): Promise<Record<string, unknown[]>> {
  return runInDurableObject(objectOf(conversationId), (_, { storage: { sql } }) => {
    const names = sql
      .exec<{ name: string }>(
        `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'
           AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name`,
      )
      .toArray();
    const rowsOf = (name: string) => sql.exec(`SELECT * FROM "${name}"`).toArray();
    return Object.fromEntries(
      names.map(({ name }) => [name, rowsOf(name).map(({ fed_rev: _fed_rev, ...row }) => row)]),
    );
  });
}
