import type { Socket } from '../../../src/client/environment.ts';
import type { ClientFrame } from '../../../src/protocol/client-frames.ts';
import { decodeServerFrame, type ServerFrame, type ServerFrameOf } from '../../../src/protocol/server-frames.ts';
import type { MessageRow } from '../../../src/protocol/rows.ts';
import { Replica } from '../../helpers/replica.ts';
import type { Final, Operation } from '../history.ts';
import type { Party } from '../party.ts';
import { Ledger } from './ledger.ts';
import { socketUrl, type Seat, type Tokens } from './seat.ts';

/** Milliseconds: the shortest wait before another attempt to connect. */
const RECONNECT_MS = 1000;
/** Milliseconds after which a socket without a welcome or an answer is given up. */
const ANSWER_TIMEOUT_MS = 20_000;
/** Milliseconds between two looks whether the last frame was lost. */
const PROBE_MS = 60_000;
/** Milliseconds after which whoever waits looks again, whatever happens. */
const LOOK_MS = 1000;

type Change = Operation['change'];
type Question = Extract<ClientFrame, { ref: string }>;

/** A socket, from its opening to its end. */
interface Connection {
  readonly socket: Socket;
  epoch: number | null;
  /** The refs of frames that are not answered yet. */
  readonly asked: Set<string>;
  cancelTimeout: () => void;
}

/**
 * A client of chat.v1 that owes nothing to the one of this package. Like a bot it has its operations on disk, and
 * nothing else. It sends several before the first is answered, and all of them again, in order, after a loss.
 */
export class RawParty implements Party {
  readonly kind = 'raw';
  readonly name: string;
  readonly userId: string;
  readonly #seat: Seat;
  /** How many operations may be on their way at once. */
  readonly #window: number;
  readonly #ledger: Ledger;
  /** What is not answered yet, in the order in which it was asked. */
  #outbox: Question[] = [];
  /** What was answered, to be asked again. */
  readonly #answered: Question[] = [];
  readonly #waiters = new Set<() => void>();
  #replica = new Replica();
  /** The first message that it shows. */
  #first = 1;
  #pages = 1;
  #refs = 0;
  #marked = { epoch: 0, read: 0 };
  #connection: Connection | null = null;
  #tokens: Tokens | null = null;
  #isConnecting = false;
  #isHeld = false;
  #isSyncing = false;
  #isCurrent = false;
  #isClosed = false;
  readonly #pagesAsked = new Map<string, (page: ServerFrameOf<'page'> | null) => void>();
  #cancelReconnect = () => {};
  #cancelHold = () => {};
  #cancelProbe = () => {};

  /** @param window 1 where it may be refused for its rate: what comes behind a refusal could be taken */
  constructor(seat: Seat, { window = 8 } = {}) {
    this.#seat = seat;
    this.#window = window;
    this.#ledger = new Ledger(seat.recorder);
    this.name = seat.name;
    this.userId = seat.userId;
    void this.#connect();
  }

  get shown(): number {
    return this.#run().at(-1)?.n ?? 0;
  }

  send(text: string, replyTo?: number): void {
    const frame = replyTo === undefined ? { text } : { text, reply_to: replyTo };
    this.#ask({ type: 'send', text, reply_to: replyTo ?? null }, (ref) => ({ type: 'send', ref, ...frame }));
  }

  edit(n: number, text: string): void {
    this.#ask({ type: 'edit', n, text }, (ref) => ({ type: 'edit', ref, n, text }));
  }

  delete(n: number): void {
    this.#ask({ type: 'delete', n }, (ref) => ({ type: 'delete', ref, n }));
  }

  react(n: number, emoji: string, on: boolean): void {
    this.#ask({ type: 'react', n, emoji, on }, (ref) => ({ type: 'react', ref, n, emoji, on }));
  }

