import { backoff } from './backoff.ts';
import type { Environment } from './environment.ts';
import type { ChatStorage } from './storage.ts';

/** Milliseconds after which a storage that does not answer counts as one that fails. */
const STORAGE_TIMEOUT_MS = 2000;

/** Milliseconds after which a lock that another tab holds is not waited for any longer: its request has ended by then. */
const LOCK_TIMEOUT_MS = 40_000;

type Wanted = { readonly value: unknown; readonly waiting: (() => void)[] };

/** What is kept under some keys, in the order of the keys; not all of it, if the storage could not be asked. */
export type Kept = { readonly entries: [key: string, value: unknown][]; readonly isComplete: boolean };

/**
 * A storage that never fails its user: what it could not write it holds in memory, and tries again until it can.
 * Keys are those of one server.
 */
export class Keeper {
  readonly #storage: ChatStorage;
  readonly #environment: Environment;
  readonly #prefix: string;
  readonly #onChange: () => void;
  /** What is to be written, undefined to be deleted, in the order in which it is. */
  #wanted = new Map<string, Wanted>();
  /** What is thought to be kept. */
  readonly #keys = new Set<string>();
  #isWriting = false;
  #isFailing = false;
  #failures = 0;

  /** @param onChange is called when {@link durable} changes */
  constructor(storage: ChatStorage, environment: Environment, server: string, onChange: () => void) {
    this.#storage = storage;
    this.#environment = environment;
    this.#prefix = `${server} `;
    this.#onChange = onChange;
  }

  /** Whether everything that was to be kept would survive a reload. */
  get durable(): boolean {
    return this.#storage.durable && !this.#isFailing;
  }

  /** Whether the storage has what was last to be kept under a key. */
  has(key: string): boolean {
    return !this.#wanted.has(key);
  }

  /**
   * Keeps a value; undefined drops it. Resolves when that is done, or when it turns out that it cannot be for now.
   * @param isUrgent whether it goes before everything else
   */
  keep(key: string, value: unknown, isUrgent = false): Promise<void> {
    if (value === undefined) this.#keys.delete(key);
    else this.#keys.add(key);
    return new Promise((resolve) => {
      const wanted = { value, waiting: [...(this.#wanted.get(key)?.waiting ?? []), resolve] };
      // What replaces something that is not written yet goes to the end: everything is written in the order of asking.
      this.#wanted.delete(key);
      if (isUrgent) this.#wanted = new Map([[key, wanted], ...this.#wanted]);
      else this.#wanted.set(key, wanted);
      if (this.#isFailing) resolve();
      else void this.#write();
    });
  }

  /** Keeps a value now or never: what another tab keeps there meanwhile must not be overwritten later. */
  async keepNow(key: string, value: unknown): Promise<void> {
    const replaced = this.#wanted.get(key);
    this.#wanted.delete(key);
    for (const resolve of replaced?.waiting ?? []) resolve();
    await this.#orTimeout(async () => this.#storage.set(this.#prefix + key, value)).catch(() => {});
  }

  /** What is kept under a key. @throws what the storage throws */
  async read(key: string): Promise<unknown> {
    const wanted = this.#wanted.get(key);
    return wanted ? wanted.value : this.#orTimeout(async () => this.#storage.get(this.#prefix + key));
  }

  /** What is kept under the keys that begin with `prefix`. */
  async readAll(prefix: string): Promise<Kept> {
    let isComplete = true;
    const values = new Map<string, unknown>();
    try {
      const stored = await this.#orTimeout(async () => this.#storage.entries(this.#prefix + prefix));
      for (const [key, value] of stored) values.set(key.slice(this.#prefix.length), value);
    } catch {
      isComplete = false;
    }
    for (const [key, { value }] of this.#wanted) {
      if (!key.startsWith(prefix)) continue;
      if (value === undefined) values.delete(key);
      else values.set(key, value);
    }
    // Other tabs drop keys, too.
    if (isComplete)
      for (const key of this.#keys) if (key.startsWith(prefix) && !values.has(key)) this.#keys.delete(key);
    for (const key of values.keys()) this.#keys.add(key);
    return { entries: [...values].sort(([a], [b]) => (a < b ? -1 : 1)), isComplete };
  }

  /** Calls `listener` when another tab may have changed what is kept under a key. @returns stops that */
  watch(key: string, listener: () => void): () => void {
    const name = this.#prefix + key;
    return this.#storage.watch?.((changed) => changed === name && listener()) ?? (() => {});
  }

  /** Drops what is kept under the keys that begin with `prefix`, as far as they are known. */
  async forget(prefix: string): Promise<void> {
    await this.readAll(prefix);
    const keys = [...this.#keys].filter((key) => key.startsWith(prefix));
    await Promise.all(keys.map((key) => this.keep(key, undefined)));
  }

  /** Does `work` while no other tab does something under the same name; without that, if the storage fails. */
  exclusively<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    let begun: Promise<Result> | undefined;
    const begin = () => (begun ??= work());
    return new Promise((resolve, reject) => {
      const goOn = () => {
        cancel();
        begin().then(resolve, reject);
      };
      const cancel = this.#environment.after(LOCK_TIMEOUT_MS, goOn);
      const takeTurn = async () =>
        this.#storage.exclusively(this.#prefix + name, () => {
          cancel();
          return begin();
        });
      takeTurn().then(goOn, goOn);
    });
  }

  async #write(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    for (;;) {
      const [first] = this.#wanted;
      if (!first) break;
      const [key, wanted] = first;
      try {
        const name = this.#prefix + key;
        const { value } = wanted;
        await this.#orTimeout(async () =>
          value === undefined ? this.#storage.delete(name) : this.#storage.set(name, value),
        );
      } catch {
        this.#failed();
        break;
      }
      if (this.#wanted.get(key) === wanted) this.#wanted.delete(key);
      for (const resolve of wanted.waiting) resolve();
      if (this.#wanted.size === 0) this.#setFailing(false);
    }
    this.#isWriting = false;
  }

  /** Holds nobody up, and tries again after a while. */
  #failed(): void {
    for (const { waiting } of this.#wanted.values()) for (const resolve of waiting.splice(0)) resolve();
    this.#environment.after(backoff(this.#failures, this.#environment.random()), () => void this.#write());
    this.#failures += 1;
    this.#setFailing(true);
  }

  #setFailing(isFailing: boolean): void {
    if (!isFailing) this.#failures = 0;
    if (this.#isFailing === isFailing) return;
    this.#isFailing = isFailing;
    this.#onChange();
  }

  /** @param work may also throw at once */
  async #orTimeout<Result>(work: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const cancel = this.#environment.after(STORAGE_TIMEOUT_MS, () => reject(new Error('The storage is silent.')));
      work().then(resolve, reject).finally(cancel);
    });
  }
}
