import { listDurableObjectIds, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { dumpTables } from './tables.ts';

/**
 * Everything that is stored anywhere, as text: every table of the directory, and every table and value of every object
 * that there is.
 */
export async function everyStore(): Promise<string> {
  const objects: unknown[] = [];
  for (const id of await listDurableObjectIds(env.CONVERSATIONS)) {
    objects.push(await runInDurableObject(env.CONVERSATIONS.get(id), dumpStorage));
  }
  for (const id of await listDurableObjectIds(env.INBOXES)) {
    objects.push(await runInDurableObject(env.INBOXES.get(id), dumpStorage));
  }
  return JSON.stringify([await dumpTables(), objects]);
}

async function dumpStorage(_: unknown, { storage }: DurableObjectState): Promise<string> {
  const tables = storage.sql
    .exec<{ name: string }>(
      `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`,
    )
    .toArray()
    .map(({ name }) => [name, storage.sql.exec(`SELECT * FROM "${name}"`).toArray()]);
  return JSON.stringify([tables, [...(await storage.list())]]);
}
