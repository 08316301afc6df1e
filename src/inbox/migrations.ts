/**
 * The schema of one inbox's own SQLite, as steps that are only ever added to: an object may wake up with a store of any
 * age. Times are milliseconds since 1970.
 */
export const MIGRATIONS: readonly string[] = [
  // inbox: what the directory said last of its user, whether their account is closed, and when they were last here.
  // conversations: how each stands. epoch and fed_rev are those of the newest feed, which fills everything from kind to
  //   active_at; all of that is null for one that the user has left. The rest is the user's own: archived_n is the newest
  //   message when it was archived, unread_at the read mark when it was marked unread. is_archived and is_unread say what
  //   that comes to, for the indexes.
  // contacts: what is known, while the user is here, of the presence of those that they talk to, and who of them wants to
  //   hear of theirs.
  // ended_sessions: until their last access token has expired, since someone may be about to connect with it.
  `
  CREATE TABLE inbox (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    epoch INTEGER NOT NULL,
    shows_presence INTEGER NOT NULL,
    closed_at INTEGER,
    last_seen INTEGER
  );
  CREATE TABLE conversations (
    conversation_id TEXT PRIMARY KEY,
    rev INTEGER NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    fed_rev INTEGER NOT NULL,
    kind TEXT,
    title TEXT,
    peer_id TEXT,
    peer_first_name TEXT,
    peer_last_name TEXT,
    n INTEGER,
    read INTEGER,
    unread INTEGER,
    last_sender_id TEXT,
    last_text TEXT,
    active_at INTEGER,
    muted_until INTEGER,
    pinned INTEGER NOT NULL DEFAULT 0,
    archived_n INTEGER,
    unread_at INTEGER,
    is_archived INTEGER NOT NULL DEFAULT 0,
    is_unread INTEGER NOT NULL DEFAULT 0
  ) WITHOUT ROWID;
  CREATE INDEX conversations_active ON conversations (is_archived, active_at, conversation_id)
    WHERE kind IS NOT NULL;
  CREATE INDEX conversations_unread ON conversations (is_archived, active_at, conversation_id)
    WHERE is_unread = 1;
  CREATE INDEX conversations_pinned ON conversations (conversation_id) WHERE pinned = 1;
  CREATE TABLE contacts (
    user_id TEXT PRIMARY KEY,
    online INTEGER NOT NULL,
    last_seen INTEGER,
    listening INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE ended_sessions (
    session_id TEXT PRIMARY KEY,
    remember_until INTEGER NOT NULL
  ) WITHOUT ROWID;
  `,
];
