/** What a conversation tells the inbox of a member: how it stands for them, all of it, whatever the inbox knows. */
export type Feed = {
  /** The larger (epoch, rev) replaces the smaller; the same one says the same. */
  readonly epoch: number;
  readonly rev: number;
  /** null for somebody who is no member any more. */
  readonly row: FeedRow | null;
};

/** See {@link Feed}. Times are milliseconds since 1970. */
export type FeedRow = {
  readonly kind: 'direct';
  readonly title: string | null;
  readonly peer: { readonly user_id: string; readonly first_name: string; readonly last_name: string } | null;
  /** The newest message. */
  readonly n: number;
  /** Their read mark. */
  readonly read: number;
  /** Messages of others after the read mark that were not deleted, at most UNREAD_MAX. */
  readonly unread: number;
  /** The newest message, with the beginning of its text; null if that was deleted. */
  readonly last: {
    readonly sender_id: string;
    readonly text: string | null;
    readonly created_at: number;
  };
};

/** The inbox has stored it. */
export type FeedReceipt = {
  /** Whether anybody has a socket there, who would hear that somebody types. */
  readonly listening: boolean;
};
