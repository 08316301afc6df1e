import type { ConversationVersion, DirectoryMember, MemberList } from '../directory/conversations.ts';
import { migrate } from './migrations.ts';

/** A message as stored. Times are milliseconds since 1970. */
export type StoredMessage = {
  n: number;
  rev: number;
  id: string;
  sender_id: string;
  ref: string;
  text: string | null;
  reply_to: number | null;
  created_at: number;
  edited_at: number | null;
  deleted_at: number | null;
};

/** A member as stored. */
export type StoredMember = {
  user_id: string;
  rev: number;
  role: string;
  first_name: string;
  last_name: string;
  read: number;
  delivered: number;
  left_at: number | null;
};

/** A message to append: who, what, and the sender's own id for it. */
export type NewMessage = {
  readonly sender_id: string;
  readonly ref: string;
  readonly text: string;
  readonly now: number;
};

/**
 * One conversation's log, members and ended sessions: all the SQL of its object. Every method is synchronous, so that
 * reading, writing and sending happen in one step of the object. What every frame needs is kept in memory as well.
 */
export class ConversationStore {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;
  #version!: number;
  #epoch!: number;
  #lastN!: number;
  #lastRev!: number;
  #lastCreatedAt!: number;
  #members!: ReadonlyMap<string, StoredMember>;

  /** Opens the store, creating it if need be. Never for an id that the directory does not know: storage is billed. */
  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    migrate(storage);
    this.#load();
  }

  /** Whether the directory has moved on since the members were copied. */
  isBehind({ version, epoch }: ConversationVersion): boolean {
    return this.#version < version || this.#epoch < epoch;
  }

  /** Someone who may read and write now. */
  member(userId: string): StoredMember | undefined {
    const member = this.#members.get(userId);
    return member && member.left_at === null ? member : undefined;
  }

  /** Anyone who is or was a member. */
  anyMember(userId: string): StoredMember | undefined {
    return this.#members.get(userId);
  }

  /** Everyone who may read and write now. */
  activeMembers(): StoredMember[] {
    return [...this.#members.values()].filter((member) => member.left_at === null);
  }

  /** Takes over the directory's members, unless it knows as much already. Every row that changes takes the next rev. */
  applyMembers(list: MemberList): void {
    if (!this.isBehind(list)) return;
    this.#storage.transactionSync(() => {
      let rev = this.#lastRev;
      if (list.version > this.#version) {
        for (const member of list.members) {
          const known = this.#members.get(member.user_id);
          if (!known || differs(known, member)) this.#writeMember(member, (rev += 1));
        }
      }
      this.#sql.exec(
        `INSERT INTO directory (singleton, version, epoch) VALUES (1, ?, ?)
         ON CONFLICT DO UPDATE SET version = excluded.version, epoch = excluded.epoch`,
        Math.max(list.version, this.#version),
        Math.max(list.epoch, this.#epoch),
      );
    });
    this.#load();
  }

  /**
   * Stores a message under the next n and the next rev. Its time is later than that of the one before, if need be by a
   * millisecond: order by time is order by n, whatever the clock does.
   */
  append({ sender_id, ref, text, now }: NewMessage): StoredMessage {
    const [n, rev] = [this.#lastN + 1, this.#lastRev + 1];
    const createdAt = Math.max(now, this.#lastCreatedAt + 1);
    const stored = this.#sql
      .exec<StoredMessage>(
        `INSERT INTO messages (n, rev, id, sender_id, ref, text, created_at) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING *`,
        n,
        rev,
        crypto.randomUUID(),
        sender_id,
        ref,
        text,
        createdAt,
      )
      .one();
    this.#lastN = n;
    this.#lastRev = rev;
    this.#lastCreatedAt = createdAt;
    return stored;
  }

  /** Messages older than `before` (all, without it), newest first; and whether there are more. */
  history({ before, limit }: { before?: number | undefined; limit: number }) {
    const rows = this.#sql
      .exec<StoredMessage>(
        'SELECT * FROM messages WHERE n < ? AND deleted_at IS NULL ORDER BY n DESC LIMIT ?',
        before ?? this.#lastN + 1,
        limit + 1,
      )
      .toArray();
    return { messages: rows.slice(0, limit), more: rows.length > limit };
  }

  /** Remembers that a session has ended. */
  rememberEndedSession(sessionId: string, until: number): void {
    this.#sql.exec(
      'INSERT INTO ended_sessions (session_id, remember_until) VALUES (?, ?) ON CONFLICT DO NOTHING',
      sessionId,
      until,
    );
  }

  /** Whether the conversation was told that a session has ended. */
  isSessionEnded(sessionId: string): boolean {
    return this.#sql.exec('SELECT 1 FROM ended_sessions WHERE session_id = ?', sessionId).toArray().length > 0;
  }

  /** Forgets the ended sessions whose last access token has expired. */
  forgetEndedSessions(now: number): void {
    this.#sql.exec('DELETE FROM ended_sessions WHERE remember_until <= ?', now);
  }

  #writeMember(member: DirectoryMember, rev: number): void {
    this.#sql.exec(
      `INSERT INTO members (user_id, rev, role, first_name, last_name, left_at) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET rev = excluded.rev, role = excluded.role, first_name = excluded.first_name,
         last_name = excluded.last_name, left_at = excluded.left_at`,
      member.user_id,
      rev,
      member.role,
      member.first_name,
      member.last_name,
      member.left_at,
    );
  }

  #load(): void {
    const head = this.#sql
      .exec<{ version: number; epoch: number; last_n: number; last_rev: number; last_created_at: number }>(
        `SELECT
           coalesce((SELECT version FROM directory), 0) AS version,
           coalesce((SELECT epoch FROM directory), 0) AS epoch,
           coalesce((SELECT max(n) FROM messages), 0) AS last_n,
           coalesce((SELECT created_at FROM messages WHERE n = (SELECT max(n) FROM messages)), 0) AS last_created_at,
           max(coalesce((SELECT max(rev) FROM messages), 0), coalesce((SELECT max(rev) FROM members), 0)) AS last_rev`,
      )
      .one();
    const members = this.#sql.exec<StoredMember>('SELECT * FROM members').toArray();
    this.#version = head.version;
    this.#epoch = head.epoch;
    this.#lastN = head.last_n;
    this.#lastRev = head.last_rev;
    this.#lastCreatedAt = head.last_created_at;
    this.#members = new Map(members.map((member) => [member.user_id, member]));
  }
}

function differs(known: StoredMember, member: DirectoryMember): boolean {
  return (
    known.role !== member.role ||
    known.first_name !== member.first_name ||
    known.last_name !== member.last_name ||
    known.left_at !== member.left_at
  );
}
