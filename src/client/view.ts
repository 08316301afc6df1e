import { Listeners } from './listeners.ts';

/** What an observable shows, and who looks at it. */
export class View<Snapshot extends object> {
  readonly #build: () => Snapshot;
  readonly #listeners = new Listeners();
  #shown: Snapshot;

  /** @param build makes a snapshot of how things stand now */
  constructor(build: () => Snapshot) {
    this.#build = build;
    this.#shown = build();
  }

  get snapshot(): Snapshot {
    return this.#shown;
  }

  get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** @returns takes the listener out again */
  add(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  /** Shows what has changed, if anything has. */
  show(): void {
    const next = reuse(this.#shown, this.#build());
    if (next === this.#shown) return;
    this.#shown = next;
    this.#listeners.tell();
  }
}

/** @returns `before` if `next` has the same parts: what has not changed stays the same object */
export function reuse<Whole extends object>(before: Whole | null | undefined, next: Whole): Whole {
  if (!before) return next;
  const keys = Object.keys(next) as (keyof Whole)[];
  const isSame = keys.length === Object.keys(before).length && keys.every((key) => next[key] === before[key]);
  return isSame ? before : next;
}
