const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Compares what came with what the document says: ids and times differ, but in the same places by the same ones. */
export class Translation {
  readonly #real = new Map<unknown, unknown>();

  /** The document's value, with the ids and times that came in their places. */
  of(written: unknown, came: unknown): unknown {
    if (Array.isArray(written)) {
      return written.map((it: unknown, i): unknown => this.of(it, Array.isArray(came) ? came[i] : undefined));
    }
    if (typeof written === 'object' && written !== null) {
      const entries = Object.entries(written).map(([key, value]) => [
        key,
        this.of(value, (came as Record<string, unknown> | null | undefined)?.[key]),
      ]);
      return Object.fromEntries(entries);
    }
    const isPlaceholder = typeof written === 'string' ? UUID.test(written) : Number(written) > 1e12;
    if (!isPlaceholder) return written;
    if (!this.#real.has(written) && typeof came === typeof written) this.#real.set(written, came);
    return this.#real.get(written);
  }
}
