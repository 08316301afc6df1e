// Ends this process when the one that started it is gone, also if that one was killed and could not say so: `npm start`
// leaves no server behind that holds its port. scripts/start.ts loads it, and has wrangler's processes load it.
import { isMainThread } from 'node:worker_threads';

/** For `node --import`, so that another process does the same. */
export const endWithParent = import.meta.url;

const CHECK_MS = 500;

if (isMainThread) {
  const parent = process.ppid;
  const check = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(check);
    process.kill(process.pid, 'SIGTERM');
  }, CHECK_MS);
  // It must not keep a process alive that is done.
  check.unref();
}
