import type { InboxRow, UnreadTotal } from '../../../src/protocol/inbox-frames.ts';
import type { MemberRow, MessageRow } from '../../../src/protocol/rows.ts';
import type { History, Operation } from '../history.ts';
import { Recorder, type Shown } from '../recorder.ts';

type Change = Operation['change'];

/** What is stored. Rows and lists are replaced, never changed, so a state of any time can be kept. */
export interface Stored {
  epoch: number;
  rev: number;
  messages: readonly MessageRow[];
  members: readonly MemberRow[];
}

/** Whether an answer arrives; without one, whether its client is destroyed. */
type Answer = 'answered' | 'unanswered' | 'abandoned';

/**
 * A conversation of Ana and Ben that is told, not tried: a server, a client of each (`ana`, `ben`), which show at once
 * whatever changes unless they are away, and a plain socket of Ben's (`ben-plain`). A test tells what goes wrong.
 */
export class Story {
  readonly recorder = new Recorder();
  server: Stored = { epoch: 1, rev: 2, messages: [], members: [memberOf('ana', 1), memberOf('ben', 2)] };
  readonly #here = new Set(['ana', 'ben']);
  #refs = 0;

  /** Clients show nothing of what happens until they are {@link back}. */
  away(...clients: string[]): void {
    for (const client of clients) this.#here.delete(client);
  }

  back(...clients: string[]): void {
    for (const client of clients) this.#here.add(client);
    this.look();
  }

