import { memoryStorage, mutex, type ChatStorage } from './storage.ts';

/** IndexedDB where there is one, memory elsewhere. */
export function defaultStorage(): ChatStorage {
  return (globalThis as { indexedDB?: unknown }).indexedDB ? indexedDbStorage() : memoryStorage();
}

/** Keeps values in a database of the browser, for all tabs of an origin. */
export function indexedDbStorage(name = 'edge-chat'): ChatStorage {
  const inThisTab = mutex();
  let opened: Promise<Database> | undefined;
  const channel = (): Channel => {
    const { BroadcastChannel } = browser();
    return new BroadcastChannel(name);
  };
  const tellOthers = (key: string): void => {
    const others = channel();
    // eslint-disable-next-line unicorn/require-post-message-target-origin -- a channel has none
    others.postMessage(key);
    others.close();
  };

  async function database(): Promise<Database> {
    opened ??= open(name, () => (opened = undefined));
    try {
      return await opened;
    } catch (error) {
      opened = undefined;
      throw error;
    }
  }

  /** Begins a transaction; on a new connection, if the browser has dropped the one before without a word. */
  async function begin(mode: 'readonly' | 'readwrite'): Promise<Transaction> {
    try {
      return (await database()).transaction(STORE, mode);
    } catch {
      opened = undefined;
      return (await database()).transaction(STORE, mode);
    }
  }

  async function run<Result>(mode: 'readonly' | 'readwrite', work: (store: Store) => Request<Result>): Promise<Result> {
    const transaction = await begin(mode);
    const request = work(transaction.objectStore(STORE));
    return new Promise((resolve, reject) => {
      transaction.addEventListener('complete', () => resolve(request.result));
      transaction.addEventListener('abort', () => reject(transaction.error ?? request.error));
    });
  }

  return {
    durable: true,
    get: (key) => run('readonly', (store) => store.get(key)),
    set: async (key, value) => {
      await run('readwrite', (store) => store.put(value, key));
      tellOthers(key);
    },
    delete: async (key) => {
      await run('readwrite', (store) => store.delete(key));
      tellOthers(key);
    },
    entries: async (prefix) => {
      const { IDBKeyRange } = browser();
      const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
      // Of one moment: a key that another tab deletes in between would leave the lists of different lengths.
      const transaction = await begin('readonly');
      const store = transaction.objectStore(STORE);
      const [keys, values] = [store.getAllKeys(range), store.getAll(range)];
      await new Promise<void>((resolve, reject) => {
        transaction.addEventListener('complete', () => resolve());
        transaction.addEventListener('abort', () => reject(transaction.error));
      });
      return keys.result.map((key, index) => [key, values.result[index]]);
    },
    exclusively: (what, work) => {
      const { locks } = browser().navigator;
      // Only pages that came over TLS or from this machine have locks. Without them a tab excludes itself only.
      return locks ? locks.request(`${name}/${what}`, work) : inThisTab(what, work);
    },
    watch: (listener) => {
      const others = channel();
      others.addEventListener('message', ({ data }) => listener(String(data)));
      return () => others.close();
    },
  };
}

const STORE = 'values';

/** What pages have, and the runtimes whose types this file is checked with lack. */
function browser(): BrowserGlobals {
  // Their own types cannot be used: those of Workers name some of the same things otherwise.
  return globalThis as unknown as BrowserGlobals;
}

async function open(name: string, onClosed: () => void): Promise<Database> {
  const { indexedDB } = browser();
  const request = indexedDB.open(name, 1);
  return new Promise((resolve, reject) => {
    request.addEventListener('upgradeneeded', () => void request.result.createObjectStore(STORE));
    request.addEventListener('error', () => reject(request.error));
    request.addEventListener('success', () => {
      const database = request.result;
      database.addEventListener('close', onClosed);
      database.addEventListener('versionchange', () => {
        onClosed();
        database.close();
      });
      resolve(database);
    });
  });
}

// The part of IndexedDB, of channels and of Web Locks that is used here: only pages have the types of the whole.

type Listening = { addEventListener(type: string, listener: () => void): void };
type Request<Result> = Listening & { readonly result: Result; readonly error: Error };
type Store = {
  get(key: string): Request<unknown>;
  put(value: unknown, key: string): Request<unknown>;
  delete(key: string): Request<unknown>;
  getAll(range: object): Request<unknown[]>;
  getAllKeys(range: object): Request<string[]>;
};
type Transaction = Listening & { objectStore(name: string): Store; readonly error: Error | null };
type Database = Listening & {
  createObjectStore(name: string): Store;
  transaction(store: string, mode: 'readonly' | 'readwrite'): Transaction;
  close(): void;
};
type Channel = {
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
  postMessage(message: string): void;
  close(): void;
};
type BrowserGlobals = {
  readonly BroadcastChannel: new (name: string) => Channel;
  readonly indexedDB: { open(name: string, version: number): Request<Database> };
  readonly IDBKeyRange: { bound(lower: string, upper: string): object };
  readonly navigator: {
    readonly locks?: { request<Result>(name: string, work: () => Promise<Result>): Promise<Result> };
  };
};
