/** An object's one alarm. It is set for the earliest of all that is due, and whoever sets it says what that is. */
export class Alarm {
  readonly #storage: DurableObjectStorage;
  /** What it is set for, as far as is known after waking up. */
  #at = Infinity;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** It has gone off. */
  fired(): void {
    this.#at = Infinity;
  }

  /**
   * Sets it, unless it is known to be set for an earlier time. What is written in the same step of the object is durable
   * together with it, or not at all.
   * @param time the earliest of all that is due, in milliseconds since 1970; Infinity if nothing is
   */
  async set(time: number): Promise<void> {
    if (time >= this.#at) return;
    const before = this.#at;
    this.#at = time;
    try {
      await this.#storage.setAlarm(time);
    } catch (error) {
      if (this.#at === time) this.#at = before;
      throw error;
    }
  }
}
