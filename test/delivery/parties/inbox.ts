import type { Socket } from '../../../src/client/environment.ts';
import {
  decodeInboxServerFrame,
  type InboxClientFrameOf,
  type InboxRow,
  type InboxServerFrame,
  type InboxServerFrameOf,
  type RemovedRow,
  type UnreadTotal,
} from '../../../src/protocol/inbox-frames.ts';
import type { InboxFinal } from '../history.ts';
import type { Seat, Tokens } from './seat.ts';

/** Milliseconds: the shortest wait before another attempt to connect. */
const RECONNECT_MS = 1000;
/** Milliseconds after which a socket without a welcome or an answer is given up. */
const ANSWER_TIMEOUT_MS = 20_000;
/** Milliseconds between two looks whether the last frame was lost. */
const PROBE_MS = 60_000;
/** Milliseconds after which whoever waits looks again, whatever happens. */
const LOOK_MS = 1000;

type Setting = Omit<InboxClientFrameOf<'set'>, 'type' | 'ref' | 'conversation'>;
type Question = InboxClientFrameOf<'set'> | InboxClientFrameOf<'sync'>;

/** A socket, from its opening to its end. */
interface Connection {
  readonly socket: Socket;
  isWelcome: boolean;
  /** The refs of frames that are not answered yet. */
  readonly asked: Set<string>;
  cancelTimeout: () => void;
}

/** Someone who follows a user's inbox. Written from the frames, it owes nothing to the client of this package. */
export class InboxFollower {
  readonly name: string;
  readonly userId: string;
  /** What was wrong about frames. */
  readonly faults: string[] = [];
  readonly #seat: Seat;
  readonly #waiters = new Set<() => void>();
  #replica = new Replica();
  /** What is to be set and is not answered yet, in order. */
  #outbox: InboxClientFrameOf<'set'>[] = [];
  #refs = 0;
  #connection: Connection | null = null;
  #tokens: Tokens | null = null;
  #isConnecting = false;
  #isSyncing = false;
  #isCurrent = false;
  #isHeld = false;
  #isClosed = false;
  #cancelReconnect = () => {};
  #cancelHold = () => {};
  #cancelProbe = () => {};

  constructor(seat: Seat) {
    this.#seat = seat;
    this.name = seat.name;
    this.userId = seat.userId;
    void this.#connect();
  }

  /** The conversation as it is shown; undefined if it is not. */
  get row(): InboxRow | undefined {
    return this.#replica.row(this.#seat.conversationId);
  }

  /** The user has read, or only received, what is shown. Nobody is told whether the server hears of it. */
  mark(what: 'read' | 'delivered'): void {
    const { row } = this;
    const connection = this.#connection;
    if (!row || !connection?.isWelcome) return;
    if (what === 'read') this.#mayRead(row.n);
    const frame = { type: 'mark', conversation: row.conversation, [what]: row.n };
    connection.socket.send(JSON.stringify(frame));
  }

  /** Sets something of the conversation, whether it is shown or not. */
  set(setting: Setting): void {
    // Everything, whatever that is when the server hears of it. A client whose user looks again at what was marked unread
    // says the same.
    if (setting.unread === false) this.#mayRead(Number.MAX_SAFE_INTEGER);
    this.#refs += 1;
    const ref = `${this.name} ${this.#refs}`;
    this.#outbox.push({ type: 'set', ref, conversation: this.#seat.conversationId, ...setting });
    this.#pump();
  }

  /** Forgets all that it has, and connects without a cursor. */
  connectAnew(): void {
    this.#replica = new Replica();
    this.#drop();
    this.#seat.network.cut('page died');
    void this.#connect();
  }

  goOffline(): void {
    this.#seat.network.setOnline(false);
  }

  goOnline(): void {
    this.#seat.network.setOnline(true);
  }

