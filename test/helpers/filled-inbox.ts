import { runInDurableObject } from 'cloudflare:test';
import { InboxStore } from '../../src/inbox/store.ts';
import type { Feed, FeedRow } from '../../src/objects/feed.ts';
import type { InboxRow } from '../../src/protocol/inbox-frames.ts';
import { inboxOf } from './inbox.ts';

/** How a conversation stands in a filled inbox, as far as a test cares. */
export type Standing = Partial<Pick<FeedRow, 'n' | 'read' | 'unread'>> & {
  /** When its newest message was sent. */
  at?: number;
  text?: string;
  archived?: boolean;
  pinned?: boolean;
  marked_unread?: boolean;
  muted_until?: number | null;
};

/** What a conversation feeds to the inbox of one of its members. */
export function feedOf({ at = 1, text = 'Hello', n = 1, read = n, unread = 0 }: Standing, rev = n): Feed {
  const peer = { user_id: crypto.randomUUID(), first_name: 'Ray', last_name: 'Doe' };
  const last = { sender_id: peer.user_id, text, created_at: at };
  return { epoch: 1, rev, row: { kind: 'direct', title: null, peer, n, read, unread, last } };
}

/**
 * Puts conversations that need not exist into an inbox that nobody has asked for anything yet.
 * @returns how they stand there, in the same order
 */
export async function fillInbox(userId: string, standings: readonly Standing[]): Promise<InboxRow[]> {
  return runInDurableObject(inboxOf(userId), (_, { storage }) => {
    const store = new InboxStore(storage);
    return standings.map((standing) => {
      const id = crypto.randomUUID();
      store.apply(id, feedOf(standing));
      const { archived, pinned, marked_unread: unread, muted_until } = standing;
      store.set(id, { archived, pinned, unread, muted_until });
      return store.row(id) as InboxRow;
    });
  });
}
