import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { expect } from 'vitest';
import type { Cursor } from '../../src/objects/connection.ts';
import { ConversationStore } from '../../src/conversation/store.ts';
import type { ServerFrame, ServerFrameOf } from '../../src/protocol/server-frames.ts';
import { openChat, type ChatSocket } from './chat-socket.ts';
import { objectOf } from './conversation.ts';
import { Replica } from './replica.ts';

/**
 * A client that keeps the rules: its replica hears every frame of the socket that is current, in order of arrival. It
 * also holds each frame against what the server promises of its rows.
 */
export class Follower {
  readonly replica = new Replica();
  socket!: ChatSocket;
  /** How many live `changes` are still to be lost on their way here. */
  lose = 0;
  readonly #conversationId: string;
  readonly #token: string;
  #heard = 0;
  /** The newest rev of each row that the socket has told of. */
  #told = new Map<string, number>();

  constructor(conversationId: string, person: { access: string }) {
    this.#conversationId = conversationId;
    this.#token = person.access;
  }

  static async open(conversationId: string, person: { access: string }): Promise<Follower> {
    const follower = new Follower(conversationId, person);
    await follower.connect();
    return follower;
  }

  /** Opens a socket in place of the one it has, whose further frames are dropped. */
  async connect(cursor: Cursor | undefined = this.replica.cursor): Promise<ServerFrameOf<'welcome'>> {
    this.socket = await openChat(this.#conversationId, this.#token, { cursor });
    [this.#heard, this.#told, this.lose] = [0, new Map<string, number>(), 0];
    this.hear();
    return this.socket.welcome;
  }

  /** The same, as if it had never been here. */
  async connectAnew(): Promise<ServerFrameOf<'welcome'>> {
    this.replica.epoch = 0;
    return this.connect();
  }

  /** Applies every frame that has arrived, but for those that are to be lost. */
  hear(): void {
    void this.socket.pending;
    for (const frame of this.socket.frames.slice(this.#heard)) {
      expectHonest(frame, this.#told);
      const isLost = this.lose > 0 && frame.type === 'changes' && frame.ref === undefined;
      if (isLost) this.lose -= 1;
      else this.replica.apply(frame);
    }
    this.#heard = this.socket.frames.length;
  }

  /** Catches up by `sync`, until there is nothing more. @param between runs after each page */
  async catchUp(between: () => Promise<unknown> = async () => {}): Promise<ServerFrameOf<'changes'>[]> {
    const pages: ServerFrameOf<'changes'>[] = [];
    do {
      const page = await this.socket.ask({ type: 'sync', after: this.replica.rev });
      if (page.type !== 'changes') throw new Error(`Not changes, but: ${JSON.stringify(page)}`);
      this.hear();
      pages.push(page);
      await between();
    } while (pages.at(-1)?.more);
    this.replica.gap = false;
    this.hear();
    return pages;
  }

  /** Fetches the whole history, the newest first. @param between runs after each page */
  async loadAll(between: () => Promise<unknown> = async () => {}): Promise<ServerFrameOf<'page'>[]> {
    const pages: ServerFrameOf<'page'>[] = [];
    do {
      const before = pages.at(-1)?.messages[0]?.n;
      const page = await this.socket.ask({ type: 'history', ...(before !== undefined && { before }) });
      if (page.type !== 'page') throw new Error(`Not a page, but: ${JSON.stringify(page)}`);
      this.hear();
      pages.push(page);
      await between();
    } while (pages.at(-1)?.more);
    return pages;
  }

  /** The `changes` of the socket that is current and were no answer, lost ones too. */
  get live(): ServerFrameOf<'changes'>[] {
    return liveChanges(this.socket);
  }
}

/** Expects of the rows of a frame that they belong there, and that none is older than the socket was `told` before. */
function expectHonest(frame: ServerFrame, told: Map<string, number>): void {
  if (frame.type !== 'changes' && frame.type !== 'page') return;
  const members = frame.type === 'changes' ? frame.members : [];
  for (const [key, rev] of [
    ...frame.messages.map((row) => [`message ${row.n}`, row.rev] as const),
    ...members.map((row) => [`member ${row.user_id}`, row.rev] as const),
  ]) {
    if (frame.type === 'changes') expect(rev).toBeGreaterThan(frame.after);
    expect(rev).toBeLessThanOrEqual(frame.rev);
    expect(rev).toBeGreaterThanOrEqual(told.get(key) ?? 0);
    told.set(key, rev);
  }
}

/** The `changes` that a socket was sent without asking. */
export function liveChanges(socket: ChatSocket): ServerFrameOf<'changes'>[] {
  void socket.pending;
  return socket.frames.flatMap((frame) => (frame.type === 'changes' && frame.ref === undefined ? [frame] : []));
}

/** Expects that `changes` follow one another, from `after` on, so that none could be missing in between. */
export function expectContiguous(changes: readonly ServerFrameOf<'changes'>[], after: number): void {
  let rev = after;
  for (const frame of changes) {
    expect(frame.after).toBeLessThanOrEqual(rev);
    expect(frame.rev).toBeGreaterThan(frame.after);
    rev = Math.max(rev, frame.rev);
  }
}

/** What a client has that came just now and fetched everything. */
export async function everythingSeenBy(conversationId: string, person: { access: string }) {
  const fresh = await Follower.open(conversationId, person);
  await fresh.loadAll();
  fresh.socket.close(1000);
  await fresh.socket.closed;
  return fresh.replica.state();
}

/** Changes a conversation's store while its object sleeps: no socket is told. */
export async function changeUnheard(conversationId: string, work: (store: ConversationStore) => void): Promise<void> {
  await runInDurableObject(objectOf(conversationId), (_, { storage }) => {
    const store = new ConversationStore(storage);
    store.transaction(() => work(store));
  });
  await evictDurableObject(objectOf(conversationId));
}

/** Lets the object catch up with the directory, as a notice does. */
export async function notify(conversationId: string, known: { version: number; epoch: number }): Promise<void> {
  await objectOf(conversationId).notify(known, { ended_sessions: [] });
}
