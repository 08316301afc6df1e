import { backoff } from './backoff.ts';
import type { Environment } from './environment.ts';
import type { ChatStorage } from './storage.ts';

/** Milliseconds after which a storage that does not answer counts as one that fails. */
const STORAGE_TIMEOUT_MS = 2000;

type Wanted = { readonly value: unknown; readonly waiting: (() => void)[] };

/**
 * A storage that never fails its user: what it could not write it holds in memory, and tries again until it can.
 * Keys are those of one server.
 */
export class Keeper {
  readonly #storage: ChatStorage;
  readonly #environment: Environment;
  readonly #prefix: string;
  readonly #onChange: () => void;
  /** What is to be written, undefined to be deleted. */
  readonly #wanted = new Map<string, Wanted>();
  #isWriting = false;
  #isFailing = false;
  #failures = 0;
  #cancelRetry = () => {};

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

  /** Keeps a value; undefined drops it. Resolves when it is kept, or when it turns out that it cannot be for now. */
  keep(key: string, value: unknown): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#wanted.get(key)?.waiting ?? [];
      // A key that is taken out and put back goes to the end: what is written is written in the order of asking.
      this.#wanted.delete(key);
      this.#wanted.set(key, { value, waiting: [...waiting, resolve] });
      if (this.#isFailing) resolve();
      void this.#write();
    });
  }

  /** What is kept under a key. @throws what the storage throws */
  async read(key: string): Promise<unknown> {
    const wanted = this.#wanted.get(key);
    return wanted ? wanted.value : this.#orTimeout(this.#storage.get(this.#prefix + key));
  }

  /** What is kept under the keys that begin with `prefix`, in the order of the keys. @throws what the storage throws */
  async readAll(prefix: string): Promise<[key: string, value: unknown][]> {
    const entries = await this.#orTimeout(this.#storage.entries(this.#prefix + prefix));
    return entries.map(([key, value]) => [key.slice(this.#prefix.length), value]);
  }

  /** Does `work` while no other tab does something under the same name. */
  async exclusively<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    let hasBegun = false;
    try {
      return await this.#storage.exclusively(this.#prefix + name, () => {
        hasBegun = true;
        return work();
      });
    } catch (error) {
      if (hasBegun) throw error;
      return work();
    }
  }

  /** Tries no more. */
  close(): void {
    this.#cancelRetry();
  }

  async #write(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#cancelRetry();
    for (const [key, wanted] of this.#wanted) {
      try {
        const name = this.#prefix + key;
        const { value } = wanted;
        await this.#orTimeout(value === undefined ? this.#storage.delete(name) : this.#storage.set(name, value));
      } catch {
        this.#setFailing(true);
        break;
      }
      if (this.#wanted.get(key) === wanted) this.#wanted.delete(key);
      for (const resolve of wanted.waiting) resolve();
      if (this.#wanted.size === 0) this.#setFailing(false);
    }
    this.#isWriting = false;
    if (!this.#isFailing) {
      this.#failures = 0;
      return;
    }
    for (const { waiting } of this.#wanted.values()) for (const resolve of waiting.splice(0)) resolve();
    const pause = backoff(this.#failures, this.#environment.random());
    this.#failures += 1;
    this.#cancelRetry = this.#environment.after(pause, () => void this.#write());
  }

  #setFailing(isFailing: boolean): void {
    if (this.#isFailing === isFailing) return;
    this.#isFailing = isFailing;
    this.#onChange();
  }

  async #orTimeout<Result>(work: Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const cancel = this.#environment.after(STORAGE_TIMEOUT_MS, () => reject(new Error('The storage is silent.')));
      work.then(resolve, reject).finally(cancel);
    });
  }
}
