import { deleteExpiredSessions } from './auth/sessions.ts';
import { redeliverNotices } from './conversation/notices.ts';
import { directory } from './directory/database.ts';
import { app } from './http/app.ts';

export { Conversation } from './conversation/conversation.ts';

export default {
  fetch: app.fetch,
  async scheduled(_controller, env) {
    await Promise.all([redeliverNotices(env), deleteExpiredSessions(directory(env.DB), Date.now())]);
  },
} satisfies ExportedHandler<Env>;
