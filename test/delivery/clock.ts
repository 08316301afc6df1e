import type { Environment } from '../../src/client/environment.ts';

type Timer = { readonly at: number; readonly work: () => void };

/** Time that passes only when it is told to: what clients wait for is due at once, or never. */
export class Clock implements Pick<Environment, 'after' | 'elapsed' | 'now'> {
  readonly #timers = new Set<Timer>();
  #elapsed = 0;
  /** By how much the time of day is wrong, in milliseconds. */
  skew = 0;

  readonly after = (milliseconds: number, work: () => void): (() => void) => {
    const timer = { at: this.#elapsed + milliseconds, work };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };

  readonly elapsed = (): number => this.#elapsed;

  readonly now = (): number => Date.now() + this.skew;

  /** When the next timer is due, in milliseconds from now; undefined if there is none. */
  get next(): number | undefined {
    const times = [...this.#timers].map(({ at }) => at);
    return times.length === 0 ? undefined : Math.max(0, Math.min(...times) - this.#elapsed);
  }

  /** Lets time pass, and does what becomes due, in order. */
  pass(milliseconds: number): void {
    const until = this.#elapsed + milliseconds;
    for (;;) {
      const [due] = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (!due) break;
      this.#timers.delete(due);
      this.#elapsed = Math.max(this.#elapsed, due.at);
      due.work();
    }
    this.#elapsed = until;
  }
}
