import { NOTICE_CONCURRENCY, NOTICES_PER_RUN } from './config.ts';
import { directory, type Directory } from './directory/database.ts';
import {
  noticesOfSession,
  oldestNotices,
  postponeNotices,
  settleNotices,
  type DueNotice,
} from './directory/notices.ts';
import { logError } from './log.ts';

/** Tells every conversation of its user that a session has ended. Never fails: what fails is left to the cron run. */
export async function deliverSessionNotices(env: Env, sessionId: string): Promise<void> {
  try {
    const db = directory(env.DB);
    await deliver(env, db, await noticesOfSession(db, sessionId));
  } catch (error) {
    logError('session_notices_failed', error, { session_id: sessionId });
  }
}

/** Delivers what no Worker has delivered yet, the longest waiting first. The cron trigger calls it every minute. */
export async function redeliverNotices(env: Env): Promise<void> {
  const db = directory(env.DB);
  await deliver(env, db, await oldestNotices(db, NOTICES_PER_RUN));
}

async function deliver(env: Env, db: Directory, due: DueNotice[]): Promise<void> {
  const byConversation = [...Map.groupBy(due, (notice) => notice.conversation_id).values()];
  for (let start = 0; start < byConversation.length; start += NOTICE_CONCURRENCY) {
    const group = byConversation.slice(start, start + NOTICE_CONCURRENCY);
    await Promise.all(group.map((notices) => deliverToConversation(env, db, notices)));
  }
}

async function deliverToConversation(env: Env, db: Directory, notices: DueNotice[]): Promise<void> {
  const [first] = notices;
  if (!first) return;
  const ids = notices.map(({ id }) => id);
  try {
    await env.CONVERSATIONS.getByName(first.conversation_id).notify(
      { version: first.version, epoch: first.epoch },
      {
        ended_sessions: notices.flatMap(({ session_id, remember_until }) =>
          session_id !== null && remember_until !== null ? [{ session_id, remember_until }] : [],
        ),
      },
    );
    await settleNotices(db, ids);
  } catch (error) {
    logError('notice_failed', error, { conversation_id: first.conversation_id });
    await postponeNotices(db, ids, Date.now()).catch((failure: unknown) => logError('postponing_failed', failure));
  }
}