  read(): void {
    const [{ epoch }, read] = [this.#replica, this.shown];
    if (read === 0) return;
    this.#marked = { epoch, read };
    this.#seat.recorder.marked({ client: this.#page, user_id: this.userId, epoch, read });
    this.#tellMarks();
  }

  goOffline(): void {
    this.#seat.network.setOnline(false);
  }

  goOnline(): void {
    this.#seat.network.setOnline(true);
  }

  reload(): void {
    this.#drop();
    this.#seat.network.cut('page died');
    this.#pages += 1;
    [this.#replica, this.#first, this.#marked] = [new Replica(), 1, { epoch: 0, read: 0 }];
    void this.#connect();
  }

  repeatOld(pick: number): void {
    const old = this.#answered[pick % Math.max(1, this.#answered.length)];
    const isUnderWay = this.#outbox.some(({ ref }) => ref === old?.ref);
    if (!old || isUnderWay || !this.#connection?.epoch) return;
    this.#remember(old);
  }

  wake(): void {
    if (this.#connection) this.#sync();
    else void this.#connect();
  }

  async settled(): Promise<void> {
    while (!this.#isSettled()) {
      const moved = Promise.withResolvers<void>();
      this.#waiters.add(moved.resolve);
      const cancel = this.#seat.environment.after(LOOK_MS, moved.resolve);
      await moved.promise;
      this.#waiters.delete(moved.resolve);
      cancel();
    }
    if (this.#ledger.faults.length > 0) throw new Error(this.#ledger.faults.join('\n'));
  }

  async final(): Promise<Final> {
    this.wake();
    await this.settled();
    while (this.#first > 1) {
      const page = await this.#older(this.#first);
      const [oldest] = page?.messages ?? [];
      const isCurrent = page?.epoch === this.#replica.epoch && page.rev >= this.#replica.rev;
      if (!page || !oldest || !isCurrent) continue;
      this.#replica.apply(page);
      this.#first = oldest.n;
      this.#show();
    }
    const { epoch, members } = this.#replica;
    return {
      client: this.#page,
      user_id: this.userId,
      marked: this.#marked.epoch === epoch ? this.#marked.read : 0,
      epoch,
      messages: this.#run(),
      members: [...members.values()],
    };
  }

  toString(): string {
    const { epoch, rev } = this.#replica;
    const [outbox, marked, socket] = [this.#outbox, this.#marked, this.#connection?.epoch];
    const [isSyncing, isCurrent, isHeld] = [this.#isSyncing, this.#isCurrent, this.#isHeld];
    return JSON.stringify({ socket, epoch, rev, marked, isSyncing, isCurrent, isHeld, outbox });
  }

  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  /** There is one at a time. */
  get #syncRef(): string {
    return `${this.name} sync`;
  }

  get #page(): string {
    return `${this.name}/${this.#pages}`;
  }

  /** The messages that follow one another: behind one that is missing nothing is shown. */
  #run(): MessageRow[] {
    const run: MessageRow[] = [];
    for (let n = this.#first; ; n += 1) {
      const row = this.#replica.messages.get(n);
      if (!row) return run;
      run.push(row);
    }
  }

  #show(): void {
    const { epoch, members } = this.#replica;
    if (epoch === 0) return;
    this.#seat.recorder.saw(this.#page, { epoch, messages: this.#run(), members: [...members.values()] });
  }

  #ask(change: Change, frameOf: (ref: string) => Question): void {
    this.#refs += 1;
    const ref = `${this.name} ${this.#refs}`;
    this.#ledger.asked({ client: this.name, user_id: this.userId, ref, change });
    this.#outbox.push(frameOf(ref));
    this.#pump();
  }

  /** Asks for something again that was answered. */
  #remember(frame: Question): void {
    const { ref } = frame;
    const change = changeOf(frame);
    if (!change) return;
    this.#ledger.asked({ client: this.name, user_id: this.userId, ref, change });
    this.#outbox.push(frame);
    this.#pump();
  }

  /** Sends what is to be sent, in order, as much as may be on its way. */
  #pump(): void {
    const connection = this.#connection;
    if (!connection?.epoch || this.#isHeld) return;
    for (const frame of this.#outbox.slice(0, this.#window)) {
      if (!connection.asked.has(frame.ref)) this.#say(connection, frame);
    }
  }

  #say(connection: Connection, frame: Question): void {
    connection.asked.add(frame.ref);
    connection.socket.send(JSON.stringify(frame));
    this.#expectAnswer(connection);
  }

