import { deleteOldOperatorKeys } from './auth/operator.ts';
import { deleteOldEvents } from './auth/security-log.ts';
import { deleteExpiredSessions } from './auth/sessions.ts';
import { deletePaidThrottles } from './auth/throttle.ts';
import { EXPIRED_ROWS_PER_PORTION, PORTIONS_PER_RUN } from './config.ts';
import { redeliverNotices } from './deliver-notices.ts';
import { directory } from './directory/database.ts';
import { app } from './http/app.ts';
import { logError } from './log.ts';

export { Conversation } from './conversation/conversation.ts';
export { Inbox } from './inbox/inbox.ts';

export default {
  fetch: app.fetch,
  async scheduled(_controller, env) {
    const db = directory(env.DB);
    const now = Date.now();
    // One that fails must not keep the others from their end.
    await Promise.all([
      redeliverNotices(env).catch((error: unknown) => logError('redelivery_failed', error)),
      ...[deleteExpiredSessions, deletePaidThrottles, deleteOldEvents, deleteOldOperatorKeys].map((clean) =>
        inPortions(() => clean(db, now)).catch((error: unknown) => logError('cleanup_failed', error)),
      ),
    ]);
  },
} satisfies ExportedHandler<Env>;

/** Deletes until less than a portion was left, or the next run may go on. */
async function inPortions(clean: () => Promise<number>): Promise<void> {
  for (let portion = 0; portion < PORTIONS_PER_RUN; portion += 1) {
    if ((await clean()) < EXPIRED_ROWS_PER_PORTION) return;
  }
}
