import type { InboxRow, UnreadTotal } from '../../src/protocol/inbox-frames.ts';
import type { MemberRow, MessageRow } from '../../src/protocol/rows.ts';

/**
 * What happened in one conversation while it was tried: what clients asked for, what they were told became of it, what
 * they showed, and what the server has in the end. Nothing in it depends on a runtime.
 */
export interface History {
  readonly operations: readonly Operation[];
  /** In the order in which they happened, for each client. */
  readonly sightings: readonly Sighting[];
  /** What each client has after everything has come to rest and it has loaded all there is. */
  readonly finals: readonly Final[];
  /** What the server answers someone who was never here before, after the same. */
  readonly server: State;
  /** Each time the store was set back to an earlier state, in order. */
  readonly restores: readonly Restore[];
  /** How far users asked to have read, by each client and in each epoch, also by clients that have no {@link Final}. */
  readonly marks?: readonly Mark[];
  /** What the inboxes of those who were looked at have of the conversation in the end. */
  readonly inboxes?: readonly InboxFinal[];
}

/**
 * Something that a client asked for. In the order in which it asked, for each client. Each `send` and `edit` has a text
 * that no other one has; operations of one user under one ref are the same.
 */
export interface Operation {
  readonly client: string;
  readonly user_id: string;
  /** Whether it came from a plain socket, which has no refs and is answered nothing. */
  readonly plain?: true;
  readonly ref: string | null;
  readonly change:
    | { readonly type: 'send'; readonly text: string; readonly reply_to: number | null }
    | { readonly type: 'edit'; readonly n: number; readonly text: string }
    | { readonly type: 'delete'; readonly n: number }
    | { readonly type: 'react'; readonly n: number; readonly emoji: string; readonly on: boolean };
  /** What it was told; undefined if it never learnt. */
  outcome?: Outcome;
  /** Whether its client was destroyed for good before it learnt: it took place once, or not at all. */
  abandoned?: true;
  /** Asked for before it could be read what was kept: it may take place before that, which was asked for earlier. */
  unordered?: true;
}

export type Outcome =
  | { readonly type: 'acknowledged'; readonly epoch: number; readonly n: number; readonly rev: number | null }
  | { readonly type: 'refused'; readonly code: string };

/**
 * What a client showed at one moment that it had not shown before: rows that are new or that have changed. A client that
 * is loaded anew is another client.
 */
export interface Sighting {
  readonly client: string;
  readonly epoch: number;
  readonly messages: readonly MessageRow[];
  readonly members: readonly MemberRow[];
  /** The `n` of the first and the last message that it showed, which it showed without gaps; null for none. */
  readonly range: readonly [first: number, last: number] | null;
  /** The first `n` that another one than the next was shown behind, if there were gaps after all. */
  readonly gap?: number;
}

export interface State {
  readonly epoch: number;
  readonly messages: readonly MessageRow[];
  readonly members: readonly MemberRow[];
}

export interface Final extends State {
  readonly client: string;
  /** How far the user asked to have read, by this client in this epoch; 0 if never. */
  readonly marked: number;
  readonly user_id: string;
}

/** What somebody has of a user's inbox, in which there is no other conversation. What is muted is so for longer. */
export interface InboxFinal {
  readonly by: string;
  readonly user_id: string;
  /** The conversation's; null if it has none. */
  readonly row: InboxRow | null;
  readonly total: UnreadTotal;
}

/** How far a user asked to have read. */
export interface Mark {
  readonly client: string;
  readonly user_id: string;
  readonly epoch: number;
  readonly read: number;
}

/** `epoch` began as what the history before it was at `rev`. */
export interface Restore {
  readonly epoch: number;
  readonly rev: number;
}
