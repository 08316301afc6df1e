import type { ClientFrame } from '../protocol/client-frames.ts';
import { CLOSE, verdictOf } from '../protocol/close-codes.ts';
import type { InboxClientFrame, InboxServerFrame } from '../protocol/inbox-frames.ts';
import type { ServerFrame, ServerFrameOf } from '../protocol/server-frames.ts';
import { BEARER_PREFIX, CHAT_V1 } from '../protocol/versions.ts';
import { backoff } from './backoff.ts';
import { ChatError, signedOutError } from './error.ts';
import type { Environment, Socket } from './environment.ts';
import type { Session } from './session.ts';
import type { Connection } from './types.ts';

/** Milliseconds from the attempt to connect to the welcome. */
const WELCOME_TIMEOUT_MS = 20_000;
/** Milliseconds from a `ping` to its `pong`. */
const PONG_TIMEOUT_MS = 10_000;
/** Milliseconds from a frame to its answer. */
const ANSWER_TIMEOUT_MS = 20_000;
/** Milliseconds that a connection must hold for its loss to count as the first. */
const STABLE_MS = 10_000;
/** Milliseconds for which the socket stays when nobody wants it any more: the next screen may want it again. */
const LINGER_MS = 5000;

/** The frames of each kind of socket. */
type Frames = {
  readonly conversation: { readonly sent: ClientFrame; readonly received: ServerFrame };
  readonly inbox: { readonly sent: InboxClientFrame; readonly received: InboxServerFrame };
};
/** What a socket is about. */
export type Kind = keyof Frames;
/** A frame that is sent. */
export type Sent<Of extends Kind> = Frames[Of]['sent'];
/** A frame that is sent and answered. */
export type Question<Of extends Kind> = Extract<Sent<Of>, { ref: string }>;
/** A frame from the server. */
export type Received<Of extends Kind> = Frames[Of]['received'];
/** The same, of one type. */
export type ReceivedOf<Of extends Kind, Type extends string> = Extract<Received<Of>, { type: Type }>;
/** What answers a frame that has a ref. */
export type Answer<Of extends Kind> = ReceivedOf<Of, 'ok' | 'error' | 'page' | 'changes'>;

/** What becomes of a link. The frames of a socket that was given up are not among it. */
export type LinkEvents<Of extends Kind> = {
  /** Where to connect to: the path and query. */
  target(): string;
  /** What a text says; undefined if it is not understood. */
  decode(text: string): Received<Of> | undefined;
  welcomed(frame: ReceivedOf<Of, 'welcome'>): void;
  /** Any other frame that answers nothing which was asked here. */
  received(frame: Received<Of>): void;
  /** @param code of the close; 1006 if there was none */
  lost(code: number): void;
  /** It will not come back by itself. */
  stopped(problem: ChatError): void;
  /** {@link Link.status} or {@link Link.problem} has changed. */
  changed(): void;
};

/**
 * One chat.v1 socket at a time, for as long as it is wanted: it connects, refreshes the token, notices when nobody is
 * there any more, and comes back after a loss as docs/protocol.md says.
 */
export class Link<Of extends Kind> {
  status: Connection['status'] = 'idle';
  problem: ChatError | null = null;
  readonly #session: Session;
  readonly #environment: Environment;
  readonly #url: string;
  readonly #events: LinkEvents<Of>;
  #isWanted = false;
  #cancelLinger: (() => void) | null = null;
  #socket: Socket | null = null;
  #welcome: ReceivedOf<Of, 'welcome'> | null = null;
  #welcomedAt = 0;
  #attempt = 0;
  /** The token that the socket was opened with. */
  #token = '';
  /** Whether the token was replaced since the last welcome. */
  #hasRefreshed = false;
  #refusal: ServerFrameOf<'error'> | null = null;
  readonly #answers = new Map<string, { settle: (answer: Answer<Of> | null) => void; cancelTimeout: () => void }>();
  #cancelTimer = () => {};
  /** When the server wants to hear of it again, by {@link Environment.elapsed}. */
  #notBefore = 0;
  /** What it waits to do. */
  #next = () => {};
  #cancelPing = () => {};
  /** What is under way without a socket; anything newer replaces it. */
  #turn = 0;

  /** @param url of the server, with `ws:` or `wss:` */
  constructor(session: Session, environment: Environment, url: string, events: LinkEvents<Of>) {
    this.#session = session;
    this.#environment = environment;
    this.#url = url;
    this.#events = events;
  }

  /** The welcome of the socket that is open; null without one. */
  get welcome(): ReceivedOf<Of, 'welcome'> | null {
    return this.#welcome;
  }

  /** Why nothing can be asked for; undefined if it can, now or later. */
  get refusal(): ChatError | undefined {
    const isOver = this.status === 'stopped' || this.status === 'signed_out';
    return isOver ? (this.problem ?? signedOutError()) : undefined;
  }

