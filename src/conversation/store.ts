import {
  CHANGES_MAX_ROWS,
  HISTORY_SCAN_MAX,
  PAGE_MAX_BYTES,
  PAGE_SIZE,
  PREVIEW_MAX_LENGTH,
  UNREAD_MAX,
} from '../config.ts';
import type { ConversationVersion, DirectoryMember, MemberList } from '../directory/conversations.ts';
import type { Operation, PageRange } from '../protocol/client-frames.ts';
import type { MemberRow, MessageRow } from '../protocol/rows.ts';
import type { ServerFrameOf } from '../protocol/server-frames.ts';
import { EndedSessions } from '../objects/ended-sessions.ts';
import type { Feed } from '../objects/feed.ts';
import { migrate } from '../objects/migrate.ts';
import { takeWithin } from '../objects/take-within.ts';
import { beginningOf } from '../protocol/text.ts';
import { MIGRATIONS } from './migrations.ts';
import { bytesOfMember, bytesOfMessage } from './page.ts';

/** A message as stored: as clients see it, but for its reactions. Times are milliseconds since 1970. */
export type StoredMessage = Omit<MessageRow, 'reactions'>;

/**
 * A member as stored: as clients see them, when they were last seen, in milliseconds since 1970, whether (1 or 0) they
 * have blocked the other member of a direct conversation, and let nobody see when they are here, and the rev of the last
 * feed that their inbox acknowledged.
 */
export type StoredMember = MemberRow & {
  last_seen: number | null;
  has_blocked: number;
  hides_presence: number;
  fed_rev: number;
};

/** A message to append: who, what, and the sender's own id for it, if there is one. */
export type NewMessage = {
  readonly sender_id: string;
  readonly ref: string | null;
  readonly text: string;
  /** The n of the message that this one answers. */
  readonly reply_to?: number | null;
  readonly now: number;
};

/** A ref that its sender has used: for what, and what that came to. */
export type StoredOperation = { type: Operation['type']; n: number; rev: number };

type Head = {
  version: number;
  epoch: number;
  /** The last change when the members were copied last. */
  members_rev: number;
  last_n: number;
  last_created_at: number;
  messages_rev: number;
  last_member_rev: number;
};

/** The history that a conversation begins with. */
const FIRST_EPOCH = 1;

