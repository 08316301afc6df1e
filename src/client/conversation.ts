import type { Operation } from '../protocol/client-frames.ts';
import { CLOSE } from '../protocol/close-codes.ts';
import { decodeServerFrame, type Answer, type ServerFrame, type ServerFrameOf } from '../protocol/server-frames.ts';
import { isRef, messageProblem } from '../protocol/text.ts';
import { CatchUp } from './catch-up.ts';
import { ChatError, closedError, signedOutError } from './error.ts';
import { Link } from './link.ts';
import { Log } from './log.ts';
import { Marks } from './marks.ts';
import { Outbox, type Entry } from './outbox.ts';
import { People } from './people.ts';
import { newRef } from './ref.ts';
import { Requests } from './requests.ts';
import { connectionOf, type Shared } from './shared.ts';
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
import { reuse, View } from './view.ts';

/** An operation, and whether its frame was sent. */
type Sent = { readonly entry: Entry; isOut: boolean };

/** A conversation: its rows, its operations, its socket, and who looks at it. */
export class LiveConversation implements Conversation {
  readonly id: string;
  readonly #shared: Shared;
  readonly #log = new Log();
  readonly #people: People;
  readonly #outbox: Outbox;
  readonly #link: Link<'conversation'>;
  readonly #catchUp: CatchUp<'conversation'>;
  readonly #requests: Requests<'conversation'>;
  readonly #marks: Marks;
  #me: string | null = null;
  /** The operation whose turn it is, from then until it is answered or the socket is lost. */
  #current: Sent | null = null;
  /** Until when the server wants to hear of no operation, by {@link Environment.elapsed}. */
  #heldUntil = 0;
  #isClosed = false;
  /** When the others were last told that one types; null if they were told otherwise. */
  #typingSaidAt: number | null = null;
  #connection: Connection | null = null;
  readonly #view: View<ConversationSnapshot>;
  #cancelHold = () => {};

