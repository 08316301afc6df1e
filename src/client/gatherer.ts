import type { Environment } from './environment.ts';

/** Milliseconds in which marks are gathered: others see them once a second at most. */
const GATHER_MS = 500;

/** Tells marks, all that come within a while at once. */
export class Gatherer {
  readonly #environment: Environment;
  readonly #tell: () => void;
  #cancel: (() => void) | null = null;

  constructor(environment: Environment, tell: () => void) {
    this.#environment = environment;
    this.#tell = tell;
  }

  /** Tells them soon, unless that is to happen already. */
  soon(): void {
    if (!this.#cancel) this.later(GATHER_MS);
  }

  /** Tells them after so many milliseconds, and not before. */
  later(milliseconds: number): void {
    this.cancel();
    this.#cancel = this.#environment.after(milliseconds, () => {
      this.#cancel = null;
      this.#tell();
    });
  }

  /** Tells nothing. */
  cancel(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}
