import { memoryStorage, type ChatStorage } from '../../../src/client/storage.ts';
import type { Recorder } from '../recorder.ts';
import { Ledger } from './ledger.ts';
import type { Life } from './life.ts';
import type { Tokens } from './seat.ts';

/** A browser, whose tabs share what it keeps. Its storage can fail, and can be one that keeps nothing. */
export class Device {
  readonly ledger: Ledger;
  /** While it is, every method of the storage throws. */
  isFailing = false;
  readonly #server: string;
  readonly #survives: boolean;
  #storage = memoryStorage();
  /** Who is signed in: that survives in any case. */
  #session: unknown;
  /** The refs of the operations that are kept, by the keys of the storage. */
  #kept = new Map<string, string>();

  /** @param survives whether what is kept survives a reload */
  constructor({ url, recorder, survives = true }: { url: string; recorder: Recorder; survives?: boolean }) {
    this.ledger = new Ledger(recorder);
    this.#server = new URL(url).href.replace(/\/+$/, '');
    this.#survives = survives;
  }

  /** Keeps a session, as if somebody had signed in. */
  async signIn({ access, refresh }: Tokens): Promise<void> {
    this.#session = { access, refresh };
    await this.#storage.set(this.#sessionKey, this.#session);
  }

  get #sessionKey(): string {
    return `${this.#server} session`;
  }

  /** Whether an operation would survive a reload. */
  keeps(ref: string | null): boolean {
    return this.#survives && [...this.#kept.values()].some((it) => it === ref);
  }

  /** The storage as one page has it: a page that has died does nothing and hears of nothing any more. */
  storageFor(life: Life, onEntries: (prefix: string, isRead: boolean) => void): ChatStorage {
    if (!this.#survives) {
      [this.#storage, this.#kept] = [memoryStorage(), new Map()];
      void this.#storage.set(this.#sessionKey, this.#session);
    }
    const storage = this.#storage;
    const guarded = async <Result>(work: () => Promise<Result>): Promise<Result> =>
      life.guard(async () => {
        if (this.isFailing) throw new Error('The storage fails.');
        return work();
      });
    return {
      durable: this.#survives,
      get: async (key) => guarded(async () => storage.get(key)),
      set: async (key, value) =>
        guarded(async () => {
          const ref = (value as { operation?: { ref?: unknown } } | null)?.operation?.ref;
          if (typeof ref === 'string') this.#kept.set(key, ref);
          if (key === this.#sessionKey) this.#session = value;
          return storage.set(key, value);
        }),
      delete: async (key) =>
        guarded(async () => {
          this.#kept.delete(key);
          return storage.delete(key);
        }),
      entries: async (prefix) => {
        onEntries(prefix, !this.isFailing);
        return guarded(async () => storage.entries(prefix));
      },
      // The lock of a page that has died is free again.
      exclusively: async (name, work) =>
        life.guard(async () => {
          if (this.isFailing) throw new Error('The storage fails.');
          return storage.exclusively(name, async () => Promise.race([work(), life.death]));
        }),
    };
  }
}
