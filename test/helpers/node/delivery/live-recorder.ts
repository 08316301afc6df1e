import type { Operation, Outcome } from '../../../delivery/history.ts';
import { Recorder } from '../../../delivery/recorder.ts';

/** A recorder that also tells, while a run goes on, how far it is. */
export class LiveRecorder extends Recorder {
  /** How many operations were acknowledged. */
  acknowledged = 0;
  readonly #open = new Map<string, Set<Operation>>();

  /** What a client asked for and is still to be answered. */
  openOf(client: string): ReadonlySet<Operation> {
    return this.#openOf(client);
  }

  /** How many operations of all clients are still to be answered. */
  get open(): number {
    return [...this.#open.values()].reduce((sum, { size }) => sum + size, 0);
  }

  override asked(operation: Operation): Operation {
    if (!operation.plain) this.#openOf(operation.client).add(operation);
    return super.asked(operation);
  }

  override answered(operation: Operation, outcome: Outcome): void {
    const isFirst = this.#openOf(operation.client).delete(operation);
    if (isFirst && outcome.type === 'acknowledged') this.acknowledged += 1;
    super.answered(operation, outcome);
  }

  override abandoned(operation: Operation): void {
    this.#openOf(operation.client).delete(operation);
    super.abandoned(operation);
  }

  #openOf(client: string): Set<Operation> {
    const open = this.#open.get(client) ?? new Set();
    this.#open.set(client, open);
    return open;
  }
}
