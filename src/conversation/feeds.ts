import { FEED_ALARM_MS, FEED_INTERVAL_MS, FEED_RETRY_MS, FEED_TIMEOUT_MS, TYPING_UNHEARD_MS } from '../config.ts';
import { inTime } from '../in-time.ts';
import { logError } from '../log.ts';
import type { Feed, FeedReceipt } from '../objects/feed.ts';
import type { ConversationStore } from './store.ts';

/** The inbox of a user, as far as a conversation needs it. */
export type FeedTarget = {
  feed(conversationId: string, feed: Feed): Promise<FeedReceipt>;
  typing(conversationId: string, userId: string, on: boolean): Promise<FeedReceipt>;
  hidePresence(contactId: string): Promise<void>;
};

/** What feeds take from the object that they belong to. */
export type FeedContext = {
  inboxOf(userId: string): FeedTarget;
  /** Keeps the object awake until the work has ended. */
  waitUntil(work: Promise<void>): void;
  /** Has {@link Feeds.soon} be called at a time, in milliseconds since 1970, even if the object is gone by then. */
  wakeAt(time: number): void;
};

type Sending = { isOut: boolean; failures: number; notBefore: number };

/**
 * Tells the members' inboxes how the conversation stands for them. A feed is the whole present state, so one that is
 * lost, late, repeated or overtaken does no harm, and what changes while one is under way travels in the next. Nobody
 * waits for it: what an inbox has not acknowledged stays due in the store, and the object's alarm sees to it.
 */
export class Feeds {
  readonly #conversationId: string;
  readonly #store: ConversationStore;
  readonly #context: FeedContext;
  readonly #sending = new Map<string, Sending>();
  /** Until when a user's inbox need not be told of typing, since nobody was listening there. */
  readonly #unheardUntil = new Map<string, number>();
  #startedAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(conversationId: string, store: ConversationStore, context: FeedContext) {
    this.#conversationId = conversationId;
    this.#store = store;
    this.#context = context;
  }

  /**
   * Feeds whom something is due: now, or, if that was done in the last FEED_INTERVAL_MS, when those have passed. To be
   * called in the same step as the change, since the alarm that it sets has to be as durable.
   */
  soon(now: number): void {
    const due = this.#store.dueFeeds().map((userId) => this.#sendingOf(userId));
    if (due.length === 0) return;
    // Whom nothing keeps waiting is fed now; the alarm is for the case that the object is gone by then.
    const times = due.map(({ notBefore }) => (notBefore > now ? notBefore : now + FEED_ALARM_MS));
    this.#context.wakeAt(Math.min(...times));
    if (due.every(({ isOut, notBefore }) => isOut || notBefore > now)) return;
    const at = this.#startedAt + FEED_INTERVAL_MS;
    if (at <= now || now < this.#startedAt) return this.#start(now);
    if (this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#start(Date.now());
    }, at - now);
  }

  /** Feeds whom something is due, but those who are being fed and those that failed not long ago. */
  #start(now: number): void {
    const due = this.#store.dueFeeds().map((userId) => ({ userId, sending: this.#sendingOf(userId) }));
    const ready = due.filter(({ sending }) => !sending.isOut && sending.notBefore <= now);
    if (ready.length === 0) return;
    this.#startedAt = now;
    for (const { userId, sending } of ready) this.#context.waitUntil(this.#feed(userId, sending));
  }

  /** Tells those who are elsewhere that a member types. Nothing depends on it. */
  typing(userId: string, on: boolean, listeners: readonly string[], now: number): void {
    for (const listener of listeners) {
      if (now < (this.#unheardUntil.get(listener) ?? 0)) continue;
      this.#attempt(listener, async (inbox) => {
        const { listening } = await inbox.typing(this.#conversationId, userId, on);
        if (!listening) this.#unheardUntil.set(listener, now + TYPING_UNHEARD_MS);
      });
    }
  }

  /** Tells the members of a direct conversation that they may not see any more whether the other is here. */
  hidePresence(): void {
    const [one, other] = this.#store.allMembers();
    if (!one || !other) return;
    this.#attempt(one.user_id, async (inbox) => inbox.hidePresence(other.user_id));
    this.#attempt(other.user_id, async (inbox) => inbox.hidePresence(one.user_id));
  }

  /** Tells an inbox something on which nothing depends. */
  #attempt(userId: string, tell: (inbox: FeedTarget) => Promise<void>): void {
    const work = async () => {
      try {
        await tell(this.#context.inboxOf(userId));
      } catch (error) {
        logError('inbox_unreachable', error, { conversation_id: this.#conversationId, user_id: userId });
      }
    };
    this.#context.waitUntil(work());
  }

  async #feed(userId: string, sending: Sending): Promise<void> {
    sending.isOut = true;
    try {
      const feed = this.#store.feed(userId);
      const { listening } = await this.#send(userId, feed);
      if (listening) this.#unheardUntil.delete(userId);
      // That one, and not what has changed since it was made.
      this.#store.settleFeed(userId, feed);
      sending.failures = 0;
    } catch (error) {
      logError('feed_failed', error, { conversation_id: this.#conversationId, user_id: userId });
      const pause = Math.min(FEED_RETRY_MS.most, FEED_RETRY_MS.first * 2 ** sending.failures);
      sending.failures += 1;
      sending.notBefore = Date.now() + pause;
    }
    sending.isOut = false;
    this.soon(Date.now());
  }

  async #send(userId: string, feed: Feed): Promise<FeedReceipt> {
    const call = this.#context.inboxOf(userId).feed(this.#conversationId, feed);
    return inTime(call, FEED_TIMEOUT_MS, 'The inbox does not answer.');
  }

  #sendingOf(userId: string): Sending {
    const known = this.#sending.get(userId);
    if (known) return known;
    const sending = { isOut: false, failures: 0, notBefore: 0 };
    this.#sending.set(userId, sending);
    return sending;
  }
}
