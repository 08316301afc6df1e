import { runDurableObjectAlarm } from 'cloudflare:test';
import { vi } from 'vitest';
import { Inbox } from '../../src/inbox/inbox.ts';
import { objectOf } from '../helpers/conversation.ts';
import { arrive, holdUntil, lose, loseReceipt, repeat, type Passage } from '../helpers/ill-inboxes.ts';
import { alarmOf, inboxOf } from '../helpers/inbox.ts';

/**
 * What becomes of a feed: it fails before it takes effect, or afterwards; it takes effect twice; it fails, and takes
 * effect when {@link FaultyFeeds.arrive} is called; it is held until then.
 */
export const FEED_FAULTS = ['lost', 'unheard', 'twice', 'late', 'held'] as const;
export type FeedFault = (typeof FEED_FAULTS)[number];

/** Milliseconds: an alarm that is set for later than this is none that feeds have set. */
const ALARM_MAX_MS = 5 * 60_000;
/** Alarms after which feeds that have not come to rest never will. */
const ALARMS_MAX = 50;

type Method = Inbox['feed'];
/** A feed that is late. */
type Late = { readonly userId: string; readonly told: Parameters<Method> };

/** What conversations tell inboxes, on a way that fails on demand: nothing here replaces what an inbox does with it. */
export class FaultyFeeds {
  /** Faults that have happened, by kind. */
  readonly happened = new Map<string, number>();
  /** Is told of everything that arrives. */
  #moved = () => {};
  /** What becomes of the next ones, by user. */
  readonly #next = new Map<string, FeedFault[]>();
  #late: Late[] = [];
  #release = Promise.withResolvers<void>();
  #isWhole = false;
  #holds = true;

  constructor() {
    const method = Object.getOwnPropertyDescriptor(Inbox.prototype, 'feed')?.value as Method;
    const pass = async (inbox: Inbox, told: Parameters<Method>) => {
      this.#moved();
      const userId = inbox['ctx'].id.name ?? '';
      const passage = this.#isWhole ? arrive : this.#passageOf({ userId, told });
      return passage({ userId, feed: told[1] }, async () => method.apply(inbox, told));
    };
    vi.spyOn(Inbox.prototype, 'feed').mockImplementation(async function first(
      this: Inbox,
      ...told: Parameters<Method>
    ) {
      return pass(this, told);
    });
  }

  /** Another run begins, which has nothing to do with the one before. */
  reset(moved: () => void): void {
    this.#moved = moved;
    this.happened.clear();
    this.#next.clear();
    this.#late = [];
    this.#release.resolve();
    this.#release = Promise.withResolvers();
  }

  /** The next feeds of a user suffer something. */
  suffer(userId: string, fault: FeedFault, count = 1): void {
    this.#next.set(userId, [...(this.#next.get(userId) ?? []), ...Array.from({ length: count }, () => fault)]);
  }

  /** What is under way arrives: what is held, and after it, the newest first, what is late. */
  async arrive(): Promise<void> {
    this.#release.resolve();
    this.#release = Promise.withResolvers();
    const late = this.#late.toReversed();
    this.#late = [];
    this.#isWhole = true;
    try {
      // An object that was aborted just now takes nothing: then it never arrives.
      for (const { userId, told } of late) {
        await inboxOf(userId)
          .feed(...told)
          .catch(() => {});
      }
    } finally {
      this.#isWhole = false;
    }
  }

  /** The same, and nothing is held while `work` goes on: an object that waits for an answer cannot be evicted. */
  async withoutHold(work: () => Promise<void>): Promise<void> {
    this.#holds = false;
    try {
      await this.arrive();
      await work();
    } finally {
      this.#holds = true;
    }
  }

  /** All arrives, and nothing fails any more. */
  async heal(): Promise<void> {
    this.#next.clear();
    await this.arrive();
  }

  /** What becomes of a feed. */
  #passageOf(feed: Late): Passage {
    const fault = this.#next.get(feed.userId)?.shift();
    if (!fault) return arrive;
    this.happened.set(`feed ${fault}`, (this.happened.get(`feed ${fault}`) ?? 0) + 1);
    switch (fault) {
      case 'lost':
        return lose;
      case 'unheard':
        return loseReceipt;
      case 'twice':
        return repeat;
      case 'held':
        return this.#holds ? holdUntil(this.#release.promise) : arrive;
      case 'late':
        return async (told, deliver) => {
          this.#late.push(feed);
          return lose(told, deliver);
        };
    }
  }
}

/**
 * Lets feeds come to rest: the alarm of their conversation goes off whenever it is due, until nothing is.
 * @param pass lets time pass, and everything happen that needs none
 */
export async function feedsAtRest(conversationId: string, pass: (milliseconds: number) => Promise<void>) {
  for (let alarms = 0; alarms < ALARMS_MAX; alarms += 1) {
    await pass(0);
    const at = await alarmOf(conversationId);
    if (at === null || at > Date.now() + ALARM_MAX_MS) return;
    await pass(Math.max(0, at - Date.now()));
    await runDurableObjectAlarm(objectOf(conversationId));
  }
  throw new Error('Feeds do not come to rest.');
}
