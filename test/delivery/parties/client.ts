import { createChat, type Chat, type Conversation, type InboxConversation } from '../../../src/client/index.ts';
import type { InboxRow } from '../../../src/protocol/inbox-frames.ts';
import { decodeServerFrame } from '../../../src/protocol/server-frames.ts';
import type { Final, InboxFinal, Operation } from '../history.ts';
import type { Party } from '../party.ts';
import type { Device } from './device.ts';
import { Life } from './life.ts';
import type { Seat } from './seat.ts';

/** Milliseconds after which whoever waits looks again, whatever happens. */
const LOOK_MS = 1000;

const UNREAD = { epoch: 0, read: 0 };

type Change = Operation['change'];

/** A page, from its load to its end. */
interface Page {
  name: string;
  readonly life: Life;
  readonly chat: Chat;
  readonly conversation: Conversation;
  /** Whether it knows who is signed in. */
  hasBegun: boolean;
  /** Whether it has read what was kept of the page before. */
  hasLoaded: boolean;
  /** Whether it tried to, and could not. */
  hasFailed: boolean;
  /** What was asked for before it was known what is kept. */
  readonly early: Operation[];
  /** How many of its operations have not told it how they went. */
  waiting: number;
  /** How far it said that the user has read, and of which epoch. */
  marked: { readonly epoch: number; readonly read: number };
}

/** The client that this package ships, in a page that can die at any moment. */
export class ClientParty implements Party {
  readonly kind = 'client';
  readonly name: string;
  readonly userId: string;
  readonly #seat: Seat;
  readonly #device: Device;
  readonly #followsInbox: boolean;
  readonly #waiters = new Set<() => void>();
  #page: Page;
  #pages = 0;
  #refs = 0;
  #isSigningIn = false;

  /**
   * @param device shared with the other tabs, and signed in
   * @param inbox whether it follows the inbox of its user as well
   */
  constructor(seat: Seat, device: Device, { inbox = false } = {}) {
    this.#seat = seat;
    this.#device = device;
    this.#followsInbox = inbox;
    this.name = seat.name;
    this.userId = seat.userId;
    this.#page = this.#load();
  }

  get shown(): number {
    return this.#page.conversation.snapshot().messages.at(-1)?.n ?? 0;
  }

  send(text: string, replyTo?: number): void {
    const more = replyTo === undefined ? {} : { reply_to: replyTo };
    this.#ask({ type: 'send', text, reply_to: replyTo ?? null }, async (it, ref) => it.send(text, { ref, ...more }));
  }

  edit(n: number, text: string): void {
    this.#ask({ type: 'edit', n, text }, async (it, ref) => it.edit(n, text, { ref }));
  }

  delete(n: number): void {
    this.#ask({ type: 'delete', n }, async (it, ref) => it.delete(n, { ref }));
  }

  react(n: number, emoji: string, on: boolean): void {
    this.#ask({ type: 'react', n, emoji, on }, async (it, ref) => it.react(n, emoji, on, { ref }));
  }

  read(): void {
    const { conversation, name: client } = this.#page;
    const { cursor, messages } = conversation.snapshot();
    const read = messages.at(-1)?.n ?? 0;
    if (!cursor || read === 0) return;
    const { epoch } = cursor;
    this.#page.marked = { epoch, read };
    this.#seat.recorder.marked({ client, user_id: this.userId, epoch, read });
    conversation.markRead();
  }

  goOffline(): void {
    this.#seat.network.setOnline(false);
  }

  goOnline(): void {
    this.#seat.network.setOnline(true);
  }

  reload(): void {
    this.#end();
    this.#page = this.#load();
    this.#moved();
  }

  /** It repeats what it has to by itself. */
  repeatOld(): void {}

