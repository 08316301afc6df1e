import {
  NOTICE_ATTEMPTS,
  NOTICE_CONCURRENCY,
  NOTICE_RETRY_MS,
  NOTICE_TIMEOUT_MS,
  NOTICES_PER_PORTION,
  PORTIONS_PER_RUN,
} from './config.ts';
import { directory, type Directory } from './directory/database.ts';
import { dueNotices, postponeNotices, settleNotices, type DueNotice } from './directory/notices.ts';
import { inLanes, inTime } from './in-time.ts';
import { logError } from './log.ts';

/**
 * Tells conversations, and the user's inbox, what has changed about a user: that a session of theirs has ended, what they
 * are called. Never fails: what fails is left to the cron run.
 */
export async function deliverNoticesOf(env: Env, userId: string): Promise<void> {
  try {
    await deliverDue(env, userId);
  } catch (error) {
    logError('notices_failed', error, { user_id: userId });
  }
}

/** Delivers what no Worker has delivered yet, the longest waiting first. The cron trigger calls it every minute. */
export async function redeliverNotices(env: Env): Promise<void> {
  await deliverDue(env);
}

async function deliverDue(env: Env, userId?: string): Promise<void> {
  const db = directory(env.DB);
  for (let portion = 0; portion < PORTIONS_PER_RUN; portion += 1) {
    const due = await dueNotices(db, { userId, limit: NOTICES_PER_PORTION });
    const told = await deliver(env, db, due);
    // What is left cannot be told now: it went to the end of the queue.
    if (due.length < NOTICES_PER_PORTION || told === 0) return;
  }
}

/** Tells every object what is due for it, NOTICE_CONCURRENCY at a time. @returns how many notices have arrived */
async function deliver(env: Env, db: Directory, due: DueNotice[]): Promise<number> {
  const byObject = Map.groupBy(due, ({ conversation, user_id }) => conversation?.id ?? `inbox ${user_id}`);
  const [told, failed]: [number[], number[]] = [[], []];
  await inLanes([...byObject.values()], NOTICE_CONCURRENCY, async (notices) => {
    const ids = notices.map(({ id }) => id);
    ((await tell(env, notices)) ? told : failed).push(...ids);
  });
  if (told.length > 0) await settleNotices(db, told);
  if (failed.length > 0) await postponeNotices(db, failed, Date.now());
  return told.length;
}

/** Tells one object of everything that is due for it. @returns whether it has heard */
async function tell(env: Env, notices: readonly DueNotice[]): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await inTime(notify(env, notices), NOTICE_TIMEOUT_MS, 'The object does not answer.');
      return true;
    } catch (error) {
      const [first] = notices;
      logError('notice_failed', error, {
        conversation_id: first?.conversation?.id,
        user_id: first?.user_id ?? undefined,
      });
      if (attempt >= NOTICE_ATTEMPTS) return false;
      await new Promise((resolve) => setTimeout(resolve, NOTICE_RETRY_MS));
    }
  }
}

async function notify(env: Env, notices: readonly DueNotice[]): Promise<void> {
  const [first] = notices;
  const ended_sessions = notices.flatMap(({ session_id, remember_until }) =>
    session_id !== null && remember_until !== null ? [{ session_id, remember_until }] : [],
  );
  if (first?.conversation) {
    const { id, ...known } = first.conversation;
    await env.CONVERSATIONS.getByName(id).notify(known, { ended_sessions });
  } else if (first && first.user_id !== null) {
    const user_changed = notices.some(({ kind }) => kind === 'user_changed');
    await env.INBOXES.getByName(first.user_id).notify({ ended_sessions, user_changed });
  }
}
