import { backoff } from './backoff.ts';
import { LiveConversation, type Shared } from './conversation.ts';
import { runtime, type Environment } from './environment.ts';
import { closedError } from './error.ts';
import { expected } from './http.ts';
import { defaultStorage } from './indexed-db.ts';
import { Keeper } from './keeper.ts';
import { Listeners } from './listeners.ts';
import { conversationOf, outboxPrefix } from './outbox.ts';
import { Session } from './session.ts';
import type { Chat, ChatOptions, ChatSnapshot, Conversation, User, UserPage } from './types.ts';

/**
 * Makes a client of a server. It takes up the session that is kept, if there is one, and goes on to send what the page
 * before had not sent.
 */
export function createChat({ url, storage = defaultStorage(), environment }: ChatOptions): Chat {
  const server = new URL(url).href.replace(/[?#].*$/, '').replace(/\/+$/, '');
  const given = { ...runtime, ...environment };
  const mortal = mortalEnvironment(given);
  const steady = { ...mortal, fetch: given.fetch.bind(given) };
  const listeners = new Listeners();
  const conversations = new Map<string, LiveConversation>();
  let shown: ChatSnapshot;
  let isClosed = false;
  let cancelOpening: (() => void) | undefined;

  const keeper = new Keeper(storage, mortal, server, () => {
    for (const it of conversations.values()) it.durabilityChanged();
  });
  const session = new Session(server, mortal, steady, keeper, () => {
    for (const it of conversations.values()) it.sessionChanged();
    const { snapshot } = session;
    if (snapshot === shown) return;
    if (snapshot.me !== shown.me && snapshot.me !== null) void openWaiting(snapshot.me, 0);
    shown = snapshot;
    listeners.tell();
  });
  shown = session.snapshot;
  const shared: Shared = { session, keeper, environment: mortal, socketUrl: server.replace(/^http/, 'ws') };

  function conversation(id: string): LiveConversation {
    const known = conversations.get(id);
    if (known) return known;
    const made = new LiveConversation(id, shared);
    conversations.set(id, made);
    if (isClosed) made.close(closedError());
    return made;
  }

  /** Conversations in which something waits to be sent are opened without anybody looking at them. */
  async function openWaiting(userId: string, attempt: number): Promise<void> {
    const { entries, isComplete } = await keeper.readAll(outboxPrefix(userId));
    if (isClosed || session.snapshot.me !== userId) return;
    for (const [key] of entries) conversation(conversationOf(key));
    cancelOpening?.();
    if (isComplete) return;
    cancelOpening = mortal.after(backoff(attempt, mortal.random()), () => void openWaiting(userId, attempt + 1));
  }

  function wake(): void {
    if (isClosed) return;
    const { me } = session.snapshot;
    if (session.access === null) session.restore();
    else if (me !== null) void openWaiting(me, 0);
    for (const it of conversations.values()) it.wake();
  }

  const stopListening = mortal.onWake(wake);
  session.restore();

  return {
    subscribe: (listener) => listeners.add(listener),
    snapshot: () => shown,
    signUp: (account) => session.signUp(account),
    signIn: (credentials) => session.signIn(credentials),
    signOut: () => session.signOut(),
    users: async (after): Promise<UserPage> => {
      const query = after === undefined ? '' : `?after=${encodeURIComponent(after)}`;
      const { body, headers } = await session.request({ path: `/api/users/${query}` });
      const users = expected(body, isUsers);
      const hasMore = headers.get('Link')?.includes('rel="next"') ?? false;
      return { users, next: hasMore ? (users.at(-1)?.id ?? null) : null };
    },
    conversationWith: async (userId): Promise<Conversation> => {
      const { body } = await session.request({ path: `/api/users/${encodeURIComponent(userId)}/chat/` });
      const { data } = expected(body, isOpened);
      return conversation(data.id);
    },
    conversation,
    wake,
    close: () => {
      isClosed = true;
      stopListening();
      session.close();
      for (const it of conversations.values()) it.close(closedError());
      mortal.end();
    },
  };
}

function isUsers(body: unknown): body is User[] {
  return Array.isArray(body);
}

function isOpened(body: unknown): body is { data: { id: string } } {
  const { data } = (body ?? {}) as { data?: { id?: unknown } | null };
  return typeof data?.id === 'string';
}

/** An environment in which nothing goes on any more after its end. */
function mortalEnvironment(environment: Environment): Environment & { end(): void } {
  const cancels = new Set<() => void>();
  const ending = new AbortController();
  return {
    ...environment,
    fetch: (url, init) => {
      const signal = init.signal ? AbortSignal.any([init.signal, ending.signal]) : ending.signal;
      return environment.fetch(url, { ...init, signal });
    },
    after: (milliseconds, work) => {
      if (ending.signal.aborted) return () => {};
      const cancelTimer = environment.after(milliseconds, () => {
        cancels.delete(cancel);
        work();
      });
      const cancel = () => {
        cancels.delete(cancel);
        cancelTimer();
      };
      cancels.add(cancel);
      return cancel;
    },
    end: () => {
      ending.abort();
      for (const cancel of cancels) cancel();
    },
  };
}
