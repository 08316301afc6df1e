import type { Operation } from '../protocol/client-frames.ts';
import type { ServerFrameOf } from '../protocol/server-frames.ts';
import { backoff } from './backoff.ts';
import { ChatError } from './error.ts';
import type { Environment } from './environment.ts';
import type { Keeper } from './keeper.ts';
import type { PendingOperation } from './types.ts';

/** What became of an operation, and whose it was. */
export type Done = { readonly ok: ServerFrameOf<'ok'>; readonly me: string };

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
  settled: PromiseWithResolvers<Done>;
  /** Whether another page has asked for it: that page may live, and drop it. */
  readonly isAdopted: boolean;
  /** What is shown of it; made anew when it changes. */
  shown: PendingOperation;
};

/** What is kept of an entry. */
type KeptEntry = {
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
  readonly #entries: Entry[] = [];
  #isLoaded = false;
  #lastOrder = 0;
  #pending: readonly PendingOperation[] | null = null;
  /** Raised by everything that makes a load which is under way worthless. */
  #turn = 0;
  #cancelRetry = () => {};

  /** @param onChange is called when it was loaded */
  constructor(keeper: Keeper, environment: Environment, conversationId: string, onChange: () => void) {
    this.#keeper = keeper;
    this.#environment = environment;
    this.#conversationId = conversationId;
    this.#onChange = onChange;
  }

  /** Loads the entries of a user. What was asked for before anybody was known is theirs; that of another stays kept. */
  setUser(userId: string | null, why: ChatError): void {
    if (userId === null || this.#userId !== null) this.close(why);
    this.#userId = userId;
    if (userId !== null) void this.#load(0);
  }

  /** Takes up what other pages have left since it was loaded. */
  reload(): void {
    if (this.#userId !== null && this.#isLoaded) void this.#load(0);
  }

  /** Fails what was asked for in this page, but does not drop what is kept. */
  close(why: ChatError): void {
    this.#turn += 1;
    this.#cancelRetry();
    for (const entry of this.#entries.splice(0)) entry.settled.reject(why);
    this.#userId = null;
    this.#isLoaded = false;
    this.#pending = null;
  }

  get pending(): readonly PendingOperation[] {
    this.#pending ??= this.#entries.length === 0 ? NONE : this.#entries.map(({ shown }) => shown);
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
    const entry = entryOf(null, operation, asked_at, null);
    this.#entries.push(entry);
    this.#pending = null;
    if (this.#isLoaded) this.#keep(entry);
    return entry;
  }

  /** Whether an operation is still to be sent: the page that asked for it may have dropped it. If so it goes here too. */
  async isStillWanted(entry: Entry): Promise<boolean> {
    if (!entry.isAdopted || entry.key === null) return true;
    const kept = await this.#keeper.read(entry.key).catch(() => null);
    if (kept !== undefined) return true;
    this.#take(entry);
    return false;
  }

  /** Notes that an operation was done. It leaves the storage, and stays here until {@link dropShown}. */
  acknowledge(entry: Entry, ok: ServerFrameOf<'ok'>): void {
    entry.ok = ok;
    this.#forget(entry);
    entry.settled.resolve({ ok, me: this.#userId ?? '' });
    this.#pending = null;
  }

  /** Notes that an operation was refused. A message stays, for its text must not be lost. */
  refuse(entry: Entry, error: ChatError): void {
    setError(entry, error);
    if (entry.operation.type === 'send') void this.#keepRefused(entry);
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
    setError(entry, null);
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
    for (const entry of this.#entries.filter(({ ok }) => ok && isShown(ok))) this.#take(entry);
  }

  /** Drops messages that were refused here and that another tab has sent all the same. */
  dropSent(refs: readonly (string | null)[]): void {
    for (const ref of refs) {
      const entry = ref === null ? undefined : this.refused(ref);
      if (entry) this.discard(entry);
    }
  }

  get #prefix(): string {
    return outboxPrefix(this.#userId ?? '', this.#conversationId);
  }

  async #load(attempt: number): Promise<void> {
    this.#cancelRetry();
    this.#turn += 1;
    const turn = this.#turn;
    const { entries, isComplete } = await this.#keeper.readAll(this.#prefix);
    if (turn !== this.#turn) return;
    const known = new Set(this.#entries.map(({ key }) => key));
    const earlier = entries.flatMap(([key, value]) => (known.has(key) || !isKept(value) ? [] : [toEntry(key, value)]));
    for (const [key] of entries) this.#lastOrder = Math.max(this.#lastOrder, orderOf(key));
    this.#entries.push(...earlier);
    this.#entries.sort(byKey);
    // What is asked for now does not wait for a storage that fails.
    this.#isLoaded = true;
    for (const entry of this.#entries) if (entry.key === null) this.#keep(entry);
    this.#pending = null;
    this.#onChange();
    if (isComplete) return;
    const pause = backoff(attempt, this.#environment.random());
    this.#cancelRetry = this.#environment.after(pause, () => void this.#load(attempt + 1));
  }

  /** Keeps that a message was refused, unless another tab has sent or dropped it meanwhile. */
  async #keepRefused(entry: Entry): Promise<void> {
    const { key, error } = entry;
    const kept = key === null ? undefined : await this.#keeper.read(key).catch(() => null);
    if (kept !== undefined && entry.error === error && this.#entries.includes(entry)) this.#keep(entry);
  }

  #keep(entry: Entry): void {
    const { operation, asked_at, error } = entry;
    if (entry.key === null) {
      // The clock may have gone back, and what is asked for later must stay later.
      this.#lastOrder = Math.max(this.#lastOrder + 1, asked_at);
      entry.key = `${this.#prefix}${String(this.#lastOrder).padStart(ORDER_LENGTH, '0')} ${operation.ref}`;
    }
    const refused = error && { code: error.code, message: error.message };
    entry.kept = this.#keeper.keep(entry.key, { operation, asked_at, refused } satisfies KeptEntry);
  }

  #forget({ key }: Entry): void {
    if (key !== null) void this.#keeper.keep(key, undefined);
  }

  #take(entry: Entry): void {
    const index = this.#entries.indexOf(entry);
    if (index >= 0) this.#entries.splice(index, 1);
    this.#pending = null;
  }
}

/** What the keys of a user's operations begin with, in one conversation or in all. */
export function outboxPrefix(userId: string, conversationId?: string): string {
  // An id is whatever the program passes, and must not reach into the keys of another.
  return `outbox/${userId}/${conversationId === undefined ? '' : `${encodeURIComponent(conversationId)}/`}`;
}

/** The conversation that a key is of. */
export function conversationOf(key: string): string {
  return decodeURIComponent(key.split('/')[2] ?? '');
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

/** By when they were asked for; what has no key yet is newest. */
function byKey({ key: a }: Entry, { key: b }: Entry): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return a < b ? -1 : 1;
}

/** Whether a kept value is one of this release: another may have kept something else. */
function isKept(value: unknown): value is KeptEntry {
  if (typeof value !== 'object' || value === null) return false;
  const { operation, asked_at } = value as { operation?: { type?: unknown; ref?: unknown }; asked_at?: unknown };
  return typeof operation?.type === 'string' && typeof operation.ref === 'string' && typeof asked_at === 'number';
}

function toEntry(key: string, { operation, asked_at, refused }: KeptEntry): Entry {
  return entryOf(key, operation, asked_at, refused && new ChatError(refused.code, refused.message));
}

function entryOf(key: string | null, operation: Operation, asked_at: number, error: ChatError | null): Entry {
  const shown = toPending(operation, asked_at, error);
  const isAdopted = key !== null;
  return { key, operation, asked_at, error, ok: null, kept: DONE, settled: settling(), isAdopted, shown };
}

function setError(entry: Entry, error: ChatError | null): void {
  entry.error = error;
  entry.shown = toPending(entry.operation, entry.asked_at, error);
}

function isWaiting({ error, ok }: Entry): boolean {
  return error === null && ok === null;
}

/** A promise whose failure nobody need hear of: it is in `pending` too. */
function settling(): PromiseWithResolvers<Done> {
  const settled = Promise.withResolvers<Done>();
  settled.promise.catch(() => {});
  return settled;
}

function toPending(operation: Operation, asked_at: number, error: ChatError | null): PendingOperation {
  if (operation.type === 'send') return { ...operation, reply_to: operation.reply_to ?? null, asked_at, error };
  return { ...operation, asked_at, error };
}