  /** Everyone who is here shows what the server has. */
  look(): void {
    for (const client of this.#here) this.shows(client);
  }

  /** A client shows something: what the server has, but for what is given. */
  shows(client: string, instead: Partial<Shown> = {}): void {
    const members = this.server.members.map((row) => ({ ...row, online: true, last_seen: null, typing: false }));
    this.recorder.saw(client, { ...this.server, members, ...instead });
  }

  /** A client asks for something that takes place, whoever may. */
  does(client: string, change: Change, answer: Answer = 'answered', ref = this.#ref()): Operation {
    const operation = this.asks(client, change, ref);
    this.takesPlace(operation, answer);
    return operation;
  }

  /** A client asks for something, and nothing comes of it yet. */
  asks(client: string, change: Change, ref = this.#ref()): Operation {
    const user_id = client.split('-')[0] ?? client;
    const plain = client.endsWith('-plain');
    return this.recorder.asked({ client, user_id, ref: plain ? null : ref, change, ...(plain && { plain }) });
  }

  /** What was asked for takes place. */
  takesPlace(operation: Operation, answer: Answer = 'answered'): void {
    const { change } = operation;
    const n = change.type === 'send' ? this.server.messages.length + 1 : change.n;
    const rev = this.server.rev + 1;
    if (change.type === 'send') this.#append(operation, change);
    else this.replace(n, (row) => changedBy(row, change, operation.user_id));
    if (answer === 'abandoned') this.recorder.abandoned(operation);
    if (answer === 'answered' && !operation.plain) this.#acknowledge(operation, n, rev);
    this.look();
  }

  /** What took place before is asked for once more, and answered as it was. */
  repeated(operation: Operation, n: number, rev: number): void {
    this.#acknowledge(operation, n, rev);
  }

  send(client: string, text: string, more: { reply_to?: number; answer?: Answer; ref?: string } = {}): Operation {
    return this.does(client, { type: 'send', text, reply_to: more.reply_to ?? null }, more.answer, more.ref);
  }

  refused(client: string, change: Change, code: string): Operation {
    const operation = this.asks(client, change);
    this.recorder.answered(operation, { type: 'refused', code });
    return operation;
  }

  /** A client marks as read. */
  marks(client: string, read: number): void {
    this.recorder.marked({ client, user_id: client, epoch: this.server.epoch, read });
    this.replaceMember(client, { read, delivered: read });
    this.look();
  }

  /** Gives a message another row, under the next rev. */
  replace(n: number, change: (row: MessageRow) => MessageRow): void {
    const rev = this.#next();
    this.#set({ messages: this.server.messages.map((row) => (row.n === n ? { ...change(row), rev } : row)) });
  }

  /** Gives a member other marks, under the next rev. */
  replaceMember(userId: string, marks: Partial<MemberRow>): void {
    const rev = this.#next();
    this.#set({
      members: this.server.members.map((row) => (row.user_id === userId ? { ...row, ...marks, rev } : row)),
    });
  }

  /** The store is set back to an earlier state, and everyone is told. */
  restore(state: Stored): void {
    const epoch = this.server.epoch + 2;
    this.server = { ...state, epoch };
    this.recorder.restored({ epoch, rev: state.rev });
    this.look();
  }

  /** What a client has in the end: what the server has, but for what is given. */
  ends(client: string, instead: Partial<Shown> = {}): void {
    this.recorder.settled(client, client, { ...this.server, ...instead });
  }

  /** Somebody has this of a user's inbox in the end; what is not given is as the server has it. */
  inbox(
    userId: string,
    row: (Partial<InboxRow> & Pick<InboxRow, 'unread'>) | null,
    { by = `${userId} in the inbox`, total = {} }: { by?: string; total?: Partial<UnreadTotal> } = {},
  ): void {
    const [last, peer] = [this.server.messages.at(-1), this.server.members.find(({ user_id }) => user_id !== userId)];
    if (!peer) throw new Error('There is nobody else.');
    const { user_id, first_name, last_name } = peer;
    const { n = 0, sender_id = userId, text = null, created_at = 0 } = last ?? {};
    const shown = row && {
      conversation: 'conversation',
      rev: 1,
      kind: 'direct',
      title: null,
      peer: { user_id, first_name, last_name },
      n,
      read: this.server.members.find((member) => member.user_id === userId)?.read ?? 0,
      marked_unread: false,
      last: { n, sender_id, text, created_at },
      muted_until: null,
      pinned: false,
      archived: false,
      ...row,
    };
    const { unread: messages = 0 } = row ?? {};
    const conversations = messages > 0 ? 1 : 0;
    this.recorder.sawInbox({ by, user_id: userId, row: shown, total: { messages, conversations, ...total } });
  }

  /** Everything that happened, when everyone has come back and has ended as the server did. */
  history(...ended: string[]): History {
    for (const client of ['ana', 'ben'].filter((it) => !ended.includes(it))) {
      this.back(client);
      this.ends(client);
    }
    const { epoch, messages, members } = this.server;
    return this.recorder.history({ epoch, messages, members });
  }

  #append({ user_id, ref, plain }: Operation, { text, reply_to }: Extract<Change, { type: 'send' }>): void {
    const n = this.server.messages.length + 1;
    const rev = this.#next();
    const row = {
      n,
      rev,
      id: `id ${this.server.epoch}.${n}`,
      sender_id: user_id,
      ref: plain ? null : ref,
      text,
      reply_to,
      created_at: 1000 + n,
      edited_at: null,
      deleted_at: null,
      reactions: [],
    };
    this.#set({ messages: [...this.server.messages, row] });
    const sender = this.server.members.find((member) => member.user_id === user_id);
    if (sender?.read === n - 1) this.replaceMember(user_id, { read: n, delivered: n });
  }

  #acknowledge(operation: Operation, n: number, rev: number): void {
    this.recorder.answered(operation, { type: 'acknowledged', epoch: this.server.epoch, n, rev });
  }

  #set(change: Partial<Stored>): void {
    this.server = { ...this.server, ...change };
  }

  #next(): number {
    this.#set({ rev: this.server.rev + 1 });
    return this.server.rev;
  }

  #ref(): string {
    this.#refs += 1;
    return `ref-${this.#refs}`;
  }
}

function memberOf(user_id: string, rev: number): MemberRow {
  return { user_id, rev, first_name: user_id, last_name: 'Doe', role: 'member', read: 0, delivered: 0, left_at: null };
}

function changedBy(row: MessageRow, change: Exclude<Change, { type: 'send' }>, userId: string): MessageRow {
  switch (change.type) {
    case 'edit':
      return { ...row, text: change.text, edited_at: row.created_at };
    case 'delete':
      return { ...row, text: null, deleted_at: row.created_at, reactions: [] };
    case 'react':
      return { ...row, reactions: change.on ? [{ emoji: change.emoji, user_ids: [userId] }] : [] };
  }
}
