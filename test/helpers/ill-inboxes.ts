import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { vi } from 'vitest';
import { Inbox } from '../../src/inbox/inbox.ts';
import type { Feed, FeedReceipt } from '../../src/objects/feed.ts';

/** A feed on its way to the inbox of a user. */
export type Told = { readonly userId: string; readonly feed: Feed };

/** What becomes of a feed on its way. @param deliver hands it to the inbox, which stores it and acknowledges */
export type Passage = (told: Told, deliver: () => Promise<FeedReceipt>) => Promise<FeedReceipt>;

type Method = Inbox['feed'];

const method = Object.getOwnPropertyDescriptor(Inbox.prototype, 'feed')?.value as Method;
/** What becomes of the feeds of a conversation. */
const passages = new Map<string, Passage>();

/**
 * Has every feed of a conversation take such a passage, until mocks are restored. @returns what was sent, in order, as it
 * grows; `through`, which says what becomes of those that follow; and `arriveLate`, by which one arrives (again)
 */
export function feedsThrough(
  conversationId: string,
  passage: Passage = arrive,
): { told: Told[]; through: (passage: Passage) => void; arriveLate: (told: Told) => Promise<void> } {
  const told: Told[] = [];
  const through = (next: Passage) =>
    void passages.set(conversationId, async (one, deliver) => {
      told.push(one);
      return next(one, deliver);
    });
  through(passage);
  vi.spyOn(Inbox.prototype, 'feed').mockImplementation(async function first(this: Inbox, ...args: Parameters<Method>) {
    const [from, feed] = args;
    const take = passages.get(from) ?? arrive;
    return take({ userId: this['ctx'].id.name ?? '', feed }, async () => method.apply(this, args));
  });
  return {
    told,
    through,
    arriveLate: async ({ userId, feed }) => {
      await runInDurableObject(env.INBOXES.getByName(userId), async (inbox) =>
        method.call(inbox, conversationId, feed),
      );
    },
  };
}

/** It arrives, as it does without any fault. */
export const arrive: Passage = async (_, deliver) => deliver();

/** It does not arrive. */
export const lose: Passage = async () => {
  throw new Error('The inbox is not well.');
};

/** It arrives, but that is never known. */
export const loseReceipt: Passage = async (_, deliver) => {
  await deliver();
  throw new Error('The inbox is not well.');
};

/** It arrives twice. */
export const repeat: Passage = async (_, deliver) => {
  await deliver();
  return deliver();
};

/** It arrives, or begins to, when `released`. */
export const holdUntil =
  (released: Promise<void>): Passage =>
  async (_, deliver) => {
    await released;
    return deliver();
  };
