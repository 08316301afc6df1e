import type { ServerFrame, ServerFrameOf } from '../../../src/protocol/server-frames.ts';
import type { Operation, Outcome } from '../history.ts';
import type { Recorder } from '../recorder.ts';

/** What an operation was answered first, in the newest epoch in which it was acknowledged. */
interface Acknowledged {
  readonly epoch: number;
  readonly ok: ServerFrameOf<'ok'>;
  /** Whether all answers so far said that they are to a repeat. */
  readonly isRepeated: boolean;
}

/**
 * The operations of those who act as one client of a user, by their refs, and what each was told on the wire. It holds
 * every answer against the first one: a repeat is answered as the operation was, and says that it is a repeat.
 */
export class Ledger {
  /** What was wrong about answers. */
  readonly faults: string[] = [];
  readonly #recorder: Recorder;
  readonly #operations = new Map<string, Operation[]>();
  readonly #acknowledged = new Map<string, Acknowledged>();
  readonly #refused = new Set<string>();

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  /** A client asks for something, or for the same once more. */
  asked(operation: Operation & { readonly ref: string }): Operation {
    const known = this.#operations.get(operation.ref) ?? [];
    this.#operations.set(operation.ref, [...known, operation]);
    return this.#recorder.asked(operation);
  }

  /** What a client waits for that it asked for itself. */
  unanswered(client: string): Operation[] {
    const all = [...this.#operations.values()].flat();
    return all.filter((it) => it.client === client && !it.outcome && !it.abandoned);
  }

  /** A client that asked for something is lost, and nothing else knows of what it asked. */
  abandoned(operation: Operation): void {
    this.#recorder.abandoned(operation);
  }

  /** What was answered to a ref; undefined unless it was acknowledged. */
  okOf(ref: string): ServerFrameOf<'ok'> | undefined {
    return this.#acknowledged.get(ref)?.ok;
  }

  /** Whether a ref was ever refused: after a restore also one that was acknowledged before. */
  isRefused(ref: string): boolean {
    return this.#refused.has(ref);
  }

  /** A frame has arrived. @param epoch of its socket */
  heard(epoch: number, frame: ServerFrame): void {
    if (frame.type !== 'ok' && frame.type !== 'error') return;
    const { ref } = frame;
    const operations = ref === undefined ? undefined : this.#operations.get(ref);
    if (ref === undefined || !operations || (frame.type === 'error' && frame.retry_after_ms !== undefined)) return;
    const before = this.#acknowledged.get(ref);
    if (before?.epoch === epoch && !isRepeat(frame, before)) {
      this.faults.push(`A repeat of ${JSON.stringify(before.ok)} was answered ${JSON.stringify(frame)}`);
    }
    const outcome = outcomeOf(epoch, frame);
    const open = operations.filter((it) => !it.outcome);
    for (const operation of open) this.#recorder.answered(operation, outcome);
    if (frame.type === 'error') {
      this.#refused.add(ref);
      return;
    }
    const last = operations.at(-1);
    const isNews = !before || before.epoch !== epoch;
    const isRepeated = frame.duplicate === true && (isNews || before.isRepeated);
    this.#acknowledged.set(ref, { epoch, ok: isNews ? frame : before.ok, isRepeated });
    // It took place once more, after a restore, or did not before: somebody still had it in their outbox.
    if (isNews && open.length === 0 && last) this.#again(last, outcome);
  }

  #again({ client, user_id, ref, change }: Operation, outcome: Outcome): void {
    const again: Operation = { client, user_id, ref, change };
    this.#operations.get(ref ?? '')?.push(again);
    this.#recorder.answered(this.#recorder.asked(again), outcome);
  }
}

/** Tabs have a socket each, so the answer to a repeat may be heard before the first one, which may also never be. */
function isRepeat(frame: ServerFrameOf<'ok' | 'error'>, { ok, isRepeated }: Acknowledged): boolean {
  if (frame.type === 'error' || (frame.duplicate !== true && !isRepeated)) return false;
  const { n, rev, id, created_at } = ok;
  return frame.n === n && frame.rev === rev && frame.id === id && frame.created_at === created_at;
}

function outcomeOf(epoch: number, frame: ServerFrameOf<'ok' | 'error'>): Outcome {
  if (frame.type === 'error') return { type: 'refused', code: frame.code };
  return { type: 'acknowledged', epoch, n: frame.n, rev: frame.rev };
}
