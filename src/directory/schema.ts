import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core';

/**
 * The directory: who exists and who may. Messages are never here. Times are milliseconds since 1970.
 * Change it, then run `npm run migration`: migrations only move forward.
 */
export const users = sqliteTable('users', {
  /** Order of registration. Never leaves the server: it would tell how many users there are. */
  seq: integer('seq').primaryKey({ autoIncrement: true }),
  id: text('id').notNull().unique(),
  /** Lower case. */
  email: text('email').notNull().unique(),
  /** PHC string. */
  password: text('password').notNull(),
  first_name: text('first_name').notNull(),
  last_name: text('last_name').notNull(),
  is_active: integer('is_active', { mode: 'boolean' }).notNull().default(true),
  created_at: integer('created_at').notNull(),
});

/** A login on one device. It lives until logout, reuse of a refresh token, or `expires_at`. */
export const sessions = sqliteTable(
  'sessions',
  {
    id: text('id').primaryKey(),
    user_id: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    user_agent: text('user_agent').notNull(),
    created_at: integer('created_at').notNull(),
    last_used_at: integer('last_used_at').notNull(),
    expires_at: integer('expires_at').notNull(),
    ended_at: integer('ended_at'),
    ended_reason: text('ended_reason', { enum: ['logout', 'token_reuse'] }),
  },
  (table) => [index('sessions_user').on(table.user_id), index('sessions_expiry').on(table.expires_at)],
);

/** Every refresh token of a session. The token itself is not stored, only the SHA-256 of its `jti`. */
export const refreshTokens = sqliteTable(
  'refresh_tokens',
  {
    jti_hash: text('jti_hash').primaryKey(),
    session_id: text('session_id')
      .notNull()
      .references(() => sessions.id, { onDelete: 'cascade' }),
    issued_at: integer('issued_at').notNull(),
    expires_at: integer('expires_at').notNull(),
    used_at: integer('used_at'),
    /** `jti_hash` of its successor. */
    replaced_by: text('replaced_by'),
  },
  (table) => [
    index('refresh_tokens_session').on(table.session_id),
    index('refresh_tokens_expiry').on(table.expires_at),
  ],
);

export const conversations = sqliteTable(
  'conversations',
  {
    id: text('id').primaryKey(),
    kind: text('kind', { enum: ['direct'] }).notNull(),
    /** The two user ids of a direct conversation, the smaller first: a pair has one conversation. */
    pair: text('pair'),
    /** Raised in the same batch as any change of the members, their names or their accounts. */
    version: integer('version').notNull().default(1),
    /** Names one history; raised before a restore. */
    epoch: integer('epoch').notNull().default(1),
    created_at: integer('created_at').notNull(),
  },
  (table) => [uniqueIndex('conversations_pair').on(table.pair)],
);

/** Who may read and write a conversation. Someone who left keeps the row, with `left_at`. */
export const members = sqliteTable(
  'members',
  {
    conversation_id: text('conversation_id')
      .notNull()
      .references(() => conversations.id, { onDelete: 'cascade' }),
    user_id: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    role: text('role', { enum: ['member'] }).notNull(),
    joined_at: integer('joined_at').notNull(),
    left_at: integer('left_at'),
  },
  (table) => [primaryKey({ columns: [table.conversation_id, table.user_id] }), index('members_user').on(table.user_id)],
);

/**
 * What a conversation's object has yet to be told. Written in the same batch as the change itself and deleted once the
 * object knows, so that nothing depends on a Worker surviving its request.
 */
export const notices = sqliteTable(
  'notices',
  {
    id: integer('id').primaryKey({ autoIncrement: true }),
    conversation_id: text('conversation_id')
      .notNull()
      .references(() => conversations.id, { onDelete: 'cascade' }),
    kind: text('kind', { enum: ['members_changed', 'session_ended'] }).notNull(),
    /** Of `session_ended`. */
    session_id: text('session_id'),
    /** Of `session_ended`: until when an access token of the session may still turn up. */
    remember_until: integer('remember_until'),
    /** When delivery was last tried, at first when it was written: the longest waiting goes first. */
    tried_at: integer('tried_at').notNull(),
  },
  (table) => [index('notices_tried').on(table.tried_at), index('notices_session').on(table.session_id)],
);
