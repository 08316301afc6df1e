import { CONTACTS_MAX, PRESENCE_CHECK_MS, PRESENCE_CONCURRENCY, SILENT_AFTER_MS } from '../config.ts';
import { inLanes } from '../in-time.ts';
import { logError } from '../log.ts';
import { readAttachment } from '../objects/connection.ts';
import type { OpenSocket, Sockets } from '../objects/sockets.ts';
import { encodeInboxFrame } from '../protocol/inbox-frames.ts';
import type { InboxStore } from './store.ts';

/** How someone is for the inbox of somebody whom they talk to. */
export type ContactState = {
  readonly online: boolean;
  /** null while they are online, if it is not known, and if they let nobody see it. */
  readonly last_seen: number | null;
  /** Whether they have a socket, and so want to hear of others, although they may not show that they are here. */
  readonly listening: boolean;
};

/** What presence takes from the object that it belongs to. */
export type PresenceContext = {
  readonly userId: string;
  /** Those of some users whom the user may hear of, and who may hear of them: without blocks. */
  allowed(userIds: readonly string[]): Promise<string[]>;
  /** Tells a contact's inbox how the user is, and asks how they are. */
  tell(contactId: string, state: ContactState): Promise<ContactState>;
  waitUntil(work: Promise<void>): void;
};

/**
 * Whether the user is here: whether one of their sockets gave a sign of life of late. Who comes tells the inboxes of
 * those that they talked to last, and learns from the answers who of them is here; who goes tells those who listen.
 * Always as it is when it is told, one telling after the other. Nothing depends on it, and what is lost is not repeated.
 */
export class InboxPresence {
  readonly #store: InboxStore;
  readonly #sockets: Sockets;
  readonly #context: PresenceContext;
  /** Whether the others believe that the user is here. After waking up: whether a socket does not say otherwise. */
  #isOnline: boolean;
  #telling: Promise<void> = Promise.resolve();

  constructor(store: InboxStore, sockets: Sockets, context: PresenceContext) {
    this.#store = store;
    this.#sockets = sockets;
    this.#context = context;
    this.#isOnline = sockets.open().some(({ attachment }) => !attachment.away);
  }

  /** Whether the others believe that the user is here. */
  get isOnline(): boolean {
    return this.#isOnline;
  }

  /** When to look whether the user has gone without a word, in milliseconds since 1970; Infinity if they are not here. */
  checkAt(now: number): number {
    return this.#isOnline ? now + PRESENCE_CHECK_MS : Infinity;
  }

  /** Looks whether the user is here. @param closed a socket that counts no more, although it may still be open */
  update(now: number, closed?: WebSocket): void {
    // Its closing may be what woke the object, or come behind another that did.
    if (closed && readAttachment(closed)?.away === false) this.#isOnline = true;
    const open: OpenSocket[] = this.#sockets.open().filter(({ socket }) => socket !== closed);
    const heardAt = Math.max(0, ...open.map((it) => this.#sockets.lastHeard(it)));
    const isOnline = now - heardAt < SILENT_AFTER_MS;
    if (isOnline === this.#isOnline) return;
    this.#isOnline = isOnline;
    this.#sockets.setAway(this.#context.userId, !isOnline);
    if (isOnline) {
      // Whatever is known of others is from the time before.
      this.#store.forgetContacts();
      this.#soon(async () => this.#came());
    } else {
      this.#store.setLastSeen(heardAt || now);
      this.#soon(async () => this.#tellAll(this.#store.listeningContacts()));
    }
  }

  /** Somebody has written for the first time since the user came: asks how they are. */
  meet(contactId: string): void {
    if (!this.#isOnline || this.#store.knowsContact(contactId)) return;
    this.#soon(async () => this.#tellAll(await this.#context.allowed([contactId])));
  }

  /** The user has changed who may see whether they are here. */
  visibilityChanged(): void {
    this.#soon(async () => this.#tellAll(this.#store.listeningContacts()));
  }

  /** How the user is for those that they talk to. */
  get state(): ContactState {
    const isHidden = !this.#store.showsPresence;
    return {
      online: this.#isOnline && !isHidden,
      last_seen: this.#isOnline || isHidden ? null : this.#store.lastSeen,
      listening: this.#isOnline,
    };
  }

  /** Notes how somebody is, and tells the user. Whoever is not here hears of it when they come. */
  hear(contactId: string, state: ContactState): void {
    if (!this.#isOnline || !this.#store.setContact(contactId, state)) return;
    const { online, last_seen } = state;
    const frame = encodeInboxFrame({ type: 'presence', user_id: contactId, online, last_seen });
    for (const socket of this.#sockets.chatV1()) this.#sockets.send(socket, frame);
  }

  async #came(): Promise<void> {
    const userIds = this.#store.peers(CONTACTS_MAX);
    if (userIds.length > 0) await this.#tellAll(await this.#context.allowed(userIds));
  }

  async #tellAll(userIds: readonly string[]): Promise<void> {
    await inLanes(userIds, PRESENCE_CONCURRENCY, async (userId) => {
      try {
        this.hear(userId, await this.#context.tell(userId, this.state));
      } catch (error) {
        logError('presence_failed', error, { user_id: userId });
      }
    });
  }

  #soon(work: () => Promise<void>): void {
    this.#telling = this.#telling
      .then(work)
      .catch((error: unknown) => logError('presence_failed', error, { user_id: this.#context.userId }));
    this.#context.waitUntil(this.#telling);
  }
}
