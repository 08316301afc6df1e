import type { Operation } from '../protocol/client-frames.ts';
import { CLOSE } from '../protocol/close-codes.ts';
import type { Answer, ServerFrame, ServerFrameOf } from '../protocol/server-frames.ts';
import { isRef, messageProblem } from '../protocol/text.ts';
import { ChatError, closedError, signedOutError } from './error.ts';
import type { Environment } from './environment.ts';
import type { Keeper } from './keeper.ts';
import { Link } from './link.ts';
import { Listeners } from './listeners.ts';
import { Log } from './log.ts';
import { Marks } from './marks.ts';
import { Outbox, type Entry } from './outbox.ts';
import { People } from './people.ts';
import { newRef } from './ref.ts';
import { Requests } from './requests.ts';
import type { Session } from './session.ts';
import type {
  Connection,
  Conversation,
  ConversationSnapshot,
  HistoryPage,
  HistoryRange,
  Message,
  OperationOptions,
  PendingOperation,
  SendOptions,
} from './types.ts';

/** Milliseconds between two looks whether the last frame was lost. */
const PROBE_MS = 5 * 60_000;
/** Milliseconds for which the socket stays when nobody wants it any more: the next screen may want it again. */
const LINGER_MS = 5000;

/** What all conversations of a chat share. */
export type Shared = {
  readonly session: Session;
  readonly keeper: Keeper;
  readonly environment: Environment;
  /** Of the server, with `ws:` or `wss:`. */
  readonly socketUrl: string;
};

/** An operation, and whether its frame was sent. */
type Sent = { readonly entry: Entry; isOut: boolean };

/** A conversation: its rows, its operations, its socket, and who looks at it. */
export class LiveConversation implements Conversation {
  readonly id: string;
  readonly #shared: Shared;
  readonly #listeners = new Listeners();
  readonly #log = new Log();
  readonly #people: People;
  readonly #outbox: Outbox;
  readonly #link: Link;
  readonly #requests: Requests;
  readonly #marks: Marks;
  #me: string | null = null;
  /** The operation whose turn it is, from then until it is answered or the socket is lost. */
  #current: Sent | null = null;
  /** Until when the server wants to hear of no operation, by {@link Environment.elapsed}. */
  #heldUntil = 0;
  #isSyncing = false;
  #isCaughtUp = false;
  #isWanted = false;
  #isClosed = false;
  /** When the others were last told that one types; null if they were told otherwise. */
  #typingSaidAt: number | null = null;
  #connection: Connection = { status: 'idle', problem: null, durable: false };
  #shown: ConversationSnapshot;
  #cancelProbe = () => {};
  #cancelSync = () => {};
  #cancelMarks = () => {};
  #cancelHold = () => {};
  #cancelLinger: (() => void) | null = null;

