import {
  decodeInboxServerFrame,
  type InboxRow,
  type InboxServerFrame,
  type InboxServerFrameOf,
} from '../protocol/inbox-frames.ts';
import { CatchUp } from './catch-up.ts';
import { signedOutError, type ChatError } from './error.ts';
import { InboxMarks } from './inbox-marks.ts';
import { InboxRows } from './inbox-rows.ts';
import { Link } from './link.ts';
import { Presence } from './presence.ts';
import { Requests } from './requests.ts';
import { connectionOf, type Shared } from './shared.ts';
import { mutex } from './storage.ts';
import type {
  Connection,
  Inbox,
  InboxChange,
  InboxConversation,
  InboxPage,
  InboxSnapshot,
  InboxTotal,
} from './types.ts';
import { Typing } from './typing.ts';
import { reuse, View } from './view.ts';

/** Which conversations a page holds. */
type Filter = { readonly before?: string | undefined; readonly archived?: boolean; readonly unread?: boolean };

const NOTHING: InboxTotal = { messages: 0, conversations: 0 };

/** An inbox: its rows, its socket, and who looks at it. */
export class LiveInbox implements Inbox {
  readonly #shared: Shared;
  readonly #rows = new InboxRows();
  readonly #presence = new Presence();
  readonly #typing: Typing;
  readonly #link: Link<'inbox'>;
  readonly #catchUp: CatchUp<'inbox'>;
  readonly #requests: Requests<'inbox'>;
  readonly #marks: InboxMarks;
  readonly #view: View<InboxSnapshot>;
  /** Two changes of a conversation must not overtake each other. */
  readonly #inTurn = mutex();
  #me: string | null = null;
  #unread = NOTHING;
  #loading: Promise<void> | null = null;
  #isClosed = false;
  #connection: Connection | null = null;
  #conversations: readonly InboxConversation[] = [];

