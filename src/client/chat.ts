import { backoff } from './backoff.ts';
import { LiveConversation } from './conversation.ts';
import { runtime, type Environment } from './environment.ts';
import { closedError } from './error.ts';
import { expected } from './http.ts';
import { LiveInbox } from './inbox.ts';
import { defaultStorage } from './indexed-db.ts';
import { Keeper } from './keeper.ts';
import { Listeners } from './listeners.ts';
import { conversationOf, outboxPrefix } from './outbox.ts';
import { Session } from './session.ts';
import type { Shared } from './shared.ts';
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
    for (const it of live()) it.durabilityChanged();
  });
  const session = new Session(server, mortal, steady, keeper, () => {
    for (const it of live()) it.sessionChanged();
    const { snapshot } = session;
    if (snapshot === shown) return;
    if (snapshot.me !== shown.me && snapshot.me !== null) void openWaiting(snapshot.me, 0);
    shown = snapshot;
    listeners.tell();
  });
  shown = session.snapshot;
  const shared: Shared = {
    session,
    keeper,
    environment: mortal,
    socketUrl: server.replace(/^http/, 'ws'),
    isOnline: (id) => conversations.get(id)?.snapshot().connection.status === 'online',
    hasRead: (id, n) => inbox.hasRead(id, n),
  };
  const inbox = new LiveInbox(shared);

  /** Everything that has a socket. */
  function live(): (LiveConversation | LiveInbox)[] {
    return [inbox, ...conversations.values()];
  }

  function conversation(id: string): LiveConversation {
    const known = conversations.get(id);
    if (known) return known;
    const made = new LiveConversation(id, shared);
    conversations.set(id, made);
    if (isClosed) made.close(closedError());
    return made;
  }

  async function users(query: { readonly search?: string; readonly after?: string }): Promise<UserPage> {
    const { body, headers } = await session.request({ path: `/api/users/?${new URLSearchParams(query).toString()}` });
    const next = /<([^>]*)>; *rel="next"/.exec(headers.get('Link') ?? '')?.[1];
    const after = next === undefined ? null : new URL(next, server).searchParams.get('after');
    return { users: expected(body, isUsers), next: after };
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
    for (const it of live()) it.wake();
  }

  const stopListening = mortal.onWake(wake);
  session.restore();

  return {
    subscribe: (listener) => listeners.add(listener),
    snapshot: () => shown,
    signUp: (account) => session.signUp(account),
    signIn: (credentials) => session.signIn(credentials),
    signOut: () => session.signOut(),
    users: (after) => users({ ...(after !== undefined && { after }) }),
    search: (text, after) => users({ search: text, ...(after !== undefined && { after }) }),
    conversationWith: async (userId): Promise<Conversation> => {
      const { body } = await session.request({ path: `/api/users/${encodeURIComponent(userId)}/chat/` });
      const { data } = expected(body, isOpened);
      return conversation(data.id);
    },
    conversation,
    inbox,
    wake,
    close: () => {
      isClosed = true;
      stopListening();
      session.close();
      for (const it of live()) it.close(closedError());
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
