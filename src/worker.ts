import { deleteExpiredSessions } from './auth/sessions.ts';
import { redeliverNotices } from './deliver-notices.ts';
import { directory } from './directory/database.ts';
import { app } from './http/app.ts';
import { logError } from './log.ts';

export { Conversation } from './conversation/conversation.ts';

export default {
  fetch: app.fetch,
  async scheduled(_controller, env) {
    // One that fails must not keep the other from its end.
    await Promise.all([
      redeliverNotices(env).catch((error: unknown) => logError('redelivery_failed', error)),
      deleteExpiredSessions(directory(env.DB), Date.now()).catch((error: unknown) => logError('cleanup_failed', error)),
    ]);
  },
} satisfies ExportedHandler<Env>;
