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
import { logError } from './log.ts';

/**
 * Tells conversations what has changed about a user: that a session of theirs has ended, what they are called. Never
 * fails: what fails is left to the cron run.
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

/** Tells every conversation what is due for it, NOTICE_CONCURRENCY at a time. @returns how many notices have arrived */
async function deliver(env: Env, db: Directory, due: DueNotice[]): Promise<number> {
  const queue = [...Map.groupBy(due, (notice) => notice.conversation_id).values()];
  const [told, failed]: [number[], number[]] = [[], []];
  const takeTurns = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const ids = next.map(({ id }) => id);
      ((await tell(env, next)) ? told : failed).push(...ids);
    }
  };
  await Promise.all(Array.from({ length: NOTICE_CONCURRENCY }, takeTurns));
  if (told.length > 0) await settleNotices(db, told);
  if (failed.length > 0) await postponeNotices(db, failed, Date.now());
  return told.length;
}

/** Tells one conversation of everything that is due for it. @returns whether it has heard */
async function tell(env: Env, notices: DueNotice[]): Promise<boolean> {
  const [first] = notices;
  if (!first) return true;
  const ended_sessions = notices.flatMap(({ session_id, remember_until }) =>
    session_id !== null && remember_until !== null ? [{ session_id, remember_until }] : [],
  );
  for (let attempt = 1; ; attempt += 1) {
    try {
      const { conversation_id, version, epoch } = first;
      await inTime(env.CONVERSATIONS.getByName(conversation_id).notify({ version, epoch }, { ended_sessions }));
      return true;
    } catch (error) {
      logError('notice_failed', error, { conversation_id: first.conversation_id });
      if (attempt >= NOTICE_ATTEMPTS) return false;
      await new Promise((resolve) => setTimeout(resolve, NOTICE_RETRY_MS));
    }
  }
}

/** Gives up on a call that hangs: the conversations behind it must not wait for it. */
async function inTime(call: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('The conversation does not answer.')), NOTICE_TIMEOUT_MS);
  });
  await Promise.race([call, timeout]).finally(() => clearTimeout(timer));
}
