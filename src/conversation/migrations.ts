/**
 * The schema of one conversation's own SQLite, as steps that are only ever added to: an object may wake up with a store
 * of any age. Times are milliseconds since 1970.
 */
const MIGRATIONS: readonly string[] = [
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
];

/**
 * Brings a store up to date, in one transaction. Each step that was applied is kept with its text.
 * @throws Error if a step was edited after a store had applied it, or if the store is from a newer release
 */
export function migrate(storage: DurableObjectStorage, migrations: readonly string[] = MIGRATIONS): void {
  const { sql } = storage;
  storage.transactionSync(() => {
    sql.exec('CREATE TABLE IF NOT EXISTS migrations (step INTEGER PRIMARY KEY, text TEXT NOT NULL)');
    const applied = sql.exec<{ text: string }>('SELECT text FROM migrations ORDER BY step').toArray();
    if (applied.length > migrations.length) {
      throw new Error(
        `The store is at step ${applied.length}, this release knows ${migrations.length}. Deploy a newer one.`,
      );
    }
    for (const [step, text] of migrations.entries()) {
      const earlier = applied[step]?.text;
      if (earlier === undefined) {
        sql.exec(text);
        sql.exec('INSERT INTO migrations (step, text) VALUES (?, ?)', step, text);
      } else if (earlier !== text) {
        throw new Error(`Step ${step} was edited after this store applied it. Restore it and add a new step.`);
      }
    }
  });
}
