import type { ChatError } from './error.ts';
import type { Environment } from './environment.ts';
import type { ChatStorage } from './storage.ts';

// What is stored or sent is snake_case, as docs/protocol.md has it. Times are milliseconds since 1970.

/** How to make a {@link Chat}. */
export interface ChatOptions {
  /** Where the server is: `https://chat.example.org`. Its path, if it has one, comes before `/api` and `/ws`. */
  readonly url: string | URL;
  /**
   * Keeps who is signed in and what is not sent yet. Tabs that share one act as one. By default IndexedDB where there
   * is one, as in browsers, and memory elsewhere.
   */
  readonly storage?: ChatStorage;
  /** Replaces parts of what the client takes from its runtime. */
  readonly environment?: Partial<Environment>;
}

/** Something that changes, and tells so. Both functions may be passed on unbound, as to `useSyncExternalStore`. */
export interface Observable<Snapshot> {
  /** Calls `listener` soon after every change, until the function that it returns is called. */
  readonly subscribe: (listener: () => void) => () => void;
  /** How things stand. The same object until something changes, and what did not change in it stays the same object. */
  readonly snapshot: () => Snapshot;
}

/** A user's connection to a server. */
export interface Chat extends Observable<ChatSnapshot> {
  /** Makes an account. It does not sign in. @throws ChatError `invalid` with `fields` that say what to change */
  signUp(account: NewAccount): Promise<void>;
  /** Signs in, in all tabs. @throws ChatError `invalid`; `unauthenticated` for a wrong address or password; or another */
  signIn(credentials: Credentials): Promise<void>;
  /**
   * Ends the session, and forgets what is kept on this device of its user, unsent messages too. Does not throw: without
   * a connection the device forgets all the same, and the session ends by itself in a day.
   */
  signOut(): Promise<void>;
  /** The other users, in the order in which they signed up, a page at a time. @throws ChatError */
  users(after?: string): Promise<UserPage>;
  /** The other users whom a text finds, a page at a time. @throws ChatError */
  search(text: string, after?: string): Promise<UserPage>;
  /** The conversation with another user, which is opened if there is none. @throws ChatError */
  conversationWith(userId: string): Promise<Conversation>;
  /** The conversation with an id; always the same object. It connects when it is subscribed to, or asked for something. */
  conversation(id: string): Conversation;
  /** All conversations of the user, in short. It connects when it is subscribed to, or asked for something. */
  readonly inbox: Inbox;
  /** Looks at once whether anything was missed, as after a sleep. Browsers do so by themselves. */
  wake(): void;
  /** Closes every socket and stops every timer. What is not sent yet stays in the storage. */
  close(): void;
}

/** Who is signed in. */
export interface ChatSnapshot {
  readonly status: 'restoring' | 'signed_out' | 'signed_in';
  /** The id of the user; null unless signed in. */
  readonly me: string | null;
  /** Why the session ended, if it did not end by {@link Chat.signOut}. */
  readonly problem: ChatError | null;
}

/** What {@link Chat.signIn} wants. */
export interface Credentials {
  readonly email: string;
  readonly password: string;
}

/** What {@link Chat.signUp} wants. */
export interface NewAccount extends Credentials {
  readonly first_name: string;
  readonly last_name: string;
}

/** Someone to talk to. */
export interface User {
  readonly id: string;
  readonly first_name: string;
  readonly last_name: string;
}

/** Some users. */
export interface UserPage {
  readonly users: readonly User[];
  /** To be passed for the next page; null on the last. */
  readonly next: string | null;
}

/** The conversations of the user who is signed in, in short. */
export interface Inbox extends Observable<InboxSnapshot> {
  /** Puts the next page of older conversations into the snapshot; does nothing if there are none. @throws ChatError */
  loadMore(): Promise<void>;
  /** Archived conversations, a page at a time; they do not get into the snapshot. @throws ChatError */
  archived(before?: string): Promise<InboxPage>;
  /** Conversations with something unread, a page at a time; they do not get into the snapshot. @throws ChatError */
  unread(before?: string): Promise<InboxPage>;
  /**
   * Changes how a conversation stands in the inbox. It is asked for until it is answered, but not kept over a reload.
   * @throws ChatError if it is refused: `too_many_pins`, `no_such_conversation`, …
   */
  update(conversationId: string, change: InboxChange): Promise<void>;
  /** Connects again after it had stopped or while it waits. */
  reconnect(): void;
}

/** What {@link Inbox.update} changes; the rest stays. */
export interface InboxChange {
  /** null ends it. */
  readonly muted_until?: number | null;
  readonly pinned?: boolean;
  readonly archived?: boolean;
  /** true marks it to be come back to, false marks all of it as read. */
  readonly unread?: boolean;
}

