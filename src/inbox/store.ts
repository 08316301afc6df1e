import { CHANGES_MAX_ROWS, PAGE_MAX_BYTES, PAGE_SIZE, PINS_MAX } from '../config.ts';
import type { InboxState } from '../directory/access.ts';
import { EndedSessions } from '../objects/ended-sessions.ts';
import type { Feed, FeedRow } from '../objects/feed.ts';
import { migrate } from '../objects/migrate.ts';
import { takeWithin } from '../objects/take-within.ts';
import type {
  ContactPresence,
  InboxClientFrameOf,
  InboxRow,
  InboxServerFrameOf,
  RemovedRow,
  UnreadTotal,
} from '../protocol/inbox-frames.ts';
import { jsonBytes } from '../protocol/text.ts';
import type { ContactState } from './presence.ts';
import { MIGRATIONS } from './migrations.ts';

/** What the user may set of a conversation. What is left out stays. */
export type Setting = Pick<InboxClientFrameOf<'set'>, 'muted_until' | 'pinned' | 'archived'> & {
  /** Whether it is marked unread. */
  readonly unread?: boolean | undefined;
};

/** Which conversations a page holds, and from where. */
export type ListRange = Pick<InboxClientFrameOf<'list'>, 'before' | 'unread' | 'archived' | 'limit'>;

/** What has changed since a cursor, as `changes` tells it. */
export type InboxChanges = Omit<InboxServerFrameOf<'changes'>, 'type' | 'ref'>;

/** A conversation as stored. */
type Stored = {
  conversation_id: string;
  rev: number;
  epoch: number;
  fed_rev: number;
  kind: FeedRow['kind'] | null;
  title: string | null;
  peer_id: string | null;
  peer_first_name: string | null;
  peer_last_name: string | null;
  n: number | null;
  read: number | null;
  unread: number | null;
  last_sender_id: string | null;
  last_text: string | null;
  active_at: number | null;
  muted_until: number | null;
  pinned: number;
  archived_n: number | null;
  unread_at: number | null;
  is_archived: number;
  is_unread: number;
};

// One statement for each index that serves them.
const PAGE = `SELECT * FROM conversations
  WHERE is_archived = ? AND kind IS NOT NULL AND (active_at, conversation_id) < (?, ?)
  ORDER BY active_at DESC, conversation_id DESC LIMIT ?`;
const UNREAD_PAGE = `SELECT * FROM conversations
  WHERE is_archived = ? AND is_unread = 1 AND (active_at, conversation_id) < (?, ?)
  ORDER BY active_at DESC, conversation_id DESC LIMIT ?`;

/** Bytes that a row takes in a frame at most, without its texts. */
const ROW_BYTES = 600;

/**
 * How every conversation of one user stands: all the SQL of an inbox. Every method is synchronous. Each change of a row
 * takes the inbox's next rev, and a row is never deleted: one that its user has left stays as a tombstone, so that no
 * late feed brings it back.
 */
