import type { Operation } from '../protocol/client-frames.ts';
import type { ServerFrameOf } from '../protocol/server-frames.ts';
import { backoff } from './backoff.ts';
import { ChatError } from './error.ts';
import type { Environment } from './environment.ts';
import type { Keeper } from './keeper.ts';
import type { PendingOperation } from './types.ts';

/** An operation that is not settled. */
export type Entry = {
  /** Where it is kept; null until it is known what was kept before it. */
  key: string | null;
  readonly operation: Operation;
  readonly asked_at: number;
  error: ChatError | null;
  /** What it was answered: it stays here until the rows show it. */
  ok: ServerFrameOf<'ok'> | null;
  /** Resolves when it is kept, or cannot be: only then it is sent, so that a page that dies in between can repeat it. */
  kept: Promise<void>;
  settled: PromiseWithResolvers<ServerFrameOf<'ok'>>;
};

/** What is kept of an entry. */
type Kept = {
  readonly operation: Operation;
  readonly asked_at: number;
  readonly refused: { readonly code: string; readonly message: string } | null;
};

/**
 * The operations of one user in one conversation, in the order in which they were asked for. They are answered one
 * after the other, under their refs, over as many sockets and reloads as that takes.
 */
export class Outbox {
  readonly #keeper: Keeper;
  readonly #environment: Environment;
  readonly #conversationId: string;
  readonly #onChange: () => void;
  #userId: string | null = null;
  #entries: Entry[] = [];
  #isLoaded = false;
  #lastOrder = 0;
  #pending: readonly PendingOperation[] | null = null;
  #cancelRetry = () => {};

  /** @param onChange is called when it was loaded */
  constructor(keeper: Keeper, environment: Environment, conversationId: string, onChange: () => void) {
    this.#keeper = keeper;
    this.#environment = environment;
    this.#conversationId = conversationId;
    this.#onChange = onChange;
  }

  /** Forgets the entries of the user before, which stay kept, and loads those of this one. */
  setUser(userId: string | null, why: ChatError): void {
    const wasUnknown = this.#userId === null;
    if (userId === null || !wasUnknown) this.close(why);
    this.#userId = userId;
    if (userId !== null) void this.#load(userId, 0);
  }

