import { env } from 'cloudflare:workers';

/** The rows of every table of the directory, by table: to see that something wrote nothing, or what it wrote. */
export async function dumpTables(): Promise<Record<string, Record<string, unknown>[]>> {
  names ??= await tableNames();
  const results = await env.DB.batch<Record<string, unknown>>(
    names.map((name) => env.DB.prepare(`SELECT * FROM "${name}"`)),
  );
  return Object.fromEntries(names.map((name, i) => [name, results[i]?.results ?? []]));
}

let names: string[] | undefined;

async function tableNames(): Promise<string[]> {
  const { results } = await env.DB.prepare(
    `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'
       AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> 'd1_migrations' ORDER BY name`,
  ).all<{ name: string }>();
  return results.map(({ name }) => name);
}
