import type { Socket } from '../../src/client/environment.ts';
import type { Inbox } from '../../src/client/index.ts';
import { CLOSE, type CloseCode } from '../../src/protocol/close-codes.ts';
import {
  decodeInboxClientFrame,
  encodeInboxFrame,
  type ContactPresence,
  type InboxClientFrame,
  type InboxClientFrameOf,
  type InboxRow,
  type InboxServerFrame,
  type InboxServerFrameOf,
  type RemovedRow,
  type UnreadTotal,
} from '../../src/protocol/inbox-frames.ts';
import { poolNetwork } from '../delivery/pool.ts';
import type { Person } from '../helpers/people.ts';
import { flush, openTab, type Tab } from './tab.ts';

/** What may be said of a row; its conversation and rev are the server's. */
export type RowChange = Partial<Omit<InboxRow, 'conversation' | 'rev'>>;

type Refusal = Omit<InboxServerFrameOf<'error'>, 'type' | 'ref'>;

/**
 * The other end of the sockets of one user's inbox, for tests of the client alone. It keeps rows, counts their changes
 * and speaks the frames; what else it does it is told by the test.
 */
export class InboxServer {
  readonly me: string;
  epoch = 1;
  rev = 0;
  pageRows = 100;
  changesRows = 200;
  resumeRows = 1000;
  presence: ContactPresence[] = [];
  readonly rows = new Map<string, InboxRow>();
  readonly removed = new Map<string, RemovedRow>();
  /** The queries of the sockets that were opened. */
  readonly connects: string[] = [];
  /** The frames that came, in order. */
  readonly heard: InboxClientFrame[] = [];
  /** Why a frame is refused, if it is. */
  refusal: (frame: InboxClientFrame) => Refusal | undefined = () => undefined;
  /** Whether it answers nothing. */
  isSilent = false;
  /** What becomes of a frame to the client. */
  transmit: (frame: InboxServerFrame, deliver: () => void) => void = (_, deliver) => deliver();
  #socket: ServerSocket | null = null;
  #toldRev = 0;

  constructor(me: string = crypto.randomUUID()) {
    this.me = me;
  }