  constructor(shared: Shared) {
    const { session, environment, socketUrl } = shared;
    this.#shared = shared;
    this.#typing = new Typing(environment, () => this.#view.show());
    this.#link = new Link(session, environment, socketUrl, {
      target: () => `/ws/inbox/${this.#catchUp.query}`,
      decode: decodeInboxServerFrame,
      welcomed: (frame) => this.#welcomed(frame),
      received: (frame) => this.#received(frame),
      lost: () => this.#lost(),
      stopped: (problem) => this.#requests.close(problem),
      changed: () => this.#view.show(),
    });
    this.#catchUp = new CatchUp(this.#link, environment, {
      apply: (frame) => this.#apply(frame),
      caughtUp: () => this.#tellMarks(),
    });
    this.#requests = new Requests(this.#link, environment, () => this.#proceed());
    this.#marks = new InboxMarks(this.#rows, this.#link, shared);
    this.#view = new View(() => this.#build());
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    const remove = this.#view.add(listener);
    this.#proceed();
    return () => {
      remove();
      this.#proceed();
    };
  };

  readonly snapshot = (): InboxSnapshot => this.#view.snapshot;

  loadMore(): Promise<void> {
    // A list that is scrolled asks more often than it gets an answer.
    this.#loading ??= this.#loadMore().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  archived(before?: string): Promise<InboxPage> {
    return this.#list({ archived: true, before });
  }

  unread(before?: string): Promise<InboxPage> {
    return this.#list({ unread: true, before });
  }

  update(conversationId: string, change: InboxChange): Promise<void> {
    const me = this.#me;
    return this.#inTurn(conversationId, async () => {
      // Another user may have signed in meanwhile.
      if (me !== null && this.#me !== me) throw signedOutError();
      await this.#requests.ask('ok', () => ({ ...change, type: 'set', conversation: conversationId }));
    });
  }

  reconnect(): void {
    this.#link.restart();
  }

  /** Takes note that the user has read a conversation up to message `n`: then they have come back to it. */
  hasRead(conversationId: string, n: number): void {
    const row = this.#rows.get(conversationId);
    // As far as they have read, and no further: what has come meanwhile must not count as read.
    if (row?.marked_unread && n >= row.n) this.#link.tell({ type: 'mark', conversation: conversationId, read: n });
  }

  /** As {@link Chat.wake}. */
  wake(): void {
    this.#link.wake();
    if (this.#catchUp.isDone) this.#catchUp.probe();
  }

  /** Takes note of who is signed in now. */
  sessionChanged(): void {
    if (this.#isClosed) return;
    const { status, me, problem } = this.#shared.session.snapshot;
    const why = problem ?? signedOutError();
    if (status === 'signed_in' && me !== this.#me) this.#switchUser(me, why);
    if (status === 'signed_out') {
      this.#requests.close(why);
      if (!problem) this.#switchUser(null, why);
    }
    this.#link.sessionChanged();
    this.#proceed();
  }

  /** Takes note that the storage fails, or works again. */
  durabilityChanged(): void {
    this.#view.show();
  }

  close(why: ChatError): void {
    this.#isClosed = true;
    this.#link.end();
    this.#requests.end(why);
    this.#view.show();
  }

  #switchUser(me: string | null, why: ChatError): void {
    if (this.#me !== null) this.#requests.close(why);
    this.#me = me;
    this.#rows.clear();
    this.#catchUp.cursor = null;
    this.#marks.clear();
    this.#presence.clear();
    this.#unread = NOTHING;
    this.#link.restart();
  }

  /** Connects or lets go, and shows what has changed. */
  #proceed(): void {
    this.#link.want(!this.#isClosed && (this.#view.isWatched || !this.#requests.isEmpty));
    this.#view.show();
  }

  #welcomed(frame: InboxServerFrameOf<'welcome'>): void {
    if (!frame.resumed) {
      this.#rows.replace(
        frame.snapshot ?? { conversations: [], next: null },
        this.#catchUp.cursor?.epoch === frame.epoch,
      );
      this.#marks.clear();
    }
    this.#unread = reuse(this.#unread, frame.total);
    this.#presence.clear();
    for (const { user_id, online, last_seen } of frame.presence) this.#presence.tell(user_id, online, last_seen);
    this.#catchUp.welcomed(frame);
    this.#requests.askAll();
    this.#proceed();
  }

  #received(frame: InboxServerFrame): void {
    switch (frame.type) {
      case 'changes':
        this.#catchUp.received(frame);
        break;
      case 'typing':
        this.#type(frame);
        break;
      case 'presence':
        this.#presence.tell(frame.user_id, frame.online, frame.last_seen);
        break;
      case 'error':
        // Without a ref it refuses a mark.
        if (frame.ref === undefined && frame.retry_after_ms !== undefined) this.#marks.refused(frame.retry_after_ms);
        break;
      default:
    }
    this.#view.show();
  }

  #type({ conversation, user_id, on }: InboxServerFrameOf<'typing'>): void {
    if (on) this.#typing.begin(conversation, user_id, this.#link.welcome?.limits.typing_lifetime_ms ?? 0);
    else this.#typing.stop(conversation, user_id);
  }

  #apply({ conversations, removed, total, rev }: InboxServerFrameOf<'changes'>): void {
    for (const { conversation, n, last } of conversations) {
      if (n > (this.#rows.get(conversation)?.n ?? 0)) this.#typing.stop(conversation, last.sender_id);
    }
    this.#rows.upsert(conversations, removed);
    // A frame that comes twice may bring an old one.
    if (rev === this.#catchUp.cursor?.rev) this.#unread = reuse(this.#unread, total);
    this.#tellMarks();
    this.#view.show();
  }

  #tellMarks(): void {
    if (this.#me !== null && this.#catchUp.isDone) this.#marks.tell(this.#me);
  }

  #lost(): void {
    this.#catchUp.lost();
    this.#marks.lost();
    this.#typing.clear();
  }

  async #loadMore(): Promise<void> {
    while (!this.#catchUp.cursor || this.#rows.next !== null) {
      // Where the list goes on is known once there is a connection, and may change with each.
      const page = await this.#page(() => ({ before: this.#rows.next ?? undefined }));
      if (!this.#catchUp.isCurrent(page)) continue;
      this.#rows.append(page);
      this.#tellMarks();
      this.#view.show();
      return;
    }
  }

  async #list(filter: Filter): Promise<InboxPage> {
    for (;;) {
      const page = await this.#page(() => filter);
      if (!this.#catchUp.isCurrent(page)) continue;
      return { conversations: page.conversations.map((row) => this.#shownOf(row, undefined)), next: page.next };
    }
  }

  #page(filter: () => Filter): Promise<InboxServerFrameOf<'page'>> {
    return this.#requests.ask('page', () => {
      const { before, archived = false, unread = false } = filter();
      return { type: 'list', ...(before !== undefined && { before }), archived, unread, limit: 100 };
    });
  }

  /** A row with what is known of its people. What has not changed stays the same object. */
  #shownOf(row: InboxRow, before: InboxConversation | undefined): InboxConversation {
    const peer = row.peer && reuse(before?.peer, { ...row.peer, ...this.#presence.of(row.peer.user_id) });
    return reuse<InboxConversation>(before, {
      ...row,
      peer,
      typing: reuse(before?.typing, this.#typing.in(row.conversation)),
    });
  }

  #build(): InboxSnapshot {
    this.#connection = reuse(this.#connection, connectionOf(this.#link, this.#shared.keeper));
    const before = new Map(this.#conversations.map((it) => [it.conversation, it]));
    const conversations = this.#rows.listed.map((row) => this.#shownOf(row, before.get(row.conversation)));
    this.#conversations = reuse(this.#conversations, conversations);
    return {
      connection: this.#connection,
      me: this.#me,
      conversations: this.#conversations,
      has_more: this.#rows.next !== null,
      unread: this.#unread,
      cursor: this.#catchUp.cursor,
    };
  }
}
