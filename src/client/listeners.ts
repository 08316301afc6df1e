/** Those who want to know of changes. */
export class Listeners {
  readonly #listeners = new Set<{ readonly call: () => void }>();
  #isToTell = false;

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

  /**
   * Calls all, once for everything that changes in one go. Not right away: what a listener does must not come in the
   * middle of the change that it hears of.
   */
  tell(): void {
    if (this.#isToTell) return;
    this.#isToTell = true;
    queueMicrotask(() => {
      this.#isToTell = false;
      // Of those that are there now: one that adds itself anew would be called for ever.
      for (const listener of Array.from(this.#listeners)) if (this.#listeners.has(listener)) tellOne(listener.call);
    });
  }
}

/** Calls a listener. One that throws harms no other: its error is thrown on its own. */
function tellOne(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
