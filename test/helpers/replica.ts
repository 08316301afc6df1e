import type { MemberRow, MessageRow } from '../../src/protocol/rows.ts';
import type { ServerFrame, ServerFrameOf } from '../../src/protocol/server-frames.ts';

/** What a client has: everything up to `after`, of the history that `epoch` names. */
type Cursor = { after: number; epoch: number };
/** Asks for what has changed since a cursor, by as many `sync` as it takes. */
type Syncing = { sync(after: number): Promise<ServerFrameOf<'changes'>[]> };

/**
 * The client's side of the protocol's rules, as small as it can be: the rows that a client has, and its cursor. What
 * frames do to it is what docs/protocol.md says that they do.
 */
export class Replica {
  messages = new Map<number, MessageRow>();
  members = new Map<string, MemberRow>();
  epoch = 0;
  rev = 0;
  /** Whether a `changes` began beyond the cursor. Nothing is applied until a `sync` has closed the gap. */
  gap = false;

  /** Where to go on from; undefined before the first welcome. */
  get cursor(): Cursor | undefined {
    return this.epoch === 0 ? undefined : { after: this.rev, epoch: this.epoch };
  }

  /** Applies a frame of the socket that is current. */
  apply(frame: ServerFrame): void {
    switch (frame.type) {
      case 'welcome':
        this.gap = false;
        if (frame.resumed) return;
        this.messages.clear();
        this.members.clear();
        this.epoch = frame.epoch;
        this.rev = frame.rev;
        this.#upsert(frame.snapshot?.messages ?? [], frame.snapshot?.members ?? []);
        return;
      case 'changes':
        if (frame.after > this.rev) {
          this.gap = true;
          return;
        }
        this.#upsert(frame.messages, frame.members);
        this.rev = Math.max(this.rev, frame.rev);
        return;
      case 'page':
        // One that is older than the cursor may lack changes that the cursor claims to have.
        if (frame.epoch !== this.epoch || frame.rev < this.rev) return;
        this.#upsert(frame.messages, []);
        return;
      default:
    }
  }

  /** Catches up by `sync`, until there is nothing more. */
  async catchUp(socket: Syncing): Promise<void> {
    for (const page of await socket.sync(this.rev)) this.apply(page);
    this.gap = false;
  }

  /** What it believes, in order, to be compared with what another one does. */
  state() {
    return {
      messages: [...this.messages.values()].sort((a, b) => a.n - b.n),
      members: [...this.members.values()].sort((a, b) => (a.user_id < b.user_id ? -1 : 1)),
    };
  }

  #upsert(messages: MessageRow[], members: MemberRow[]): void {
    for (const row of messages) {
      if ((this.messages.get(row.n)?.rev ?? 0) < row.rev) this.messages.set(row.n, row);
    }
    for (const row of members) {
      if ((this.members.get(row.user_id)?.rev ?? 0) < row.rev) this.members.set(row.user_id, row);
    }
  }
}