  /** Connects, or disconnects after a while. */
  want(isWanted: boolean): void {
    if (!isWanted) {
      if (this.#isWanted) this.#cancelLinger ??= this.#environment.after(LINGER_MS, () => this.end());
      return;
    }
    this.#cancelLinger?.();
    this.#cancelLinger = null;
    if (this.#isWanted) return;
    this.#isWanted = true;
    if (this.status === 'idle') this.#connect();
  }

  /** Disconnects at once, until it is wanted again. */
  end(): void {
    this.#cancelLinger?.();
    this.#cancelLinger = null;
    if (!this.#isWanted) return;
    this.#isWanted = false;
    this.#rest();
  }

  /** Takes note of who is signed in now. */
  sessionChanged(): void {
    const { access } = this.#session;
    if (access === null) {
      if (this.#session.snapshot.status === 'signed_out') this.#rest();
    } else if (this.status === 'signed_out' || this.status === 'idle') {
      this.#set('idle', null);
      if (this.#isWanted) this.#connect();
    }
  }

  /** Connects anew. What was asked and is not answered is lost. */
  restart(): void {
    this.#drop(1006);
    this.#attempt = 0;
    if (this.#isWanted) this.#connect();
    else this.#rest();
  }

  /** Tries at once if it waits; makes sure that there is somebody if it does not. */
  wake(): void {
    if (this.status === 'waiting') {
      // Not before the server wants it, though.
      if (this.#environment.elapsed() >= this.#notBefore) this.#resume();
    } else if (this.#welcome) this.#ping();
  }

  /** Sends a frame to whoever is there. */
  tell(frame: Sent<Of>): void {
    if (this.#welcome) this.#send(JSON.stringify(frame));
  }

  /**
   * Sends a frame that is answered.
   * @param settle gets the answer, or null if the socket is lost before
   */
  ask(frame: Question<Of>, settle: (answer: Answer<Of> | null) => void): void {
    if (!this.#welcome) return settle(null);
    const cancelTimeout = this.#environment.after(ANSWER_TIMEOUT_MS, () =>
      this.lose(new ChatError('network', 'The server does not answer.')),
    );
    this.#answers.set(frame.ref, { settle, cancelTimeout });
    this.#send(JSON.stringify(frame));
  }

  #resume(): void {
    this.#cancelTimer();
    this.#next();
  }

  #connect(): void {
    this.#cancelTimer();
    this.#turn += 1;
    const token = this.#session.access;
    if (token === null) {
      const { status, problem } = this.#session.snapshot;
      this.#set(status === 'restoring' ? 'idle' : 'signed_out', problem);
      return;
    }
    this.#token = token;
    this.#refusal = null;
    this.#set('connecting', this.problem);
    let socket: Socket;
    try {
      socket = this.#environment.openSocket(this.#url + this.#events.target(), [CHAT_V1, BEARER_PREFIX + token]);
    } catch (error) {
      this.#wait(new ChatError('network', 'The socket could not be opened.', { cause: error }), 0);
      return;
    }
    this.#socket = socket;
    this.#cancelTimer = this.#environment.after(WELCOME_TIMEOUT_MS, () =>
      this.lose(new ChatError('network', 'The server does not answer.')),
    );
    const ifCurrent =
      <Arguments extends unknown[]>(work: (...given: Arguments) => void) =>
      (...given: Arguments) => {
        if (socket === this.#socket) work(...given);
      };
    socket.addEventListener(
      'open',
      ifCurrent(() => this.#send('ping')),
    );
    socket.addEventListener(
      'message',
      ifCurrent(({ data }) => this.#receive(data)),
    );
    socket.addEventListener(
      'close',
      ifCurrent(({ code, reason }) => this.#closed(code, reason)),
    );
    // A `close` follows.
    socket.addEventListener('error', () => {});
  }

  #receive(data: unknown): void {
    if (data === 'pong') return this.#ponged();
    const frame = typeof data === 'string' ? this.#events.decode(data) : undefined;
    // A newer server may say more than this client understands.
    if (!frame) return;
    if (!this.#welcome) {
      if (frame.type === 'error') this.#refusal = frame;
      if (frame.type !== 'welcome') return;
      const welcome = frame as ReceivedOf<Of, 'welcome'>;
      this.#welcome = welcome;
      this.#hasRefreshed = false;
      this.#welcomedAt = this.#environment.elapsed();
      this.#cancelTimer();
      this.#schedulePing();
      this.#events.welcomed(welcome);
      return;
    }
    const asked = 'ref' in frame && frame.ref !== undefined ? this.#answers.get(frame.ref) : undefined;
    if (!asked) return this.#events.received(frame);
    const answer = frame as Answer<Of>;
    this.#answers.delete(answer.ref ?? '');
    asked.cancelTimeout();
    asked.settle(answer);
  }

  /** The socket is open and everything is here. */
  caughtUp(): void {
    this.#set('online', null);
  }

  #schedulePing(): void {
    this.#cancelPing();
    const interval = this.#welcome?.limits.ping_interval_ms ?? 0;
    this.#cancelPing = this.#environment.after(interval, () => this.#ping());
  }

  #ping(): void {
    this.#cancelPing();
    this.#cancelPing = this.#environment.after(PONG_TIMEOUT_MS, () =>
      this.lose(new ChatError('network', 'The connection is dead.')),
    );
    this.#send('ping');
  }

  #ponged(): void {
    if (this.#welcome) this.#schedulePing();
  }

  #send(text: string): void {
    try {
      this.#socket?.send(text);
    } catch (error) {
      this.lose(new ChatError('network', 'The connection was lost.', { cause: error }));
    }
  }

  /** Gives the socket up, and comes back after a while. */
  lose(problem: ChatError): void {
    this.#drop(1006);
    this.#wait(problem, 0);
  }

  #closed(code: number, reason: string): void {
    const refusal = this.#refusal;
    this.#drop(code);
    const text = refusal?.message ?? (reason === '' ? 'The connection was lost.' : reason);
    const verdict = verdictOf(code);
    // A session that has ended may have been followed by one in another tab: the refresh tells.
    if (verdict === 'refresh' || code === CLOSE.sessionEnded) {
      if (!this.#hasRefreshed) return void this.#refresh();
      // A new token was no better than the one before.
      return this.#wait(new ChatError('unauthenticated', text), 0, () => void this.#refresh());
    }
    if (verdict === 'stop') {
      const problem = new ChatError(REFUSALS[code] ?? 'refused', text);
      this.#rest('stopped', problem);
      this.#events.stopped(problem);
      return;
    }
    const retry_after_ms = refusal?.retry_after_ms;
    this.#wait(
      new ChatError(refusal?.code ?? LOSSES[code] ?? 'network', text, { retry_after_ms }),
      retry_after_ms ?? 0,
    );
  }

  /** Gets a new token, then connects. Whether the session has ended is told by this too. */
  async #refresh(): Promise<void> {
    this.#hasRefreshed = true;
    this.#turn += 1;
    const turn = this.#turn;
    this.#set('connecting', this.problem);
    try {
      await this.#session.refresh(this.#token);
      if (turn === this.#turn) this.#connect();
    } catch (error) {
      const problem = error instanceof ChatError ? error : new ChatError('server', 'No new token.', { cause: error });
      if (turn === this.#turn) this.#wait(problem, problem.retry_after_ms ?? 0, () => void this.#refresh());
    }
  }

  #wait(problem: ChatError, atLeast: number, next = () => this.#connect()): void {
    this.#turn += 1;
    this.#notBefore = this.#environment.elapsed() + atLeast;
    const pause = atLeast + backoff(this.#attempt, this.#environment.random());
    this.#attempt += 1;
    this.#next = next;
    this.#set('waiting', problem);
    this.#cancelTimer = this.#environment.after(pause, next);
  }

  /** Lets go of everything. Nothing happens by itself then. */
  #rest(status: Connection['status'] = 'idle', problem: ChatError | null = null): void {
    this.#turn += 1;
    this.#drop(1006);
    this.#attempt = 0;
    const { snapshot } = this.#session;
    if (snapshot.status === 'signed_out') this.#set('signed_out', snapshot.problem);
    else this.#set(status, problem);
  }

  #drop(code: number): void {
    const [socket, wasWelcome] = [this.#socket, this.#welcome !== null];
    if (wasWelcome && this.#environment.elapsed() - this.#welcomedAt >= STABLE_MS) this.#attempt = 0;
    this.#cancelTimer();
    this.#cancelPing();
    this.#socket = null;
    this.#welcome = null;
    const unanswered = [...this.#answers.values()];
    this.#answers.clear();
    for (const { cancelTimeout } of unanswered) cancelTimeout();
    if (!socket) return;
    try {
      socket.close(1000);
    } catch {
      // It is closed already.
    }
    this.#events.lost(code);
    for (const { settle } of unanswered) settle(null);
  }

  #set(status: Connection['status'], problem: ChatError | null): void {
    if (this.status === status && this.problem === problem) return;
    this.status = status;
    this.problem = problem;
    this.#events.changed();
  }
}

/** Why a socket was lost, if not because of the network. */
const LOSSES: Readonly<Record<number, string>> = {
  [CLOSE.internalError]: 'server',
  [CLOSE.restarted]: 'server',
  [CLOSE.tooManyRequests]: 'rate_limited',
  [CLOSE.full]: 'conversation_full',
};

/** What it means that a server closes the socket for good. */
const REFUSALS: Readonly<Record<number, string>> = {
  [CLOSE.badRequest]: 'bad_request',
  [CLOSE.forbidden]: 'not_a_member',
  [CLOSE.notFound]: 'no_such_conversation',
  [CLOSE.replaced]: 'replaced',
  [CLOSE.unknownVersion]: 'unknown_version',
};