/** How the inbox stands. */
export interface InboxSnapshot {
  readonly connection: Connection;
  /** Whose inbox it is: the user who is signed in, or was until the session ended; null if nobody is known. */
  readonly me: string | null;
  /** Pinned ones first, then those with the newest activity. Archived ones are left out. */
  readonly conversations: readonly InboxConversation[];
  /** Whether there are older ones, for {@link Inbox.loadMore}. */
  readonly has_more: boolean;
  /** In all conversations, whether they are here or not, but for muted and archived ones. */
  readonly unread: InboxTotal;
  /** Everything up to `rev` of the history `epoch` is here; null before the first welcome. */
  readonly cursor: { readonly epoch: number; readonly rev: number } | null;
}

/** How much is unread in all. */
export interface InboxTotal {
  readonly messages: number;
  /** Those that have unread messages or were marked unread. */
  readonly conversations: number;
}

/** Some conversations. */
export interface InboxPage {
  readonly conversations: readonly InboxConversation[];
  /** To be passed for the next page; null on the last. */
  readonly next: string | null;
}

/** A conversation in short, as it stands at its `rev`. */
export interface InboxConversation {
  /** Its id, for {@link Chat.conversation}. */
  readonly conversation: string;
  /** Its last change, in the one sequence of all changes of the inbox. */
  readonly rev: number;
  /** `direct`. */
  readonly kind: string;
  /** null for a direct conversation, which its `peer` names. */
  readonly title: string | null;
  /** The other member of a direct conversation. */
  readonly peer: InboxPeer | null;
  /** Its newest message. */
  readonly n: number;
  /** The user has read everything up to this `n`. */
  readonly read: number;
  /** Messages of others that the user has not read. It stops to count somewhere. */
  readonly unread: number;
  /** The user wants to come back to it, although they have read it. */
  readonly marked_unread: boolean;
  readonly last: InboxMessage;
  /** null if it is not muted. */
  readonly muted_until: number | null;
  readonly pinned: boolean;
  readonly archived: boolean;
  /** Who types, by user id. */
  readonly typing: readonly string[];
}

/** The other member of a direct conversation. */
export interface InboxPeer {
  readonly user_id: string;
  readonly first_name: string;
  readonly last_name: string;
  readonly online: boolean;
  /** When they were last here; null while they are online, and if it is not known. */
  readonly last_seen: number | null;
}

/** The newest message of a conversation, in short. */
export interface InboxMessage {
  readonly n: number;
  readonly sender_id: string;
  /** Its beginning; null if it was deleted. */
  readonly text: string | null;
  readonly created_at: number;
}

/** A conversation, as one of its members has it. */
export interface Conversation extends Observable<ConversationSnapshot> {
  readonly id: string;
  /**
   * Sends a message. It is in `pending` at once, and is kept and retried until it is answered, also after a reload.
   * @returns the stored message; if it was stored long before, as it stands now
   * @throws ChatError if it is refused; it then stays in `pending` with the `error`, for {@link retry} or {@link discard}
   */
  send(text: string, options?: SendOptions): Promise<Message>;
  /** Gives one's own message `n` another text. Kept and retried like a message. @throws ChatError if it is refused */
  edit(n: number, text: string, options?: OperationOptions): Promise<void>;
  /** Takes one's own message `n` back. Kept and retried like a message. @throws ChatError if it is refused */
  delete(n: number, options?: OperationOptions): Promise<void>;
  /** Adds one's reaction to message `n`, or takes it back. Kept and retried. @throws ChatError if it is refused */
  react(n: number, emoji: string, on: boolean, options?: OperationOptions): Promise<void>;
  /** Tries a refused message once more, under the same ref. @returns as {@link send} */
  retry(ref: string): Promise<Message>;
  /** Drops a message that was refused. */
  discard(ref: string): void;
  /**
   * Puts older messages in front of those in the snapshot.
   * @param until the smallest `n` that is wanted; without it, one page is loaded
   * @throws ChatError
   */
  loadOlder(until?: number): Promise<void>;
  /** Some messages by `n`, oldest first; they do not get into the snapshot. @throws ChatError */
  history(range?: HistoryRange): Promise<HistoryPage>;
  /** Tells that everything up to message `n`, or all that is in the snapshot, was read. Moves only up, and not beyond it. */
  markRead(n?: number): void;
  /** Tells that the user types, for each stroke, or has stopped. */
  setTyping(on: boolean): void;
  /** Connects again after it had stopped or while it waits. */
  reconnect(): void;
}

/** What may be chosen of every operation. */
export interface OperationOptions {
  /**
   * The operation's own id, 1 to 64 characters. The server remembers it for as long as the conversation lives: the
   * same one again, at any time, changes nothing. Random by default; a bot derives it from what it answers.
   */
  readonly ref?: string;
}