/** What has changed since a cursor, as `changes` tells it. */
export type Changes = Pick<ServerFrameOf<'changes'>, 'after' | 'rev' | 'messages' | 'members' | 'more'>;

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
  /** The last change that shows in every member's inbox: of the newest message, or of who the members are. */
  #shownRev!: number;
  /** The last change of each member that shows in their own inbox, where that is not their last one. */
  #ownRevs!: ReadonlyMap<string, number>;
  /** How many unread messages each member has among those up to `upTo`. Nothing is added to it but what the log has. */
  readonly #counted = new Map<string, { read: number; upTo: number; unread: number }>();
  readonly endedSessions: EndedSessions;

  /** Opens the store, creating it if need be. Never for an id that the directory does not know: storage is billed. */
  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.endedSessions = new EndedSessions(storage.sql);
    migrate(storage, MIGRATIONS);
    this.#load();
  }

  /** The history that the rows belong to. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The last change. */
  get rev(): number {
    return this.#lastRev;
  }

  /** The newest message; 0 if there is none. Every number from 1 to this is a message. */
  get n(): number {
    return this.#lastN;
  }

  /** Does everything that `work` does, or, if it throws, nothing. */
  transaction<T>(work: () => T): T {
    // Not read again after a failure: that could fail as well, and memory would be ahead of the store.
    const [n, rev, createdAt, members] = [this.#lastN, this.#lastRev, this.#lastCreatedAt, this.#members];
    const [shownRev, ownRevs] = [this.#shownRev, this.#ownRevs];
    try {
      return this.#storage.transactionSync(work);
    } catch (error) {
      [this.#lastN, this.#lastRev, this.#lastCreatedAt, this.#members] = [n, rev, createdAt, members];
      [this.#shownRev, this.#ownRevs] = [shownRev, ownRevs];
      throw error;
    }
  }

  // Members

  /** Whether the directory has moved on since the members were copied. */
  isBehind({ version, epoch }: ConversationVersion): boolean {
    return this.#version < version || this.#epoch < epoch;
  }

  /** Someone who may read and write now. */
  member(userId: string): StoredMember | undefined {
    const member = this.#members.get(userId);
    return member && member.left_at === null ? member : undefined;
  }

  /** Everyone who is or was a member. */
  allMembers(): StoredMember[] {
    return [...this.#members.values()];
  }

  /** Whether one member of a direct conversation has blocked the other. */
  get isBlocked(): boolean {
    return this.allMembers().some(({ has_blocked }) => has_blocked === 1);
  }

  /** Whether the others may not see when someone is here. */
  hidesPresence(userId: string): boolean {
    return this.isBlocked || this.#members.get(userId)?.hides_presence === 1;
  }

  /** Takes over the directory's members, unless it knows as much already. Every row that changes takes the next rev. */
  applyMembers(list: MemberList): void {
    if (!this.isBehind(list)) return;
    this.transaction(() => {
      let membersRev: number | null = null;
      if (list.version > this.#version) {
        for (const member of list.members) {
          const known = this.#members.get(member.user_id);
          if (!known || differs(known, member)) membersRev = this.#writeMember(member);
          // Without a rev: that would tell the one who is blocked.
          const [blocked, hides] = [member.has_blocked ? 1 : 0, member.hides_presence ? 1 : 0];
          if ((known?.has_blocked ?? 0) !== blocked || (known?.hides_presence ?? 0) !== hides) {
            this.#sql.exec(
              'UPDATE members SET has_blocked = ?, hides_presence = ? WHERE user_id = ?',
              blocked,
              hides,
              member.user_id,
            );
          }
        }
      }
      // Inboxes have rows of another history.
      if (list.epoch > this.#epoch) this.#sql.exec('UPDATE members SET fed_rev = 0');
      this.#sql.exec(
        `INSERT INTO directory (singleton, version, epoch, members_rev) VALUES (1, ?1, ?2, coalesce(?3, 0))
         ON CONFLICT DO UPDATE SET version = ?1, epoch = ?2, members_rev = coalesce(?3, members_rev)`,
        Math.max(list.version, this.#version),
        Math.max(list.epoch, this.#epoch),
        membersRev,
      );
    });
    this.#load();
  }

  /** Moves a member's marks. */
  setMarks(userId: string, marks: { read: number; delivered: number }): void {
    const member = this.#members.get(userId);
    if (!member) return;
    const rev = this.#nextRev();
    this.#sql.exec(
      'UPDATE members SET read = ?, delivered = ?, rev = ? WHERE user_id = ?',
      marks.read,
      marks.delivered,
      rev,
      userId,
    );
    // What was delivered shows in no inbox.
    this.#ownRevs = new Map(this.#ownRevs).set(userId, marks.read === member.read ? this.#ownRev(member) : rev);
    this.#keep({ ...member, ...marks, rev });
  }

  /** Notes when a member was last seen, unless they were seen later. It is no part of the row that clients have. */
  setLastSeen(userId: string, at: number): void {
    const member = this.member(userId);
    if (!member || at <= (member.last_seen ?? 0)) return;
    this.#sql.exec('UPDATE members SET last_seen = ? WHERE user_id = ?', at, userId);
    this.#keep({ ...member, last_seen: at });
  }

  // The log

  /**
   * Stores a message under the next n and the next rev. Its time is later than that of the one before, if need be by a
   * millisecond: order by time is order by n, whatever the clock does.
   */
  append({ sender_id, ref, text, reply_to = null, now }: NewMessage): StoredMessage {
    const n = this.#lastN + 1;
    const created_at = Math.max(now, this.#lastCreatedAt + 1);
    const message = { n, rev: this.#nextRev(), id: crypto.randomUUID(), sender_id, ref, text, reply_to, created_at };
    this.#sql.exec(
      `INSERT INTO messages (n, rev, id, sender_id, ref, text, reply_to, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      ...Object.values(message),
    );
    this.#lastN = n;
    this.#lastCreatedAt = created_at;
    this.#shownRev = message.rev;
    return { ...message, edited_at: null, deleted_at: null };
  }

  /** A message; undefined if there is none of this number. */
  message(n: number): StoredMessage | undefined {
    return this.#sql.exec<StoredMessage>('SELECT * FROM messages WHERE n = ?', n).toArray()[0];
  }

  /** Gives a message another text. Returns its new rev. */
  setText(n: number, text: string, now: number): number {
    const rev = this.#nextRev();
    this.#sql.exec('UPDATE messages SET text = ?, edited_at = ?, rev = ? WHERE n = ?', text, now, rev, n);
    if (n === this.#lastN) this.#shownRev = rev;
    return rev;
  }

  /** Takes text and reactions from a message; its place stays. Returns its new rev. */
  setDeleted(n: number, now: number): number {
    const rev = this.#nextRev();
    this.#sql.exec('UPDATE messages SET text = NULL, deleted_at = ?, rev = ? WHERE n = ?', now, rev, n);
    this.#sql.exec('DELETE FROM reactions WHERE n = ?', n);
    this.#shownRev = rev;
    this.#counted.clear();
    return rev;
  }

  /** Adds someone's reaction to a message. Returns the message's new rev. */
  addReaction(n: number, emoji: string, userId: string): number {
    const rev = this.#nextRev();
    this.#sql.exec('INSERT INTO reactions (n, emoji, user_id, rev) VALUES (?, ?, ?, ?)', n, emoji, userId, rev);
    this.#sql.exec('UPDATE messages SET rev = ? WHERE n = ?', rev, n);
    return rev;
  }

  /** Takes someone's reaction from a message. Returns the message's new rev. */
  removeReaction(n: number, emoji: string, userId: string): number {
    const rev = this.#nextRev();
    const [taken] = this.#sql
      .exec<{ rev: number }>(
        'DELETE FROM reactions WHERE n = ? AND emoji = ? AND user_id = ? RETURNING rev',
        n,
        emoji,
        userId,
      )
      .toArray();
    // Whoever comes first now takes over its place, or the emoji would move behind others that are newer.
    if (taken) {
      this.#sql.exec(
        `UPDATE reactions SET rev = ?3 WHERE n = ?1 AND emoji = ?2 AND rev > ?3
           AND rev = (SELECT min(rev) FROM reactions WHERE n = ?1 AND emoji = ?2)`,
        n,
        emoji,
        taken.rev,
      );
    }
    this.#sql.exec('UPDATE messages SET rev = ? WHERE n = ?', rev, n);
    return rev;
  }

  /** The reactions to a message, in the order in which their emoji were first used. */
  reactions(n: number): MessageRow['reactions'] {
    const rows = this.#sql
      .exec<{ emoji: string; user_id: string }>('SELECT emoji, user_id FROM reactions WHERE n = ? ORDER BY rev', n)
      .toArray();
    const byEmoji = Map.groupBy(rows, ({ emoji }) => emoji);
    return [...byEmoji].map(([emoji, those]) => ({ emoji, user_ids: those.map(({ user_id }) => user_id) }));
  }

  /** Remembers for ever what a sender's ref came to. */
  remember(senderId: string, ref: string, { type, n, rev }: StoredOperation): void {
    this.#sql.exec(
      'INSERT INTO operations (sender_id, ref, type, n, rev) VALUES (?, ?, ?, ?, ?)',
      senderId,
      ref,
      type,
      n,
      rev,
    );
  }

  /** What a sender's ref came to; undefined if they have not used it. */
  operation(senderId: string, ref: string): StoredOperation | undefined {
    return this.#sql
      .exec<StoredOperation>('SELECT type, n, rev FROM operations WHERE sender_id = ? AND ref = ?', senderId, ref)
      .toArray()[0];
  }

  // Reading

  /** A page of messages by n, bounded in rows and bytes; and whether there are more in the direction asked for. */
  page({ before, after, around, limit }: PageRange): { messages: MessageRow[]; more: boolean } {
    if (after !== undefined) return this.#newer(after, limit, PAGE_MAX_BYTES);
    if (around === undefined) return this.#older(before ?? this.#lastN + 1, limit, PAGE_MAX_BYTES);
    const older = this.#older(around + 1, Math.ceil(limit / 2), PAGE_MAX_BYTES / 2);
    const newer = this.#newer(around, Math.floor(limit / 2), PAGE_MAX_BYTES / 2);
    return { messages: [...older.messages, ...newer.messages], more: older.more || newer.more };
  }

  /** Every row whose rev is larger than `after`, by rev, as it stands now; bounded in rows and bytes. */
  changesSince(after: number): Changes {
    const messages = this.#sql
      .exec<StoredMessage>('SELECT * FROM messages WHERE rev > ? ORDER BY rev LIMIT ?', after, CHANGES_MAX_ROWS + 1)
      .toArray();
    const changed = [
      ...this.#withReactions(messages).map((message) => ({ message, ...bytesOfMessage(message) })),
      ...this.allMembers()
        .filter(({ rev }) => rev > after)
        .map((member) => ({ member: toMemberRow(member), ...bytesOfMember(member) })),
    ].sort((a, b) => a.rev - b.rev);
    const taken = takeWithin(changed, CHANGES_MAX_ROWS, PAGE_MAX_BYTES);
    const more = taken.length < changed.length;
    return {
      after,
      rev: more ? (taken.at(-1)?.rev ?? after) : this.#lastRev,
      messages: taken.flatMap((it) => ('message' in it ? [it.message] : [])),
      members: taken.flatMap((it) => ('member' in it ? [it.member] : [])),
      more,
    };
  }

  /** Whether more than `limit` rows have changed since a cursor. */
  hasMoreChanges(after: number, limit: number): boolean {
    // Each change has a rev of its own, so there are at most as many.
    if (this.#lastRev - after <= limit) return false;
    const { messages } = this.#sql
      .exec<{ messages: number }>(
        'SELECT count(*) AS messages FROM (SELECT 1 FROM messages WHERE rev > ? LIMIT ?)',
        after,
        limit + 1,
      )
      .one();
    return messages + this.allMembers().filter(({ rev }) => rev > after).length > limit;
  }

  /** What someone sees who has nothing yet: the newest messages by n, and all members. */
  snapshot(): { messages: MessageRow[]; members: MemberRow[] } {
    return { messages: this.page({ limit: PAGE_SIZE }).messages, members: this.allMembers().map(toMemberRow) };
  }

  /**
   * Messages older than `before` (all, without it) that were not deleted, newest first. `next` is where the next page
   * begins, if there may be one: a page is short where much was deleted.
   */
  history({ before = Infinity, limit }: { before?: number | undefined; limit: number }) {
    const start = Math.min(before, this.#lastN + 1);
    const end = Math.max(1, start - HISTORY_SCAN_MAX);
    const rows = this.#sql
      .exec<StoredMessage>(
        'SELECT * FROM messages WHERE n < ? AND n >= ? AND deleted_at IS NULL ORDER BY n DESC LIMIT ?',
        start,
        end,
        limit + 1,
      )
      .toArray();
    const messages = rows.slice(0, limit);
    const next = rows.length > limit ? messages.at(-1)?.n : end;
    return { messages, next: next !== undefined && next > 1 ? next : undefined };
  }

  // Feeds to inboxes

  /**
   * Members whose inbox has not acknowledged how the conversation stands for them now. Somebody who left is due until
   * that is known there. Nobody is before the first message: a conversation that was only opened shows nowhere. In a
   * later history they are, since the one before may have had messages, which inboxes still show.
   */
  dueFeeds(): string[] {
    if (this.#lastN === 0 && this.#epoch === FIRST_EPOCH) return [];
    return this.allMembers().flatMap((member) => {
      const shown = member.left_at === null ? Math.max(this.#shownRev, this.#ownRev(member)) : member.rev;
      return member.fed_rev < shown ? [member.user_id] : [];
    });
  }

  /** How the conversation stands for a member, or for somebody who was one. */
  feed(userId: string): Feed {
    const about = { epoch: this.#epoch, rev: this.#lastRev };
    const member = this.member(userId);
    const last = this.message(this.#lastN);
    if (!member || !last) return { ...about, row: null };
    const peer = this.allMembers().find(({ user_id }) => user_id !== userId);
    const { sender_id, text, created_at } = last;
    return {
      ...about,
      row: {
        kind: 'direct',
        title: null,
        peer: peer ? { user_id: peer.user_id, first_name: peer.first_name, last_name: peer.last_name } : null,
        n: this.#lastN,
        read: member.read,
        unread: this.unread(member),
        last: { sender_id, text: text === null ? null : beginningOf(text, PREVIEW_MAX_LENGTH), created_at },
      },
    };
  }

  /** Notes that a member's inbox has a feed. One of another history, or that is older than what it has, settles nothing. */
  settleFeed(userId: string, { epoch, rev }: Feed): void {
    const member = this.#members.get(userId);
    if (!member || epoch !== this.#epoch || rev <= member.fed_rev) return;
    this.#sql.exec('UPDATE members SET fed_rev = ? WHERE user_id = ?', rev, userId);
    this.#keep({ ...member, fed_rev: rev });
  }

  /** Messages of others after someone's read mark that were not deleted, counted from the log; at most UNREAD_MAX. */
  unread({ user_id, read }: Pick<StoredMember, 'user_id' | 'read'>): number {
    const known = this.#counted.get(user_id);
    const from = known?.read === read ? known : { read, upTo: read, unread: 0 };
    const { more } = this.#sql
      .exec<{ more: number }>(
        `SELECT count(*) AS more FROM (
           SELECT 1 FROM messages WHERE n > ? AND sender_id <> ? AND deleted_at IS NULL LIMIT ?)`,
        from.upTo,
        user_id,
        UNREAD_MAX - from.unread,
      )
      .one();
    const unread = from.unread + more;
    this.#counted.set(user_id, { read, upTo: this.#lastN, unread });
    return unread;
  }

  /** The last change of someone's row that shows in their own inbox. */
  #ownRev({ user_id, rev }: StoredMember): number {
    return this.#ownRevs.get(user_id) ?? rev;
  }

  #keep(member: StoredMember): void {
    this.#members = new Map(this.#members).set(member.user_id, member);
  }

  #nextRev(): number {
    return (this.#lastRev += 1);
  }

  #older(before: number, limit: number, bytes: number): { messages: MessageRow[]; more: boolean } {
    const rows = this.#sql
      .exec<StoredMessage>('SELECT * FROM messages WHERE n < ? ORDER BY n DESC LIMIT ?', before, limit + 1)
      .toArray();
    const { messages, more } = this.#bounded(rows, limit, bytes);
    return { messages: messages.toReversed(), more };
  }

  #newer(after: number, limit: number, bytes: number): { messages: MessageRow[]; more: boolean } {
    const rows = this.#sql
      .exec<StoredMessage>('SELECT * FROM messages WHERE n > ? ORDER BY n LIMIT ?', after, limit + 1)
      .toArray();
    return this.#bounded(rows, limit, bytes);
  }

  #bounded(rows: StoredMessage[], limit: number, bytes: number): { messages: MessageRow[]; more: boolean } {
    const weighed = this.#withReactions(rows).map((message) => ({ message, ...bytesOfMessage(message) }));
    const taken = takeWithin(weighed, limit, bytes);
    return { messages: taken.map(({ message }) => message), more: taken.length < rows.length };
  }

  #withReactions(messages: StoredMessage[]): MessageRow[] {
    // One at a time: a list of numbers in one statement would be billed as rows read.
    return messages.map((message) => ({ ...message, reactions: this.reactions(message.n) }));
  }

  /** Takes over a member. Returns their new rev. */
  #writeMember(member: DirectoryMember): number {
    const rev = this.#nextRev();
    this.#sql.exec(
      `INSERT INTO members (user_id, rev, role, first_name, last_name, left_at) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET rev = excluded.rev, role = excluded.role, first_name = excluded.first_name,
         last_name = excluded.last_name, left_at = excluded.left_at,
         last_seen = CASE WHEN excluded.left_at IS NULL THEN last_seen END`,
      member.user_id,
      rev,
      member.role,
      member.first_name,
      member.last_name,
      member.left_at,
    );
    return rev;
  }

  #load(): void {
    const head = this.#sql
      .exec<Head>(
        `SELECT
           coalesce((SELECT version FROM directory), 0) AS version,
           coalesce((SELECT epoch FROM directory), 0) AS epoch,
           coalesce((SELECT members_rev FROM directory), 0) AS members_rev,
           coalesce((SELECT max(n) FROM messages), 0) AS last_n,
           coalesce((SELECT created_at FROM messages WHERE n = (SELECT max(n) FROM messages)), 0) AS last_created_at,
           coalesce((SELECT max(rev) FROM messages), 0) AS messages_rev,
           coalesce((SELECT max(rev) FROM members), 0) AS last_member_rev`,
      )
      .one();
    const members = this.#sql.exec<StoredMember>('SELECT * FROM members').toArray();
    this.#version = head.version;
    this.#epoch = head.epoch;
    this.#lastN = head.last_n;
    this.#lastRev = Math.max(head.messages_rev, head.last_member_rev);
    this.#lastCreatedAt = head.last_created_at;
    this.#members = new Map(members.map((member) => [member.user_id, member]));
    // Some of these changes may show in no inbox: then it is told once more what it has.
    this.#shownRev = Math.max(head.messages_rev, head.members_rev);
    this.#ownRevs = new Map();
    this.#counted.clear();
  }
}

function toMemberRow({
  last_seen: _last_seen,
  has_blocked: _has_blocked,
  hides_presence: _hides_presence,
  fed_rev: _fed_rev,
  ...row
}: StoredMember): MemberRow {
  return row;
}

function differs(known: StoredMember, member: DirectoryMember): boolean {
  return (
    known.role !== member.role ||
    known.first_name !== member.first_name ||
    known.last_name !== member.last_name ||
    known.left_at !== member.left_at
  );
}