  /** Opens a socket of the inbox here, and any other one in the Worker that the test runs in. */
  readonly openSocket = (url: string, protocols: string[]): Socket => {
    const { pathname, search } = new URL(url);
    if (pathname !== '/ws/inbox/') return poolNetwork.openSocket(url, protocols);
    this.connects.push(search);
    const socket = new ServerSocket((text) => {
      if (socket === this.#socket) this.#hear(text);
    });
    this.#socket = socket;
    queueMicrotask(() => {
      socket.open();
      if (!this.isSilent) this.#welcome(new URLSearchParams(search));
    });
    return socket;
  };

  /** The row of a conversation. @throws Error if there is none */
  row(conversation: number): InboxRow {
    const row = this.rows.get(idOf(conversation));
    if (!row) throw new Error(`The server has no conversation ${conversation}.`);
    return row;
  }

  /** Changes a row, or makes one, and tells of it. @param conversation its id, or a number that stands for one */
  change(conversation: string | number, change: RowChange = {}): InboxRow {
    const id = typeof conversation === 'number' ? idOf(conversation) : conversation;
    this.rev += 1;
    const row = { ...(this.rows.get(id) ?? emptyRow(id)), ...change, rev: this.rev };
    this.rows.set(id, row);
    this.removed.delete(id);
    this.tell();
    return row;
  }

  /** Somebody has written in a conversation. */
  message(conversation: number, createdAt: number, senderId: string = peerOf(conversation)): InboxRow {
    const { n = 0, unread = 0 } = this.rows.get(idOf(conversation)) ?? {};
    const isMine = senderId === this.me;
    return this.change(conversation, {
      n: n + 1,
      unread: isMine ? 0 : unread + 1,
      last: { n: n + 1, sender_id: senderId, text: `message ${n + 1}`, created_at: createdAt },
    });
  }

  /** The user is no member any more. */
  leave(conversation: number): void {
    this.rev += 1;
    this.rows.delete(idOf(conversation));
    this.removed.set(idOf(conversation), { conversation: idOf(conversation), rev: this.rev });
    this.tell();
  }

  /** Tells what has changed since it did so last. */
  tell(): void {
    if (!this.#socket) return;
    const after = this.#toldRev;
    this.#toldRev = this.rev;
    this.send({ type: 'changes', after, ...this.#changes(after) });
  }

  send(frame: InboxServerFrame): void {
    const socket = this.#socket;
    this.transmit(frame, () => socket?.deliver(encodeInboxFrame(frame)));
  }

  /** Ends the socket. */
  close(code: CloseCode | 1006 = 1006, reason = ''): void {
    this.#socket?.end(code, reason);
    this.#socket = null;
  }

  /** The frames of one type that came. */
  of<Type extends InboxClientFrame['type']>(type: Type): InboxClientFrameOf<Type>[] {
    return this.heard.filter((frame): frame is InboxClientFrameOf<Type> => frame.type === type);
  }

  /** A page of those that `filter` lets through, the newest activity first. */
  list(filter: (row: InboxRow) => boolean, before?: string): { conversations: InboxRow[]; next: string | null } {
    const rows = [...this.rows.values()].filter(filter).sort((a, b) => (keyOf(a) < keyOf(b) ? 1 : -1));
    const [time = '', id = ''] = before?.split('.') ?? [];
    const rest = before === undefined ? rows : rows.filter((row) => keyOf(row) < key(Number(time), id));
    const conversations = rest.slice(0, this.pageRows);
    const last = conversations.at(-1);
    const isAll = conversations.length === rest.length;
    return { conversations, next: isAll || !last ? null : `${last.last.created_at}.${last.conversation}` };
  }

  get total(): UnreadTotal {
    const counted = [...this.rows.values()].filter(({ archived, muted_until }) => !archived && muted_until === null);
    return {
      messages: counted.reduce((sum, { unread }) => sum + unread, 0),
      conversations: counted.filter(({ unread, marked_unread }) => unread > 0 || marked_unread).length,
    };
  }

  #welcome(query: URLSearchParams): void {
    const after = query.get('after');
    const hasCursor = after !== null && query.get('epoch') === String(this.epoch);
    const resumed = hasCursor && this.#changed(Number(after)).length <= this.resumeRows;
    const { conversations, next } = this.list(isMain);
    const pinned = [...this.rows.values()].filter((row) => row.pinned && isMain(row) && !conversations.includes(row));
    this.#toldRev = this.rev;
    this.send({
      type: 'welcome',
      me: this.me,
      epoch: this.epoch,
      rev: this.rev,
      limits: LIMITS,
      total: this.total,
      presence: this.presence,
      resumed,
      ...(!resumed && { snapshot: { conversations: [...conversations, ...pinned], next } }),
    });
  }

  #hear(text: string): void {
    if (this.isSilent) return;
    if (text === 'ping') return this.#socket?.deliver('pong');
    const { frame, problem } = decodeInboxClientFrame(text);
    if (!frame) return this.send({ type: 'error', ...problem });
    this.heard.push(frame);
    const ref = 'ref' in frame ? { ref: frame.ref } : {};
    const refusal = this.refusal(frame);
    if (refusal) return this.send({ type: 'error', ...ref, ...refusal });
    if (frame.type === 'sync')
      this.send({ type: 'changes', ...ref, after: frame.after, ...this.#changes(frame.after) });
    if (frame.type === 'list') this.#page(frame);
    if (frame.type === 'set') this.#set(frame);
  }

  #page({ ref, before, archived, unread }: InboxClientFrameOf<'list'>): void {
    const isWanted = (row: InboxRow) => row.archived === archived && (!unread || row.unread > 0 || row.marked_unread);
    this.send({ type: 'page', ref, epoch: this.epoch, rev: this.rev, ...this.list(isWanted, before) });
  }

  #set({ ref, conversation, muted_until, pinned, archived, unread }: InboxClientFrameOf<'set'>): void {
    if (!this.rows.has(conversation)) {
      return this.send({ type: 'error', ref, code: 'no_such_conversation', message: 'There is none.' });
    }
    const { rev } = this.change(conversation, {
      ...(muted_until !== undefined && { muted_until }),
      ...(pinned !== undefined && { pinned }),
      ...(archived !== undefined && { archived }),
      ...(unread !== undefined && { marked_unread: unread }),
      ...(unread === false && { unread: 0 }),
    });
    this.send({ type: 'ok', ref, rev });
  }

  #changed(after: number): (InboxRow | RemovedRow)[] {
    return [...this.rows.values(), ...this.removed.values()]
      .filter(({ rev }) => rev > after)
      .sort((a, b) => a.rev - b.rev);
  }

  #changes(after: number): Omit<InboxServerFrameOf<'changes'>, 'type' | 'after'> {
    const changed = this.#changed(after);
    const taken = changed.slice(0, this.changesRows);
    const more = taken.length < changed.length;
    return {
      rev: more ? (taken.at(-1)?.rev ?? after) : this.rev,
      conversations: taken.filter((row): row is InboxRow => 'last' in row),
      removed: taken.filter((row) => !('last' in row)),
      total: this.total,
      more,
    };
  }
}

