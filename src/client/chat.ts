import { LiveConversation, type Shared } from './conversation.ts';
import { runtime } from './environment.ts';
import { ChatError } from './error.ts';
import { defaultStorage } from './indexed-db.ts';
import { Keeper } from './keeper.ts';
import { Listeners } from './listeners.ts';
import { outboxPrefix } from './outbox.ts';
import { Session } from './session.ts';

import type { Chat, ChatOptions, ChatSnapshot, Conversation, User, UserPage } from './types.ts';

/**
 * Makes a client of a server. It takes up the session that is kept, if there is one, and goes on to send what the page
 * before had not sent.
 */
export function createChat({ url, storage = defaultStorage(), environment }: ChatOptions): Chat {
  const server = new URL(url).href.replace(/[?#].*$/, '').replace(/\/+$/, '');
  const surroundings = { ...runtime, ...environment };
  const listeners = new Listeners();
  const conversations = new Map<string, LiveConversation>();
  let shown: ChatSnapshot;
  let isClosed = false;

  const keeper = new Keeper(storage, surroundings, server, () => {
    for (const it of conversations.values()) it.durabilityChanged();
  });
  const session = new Session(server, surroundings, keeper, () => {
    for (const it of conversations.values()) it.sessionChanged();
    if (session.snapshot === shown) return;
    if (session.snapshot.me !== shown.me && session.snapshot.me !== null) void openWaiting(session.snapshot.me);
    shown = session.snapshot;
    listeners.tell();
  });
  shown = session.snapshot;
  const shared: Shared = { session, keeper, environment: surroundings, socketUrl: server.replace(/^http/, 'ws') };

  function conversation(id: string): LiveConversation {
    const known = conversations.get(id);
    if (known) return known;
    const made = new LiveConversation(id, shared);
    conversations.set(id, made);
    return made;
  }

  /** Conversations in which something waits to be sent are opened without anybody looking at them. */
  async function openWaiting(userId: string): Promise<void> {
    const prefix = outboxPrefix(userId);
    const kept = await keeper.readAll(prefix).catch(() => []);
    if (isClosed || session.snapshot.me !== userId) return;
    for (const [key] of kept) conversation(key.slice(prefix.length).split('/')[0] ?? '');
  }

  function wake(): void {
    if (session.access === null && !isClosed) void session.restore();
    for (const it of conversations.values()) it.wake();
  }

  const stopListening = surroundings.onWake(wake);
  void session.restore();

  return {
    subscribe: (listener) => listeners.add(listener),
    snapshot: () => shown,
    signUp: (account) => session.signUp(account),
    signIn: (credentials) => session.signIn(credentials),
    signOut: () => session.signOut(),
    users: async (after): Promise<UserPage> => {
      const query = after === undefined ? '' : `?after=${encodeURIComponent(after)}`;
      const { body, headers } = await session.request({ path: `/api/users/${query}` });
      const users = body as User[];
      const hasMore = headers.get('Link')?.includes('rel="next"') ?? false;
      return { users, next: hasMore ? (users.at(-1)?.id ?? null) : null };
    },
    conversationWith: async (userId): Promise<Conversation> => {
      const { body } = await session.request({ path: `/api/users/${encodeURIComponent(userId)}/chat/` });
      return conversation((body as { data: { id: string } }).data.id);
    },
    conversation,
    wake,
    close: () => {
      isClosed = true;
      stopListening();
      session.close();
      keeper.close();
      const why = new ChatError('closed', 'The client was closed.');
      for (const it of conversations.values()) it.close(why);
    },
  };
}
