/** Who is there, as one socket has told. */
export class Presence {
  readonly #online = new Set<string>();
  readonly #lastSeen = new Map<string, number>();

  /** Forgets all. */
  clear(): void {
    this.#online.clear();
    this.#lastSeen.clear();
  }

  /** Somebody came or went. @param last_seen null if it is not told */
  tell(userId: string, online: boolean, last_seen: number | null): void {
    if (online) this.#online.add(userId);
    else this.#online.delete(userId);
    if (last_seen !== null) this.#lastSeen.set(userId, last_seen);
  }

  /** What is known of somebody. */
  of(userId: string): { readonly online: boolean; readonly last_seen: number | null } {
    const online = this.#online.has(userId);
    return { online, last_seen: online ? null : (this.#lastSeen.get(userId) ?? null) };
  }
}