  constructor(id: string, shared: Shared) {
    const { session, keeper, environment, socketUrl } = shared;
    this.id = id;
    this.#shared = shared;
    this.#people = new People(environment, () => this.#show());
    this.#outbox = new Outbox(keeper, environment, id, () => this.#proceed());
    this.#link = new Link(session, environment, socketUrl, {
      target: () => this.#target(),
      welcomed: (frame) => this.#welcomed(frame),
      received: (frame) => this.#received(frame),
      lost: (code) => this.#lost(code),
      stopped: (problem) => this.#stopped(problem),
      changed: () => this.#show(),
    });
    this.#requests = new Requests(this.#link, environment);
    this.#marks = new Marks(this.#log, this.#link, environment);
    this.#shown = this.#build();
    this.sessionChanged();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    const remove = this.#listeners.add(listener);
    this.#proceed();
    return () => {
      remove();
      this.#proceed();
    };
  };

  readonly snapshot = (): ConversationSnapshot => this.#shown;

  send(text: string, { ref, reply_to }: SendOptions = {}): Promise<Message> {
    const refusal = this.#refusalOf({ ref, text });
    if (refusal) return Promise.reject(refusal);
    return this.#stored(this.#add({ type: 'send', ref: ref ?? newRef(), text, reply_to: reply_to ?? null }));
  }

  edit(n: number, text: string, { ref }: OperationOptions = {}): Promise<void> {
    const refusal = this.#refusalOf({ ref, text });
    if (refusal) return Promise.reject(refusal);
    return this.#done(this.#add({ type: 'edit', ref: ref ?? newRef(), n, text }));
  }

  delete(n: number, { ref }: OperationOptions = {}): Promise<void> {
    const refusal = this.#refusalOf({ ref });
    if (refusal) return Promise.reject(refusal);
    return this.#done(this.#add({ type: 'delete', ref: ref ?? newRef(), n }));
  }

  react(n: number, emoji: string, on: boolean, { ref }: OperationOptions = {}): Promise<void> {
    const refusal = this.#refusalOf({ ref });
    if (refusal) return Promise.reject(refusal);
    return this.#done(this.#add({ type: 'react', ref: ref ?? newRef(), n, emoji, on }));
  }

  retry(ref: string): Promise<Message> {
    const entry = this.#outbox.refused(ref);
    if (!entry) return Promise.reject(new ChatError('not_refused', 'No message with this ref was refused.'));
    this.#outbox.retry(entry);
    this.#proceed();
    return this.#stored(entry);
  }

  discard(ref: string): void {
    const entry = this.#outbox.refused(ref);
    if (entry) this.#outbox.discard(entry);
    this.#show();
  }

  async loadOlder(until?: number): Promise<void> {
    for (;;) {
      // Where the messages begin is known once there is a connection, and may change with each.
      const page = await this.#page(() => (this.#log.cursor ? { before: this.#log.first } : {}));
      const isPrepended = this.#log.prepend(page);
      if (isPrepended) this.#dropSent(page.messages);
      this.#show();
      if (this.#log.first === 1 || (isPrepended && this.#log.first <= (until ?? Infinity))) return;
    }
  }

  async history(range: HistoryRange = {}): Promise<HistoryPage> {
    const { messages, more } = await this.#page(() => range);
    return { messages, more };
  }

  markRead(n: number = this.#log.last): void {
    this.#marks.read(n);
    this.#tellMarks();
  }

  setTyping(on: boolean): void {
    const { welcome } = this.#link;
    if (!welcome) return;
    const now = this.#shared.environment.elapsed();
    const saidAt = this.#typingSaidAt;
    const isDue = on ? saidAt === null || now - saidAt >= welcome.limits.typing_interval_ms : saidAt !== null;
    if (!isDue) return;
    this.#typingSaidAt = on ? now : null;
    this.#link.tell({ type: 'typing', on });
  }

  reconnect(): void {
    this.#link.restart();
  }

  /** As {@link Chat.wake}. */
  wake(): void {
    this.#link.wake();
    if (this.#isCaughtUp) this.#probe();
    else this.#outbox.reload();
  }

  /** Takes note of who is signed in now. A session that has ended may be followed by another one of the same user. */
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
    this.#show();
  }

  close(why: ChatError): void {
    this.#isClosed = true;
    this.#link.want(false);
    this.#requests.close(why);
    this.#outbox.close(why);
    this.#show();
  }

  #switchUser(me: string | null, why: ChatError): void {
    if (this.#me !== null) this.#requests.close(why);
    this.#me = me;
    this.#heldUntil = 0;
    this.#log.clear();
    this.#marks.clear();
    this.#outbox.setUser(me, why);
    this.#link.restart();
  }

  /** Why an operation cannot be asked for; what the server could not even answer is among it. */
  #refusalOf({ ref, text }: { ref: string | undefined; text?: string }): ChatError | undefined {
    if (this.#isClosed) return closedError();
    if (this.#me === null && this.#shared.session.snapshot.status === 'signed_out') return signedOutError();
    if (text !== undefined && typeof text !== 'string')
      return new ChatError('invalid_text', 'The text is not a string.');
    if (ref !== undefined && !isRef(ref))
      return new ChatError('bad_frame', 'The ref does not have 1 to 64 characters.');
    const problem = text === undefined ? undefined : messageProblem(text);
    return problem === undefined ? undefined : new ChatError('invalid_text', `The text ${problem}`);
  }

  #add(operation: Operation): Entry {
    const entry = this.#outbox.add(operation);
    if (operation.type === 'send') this.#typingSaidAt = null;
    this.#proceed();
    return entry;
  }

  /** Connects or lets go, sends what is to be sent, and shows what has changed. */
  #proceed(): void {
    const { status, problem } = this.#link;
    // Where one may not be nothing will ever be sent.
    const isBarred = problem?.code === 'not_a_member' || problem?.code === 'no_such_conversation';
    if (status === 'stopped' && isBarred) this.#outbox.refuseAll(problem);
    const isWanted = !this.#isClosed && (this.#listeners.size > 0 || this.#outbox.isWaiting || !this.#requests.isEmpty);
    if (isWanted) {
      this.#cancelLinger?.();
      this.#cancelLinger = null;
      this.#isWanted = true;
      this.#link.want(true);
    } else if (this.#isWanted && !this.#isClosed && !this.#cancelLinger) {
      this.#cancelLinger = this.#shared.environment.after(LINGER_MS, () => {
        this.#cancelLinger = null;
        this.#isWanted = false;
        this.#link.want(false);
      });
    }
    this.#pump();
    this.#show();
  }

  #target(): string {
    const { cursor } = this.#log;
    const query = cursor ? `?after=${cursor.rev}&epoch=${cursor.epoch}` : '';
    return `/ws/chat/${encodeURIComponent(this.id)}/${query}`;
  }

  #welcomed(frame: ServerFrameOf<'welcome'>): void {
    this.#log.welcome(frame);
    this.#dropSent(frame.snapshot?.messages ?? []);
    this.#people.welcome(frame);
    this.#marks.forgetTold();
    this.#typingSaidAt = null;
    if (frame.resumed) this.#sync();
    else {
      this.#outbox.dropShown(() => true);
      this.#caughtUp();
    }
    this.#requests.askAll();
    this.#proceed();
  }

  #received(frame: ServerFrame): void {
    switch (frame.type) {
      case 'changes':
        this.#apply(frame, false);
        if (this.#log.hasGap) this.#sync();
        break;
      case 'typing':
        this.#people.typing(frame, this.#link.welcome?.limits.typing_lifetime_ms ?? 0);
        break;
      case 'presence':
        this.#people.presence(frame);
        break;
      case 'error':
        // Without a ref it refuses a mark, or typing, which is worth nothing later.
        if (frame.ref !== undefined || frame.retry_after_ms === undefined) break;
        this.#cancelMarks();
        this.#cancelMarks = this.#shared.environment.after(frame.retry_after_ms, () => {
          this.#marks.forgetTold();
          this.#tellMarks();
        });
        break;
      default:
    }
    this.#show();
  }

  #apply(frame: ServerFrameOf<'changes'>, closesGap: boolean): void {
    const { last } = this.#log;
    this.#log.changes(frame, closesGap);
    for (const { n, sender_id } of frame.messages) if (n > last) this.#people.stopTyping(sender_id);
    this.#dropSent(frame.messages);
    this.#dropShown();
    if (this.#isCaughtUp) this.#tellMarks();
  }

  /** Asks for what has changed, a page after the other, unless it is asking already. */
  #sync(): void {
    const { cursor } = this.#log;
    if (this.#isSyncing || !cursor) return;
    this.#isSyncing = true;
    this.#link.ask({ type: 'sync', ref: newRef(), after: cursor.rev }, (answer) => {
      if (answer?.type === 'error' && answer.retry_after_ms !== undefined) {
        this.#cancelSync = this.#shared.environment.after(answer.retry_after_ms, () => {
          this.#isSyncing = false;
          this.#sync();
        });
        return;
      }
      this.#isSyncing = false;
      if (answer?.type === 'changes') {
        this.#apply(answer, !answer.more);
        if (answer.more) this.#sync();
        else this.#caughtUp();
        this.#show();
      } else if (answer) {
        // The server does not know this cursor: begin anew.
        this.#log.cursor = null;
        this.#link.lose(new ChatError('server', answer.type === 'error' ? answer.message : 'It was not understood.'));
      }
    });
  }

  #caughtUp(): void {
    this.#isCaughtUp = true;
    this.#link.caughtUp();
    this.#cancelProbe();
    this.#cancelProbe = this.#shared.environment.after(PROBE_MS, () => this.#probe());
    this.#tellMarks();
  }

  /** If the very last frame was lost, nothing else would tell. */
  #probe(): void {
    this.#marks.forgetTold();
    this.#sync();
    // A tab may have died and left something.
    this.#outbox.reload();
  }

  #tellMarks(): void {
    if (this.#me !== null && this.#isCaughtUp) this.#marks.tell(this.#me);
  }

  /** Sends the operation whose turn it is, once it is kept. */
  #pump(): void {
    if (this.#current || !this.#link.welcome) return;
    const entry = this.#outbox.next;
    if (!entry) return;
    const { environment } = this.#shared;
    const wait = this.#heldUntil - environment.elapsed();
    this.#cancelHold();
    if (wait > 0) {
      this.#cancelHold = environment.after(wait, () => {
        this.#heldUntil = 0;
        this.#pump();
      });
      return;
    }
    const sent = { entry, isOut: false };
    this.#current = sent;
    void this.#transmit(sent);
  }

  async #transmit(sent: Sent): Promise<void> {
    await sent.entry.kept;
    const isWanted = await this.#outbox.isStillWanted(sent.entry);
    if (this.#current !== sent) return;
    if (!isWanted) {
      this.#current = null;
      return this.#proceed();
    }
    sent.isOut = true;
    this.#link.ask(sent.entry.operation, (answer) => {
      if (this.#current !== sent || !answer) return;
      this.#current = null;
      this.#answered(sent.entry, answer);
      this.#proceed();
    });
  }

  #answered(entry: Entry, answer: Answer): void {
    if (answer.type === 'ok' && (entry.operation.type !== 'send' || answer.id !== undefined)) {
      this.#outbox.acknowledge(entry, answer);
      this.#dropShown();
    } else if (answer.type === 'error' && answer.retry_after_ms !== undefined) {
      // It stays the first, and so does everything behind it.
      this.#heldUntil = this.#shared.environment.elapsed() + answer.retry_after_ms;
    } else if (answer.type === 'error') this.#outbox.refuse(entry, new ChatError(answer.code, answer.message));
    else this.#outbox.refuse(entry, new ChatError('ref_used', 'This ref is that of another operation.'));
  }

  /** What was refused here, and sent by another tab all the same, is settled. */
  #dropSent(rows: readonly Message[]): void {
    this.#outbox.dropSent(rows.flatMap(({ sender_id, ref }) => (sender_id === this.#me ? [ref] : [])));
  }

  /** What was done leaves `pending` when the rows show it. */
  #dropShown(): void {
    const { cursor, first, last } = this.#log;
    this.#outbox.dropShown(({ n, rev }) => cursor !== null && rev <= cursor.rev && (n < first || n <= last));
  }

  #lost(code: number): void {
    const sent = this.#current;
    this.#current = null;
    this.#isSyncing = false;
    this.#isCaughtUp = false;
    for (const cancel of [this.#cancelProbe, this.#cancelSync, this.#cancelMarks, this.#cancelHold]) cancel();
    this.#people.nobodyTypes();
    const isItsFault = code === CLOSE.tooLarge || code === CLOSE.unsupportedData;
    if (sent?.isOut && isItsFault) this.#outbox.refuse(sent.entry, new ChatError('too_large', 'It is too large.'));
  }

  #stopped(problem: ChatError): void {
    this.#requests.close(problem);
    this.#proceed();
  }

  async #page(range: () => HistoryRange): Promise<ServerFrameOf<'page'>> {
    const { status, problem } = this.#link;
    if (this.#isClosed) throw closedError();
    if (status === 'stopped' || status === 'signed_out') throw problem ?? signedOutError();
    const page = this.#requests.page(range);
    this.#proceed();
    try {
      return await page;
    } finally {
      this.#proceed();
    }
  }

  /** The message as it is stored. Whoever does not wait for it finds a refusal in `pending`. */
  #stored(entry: Entry): Promise<Message> {
    const stored = this.#messageOf(entry);
    stored.catch(() => {});
    return stored;
  }

  async #messageOf({ operation, settled }: Entry): Promise<Message> {
    const { ok, me } = await settled.promise;
    if (operation.type !== 'send') throw new ChatError('ref_used', 'This is no message.');
    // The first one with this ref is stored: perhaps with another text, if the program has made two of them.
    const row = ok.duplicate && (await this.#stands(ok.n));
    if (row) return row;
    return {
      n: ok.n,
      rev: ok.rev,
      id: ok.id ?? '',
      sender_id: me,
      ref: ok.ref,
      text: operation.text,
      reply_to: operation.reply_to ?? null,
      created_at: ok.created_at ?? 0,
      edited_at: null,
      deleted_at: null,
      reactions: [],
    };
  }

  /** Message `n` as it stands now; undefined if that cannot be told any more, because a restore took it back, say. */
  async #stands(n: number): Promise<Message | undefined> {
    const here = this.#log.messages.find((it) => it.n === n);
    if (here) return here;
    const page = await this.#page(() => ({ around: n, limit: 1 })).catch(() => undefined);
    return page?.messages.find((it) => it.n === n);
  }

  #done({ settled }: Entry): Promise<void> {
    const done = settled.promise.then(() => undefined);
    done.catch(() => {});
    return done;
  }

  /** Shows what has changed, if anything has. */
  #show(): void {
    const next = this.#build();
    const keys = Object.keys(next) as (keyof ConversationSnapshot)[];
    if (keys.every((key) => next[key] === this.#shown[key])) return;
    this.#shown = next;
    this.#listeners.tell();
  }

  /** What is to be sent, without messages that are shown already, as those that another tab has sent are. */
  #pending(): readonly PendingOperation[] {
    const { pending } = this.#outbox;
    const me = this.#me ?? '';
    const rest = pending.filter((it) => it.type !== 'send' || !this.#log.shows(me, it.ref));
    if (rest.length === pending.length) return pending;
    const { pending: before } = this.#shown;
    return rest.length === before.length && rest.every((it, index) => it === before[index]) ? before : rest;
  }

  #build(): ConversationSnapshot {
    const { status, problem } = this.#link;
    const { durable } = this.#shared.keeper;
    const before = this.#connection;
    if (before.status !== status || before.problem !== problem || before.durable !== durable) {
      this.#connection = { status, problem, durable };
    }
    return {
      connection: this.#connection,
      me: this.#me,
      messages: this.#log.messages,
      has_older: this.#log.first > 1,
      pending: this.#pending(),
      members: this.#people.members(this.#log.members),
      cursor: this.#log.cursor,
    };
  }
}
