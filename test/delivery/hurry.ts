import { vi } from 'vitest';

/** Milliseconds. */
const GATHERED_MAX_MS = 1000;

/**
 * Has the server tell at once what it gathers for a while: that would take the while, and an eviction waits for it. How
 * long it waits for an answer stays as it is.
 */
export function hurryServer(): void {
  const { setTimeout: later } = globalThis;
  vi.stubGlobal('setTimeout', (work: () => void, milliseconds = 0) =>
    later(work, milliseconds > GATHERED_MAX_MS ? milliseconds : Math.min(milliseconds, 1)),
  );
}