  /** Looks whether anything was missed. */
  wake(): void {
    if (this.#connection) this.#sync();
    else void this.#connect();
  }

  /** Resolves when everything that was to be set is answered, and it has caught up. */
  async settled(): Promise<void> {
    while (!this.#isSettled()) {
      const moved = Promise.withResolvers<void>();
      this.#waiters.add(moved.resolve);
      const cancel = this.#seat.environment.after(LOOK_MS, moved.resolve);
      await moved.promise;
      this.#waiters.delete(moved.resolve);
      cancel();
    }
    if (this.faults.length > 0) throw new Error(this.faults.join('\n'));
  }

  /** What it has when it has looked once more whether it has all. */
  async final(): Promise<InboxFinal> {
    this.wake();
    await this.settled();
    return { by: this.name, user_id: this.userId, row: this.row ?? null, total: this.#replica.total };
  }

  toString(): string {
    const { epoch, rev, total } = this.#replica;
    const isWelcome = this.#connection?.isWelcome;
    const [isSyncing, isCurrent, outbox] = [this.#isSyncing, this.#isCurrent, this.#outbox];
    return JSON.stringify({ isWelcome, epoch, rev, total, isSyncing, isCurrent, outbox });
  }

  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  /** There is one at a time. */
  get #syncRef(): string {
    return `${this.name} sync`;
  }

  #mayRead(read: number): void {
    this.#seat.recorder.marked({ client: this.name, user_id: this.userId, epoch: 0, read });
  }

  /** Asks for what is to be set, one after the other: the last one wins. */
  #pump(): void {
    const connection = this.#connection;
    const [next] = this.#outbox;
    if (!connection?.isWelcome || this.#isHeld || !next || connection.asked.has(next.ref)) return;
    this.#say(connection, next);
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
    const { epoch, rev } = this.#replica;
    const query = epoch === 0 ? '' : `?after=${rev}&epoch=${epoch}`;
    const url = `${this.#seat.url.replace(/^http/, 'ws')}/ws/inbox/${query}`;
    const socket = this.#seat.network.openSocket(url, ['chat.v1', `bearer.${this.#tokens.access}`]);
    const connection: Connection = { socket, isWelcome: false, asked: new Set(), cancelTimeout: () => {} };
    this.#connection = connection;
    this.#expectAnswer(connection);
    let atLeast = 0;
    socket.addEventListener('open', () => socket.send('ping'));
    socket.addEventListener('error', () => {});
    socket.addEventListener('message', ({ data }) => {
      if (connection !== this.#connection || data === 'pong') return;
      const frame = decodeInboxServerFrame(String(data));
      if (!frame) return void this.faults.push(`This is no frame: ${String(data)}`);
      if (!connection.isWelcome && frame.type === 'error') atLeast = frame.retry_after_ms ?? 0;
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
    [this.#isSyncing, this.#isCurrent, this.#isHeld] = [false, false, false];
    for (const cancel of [this.#cancelReconnect, this.#cancelHold, this.#cancelProbe]) cancel();
    connection?.cancelTimeout();
    connection?.socket.close(1000);
  }

  #receive(connection: Connection, frame: InboxServerFrame): void {
    if (frame.type === 'welcome') {
      connection.isWelcome = true;
      this.#replica.welcome(frame);
      if (frame.resumed) this.#sync();
      else this.#caughtUp();
      this.#pump();
    } else if (connection.isWelcome) {
      if ('ref' in frame && frame.ref !== undefined) connection.asked.delete(frame.ref);
      this.#heard(connection, frame);
    }
    if (connection.asked.size === 0) connection.cancelTimeout();
    else this.#expectAnswer(connection);
    for (const resolve of this.#waiters) resolve();
  }

  #heard(connection: Connection, frame: InboxServerFrame): void {
    switch (frame.type) {
      case 'changes': {
        const isGap = !this.#replica.apply(frame);
        if (frame.ref === undefined) {
          if (isGap) this.#sync();
          break;
        }
        this.#isSyncing = false;
        if (frame.more) this.#sync();
        else this.#caughtUp();
        break;
      }
      case 'ok':
        this.#done(frame.ref);
        break;
      case 'error':
        if (frame.code === 'unknown_cursor') this.connectAnew();
        // A mark is refused without a ref, and nobody repeats it.
        else if (frame.ref === undefined) break;
        else if (frame.retry_after_ms !== undefined) this.#hold(connection, frame.retry_after_ms, frame.ref);
        else this.#done(frame.ref);
        break;
      default:
    }
  }

  #done(ref: string): void {
    this.#outbox = this.#outbox.filter((it) => it.ref !== ref);
    this.#pump();
  }

  /** Waits as it was told, and then asks again. */
  #hold(connection: Connection, milliseconds: number, ref: string): void {
    if (ref === this.#syncRef) this.#isSyncing = false;
    this.#isHeld = true;
    this.#cancelHold();
    this.#cancelHold = this.#seat.environment.after(milliseconds, () => {
      if (connection !== this.#connection) return;
      this.#isHeld = false;
      if (!this.#isCurrent) this.#sync();
      this.#pump();
    });
  }

  #caughtUp(): void {
    this.#isCurrent = true;
    this.#cancelProbe();
    this.#cancelProbe = this.#seat.environment.after(PROBE_MS, () => this.#sync());
  }

  #sync(): void {
    const connection = this.#connection;
    if (this.#isSyncing || !connection?.isWelcome) return;
    this.#isCurrent = false;
    // It is asked when it may ask again.
    if (this.#isHeld) return;
    this.#isSyncing = true;
    this.#say(connection, { type: 'sync', ref: this.#syncRef, after: this.#replica.rev });
  }

  #isSettled(): boolean {
    return this.#connection?.isWelcome === true && this.#isCurrent && this.#outbox.length === 0;
  }
}

/** What a follower has: rows, and a cursor. What frames do to it is what docs/inbox.md says that they do. */
class Replica {
  epoch = 0;
  rev = 0;
  total: UnreadTotal = { messages: 0, conversations: 0 };
  readonly #rows = new Map<string, InboxRow | RemovedRow>();

  row(conversationId: string): InboxRow | undefined {
    const row = this.#rows.get(conversationId);
    return row && 'kind' in row ? row : undefined;
  }

  welcome({ epoch, rev, total, resumed, snapshot }: InboxServerFrameOf<'welcome'>): void {
    this.total = total;
    if (resumed) return;
    this.#rows.clear();
    [this.epoch, this.rev] = [epoch, rev];
    this.#upsert(snapshot?.conversations ?? []);
  }

  /** @returns whether it could be applied: it began no further than the cursor */
  apply({ after, rev, conversations, removed, total }: InboxServerFrameOf<'changes'>): boolean {
    if (after > this.rev) return false;
    this.#upsert([...conversations, ...removed]);
    if (rev < this.rev) return true;
    [this.rev, this.total] = [rev, total];
    return true;
  }

  #upsert(rows: readonly (InboxRow | RemovedRow)[]): void {
    for (const row of rows) {
      if ((this.#rows.get(row.conversation)?.rev ?? 0) < row.rev) this.#rows.set(row.conversation, row);
    }
  }
}
