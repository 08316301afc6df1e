/**
 * The schema of one conversation's own SQLite, as steps that are only ever added to: an object may wake up with a store
 * of any age. Times are milliseconds since 1970.
 */
export const MIGRATIONS: readonly string[] = [
  // directory: what the directory said last.
  // messages: the log. n orders it, without gaps; rev is the row's last change, in one sequence with the members' revs.
  // members: a copy of the directory's, with what only the conversation knows of them.
  // ended_sessions: until their last access token has expired, since someone may be about to connect with it.
  `
  CREATE TABLE directory (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    version INTEGER NOT NULL,
    epoch INTEGER NOT NULL
  );
  CREATE TABLE messages (
    n INTEGER PRIMARY KEY,
    rev INTEGER NOT NULL UNIQUE,
    id TEXT NOT NULL,
    sender_id TEXT NOT NULL,
    ref TEXT NOT NULL,
    text TEXT,
    reply_to INTEGER,
    created_at INTEGER NOT NULL,
    edited_at INTEGER,
    deleted_at INTEGER,
    UNIQUE (sender_id, ref)
  );
  CREATE TABLE members (
    user_id TEXT PRIMARY KEY,
    rev INTEGER NOT NULL UNIQUE,
    role TEXT NOT NULL,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    read INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    left_at INTEGER
  ) WITHOUT ROWID;
  CREATE TABLE ended_sessions (
    session_id TEXT PRIMARY KEY,
    remember_until INTEGER NOT NULL
  ) WITHOUT ROWID;
  `,
  // messages: ref is null for messages of plain sockets, and unique no more, since operations is what remembers it.
  // operations: each ref that a sender has used, for ever, with its result: the message, and the message's rev.
  // reactions: rev is that of the message when the reaction was made, which puts them in order.
  // members.last_seen: no part of the row that clients see, so it moves without a rev.
  `
  ALTER TABLE messages RENAME TO messages_of_step_0;
  CREATE TABLE messages (
    n INTEGER PRIMARY KEY,
    rev INTEGER NOT NULL UNIQUE,
    id TEXT NOT NULL,
    sender_id TEXT NOT NULL,
    ref TEXT,
    text TEXT,
    reply_to INTEGER,
    created_at INTEGER NOT NULL,
    edited_at INTEGER,
    deleted_at INTEGER
  );
  INSERT INTO messages SELECT n, rev, id, sender_id, NULL, text, reply_to, created_at, edited_at, deleted_at
    FROM messages_of_step_0;
  DROP TABLE messages_of_step_0;
  CREATE TABLE operations (
    sender_id TEXT NOT NULL,
    ref TEXT NOT NULL,
    type TEXT NOT NULL,
    n INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    PRIMARY KEY (sender_id, ref)
  ) WITHOUT ROWID;
  CREATE TABLE reactions (
    n INTEGER NOT NULL,
    emoji TEXT NOT NULL,
    user_id TEXT NOT NULL,
    rev INTEGER NOT NULL,
    PRIMARY KEY (n, emoji, user_id)
  ) WITHOUT ROWID;
  ALTER TABLE members ADD COLUMN last_seen INTEGER;
  `,
  // members.has_blocked: no part of the row that clients see either, so that nobody learns who blocks them.
  `
  ALTER TABLE members ADD COLUMN has_blocked INTEGER NOT NULL DEFAULT 0;
  `,
  // members.fed_rev: the rev of the last feed that the member's inbox has acknowledged.
  // members.hides_presence: no part of the row that clients see, like has_blocked.
  // directory.members_rev: the last change when the members were copied last, so that it is known what inboxes lack.
  `
  ALTER TABLE members ADD COLUMN fed_rev INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE members ADD COLUMN hides_presence INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE directory ADD COLUMN members_rev INTEGER NOT NULL DEFAULT 0;
  `,
];
