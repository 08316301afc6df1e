import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core';

/**
 * The directory: who exists and who may. Messages are never here. Times are milliseconds since 1970.
 * Change it, then run `npm run migration`: migrations only move forward.
 */
export const users = sqliteTable(
  'users',
  {
    /** Order of registration. Never leaves the server: it would tell how many users there are. */
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    id: text('id').notNull().unique(),
    /** Lower case. */
    email: text('email').notNull().unique(),
    /** PHC string. */
    password: text('password').notNull(),
    first_name: text('first_name').notNull(),
    last_name: text('last_name').notNull(),
    /** What a search for a name looks through: `first last`, and the last name alone, as `searchKey` spells them. */
    name_key: text('name_key').notNull().default(''),
    last_name_key: text('last_name_key').notNull().default(''),
    is_active: integer('is_active', { mode: 'boolean' }).notNull().default(true),
    created_at: integer('created_at').notNull(),
    /** When its owner showed that they get the mail of `email`. */
    email_verified_at: integer('email_verified_at'),
    /** Whoever deleted their account keeps the row, without anything that tells who they were. */
    deleted_at: integer('deleted_at'),
    /** Who sees whether they are online, and when they were last. */
    show_presence: text('show_presence', { enum: ['contacts', 'nobody'] })
      .notNull()
      .default('contacts'),
    /** Names one history of their inbox; raised before and after a restore of it. */
    inbox_epoch: integer('inbox_epoch').notNull().default(1),
  },
  (table) => [index('users_name_key').on(table.name_key), index('users_last_name_key').on(table.last_name_key)],
);

/** A login on one device. It lives until something ends it, or until `expires_at`. */
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
    ended_reason: text('ended_reason', {
      enum: [
        'logout',
        'token_reuse',
        'ended_by_user',
        'password_changed',
        'password_reset',
        'deactivated',
        'operator',
        'too_many',
      ],
    }),
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
 * What an object has yet to be told: that of a conversation, or, without one, the inbox of the user. Written in the same
 * batch as the change itself and deleted once the object knows, so that nothing depends on a Worker surviving its request.
 */
export const notices = sqliteTable(
  'notices',
  {
    id: integer('id').primaryKey({ autoIncrement: true }),
    conversation_id: text('conversation_id').references(() => conversations.id, { onDelete: 'cascade' }),
    kind: text('kind', { enum: ['members_changed', 'session_ended', 'user_changed'] }).notNull(),
    /** Whose change it tells of: whoever makes the change delivers by this. */
    user_id: text('user_id'),
    /** Of `session_ended`. */
    session_id: text('session_id'),
    /** Of `session_ended`: until when an access token of the session may still turn up. */
    remember_until: integer('remember_until'),
    /** When delivery was last tried, at first when it was written: the longest waiting goes first. */
    tried_at: integer('tried_at').notNull(),
  },
  (table) => [index('notices_tried').on(table.tried_at), index('notices_user').on(table.user_id)],
);

/** Whom a user does not want to hear from. */
export const blocks = sqliteTable(
  'blocks',
  {
    user_id: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    blocked_id: text('blocked_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    created_at: integer('created_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.user_id, table.blocked_id] }), index('blocks_blocked').on(table.blocked_id)],
);

/** What happened to an account that its owner should know of. */
export const securityEvents = sqliteTable(
  'security_events',
  {
    seq: integer('seq').primaryKey({ autoIncrement: true }),
    /** What the API shows instead of `seq`, which would tell how much happens: 32 hexadecimal digits. */
    id: text('id').notNull().unique(),
    user_id: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    kind: text('kind', {
      enum: [
        'login',
        'login_failed',
        'login_throttled',
        'wrong_password',
        'token_reused',
        'session_ended',
        'password_changed',
        'password_reset',
        'email_changed',
        'email_verified',
        'account_deactivated',
        'account_activated',
      ],
    }).notNull(),
    /** The session that it happened to. */
    session_id: text('session_id'),
    /** Why a session ended. */
    reason: text('reason'),
    /** Where the request came from. Neither is known of what the operator did. */
    address: text('address'),
    user_agent: text('user_agent'),
    at: integer('at').notNull(),
  },
  (table) => [index('security_events_user').on(table.user_id, table.seq), index('security_events_at').on(table.at)],
);

/** How far somebody is ahead of what they may do in the long run: the state of `auth/throttle.ts`. */
export const throttles = sqliteTable(
  'throttles',
  {
    /** What is counted, and a hash of whose it is. */
    key: text('key').primaryKey(),
    /** The time from which on nothing is owed, in milliseconds since 1970. */
    paid_at: integer('paid_at').notNull(),
  },
  (table) => [index('throttles_paid').on(table.paid_at)],
);

/** Keys that open the operator's routes for a minute. Only whoever may write to the database can make one. */
export const operatorKeys = sqliteTable('operator_keys', {
  /** SHA-256 of the key, in hexadecimal digits. */
  key_hash: text('key_hash').primaryKey(),
  expires_at: integer('expires_at').notNull(),
});
