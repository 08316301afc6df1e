/** Keeps values by key. Every method may throw: the client goes on in memory, says so, and tries again. */
export interface ChatStorage {
  /** Whether values are still there after a reload. */
  readonly durable: boolean;
  /** @returns what was kept under `key`, undefined if nothing */
  get(key: string): Promise<unknown>;
  /** Keeps a value that can be cloned. Resolves when it would survive the end of the page. */
  set(key: string, value: unknown): Promise<void>;
  delete(key: string): Promise<void>;
  /** @returns the keys that begin with `prefix`, in order, and their values */
  entries(prefix: string): Promise<[key: string, value: unknown][]>;
  /** Does `work` while nobody else who shares this storage does something under the same name. @returns what it returns */
  exclusively<Result>(name: string, work: () => Promise<Result>): Promise<Result>;
  /**
   * Calls `listener` with each key under which somebody has changed something. A storage without it is shared all the
   * same, but who shares it learns of a sign-in or sign-out later.
   * @returns stops that
   */
  watch?(listener: (key: string) => void): () => void;
}

/** Keeps values for as long as the program runs. Chats that are given the same one act as tabs of one browser. */
export function memoryStorage(): ChatStorage {
  const values = new Map<string, unknown>();
  const listeners = new Set<{ call: (key: string) => void }>();
  const exclusively = mutex();
  const tell = (key: string) => {
    for (const { call } of listeners) call(key);
  };
  return {
    durable: false,
    get: async (key) => structuredClone(values.get(key)),
    set: async (key, value) => {
      values.set(key, structuredClone(value));
      tell(key);
    },
    delete: async (key) => {
      values.delete(key);
      tell(key);
    },
    entries: async (prefix) =>
      [...values.keys()]
        .filter((key) => key.startsWith(prefix))
        .sort()
        .map((key) => [key, structuredClone(values.get(key))]),
    exclusively,
    watch: (call) => {
      const listener = { call };
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** Does one thing after the other, of those with the same name. */
export function mutex(): ChatStorage['exclusively'] {
  const last = new Map<string, Promise<unknown>>();
  return async (name, work) => {
    const before = last.get(name);
    const turn = (async () => {
      await before?.catch(() => {});
      return work();
    })();
    last.set(name, turn);
    return turn;
  };
}
