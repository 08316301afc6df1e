import type { World } from './world.ts';

/** How much all runs did together. */
export class Totals {
  violations = 0;
  #runs = 0;
  #clients = 0;
  #sightings = 0;
  #rows = 0;
  #restores = 0;
  readonly #operations = new Map<string, Map<string, number>>();
  readonly #faults = new Map<string, number>();

  /** Counts a run. */
  add({ recorder, clients, faults }: World, found: number): void {
    const { operations, sightings, rows, restores } = recorder.counts();
    this.#runs += 1;
    this.#clients += clients;
    this.violations += found;
    this.#sightings += sightings;
    this.#rows += rows;
    this.#restores += restores;
    for (const [type, outcomes] of Object.entries(operations)) {
      const ofType = this.#operations.get(type) ?? new Map<string, number>();
      this.#operations.set(type, ofType);
      for (const [outcome, count] of Object.entries(outcomes)) ofType.set(outcome, (ofType.get(outcome) ?? 0) + count);
    }
    for (const [kind, count] of faults) this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count);
  }

  /** One line of JSON, for programs to read. */
  toString(): string {
    return JSON.stringify({
      delivery: 'totals',
      runs: this.#runs,
      clients: this.#clients,
      operations: Object.fromEntries([...this.#operations].map(([type, those]) => [type, Object.fromEntries(those)])),
      faults: Object.fromEntries(this.#faults),
      sightings: this.#sightings,
      rows: this.#rows,
      restores: this.#restores,
      violations: this.violations,
    });
  }
}
