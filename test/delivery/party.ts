import type { Final, InboxFinal } from './history.ts';

/**
 * Someone who takes part in a run: a client of one kind and the person behind it. What it is asked to do, what became of
 * it and what it showed goes to the run's recorder. None of the methods waits for a network unless it says so.
 */
export interface Party {
  readonly name: string;
  readonly userId: string;
  readonly kind: 'client' | 'raw' | 'plain';
  /** How many messages it shows: there is something to edit below it. */
  readonly shown: number;
  send(text: string, replyTo?: number): void;
  /** Kinds that cannot do one of these ignore it. */
  edit(n: number, text: string): void;
  delete(n: number): void;
  react(n: number, emoji: string, on: boolean): void;
  /** The person reads everything that is shown. */
  read(): void;
  /** Leaves the network, for as long as it takes. */
  goOffline(): void;
  goOnline(): void;
  /** Dies as a tab that is killed: only its storage stays. Then it starts again. */
  reload(): void;
  /** Sends again, under the same ref, something that was answered long ago. */
  repeatOld(pick: number): void;
  /** Looks whether anything was missed, as a page that wakes up. */
  wake(): void;
  /** Resolves when everything that it was asked to do is answered, and it has caught up. */
  settled(): Promise<void>;
  /**
   * Loads all there is, once the network is whole. Resolves with what it has then, for the recorder's `settled` when
   * nothing changes any more. A plain socket has nothing to be compared: it rejects.
   */
  final(): Promise<Final>;
  /** What it has of the inbox of its user then, if it follows it. */
  inbox?(): Promise<InboxFinal | null>;
  /** How it stands, for whoever looks why it does not come to rest. */
  toString(): string;
  /** Ends for good. */
  close(): void;
}
