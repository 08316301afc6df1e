import { env } from 'cloudflare:workers';
import { vi } from 'vitest';

/** Makes D1 refuse every statement of the Worker until `restore()`. */
export function breakD1(): { restore: () => void } {
  const prepare = env.DB.prepare.bind(env.DB);
  const spy = vi.spyOn(env.DB, 'prepare').mockImplementation(() => prepare('SELECT * FROM no_such_table'));
  return { restore: () => spy.mockRestore() };
}