  wake(): void {
    for (const work of this.#page.life.wakers) work();
  }

  async settled(): Promise<void> {
    while (!this.#isSettled()) {
      void this.#signInAgain();
      const moved = Promise.withResolvers<void>();
      this.#waiters.add(moved.resolve);
      const cancel = this.#seat.environment.after(LOOK_MS, moved.resolve);
      await moved.promise;
      this.#waiters.delete(moved.resolve);
      cancel();
    }
    if (this.#device.ledger.faults.length > 0) throw new Error(this.#device.ledger.faults.join('\n'));
  }

  async final(): Promise<Final> {
    await this.#loads(async (page) => this.#loadAll(page));
    const { conversation, name: client } = this.#page;
    const { cursor, messages, members } = conversation.snapshot();
    if (!cursor) throw new Error(`${client} has no cursor.`);
    const { epoch } = cursor;
    const { marked } = this.#page;
    const read = marked.epoch === epoch ? marked.read : 0;
    const rows = members.map(({ online: _online, last_seen: _seen, typing: _typing, ...row }) => row);
    return {
      client,
      user_id: this.userId,
      marked: read,
      epoch,
      messages: messages as Final['messages'],
      members: rows,
    };
  }

  async inbox(): Promise<InboxFinal | null> {
    if (!this.#followsInbox) return null;
    let archived: readonly InboxConversation[] = [];
    await this.#loads(async ({ chat }) => {
      // A page that is asked for behind a look for what was missed is answered behind it.
      this.wake();
      archived = (await chat.inbox.archived()).conversations;
    });
    const { conversations, unread } = this.#page.chat.inbox.snapshot();
    const id = this.#seat.conversationId;
    const row = [...conversations, ...archived].find(({ conversation }) => conversation === id);
    return { by: `${this.#page.name} in its inbox`, user_id: this.userId, row: row ? rowOf(row) : null, total: unread };
  }

  close(): void {
    this.#end();
  }

  toString(): string {
    const { conversation, chat, hasLoaded, waiting, marked } = this.#page;
    const { connection, pending, cursor } = conversation.snapshot();
    const unanswered = this.#device.ledger.unanswered(this.name).map(({ ref }) => ref);
    const { status } = chat.snapshot();
    const { problem } = connection;
    return JSON.stringify({
      status,
      connection,
      problem: problem?.message,
      hasLoaded,
      waiting,
      marked,
      cursor,
      pending,
      unanswered,
    });
  }

  #load(): Page {
    const { environment, network, url, conversationId, name } = this.#seat;
    this.#pages += 1;
    const life = new Life(environment, network);
    const epochs = new WeakMap<object, number>();
    const storage = this.#device.storageFor(life, (prefix, isRead) => {
      if (!prefix.endsWith(`/${conversationId}/`)) return;
      page.hasFailed = !isRead;
      if (!isRead) {
        for (const operation of page.early) operation.unordered = true;
        return;
      }
      life.after(0, () => {
        page.hasLoaded = true;
        this.#moved();
      });
    });
    const chat = createChat({
      url,
      storage,
      environment: life.environment((socket, text) => {
        const frame = decodeServerFrame(text);
        if (frame?.type === 'welcome') epochs.set(socket, frame.epoch);
        else if (frame) this.#device.ledger.heard(epochs.get(socket) ?? 0, frame);
      }),
    });
    const conversation = chat.conversation(conversationId);
    const page: Page = {
      name: `${name}/${this.#pages}`,
      life,
      chat,
      conversation,
      hasLoaded: false,
      hasFailed: false,
      early: [],
      waiting: 0,
      hasBegun: false,
      marked: UNREAD,
    };
    const changed = () => {
      if (life.isOver) return;
      this.#show(page);
      this.#moved();
    };
    conversation.subscribe(changed);
    chat.subscribe(changed);
    if (this.#followsInbox) chat.inbox.subscribe(() => {});
    return page;
  }

  #end(): void {
    const { life } = this.#page;
    life.end();
    this.#seat.network.cut('page died');
    this.#abandon();
  }

  /** Gives up what nothing knows of any more. */
  #abandon(): void {
    for (const operation of this.#device.ledger.unanswered(this.name)) {
      if (!this.#device.keeps(operation.ref)) this.#device.ledger.abandoned(operation);
    }
  }

  /** Has a page load something, when it has settled. */
  async #loads(work: (page: Page) => Promise<void>): Promise<void> {
    for (;;) {
      await this.settled();
      try {
        return await work(this.#page);
      } catch (error) {
        // Its session may end at any time. Whoever asks for pages is told.
        if ((error as { code?: unknown }).code !== 'signed_out') throw error;
      }
    }
  }

  async #loadAll({ conversation }: Page): Promise<void> {
    // What comes behind a look for what was missed is answered behind it; a look may take more than one page.
    for (let before: number | undefined; before !== conversation.snapshot().cursor?.rev;) {
      before = conversation.snapshot().cursor?.rev;
      this.wake();
      await conversation.history({ limit: 1 });
      await conversation.history({ limit: 1 });
    }
    await conversation.loadOlder(1);
  }

  #show(page: Page): void {
    const { cursor, messages, members, me } = page.conversation.snapshot();
    if (cursor) this.#seat.recorder.saw(page.name, { epoch: cursor.epoch, messages, members });
    if (me === null && page.hasBegun) {
      // Signed out, it has forgotten all, also what the user has read: it begins like another page.
      this.#pages += 1;
      Object.assign(page, {
        name: `${this.name}/${this.#pages}`,
        hasBegun: false,
        hasLoaded: false,
        marked: UNREAD,
      });
    } else if (me !== null) page.hasBegun = true;
  }

  #ask(change: Change, ask: (conversation: Conversation, ref: string) => Promise<unknown>): void {
    const page = this.#page;
    // Without a session nobody can ask for anything.
    if (page.chat.snapshot().status === 'signed_out' && page.conversation.snapshot().me === null) return;
    // What is asked for before what was kept could be read takes place before it: such an order cannot be promised.
    if (page.hasFailed) return;
    this.#refs += 1;
    const ref = `${this.name} ${this.#refs}`;
    const operation = this.#device.ledger.asked({ client: this.name, user_id: this.userId, ref, change });
    if (!page.hasLoaded) page.early.push(operation);
    page.waiting += 1;
    void this.#follow(page, ref, ask(page.conversation, ref));
  }

  /** Holds what the client says of an operation against what the server answered. */
  async #follow(page: Page, ref: string, asked: Promise<unknown>): Promise<void> {
    const { ledger } = this.#device;
    try {
      const message = await asked;
      const ok = ledger.okOf(ref);
      const { n, rev } = (message ?? ok ?? {}) as { n?: number; rev?: number };
      // Of a message that was stored before, the client returns how it stands now.
      if (!ok || ok.n !== n || rev === undefined || rev < ok.rev) {
        ledger.faults.push(`${ref} was done as ${n}, rev ${rev}; it was answered ${JSON.stringify(ok)}`);
      }
    } catch (error) {
      // Another tab has found that the session has ended. What is kept is sent when somebody signs in again.
      if ((error as { code?: unknown }).code === 'signed_out') this.#abandon();
      else if (!ledger.isRefused(ref) && !page.life.isOver) ledger.faults.push(`${ref} failed: ${String(error)}`);
    }
    page.waiting -= 1;
    this.#moved();
  }

  #isSettled(): boolean {
    const { conversation, hasLoaded, waiting, marked } = this.#page;
    const { connection, pending, members, cursor } = conversation.snapshot();
    const own = members.find(({ user_id }) => user_id === this.userId);
    const isMarked = marked.epoch !== cursor?.epoch || (own?.read ?? 0) >= marked.read;
    return (
      hasLoaded &&
      waiting === 0 &&
      connection.status === 'online' &&
      isMarked &&
      pending.every(({ error }) => error !== null) &&
      this.#device.ledger.unanswered(this.name).length === 0
    );
  }

  /** A session may end: a page that dies while it refreshes its token never learns the new one. */
  async #signInAgain(): Promise<void> {
    if (this.#page.chat.snapshot().status !== 'signed_out' || this.#isSigningIn) return;
    this.#isSigningIn = true;
    await this.#device.signIn(await this.#seat.signIn());
    this.#isSigningIn = false;
    this.wake();
  }

  #moved(): void {
    // What a frame sets off is done first.
    queueMicrotask(() => {
      for (const resolve of this.#waiters) resolve();
    });
  }
}

/** The row that it shows, without what has no rev. */
function rowOf({ typing: _typing, peer, ...row }: InboxConversation): InboxRow {
  if (!peer) return { ...row, peer };
  const { user_id, first_name, last_name } = peer;
  return { ...row, peer: { user_id, first_name, last_name } };
}