export class InboxStore {
  readonly endedSessions: EndedSessions;
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;
  #epoch!: number;
  #showsPresence!: boolean;
  #isClosed!: boolean;
  #lastSeen!: number | null;
  #lastRev!: number;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.endedSessions = new EndedSessions(storage.sql);
    migrate(storage, MIGRATIONS);
    this.#load();
  }

  /** The history that the rows belong to; 0 before the directory has told. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The last change. */
  get rev(): number {
    return this.#lastRev;
  }

  /** Whether the user has deleted their account. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether the user lets others see that they are here. */
  get showsPresence(): boolean {
    return this.#showsPresence;
  }

  /** When the user was last here, in milliseconds since 1970. */
  get lastSeen(): number | null {
    return this.#lastSeen;
  }

  // What the directory says

  /** Takes over what the directory says of the user. */
  setState({ epoch, shows_presence }: InboxState): void {
    if (this.#isClosed || (epoch <= this.#epoch && shows_presence === this.#showsPresence)) return;
    this.#sql.exec(
      `INSERT INTO inbox (singleton, epoch, shows_presence) VALUES (1, ?1, ?2)
       ON CONFLICT DO UPDATE SET epoch = max(epoch, ?1), shows_presence = ?2`,
      epoch,
      shows_presence ? 1 : 0,
    );
    this.#load();
  }

  /** Forgets everything but that the account is closed. */
  close(now: number): void {
    if (this.#isClosed) return;
    this.#storage.transactionSync(() => {
      this.#sql.exec('DELETE FROM conversations');
      this.#sql.exec('DELETE FROM contacts');
      this.#sql.exec('DELETE FROM ended_sessions');
      this.#sql.exec('DELETE FROM inbox');
      this.#sql.exec('INSERT INTO inbox (singleton, epoch, shows_presence, closed_at) VALUES (1, 0, 0, ?)', now);
    });
    this.#load();
  }

  // Conversations

  /**
   * Takes over how a conversation stands, unless it is known as it is now, or was later.
   * @returns whether anything has changed
   */
  apply(conversation_id: string, { epoch, rev, row }: Feed): boolean {
    if (this.#isClosed) return false;
    const known = this.#find(conversation_id);
    if (known && (known.epoch > epoch || (known.epoch === epoch && known.fed_rev >= rev))) return false;
    const own = row && known && (known.epoch === epoch ? known : inHistoryOf(row, known));
    const next = {
      conversation_id,
      epoch,
      fed_rev: rev,
      kind: row?.kind ?? null,
      title: row?.title ?? null,
      peer_id: row?.peer?.user_id ?? null,
      peer_first_name: row?.peer?.first_name ?? null,
      peer_last_name: row?.peer?.last_name ?? null,
      n: row?.n ?? null,
      read: row?.read ?? null,
      unread: row?.unread ?? null,
      last_sender_id: row?.last.sender_id ?? null,
      last_text: row?.last.text ?? null,
      active_at: row?.last.created_at ?? null,
      muted_until: own?.muted_until ?? null,
      pinned: own?.pinned ?? 0,
      archived_n: own?.archived_n ?? null,
      unread_at: own?.unread_at ?? null,
    };
    if (known && !differs(known, next)) {
      // Nobody needs to hear that something else has changed, which does not show here.
      this.#sql.exec(
        'UPDATE conversations SET epoch = ?, fed_rev = ? WHERE conversation_id = ?',
        epoch,
        rev,
        conversation_id,
      );
      return false;
    }
    this.#write(next);
    return true;
  }

  /** How a conversation stands; undefined if it is not here (any more). */
  row(conversationId: string): InboxRow | undefined {
    const stored = this.#find(conversationId);
    return stored && isPresent(stored) ? toRow(stored) : undefined;
  }

  /** Why something may not be set of a conversation; undefined if it may. */
  whyNot(conversationId: string, { pinned }: Setting): 'no_such_conversation' | 'too_many_pins' | undefined {
    const row = this.row(conversationId);
    if (!row) return 'no_such_conversation';
    return pinned === true && !row.pinned && this.#pins() >= PINS_MAX ? 'too_many_pins' : undefined;
  }

  /** Sets what the user may set, if {@link whyNot} has nothing against it. */
  set(conversationId: string, setting: Setting): void {
    const stored = this.#find(conversationId);
    if (!stored || this.whyNot(conversationId, setting) !== undefined) return;
    const { muted_until, pinned, archived, unread } = setting;
    const next = {
      ...stored,
      ...(muted_until !== undefined && { muted_until }),
      ...(pinned !== undefined && { pinned: pinned ? 1 : 0 }),
      ...(archived !== undefined && { archived_n: archived ? stored.n : null }),
      ...(unread !== undefined && { unread_at: unread ? stored.read : null }),
    };
    if (differs(stored, next)) this.#write(next);
  }

  /** A page of conversations, the newest activity first; and where the next one begins. */
  list({ before, unread, archived, limit }: ListRange): {
    conversations: InboxRow[];
    next: string | null;
  } {
    const [at, id] = before === undefined ? [Number.MAX_SAFE_INTEGER, ''] : splitCursor(before);
    const rows = this.#sql
      .exec<Stored>(unread ? UNREAD_PAGE : PAGE, archived ? 1 : 0, at, id, limit + 1)
      .toArray()
      .filter(isPresent);
    const conversations = within(rows.map(toRow), limit);
    const last = conversations.at(-1);
    const next = last && conversations.length < rows.length ? `${last.last.created_at}.${last.conversation}` : null;
    return { conversations, next };
  }

  /** What someone sees who has nothing yet: the first page, and what is pinned. */
  snapshot(): { conversations: InboxRow[]; next: string | null } {
    const { conversations, next } = this.list({ unread: false, archived: false, limit: PAGE_SIZE });
    const listed = new Set(conversations.map(({ conversation }) => conversation));
    const pinned = this.#sql
      .exec<Stored>('SELECT * FROM conversations WHERE pinned = 1')
      .toArray()
      .filter(isPresent)
      .map(toRow)
      .filter(({ conversation }) => !listed.has(conversation));
    return { conversations: [...conversations, ...pinned], next };
  }

  /** Every conversation whose rev is larger than `after`, as it stands now; bounded in rows and bytes. */
  changesSince(after: number, now: number): InboxChanges {
    const rows = this.#sql
      .exec<Stored>('SELECT * FROM conversations WHERE rev > ? ORDER BY rev LIMIT ?', after, CHANGES_MAX_ROWS + 1)
      .toArray();
    const taken = within(
      rows.map((stored) => (isPresent(stored) ? toRow(stored) : removed(stored))),
      CHANGES_MAX_ROWS,
    );
    const more = taken.length < rows.length;
    return {
      after,
      rev: more ? (taken.at(-1)?.rev ?? after) : this.#lastRev,
      conversations: taken.filter(isRow),
      removed: taken.filter((row) => !isRow(row)),
      total: this.total(now),
      more,
    };
  }

  /** Whether more than `limit` rows have changed since a cursor. */
  hasMoreChanges(after: number, limit: number): boolean {
    if (this.#lastRev - after <= limit) return false;
    const { changed } = this.#sql
      .exec<{ changed: number }>(
        'SELECT count(*) AS changed FROM (SELECT 1 FROM conversations WHERE rev > ? LIMIT ?)',
        after,
        limit + 1,
      )
      .one();
    return changed > limit;
  }

  /** How much is unread. It reads the conversations that have something unread, no others. */
  total(now: number): UnreadTotal {
    return this.#sql
      .exec<UnreadTotal>(
        `SELECT coalesce(sum(unread), 0) AS messages, count(*) AS conversations FROM conversations
         WHERE is_unread = 1 AND is_archived = 0 AND (muted_until IS NULL OR muted_until <= ?)`,
        now,
      )
      .one();
  }

  // Presence

  /** Notes when the user was last here. */
  setLastSeen(at: number): void {
    if (at <= (this.#lastSeen ?? 0)) return;
    this.#sql.exec('UPDATE inbox SET last_seen = ?', at);
    this.#lastSeen = at;
  }

  /** The people of direct conversations, those with the newest activity first. */
  peers(limit: number): string[] {
    return this.#sql
      .exec<{ peer_id: string }>(
        `SELECT peer_id FROM conversations WHERE is_archived = 0 AND kind IS NOT NULL
         ORDER BY active_at DESC, conversation_id DESC LIMIT ?`,
        limit,
      )
      .toArray()
      .flatMap(({ peer_id }) => peer_id ?? []);
  }

  /** What is known of them. */
  contacts(): ContactPresence[] {
    return this.#sql
      .exec<{ user_id: string; online: number; last_seen: number | null }>(
        'SELECT user_id, online, last_seen FROM contacts WHERE online = 1 OR last_seen IS NOT NULL',
      )
      .toArray()
      .map(({ online, ...contact }) => ({ ...contact, online: online === 1 }));
  }

  /** Those who want to hear whether the user is here. */
  listeningContacts(): string[] {
    return this.#sql
      .exec<{ user_id: string }>('SELECT user_id FROM contacts WHERE listening = 1')
      .toArray()
      .map(({ user_id }) => user_id);
  }

  /** Whether it is known of someone how they are. */
  knowsContact(userId: string): boolean {
    return this.#sql.exec('SELECT 1 FROM contacts WHERE user_id = ?', userId).toArray().length > 0;
  }

  /** Notes how someone is now. @returns whether the user does not know it yet */
  setContact(userId: string, { online, last_seen, listening }: ContactState): boolean {
    const [known] = this.#sql
      .exec<{ online: number; last_seen: number | null; listening: number }>(
        'SELECT online, last_seen, listening FROM contacts WHERE user_id = ?',
        userId,
      )
      .toArray();
    const isNews = (known?.online ?? 0) !== (online ? 1 : 0) || (known?.last_seen ?? null) !== last_seen;
    if (known && !isNews && known.listening === (listening ? 1 : 0)) return false;
    this.#sql.exec(
      `INSERT INTO contacts (user_id, online, last_seen, listening) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT DO UPDATE SET online = ?2, last_seen = ?3, listening = ?4`,
      userId,
      online ? 1 : 0,
      last_seen,
      listening ? 1 : 0,
    );
    return isNews;
  }

  /** Forgets what is known of others. */
  forgetContacts(): void {
    this.#sql.exec('DELETE FROM contacts');
  }

  #find(conversationId: string): Stored | undefined {
    return this.#sql.exec<Stored>('SELECT * FROM conversations WHERE conversation_id = ?', conversationId).toArray()[0];
  }

  #pins(): number {
    return this.#sql.exec<{ pins: number }>('SELECT count(*) AS pins FROM conversations WHERE pinned = 1').one().pins;
  }

  /** Stores a row under the next rev. */
  #write(row: Omit<Stored, 'rev' | 'is_archived' | 'is_unread'>): void {
    const { rev: _rev, ...rest } = row as Stored;
    const derived = {
      rev: this.#lastRev + 1,
      is_archived: isArchived(row) ? 1 : 0,
      is_unread: isUnread(row) ? 1 : 0,
    };
    const stored: Stored = { ...rest, ...derived };
    this.#sql.exec(
      `INSERT OR REPLACE INTO conversations (conversation_id, rev, epoch, fed_rev, kind, title, peer_id, peer_first_name,
         peer_last_name, n, read, unread, last_sender_id, last_text, active_at, muted_until, pinned, archived_n, unread_at,
         is_archived, is_unread)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      stored.conversation_id,
      stored.rev,
      stored.epoch,
      stored.fed_rev,
      stored.kind,
      stored.title,
      stored.peer_id,
      stored.peer_first_name,
      stored.peer_last_name,
      stored.n,
      stored.read,
      stored.unread,
      stored.last_sender_id,
      stored.last_text,
      stored.active_at,
      stored.muted_until,
      stored.pinned,
      stored.archived_n,
      stored.unread_at,
      stored.is_archived,
      stored.is_unread,
    );
    this.#lastRev = derived.rev;
  }

  #load(): void {
    const state = this.#sql
      .exec<{ epoch: number; shows_presence: number; closed_at: number | null; last_seen: number | null; rev: number }>(
        `SELECT coalesce(max(epoch), 0) AS epoch, coalesce(max(shows_presence), 1) AS shows_presence,
           max(closed_at) AS closed_at, max(last_seen) AS last_seen,
           (SELECT coalesce(max(rev), 0) FROM conversations) AS rev
         FROM inbox`,
      )
      .one();
    this.#epoch = state.epoch;
    this.#showsPresence = state.shows_presence === 1;
    this.#isClosed = state.closed_at !== null;
    this.#lastSeen = state.last_seen;
    this.#lastRev = state.rev;
  }
}

/** A conversation that its user has not left. */
type Present = Stored & {
  [Column in 'kind' | 'n' | 'read' | 'unread' | 'last_sender_id' | 'active_at']: NonNullable<Stored[Column]>;
};

function isPresent(stored: Stored): stored is Present {
  return stored.kind !== null;
}

function isArchived({ n, archived_n }: Pick<Stored, 'n' | 'archived_n'>): boolean {
  return n !== null && archived_n !== null && n <= archived_n;
}

function isMarkedUnread({ read, unread_at }: Pick<Stored, 'read' | 'unread_at'>): boolean {
  return read !== null && unread_at !== null && read <= unread_at;
}

/** A conversation whose numbers are those of another history now: what its user has set means the same there. */
function inHistoryOf({ n, read }: FeedRow, stored: Stored): Stored {
  return {
    ...stored,
    archived_n: isArchived(stored) ? n : null,
    unread_at: isMarkedUnread(stored) ? read : null,
  };
}

function isUnread(row: Pick<Stored, 'read' | 'unread' | 'unread_at'>): boolean {
  return (row.unread ?? 0) > 0 || isMarkedUnread(row);
}

function toRow(stored: Present): InboxRow {
  const { peer_id, peer_first_name, peer_last_name } = stored;
  return {
    conversation: stored.conversation_id,
    rev: stored.rev,
    kind: stored.kind,
    title: stored.title,
    peer:
      peer_id === null
        ? null
        : { user_id: peer_id, first_name: peer_first_name ?? '', last_name: peer_last_name ?? '' },
    n: stored.n,
    read: stored.read,
    unread: stored.unread,
    marked_unread: isMarkedUnread(stored),
    last: {
      n: stored.n,
      sender_id: stored.last_sender_id,
      text: stored.last_text,
      created_at: stored.active_at,
    },
    muted_until: stored.muted_until,
    pinned: stored.pinned === 1,
    archived: isArchived(stored),
  };
}

function isRow(row: InboxRow | RemovedRow): row is InboxRow {
  return 'kind' in row;
}

function removed({ conversation_id, rev }: Stored): RemovedRow {
  return { conversation: conversation_id, rev };
}

/** As many rows as fit into a frame. */
function within<Row extends InboxRow | RemovedRow>(rows: readonly Row[], limit: number): Row[] {
  const weighed = rows.map((row) => ({ row, bytes: bytesOf(row) }));
  return takeWithin(weighed, limit, PAGE_MAX_BYTES).map(({ row }) => row);
}

function bytesOf(row: InboxRow | RemovedRow): number {
  if (!isRow(row)) return ROW_BYTES;
  const { title, peer, last } = row;
  const texts = [title, peer?.first_name, peer?.last_name, last.text];
  return texts.reduce((bytes, text) => bytes + jsonBytes(text ?? ''), ROW_BYTES);
}

function splitCursor(cursor: string): [at: number, id: string] {
  const [at = '', id = ''] = cursor.split('.');
  return [Number(at), id];
}

/** Whether a row would be another one for its user. */
function differs(stored: Stored, next: Omit<Stored, 'rev' | 'is_archived' | 'is_unread'>): boolean {
  const shown = (row: Stored) => JSON.stringify(isPresent(row) ? toRow({ ...row, rev: stored.rev }) : null);
  return shown(stored) !== shown({ ...stored, ...next });
}
