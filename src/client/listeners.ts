/** Those who want to know of changes. */
export class Listeners {
  readonly #listeners = new Set<{ readonly call: () => void }>();

  get size(): number {
    return this.#listeners.size;
  }

  /** @returns takes the listener out again */
  add(call: () => void): () => void {
    // The same function may be added twice, and is then called twice.
    const listener = { call };
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Calls all. One that throws harms nobody: its error is thrown on its own. */
  tell(): void {
    // Of those that are there now: one that adds itself anew would be called for ever.
    for (const { call } of Array.from(this.#listeners)) {
      try {
        call();
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