  constructor(id: string, shared: Shared) {
    const { session, keeper, environment, socketUrl } = shared;
    this.id = id;
    this.#shared = shared;
    this.#people = new People(environment, () => this.#show());
    this.#outbox = new Outbox(keeper, environment, id, () => this.#proceed());
    this.#link = new Link(session, environment, socketUrl, {
      target: () => `/ws/chat/${encodeURIComponent(id)}/${this.#catchUp.query}`,
      decode: decodeServerFrame,
      welcomed: (frame) => this.#welcomed(frame),
      received: (frame) => this.#received(frame),
      lost: (code) => this.#lost(code),
      stopped: (problem) => this.#stopped(problem),
      changed: () => this.#show(),
    });
    this.#catchUp = new CatchUp(this.#link, environment, {
      apply: (frame) => this.#apply(frame),
      caughtUp: () => this.#tellMarks(),
      probing: () => {
        this.#marks.forgetTold();
        // A tab may have died and left something.
        this.#outbox.reload();
      },
    });
    this.#requests = new Requests(this.#link, environment, () => this.#proceed());
    this.#marks = new Marks(this.#log, this.#link, environment);
    this.#view = new View(() => this.#build());
    this.sessionChanged();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    const remove = this.#view.add(listener);
    this.#proceed();
    return () => {
      remove();
      this.#proceed();
    };
  };

  readonly snapshot = (): ConversationSnapshot => this.#view.snapshot;

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
      const page = await this.#page(() => (this.#catchUp.cursor ? { before: this.#log.first } : {}));
      const isPrepended = this.#catchUp.isCurrent(page) && this.#log.prepend(page.messages);
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
    this.#shared.hasRead(this.id, Math.min(n, this.#log.last));
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
    if (this.#catchUp.isDone) this.#catchUp.probe();
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
    this.#link.end();
    this.#requests.end(why);
    this.#outbox.close(why);
    this.#show();
  }

  #switchUser(me: string | null, why: ChatError): void {
    if (this.#me !== null) this.#requests.close(why);
    this.#me = me;
    this.#heldUntil = 0;
    this.#log.clear();
    this.#catchUp.cursor = null;
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
    const isWanted = this.#view.isWatched || this.#outbox.isWaiting || !this.#requests.isEmpty;
    this.#link.want(isWanted && !this.#isClosed);
    this.#pump();
    this.#show();
  }

  #welcomed(frame: ServerFrameOf<'welcome'>): void {
    if (!frame.resumed) {
      const { snapshot = { messages: [], members: [] } } = frame;
      this.#log.replace(snapshot, this.#catchUp.cursor?.epoch === frame.epoch);
      this.#dropSent(snapshot.messages);
      this.#outbox.dropShown(() => true);
    }
    this.#people.welcome(frame);
    this.#marks.forgetTold();
    this.#typingSaidAt = null;
    this.#catchUp.welcomed(frame);
    this.#requests.askAll();
    this.#proceed();
  }

  #received(frame: ServerFrame): void {
    switch (frame.type) {
      case 'changes':
        this.#catchUp.received(frame);
        break;
      case 'typing':
        this.#people.typing(frame, this.#link.welcome?.limits.typing_lifetime_ms ?? 0);
        break;
      case 'presence':
        this.#people.presence(frame);
        break;
      case 'error':
        // Without a ref it refuses a mark, or typing, which is worth nothing later.
        if (frame.ref === undefined && frame.retry_after_ms !== undefined) this.#marks.refused(frame.retry_after_ms);
        break;
      default:
    }
    this.#show();
  }

  #apply({ messages, members }: ServerFrameOf<'changes'>): void {
    const { last } = this.#log;
    this.#log.upsert({ messages, members });
    for (const { n, sender_id } of messages) if (n > last) this.#people.stopTyping(sender_id);
    this.#dropSent(messages);
    this.#dropShown();
    this.#tellMarks();
    this.#show();
  }

  #tellMarks(): void {
    if (this.#me !== null && this.#catchUp.isDone) this.#marks.tell(this.#me);
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
    const { cursor } = this.#catchUp;
    const { first, last } = this.#log;
    this.#outbox.dropShown(({ n, rev }) => cursor !== null && rev <= cursor.rev && (n < first || n <= last));
  }

  #lost(code: number): void {
    const sent = this.#current;
    this.#current = null;
    this.#catchUp.lost();
    this.#marks.lost();
    this.#cancelHold();
    this.#people.nobodyTypes();
    const isItsFault = code === CLOSE.tooLarge || code === CLOSE.unsupportedData;
    if (sent?.isOut && isItsFault) this.#outbox.refuse(sent.entry, new ChatError('too_large', 'It is too large.'));
  }

  #stopped(problem: ChatError): void {
    this.#requests.close(problem);
    this.#proceed();
  }

  #page(range: () => HistoryRange): Promise<ServerFrameOf<'page'>> {
    return this.#requests.ask('page', () => ({ type: 'history', limit: 100, ...range() }));
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

  #show(): void {
    this.#view.show();
  }

  /** What is to be sent, without messages that are shown already, as those that another tab has sent are. */
  #pending(): readonly PendingOperation[] {
    const { pending } = this.#outbox;
    const me = this.#me ?? '';
    const rest = pending.filter((it) => it.type !== 'send' || !this.#log.shows(me, it.ref));
    return rest.length === pending.length ? pending : reuse(this.#view.snapshot.pending, rest);
  }

  #build(): ConversationSnapshot {
    this.#connection = reuse(this.#connection, connectionOf(this.#link, this.#shared.keeper));
    return {
      connection: this.#connection,
      me: this.#me,
      messages: this.#log.messages,
      has_older: this.#log.first > 1,
      pending: this.#pending(),
      members: this.#people.members(this.#log.members),
      cursor: this.#catchUp.cursor,
    };
  }
}