/** What may be chosen of a message. */
export interface SendOptions extends OperationOptions {
  /** The `n` of the message that it answers. */
  readonly reply_to?: number;
}

/** Which messages: at most one of the first three; without any, the newest. */
export interface HistoryRange {
  readonly before?: number;
  readonly after?: number;
  readonly around?: number;
  /** 1 to 100, which is the default. */
  readonly limit?: number;
}

/** Some messages. */
export interface HistoryPage {
  readonly messages: readonly Message[];
  /** Whether there are more in the direction that was asked for. */
  readonly more: boolean;
}

/** How a conversation stands. */
export interface ConversationSnapshot {
  readonly connection: Connection;
  /** Whose messages these are: the user who is signed in, or was until the session ended; null if nobody is known. */
  readonly me: string | null;
  /**
   * In the order of `n`, without gaps. New ones come at the end, older ones by {@link Conversation.loadOlder}. Who was
   * away for very long begins anew with the newest.
   */
  readonly messages: readonly Message[];
  /** Whether there are messages before the first in `messages`. */
  readonly has_older: boolean;
  /** What was asked for and is not in `messages` yet, in the order in which it takes place. */
  readonly pending: readonly PendingOperation[];
  readonly members: readonly Member[];
  /** Everything up to `rev` of the history `epoch` is here; null before the first welcome. */
  readonly cursor: { readonly epoch: number; readonly rev: number } | null;
}

/** How the connection of a conversation, or of the inbox, is. */
export interface Connection {
  /**
   * - `idle`: nobody looks and nothing is to be sent, or the session is not restored yet
   * - `connecting`: on its way, or catching up
   * - `online`: everything is here, and what comes is shown at once
   * - `waiting`: it failed, for the reason in `problem`; it tries again by itself
   * - `stopped`: it does not try again by itself, for the reason in `problem`
   * - `signed_out`: somebody must sign in; what is to be sent is kept
   */
  readonly status: 'idle' | 'connecting' | 'online' | 'waiting' | 'stopped' | 'signed_out';
  /** Why it is not online, or was not just now; null once it is. */
  readonly problem: ChatError | null;
  /** Whether what is `pending` would survive a reload: false with a storage that fails, or is only memory. */
  readonly durable: boolean;
}

/** A message that is stored, as it stands at its `rev`. */
export interface Message {
  /** Its place in the conversation: 1, 2, 3 … without gaps. */
  readonly n: number;
  /** Its last change, in the one sequence of all changes of the conversation. */
  readonly rev: number;
  readonly id: string;
  readonly sender_id: string;
  /** Its sender's own id for it; null if it came from a client that has none. */
  readonly ref: string | null;
  /** null once it was deleted. */
  readonly text: string | null;
  /** The `n` of the message that it answers. */
  readonly reply_to: number | null;
  readonly created_at: number;
  readonly edited_at: number | null;
  readonly deleted_at: number | null;
  /** In the order in which they were first made. */
  readonly reactions: readonly Reaction[];
}

/** Who reacted with an emoji. */
export interface Reaction {
  readonly emoji: string;
  readonly user_ids: readonly string[];
}

/** A member of a conversation. */
export interface Member {
  readonly user_id: string;
  /** Their last change that is stored; `online`, `last_seen` and `typing` have none. */
  readonly rev: number;
  readonly first_name: string;
  readonly last_name: string;
  readonly role: string;
  /** They have read everything up to this `n`. */
  readonly read: number;
  /** They have received everything up to this `n`. */
  readonly delivered: number;
  /** null while they are a member. */
  readonly left_at: number | null;
  readonly online: boolean;
  /** When they were last here; null while they are online, and if it is not known. */
  readonly last_seen: number | null;
  readonly typing: boolean;
}

/** Something that was asked for and is not shown in `messages` yet. */
export type PendingOperation = PendingSend | PendingEdit | PendingDelete | PendingReaction;

interface Pending {
  readonly ref: string;
  /** When it was asked for, by this device's clock. */
  readonly asked_at: number;
  /** Why it was refused; null while it is on its way. Only messages stay here when they are refused. */
  readonly error: ChatError | null;
}

/** A message on its way. */
export interface PendingSend extends Pending {
  readonly type: 'send';
  readonly text: string;
  readonly reply_to: number | null;
}

/** An edit on its way. */
export interface PendingEdit extends Pending {
  readonly type: 'edit';
  readonly n: number;
  readonly text: string;
}

/** A deletion on its way. */
export interface PendingDelete extends Pending {
  readonly type: 'delete';
  readonly n: number;
}

/** A reaction on its way, or one that is taken back. */
export interface PendingReaction extends Pending {
  readonly type: 'react';
  readonly n: number;
  readonly emoji: string;
  readonly on: boolean;
}