  /** Gives the socket up, should nothing come of it for too long. */
  #expectAnswer(connection: Connection): void {
    connection.cancelTimeout();
    connection.cancelTimeout = this.#seat.environment.after(ANSWER_TIMEOUT_MS, () => {
      if (connection !== this.#connection) return;
      this.#drop();
      this.#reconnectIn(0);
    });
  }

  async #connect(): Promise<void> {
    if (this.#isConnecting || this.#connection || this.#isClosed) return;
    this.#cancelReconnect();
    this.#isConnecting = true;
    this.#tokens ??= await this.#seat.signIn();
    this.#isConnecting = false;
    if (this.#connection || this.#isClosed) return;
    const { cursor } = this.#replica;
    const query = cursor ? `?after=${cursor.after}&epoch=${cursor.epoch}` : '';
    const protocols = ['chat.v1', `bearer.${this.#tokens.access}`];
    const socket = this.#seat.network.openSocket(socketUrl(this.#seat, query), protocols);
    const connection: Connection = { socket, epoch: null, asked: new Set(), cancelTimeout: () => {} };
    this.#connection = connection;
    this.#expectAnswer(connection);
    let atLeast = 0;
    socket.addEventListener('open', () => socket.send('ping'));
    socket.addEventListener('error', () => {});
    socket.addEventListener('message', ({ data }) => {
      if (connection !== this.#connection || data === 'pong') return;
      const frame = decodeServerFrame(String(data));
      if (!frame) return void this.#ledger.faults.push(`This is no frame: ${String(data)}`);
      if (connection.epoch === null && frame.type === 'error') atLeast = frame.retry_after_ms ?? 0;
      this.#receive(connection, frame);
    });
    socket.addEventListener('close', ({ code }) => {
      if (connection !== this.#connection) return;
      this.#drop();
      if (code === 4401 || code === 4410) this.#tokens = null;
      this.#reconnectIn(atLeast);
    });
  }

  #reconnectIn(atLeast: number): void {
    if (this.#isClosed) return;
    const pause = atLeast + RECONNECT_MS * this.#seat.environment.random();
    this.#cancelReconnect = this.#seat.environment.after(pause, () => void this.#connect());
  }

  /** Lets go of its socket. */
  #drop(): void {
    const connection = this.#connection;
    this.#connection = null;
    [this.#isHeld, this.#isSyncing, this.#isCurrent] = [false, false, false];
    for (const cancel of [this.#cancelReconnect, this.#cancelHold, this.#cancelProbe]) cancel();
    connection?.cancelTimeout();
    connection?.socket.close(1000);
    for (const resolve of this.#pagesAsked.values()) resolve(null);
    this.#pagesAsked.clear();
  }

  #receive(connection: Connection, frame: ServerFrame): void {
    if (frame.type === 'welcome') {
      connection.epoch = frame.epoch;
      this.#replica.apply(frame);
      if (!frame.resumed) this.#first = frame.snapshot?.messages[0]?.n ?? 1;
      if (frame.resumed) this.#sync();
      else this.#caughtUp();
      this.#tellMarks();
      this.#pump();
    } else if (connection.epoch !== null) {
      const ref = 'ref' in frame ? frame.ref : undefined;
      if (ref !== undefined) connection.asked.delete(ref);
      this.#heard(connection, connection.epoch, frame);
    }
    if (connection.asked.size === 0) connection.cancelTimeout();
    else this.#expectAnswer(connection);
    this.#show();
    for (const resolve of this.#waiters) resolve();
  }

  #heard(connection: Connection, epoch: number, frame: ServerFrame): void {
    this.#ledger.heard(epoch, frame);
    switch (frame.type) {
      case 'changes': {
        this.#replica.apply(frame);
        if (frame.ref === undefined) {
          if (this.#replica.gap) this.#sync();
          break;
        }
        this.#isSyncing = false;
        if (frame.more) this.#sync();
        else this.#caughtUp();
        break;
      }
      case 'page':
        this.#pagesAsked.get(frame.ref)?.(frame);
        this.#pagesAsked.delete(frame.ref);
        break;
      case 'ok':
        this.#done(frame.ref);
        break;
      case 'error':
        if (frame.retry_after_ms !== undefined) this.#hold(connection, frame.retry_after_ms, frame.ref);
        else if (frame.code === 'unknown_cursor') this.#begin();
        else if (frame.ref !== undefined) this.#done(frame.ref);
        break;
      default:
    }
  }

  #done(ref: string): void {
    const done = this.#outbox.find((it) => it.ref === ref);
    this.#outbox = this.#outbox.filter((it) => it !== done);
    if (done && !this.#answered.some((it) => it.ref === ref)) this.#answered.push(done);
    this.#pump();
  }

  /** Waits as it was told, and then asks all that is still to be answered again. */
  #hold(connection: Connection, milliseconds: number, ref: string | undefined): void {
    if (ref === this.#syncRef) [this.#isSyncing, this.#isCurrent] = [false, false];
    if (ref !== undefined) this.#pagesAsked.get(ref)?.(null);
    this.#isHeld = true;
    this.#cancelHold();
    this.#cancelHold = this.#seat.environment.after(milliseconds, () => {
      if (connection !== this.#connection) return;
      this.#isHeld = false;
      if (!this.#isCurrent) this.#sync();
      this.#tellMarks();
      this.#pump();
    });
  }

  /** Has a cursor that the server does not know. */
  #begin(): void {
    this.#replica = new Replica();
    this.#drop();
    void this.#connect();
  }

  #caughtUp(): void {
    [this.#replica.gap, this.#isCurrent] = [false, true];
    this.#cancelProbe();
    this.#cancelProbe = this.#seat.environment.after(PROBE_MS, () => {
      this.#tellMarks();
      this.#sync();
    });
  }

  #sync(): void {
    const connection = this.#connection;
    if (this.#isSyncing || !connection?.epoch) return;
    this.#isCurrent = false;
    // It is asked when it may ask again.
    if (this.#isHeld) return;
    this.#isSyncing = true;
    this.#say(connection, { type: 'sync', ref: this.#syncRef, after: this.#replica.rev });
  }

  async #older(before: number): Promise<ServerFrameOf<'page'> | null> {
    const connection = this.#connection;
    if (!connection?.epoch) {
      await this.settled();
      return null;
    }
    this.#refs += 1;
    const ref = `${this.name} page ${this.#refs}`;
    const page = Promise.withResolvers<ServerFrameOf<'page'> | null>();
    this.#pagesAsked.set(ref, page.resolve);
    this.#say(connection, { type: 'history', ref, before, limit: 100 });
    return page.promise;
  }

  #tellMarks(): void {
    const { epoch, read } = this.#marked;
    const connection = this.#connection;
    if (!connection?.epoch || connection.epoch !== epoch || read === 0) return;
    connection.socket.send(JSON.stringify({ type: 'mark', read, delivered: read }));
  }

  #isSettled(): boolean {
    const { epoch, members } = this.#replica;
    const { epoch: markedIn, read } = this.#marked;
    const isMarked = markedIn !== epoch || (members.get(this.userId)?.read ?? 0) >= read;
    const isOpen = typeof this.#connection?.epoch === 'number';
    return isOpen && this.#isCurrent && this.#outbox.length === 0 && isMarked;
  }
}

function changeOf(frame: Question): Change | undefined {
  switch (frame.type) {
    case 'send':
      return { type: 'send', text: frame.text, reply_to: frame.reply_to ?? null };
    case 'edit':
      return { type: 'edit', n: frame.n, text: frame.text };
    case 'delete':
      return { type: 'delete', n: frame.n };
    case 'react':
      return { type: 'react', n: frame.n, emoji: frame.emoji, on: frame.on };
    default:
      return undefined;
  }
}