/** The server's side of a socket. Like a real one it calls back later, in order, and not after its end. */
class ServerSocket implements Socket {
  readonly #target = new EventTarget();
  readonly #hear: (text: string) => void;
  #isOver = false;

  constructor(hear: (text: string) => void) {
    this.#hear = hear;
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#target.addEventListener(type, listener as (event: Event) => void);
  }

  send(text: string): void {
    queueMicrotask(() => !this.#isOver && this.#hear(text));
  }

  close(): void {
    this.#isOver = true;
  }

  open(): void {
    this.#target.dispatchEvent(new Event('open'));
  }

  deliver(data: string): void {
    queueMicrotask(() => {
      if (!this.#isOver) this.#target.dispatchEvent(Object.assign(new Event('message'), { data }));
    });
  }

  end(code: number, reason: string): void {
    queueMicrotask(() => {
      if (!this.#isOver) this.#target.dispatchEvent(Object.assign(new Event('close'), { code, reason }));
      this.#isOver = true;
    });
  }
}

const LIMITS: InboxServerFrameOf<'welcome'>['limits'] = {
  frame_max_bytes: 65_536,
  page_max_rows: 100,
  resume_rows: 1000,
  unread_max: 100,
  pins_max: 10,
  ping_interval_ms: 25_000,
  typing_lifetime_ms: 6000,
};

/** The id of a conversation that a test calls by a number. */
export function idOf(conversation: number): string {
  return `c0000000-0000-4000-8000-${String(conversation).padStart(12, '0')}`;
}

/** The other member of that conversation. */
export function peerOf(conversation: number): string {
  return `b0000000-0000-4000-8000-${String(conversation).padStart(12, '0')}`;
}

function emptyRow(id: string): Omit<InboxRow, 'rev'> {
  const user_id = `b${id.slice(1)}`;
  return {
    conversation: id,
    kind: 'direct',
    title: null,
    peer: { user_id, first_name: 'Ben', last_name: 'Doe' },
    n: 1,
    read: 0,
    unread: 0,
    marked_unread: false,
    last: { n: 1, sender_id: user_id, text: 'message 1', created_at: 1 },
    muted_until: null,
    pinned: false,
    archived: false,
  };
}

function isMain({ archived }: InboxRow): boolean {
  return !archived;
}

function key(time: number, id: string): string {
  return `${String(time).padStart(15, '0')}.${id}`;
}

function keyOf({ last, conversation }: InboxRow): string {
  return key(last.created_at, conversation);
}

/** Tokens that say who somebody is, and that no server has given out. */
export function tokensOf(userId: string): { access: string; refresh: string } {
  return { access: `e30.${btoa(JSON.stringify({ user_id: userId }))}.signature`, refresh: 'refresh' };
}

export type Opened = { readonly server: InboxServer; readonly tab: Tab; readonly inbox: Inbox };

/** Opens a tab whose inbox is at a server's. @param person who is signed in; without one, somebody no server knows */
export async function openInbox(server = new InboxServer(), person?: Person): Promise<Opened> {
  const user = person ?? (tokensOf(server.me) as Person);
  const tab = await openTab(user, { environment: { openSocket: server.openSocket } });
  await flush();
  return { server, tab, inbox: tab.chat.inbox };
}

/** The same, and somebody looks at it. @param prepare gives the server its rows */
export async function lookAtInbox(prepare: (server: InboxServer) => void = () => {}): Promise<Opened> {
  const opened = await openInbox(prepared(prepare));
  opened.inbox.subscribe(() => {});
  await flush();
  return opened;
}

function prepared(prepare: (server: InboxServer) => void): InboxServer {
  const server = new InboxServer();
  prepare(server);
  return server;
}

/** The numbers of the conversations that an inbox lists. */
export function listed(inbox: Inbox): number[] {
  return inbox.snapshot().conversations.map(({ conversation }) => Number(conversation.slice(-12)));
}

/** Loses the connection and comes back. @param meanwhile what the client does not hear of */
export async function reconnected({ server, tab }: Opened, meanwhile: () => void = () => {}): Promise<void> {
  const { length } = server.connects;
  server.close(CLOSE.restarted);
  await flush();
  meanwhile();
  // How long it waits depends on how often it has lost the connection.
  while (server.connects.length === length) tab.clock.pass(500);
  await flush();
}

/** Lets time pass in which nothing happens, but for pings and their answers. */
export async function idle({ tab }: Opened, seconds: number): Promise<void> {
  for (let passed = 0; passed < seconds; passed += 5) {
    tab.clock.pass(5000);
    await flush();
  }
}
