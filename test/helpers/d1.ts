import { env } from 'cloudflare:workers';
import { vi } from 'vitest';

/** How many D1 statements the Worker and its objects prepare while `work` runs. */
export async function countQueries(work: () => Promise<unknown>): Promise<number> {
  const prepare = vi.spyOn(env.DB, 'prepare');
  try {
    await work();
    return prepare.mock.calls.length;
  } finally {
    prepare.mockRestore();
  }
}