  /** Fails what was asked for in this page, but does not drop what is kept. */
  close(why: ChatError): void {
    this.#cancelRetry();
    for (const entry of this.#entries) entry.settled.reject(why);
    this.#entries = [];
    this.#isLoaded = false;
    this.#pending = null;
  }

  get pending(): readonly PendingOperation[] {
    this.#pending ??= this.#entries.length === 0 ? NONE : this.#entries.map(toPending);
    return this.#pending;
  }

  /** Whether something is still to be answered. */
  get isWaiting(): boolean {
    return this.#entries.some(isWaiting);
  }

  /** The operation whose turn it is. */
  get next(): Entry | undefined {
    return this.#isLoaded ? this.#entries.find(isWaiting) : undefined;
  }

  add(operation: Operation): Entry {
    const asked_at = this.#environment.now();
    const entry: Entry = { key: null, operation, asked_at, error: null, ok: null, kept: DONE, settled: settling() };
    this.#entries = [...this.#entries, entry];
    this.#pending = null;
    if (this.#isLoaded) this.#keep(entry);
    return entry;
  }

  /** Notes that an operation was done. It leaves the storage, and stays here until {@link drop}. */
  acknowledge(entry: Entry, ok: ServerFrameOf<'ok'>): void {
    entry.ok = ok;
    this.#forget(entry);
    entry.settled.resolve(ok);
    this.#pending = null;
  }

  /** Notes that an operation was refused. A message stays, for its text must not be lost. */
  refuse(entry: Entry, error: ChatError): void {
    entry.error = error;
    if (entry.operation.type === 'send') this.#keep(entry);
    else this.discard(entry);
    entry.settled.reject(error);
    this.#pending = null;
  }

  /** Refuses all that waits. */
  refuseAll(error: ChatError): void {
    for (const entry of this.#entries.filter(isWaiting)) this.refuse(entry, error);
  }

  /** A refused message. */
  refused(ref: string): Entry | undefined {
    return this.#entries.find(({ operation, error }) => error !== null && operation.ref === ref);
  }

  /** Lets a refused message wait again, in its old place. */
  retry(entry: Entry): void {
    entry.error = null;
    entry.settled = settling();
    this.#keep(entry);
    this.#pending = null;
  }

  /** Drops a refused message. */
  discard(entry: Entry): void {
    this.#forget(entry);
    this.#take(entry);
  }

  /** Drops the operations that were done and of which `isShown` holds. */
  dropShown(isShown: (ok: ServerFrameOf<'ok'>) => boolean): void {
    for (const entry of this.#entries) if (entry.ok && isShown(entry.ok)) this.#take(entry);
  }

  get #prefix(): string {
    return `${outboxPrefix(this.#userId ?? '')}${this.#conversationId}/`;
  }

  async #load(userId: string, attempt: number): Promise<void> {
    let kept: [key: string, value: unknown][];
    try {
      kept = await this.#keeper.readAll(this.#prefix);
    } catch {
      if (this.#userId !== userId) return;
      const pause = backoff(attempt, this.#environment.random());
      this.#cancelRetry = this.#environment.after(pause, () => void this.#load(userId, attempt + 1));
      // What is asked for now does not wait for a storage that fails.
      this.#setLoaded();
      return;
    }
    if (this.#userId !== userId) return;
    const known = new Set(this.#entries.map(({ key }) => key));
    const earlier = kept.flatMap(([key, value]) => (known.has(key) ? [] : [toEntry(key, value as Kept)]));
    for (const [key] of kept) this.#lastOrder = Math.max(this.#lastOrder, orderOf(key));
    this.#entries = [...earlier, ...this.#entries];
    this.#setLoaded();
  }

  #setLoaded(): void {
    this.#isLoaded = true;
    for (const entry of this.#entries) if (entry.key === null) this.#keep(entry);
    this.#pending = null;
    this.#onChange();
  }

  #keep(entry: Entry): void {
    const { operation, asked_at, error } = entry;
    if (entry.key === null) {
      // The clock may have gone back, and what is asked for later must stay later.
      this.#lastOrder = Math.max(this.#lastOrder + 1, asked_at);
      entry.key = `${this.#prefix}${String(this.#lastOrder).padStart(ORDER_LENGTH, '0')} ${operation.ref}`;
    }
    const refused = error && { code: error.code, message: error.message };
    entry.kept = this.#keeper.keep(entry.key, { operation, asked_at, refused } satisfies Kept);
  }

  #forget({ key }: Entry): void {
    if (key !== null) void this.#keeper.keep(key, undefined);
  }

  #take(entry: Entry): void {
    this.#entries = this.#entries.filter((it) => it !== entry);
    this.#pending = null;
  }
}

/** What the keys of a user's outboxes begin with; the id of the conversation and a slash follow. */
export function outboxPrefix(userId: string): string {
  return `outbox/${userId}/`;
}

/** Digits of an entry's place, by which keys sort. */
const ORDER_LENGTH = 16;
const DONE = Promise.resolve();
/** The same list each time, so that nothing seems to change. */
const NONE: readonly PendingOperation[] = [];

/** The place that a key names: prefix/<place> <ref>. The ref may hold anything. */
function orderOf(key: string): number {
  return Number(/^outbox\/[^/]*\/[^/]*\/(\d+) /.exec(key)?.[1] ?? 0);
}

function toEntry(key: string, { operation, asked_at, refused }: Kept): Entry {
  const error = refused && new ChatError(refused.code, refused.message);
  return { key, operation, asked_at, error, ok: null, kept: DONE, settled: settling() };
}

function isWaiting({ error, ok }: Entry): boolean {
  return error === null && ok === null;
}

/** A promise whose failure nobody need hear of: it is in `pending` too. */
function settling(): PromiseWithResolvers<ServerFrameOf<'ok'>> {
  const settled = Promise.withResolvers<ServerFrameOf<'ok'>>();
  settled.promise.catch(() => {});
  return settled;
}

function toPending({ operation, asked_at, error }: Entry): PendingOperation {
  if (operation.type === 'send') return { ...operation, reply_to: operation.reply_to ?? null, asked_at, error };
  return { ...operation, asked_at, error };
}
