import { SILENT_AFTER_MS } from '../config.ts';
import { encodeFrame } from '../protocol/server-frames.ts';
import type { OpenSocket, Sockets } from './sockets.ts';
import type { ConversationStore } from './store.ts';

/**
 * Who is here: whoever has a socket that gave a sign of life of late, however many. It is read off the sockets whenever
 * something happens anyway; nothing wakes the object to find that somebody is gone.
 */
export class Presence {
  readonly #store: ConversationStore;
  readonly #sockets: Sockets;
  /** Whom the others believe to be here. */
  readonly #online: Set<string>;
  /** When this was last looked at, in milliseconds since 1970. */
  lookedAt = 0;

  /** After waking up everyone who has a socket is believed to be here, those with `closing` sockets too. */
  constructor(store: ConversationStore, sockets: Sockets, closing: string[] = []) {
    this.#store = store;
    this.#sockets = sockets;
    this.#online = new Set([...sockets.open().map(({ attachment }) => attachment.user_id), ...closing]);
  }

  /** Whether the others believe that someone is here. */
  isOnline(userId: string): boolean {
    return this.#online.has(userId);
  }

  /** For a `welcome`: who is here, and when the others were last seen. */
  now(): { online: string[]; last_seen: Record<string, number> } {
    const away = this.#store.allMembers().filter(({ user_id, left_at }) => left_at === null && !this.isOnline(user_id));
    return {
      online: [...this.#online],
      last_seen: Object.fromEntries(away.flatMap((it) => (it.last_seen === null ? [] : [[it.user_id, it.last_seen]]))),
    };
  }

  /**
   * Looks who is here, and tells the others who came or went since the last look.
   * @param closed a socket that is closing and counts no more, although it may still be among the open ones
   */
  update(now: number, closed?: WebSocket): void {
    this.lookedAt = now;
    const heardAt = this.#heardAt(closed);
    for (const [userId, at] of heardAt) {
      if (now - at < SILENT_AFTER_MS && !this.#online.has(userId)) this.#came(userId, now);
    }
    for (const userId of this.#online) {
      const at = heardAt.get(userId);
      if (at === undefined || now - at >= SILENT_AFTER_MS) this.#went(userId, at ?? now);
    }
  }

  /** The last sign of life of everyone who has an open socket. */
  #heardAt(closed: WebSocket | undefined): Map<string, number> {
    const heardAt = new Map<string, number>();
    const open: OpenSocket[] = this.#sockets.open().filter(({ socket }) => socket !== closed);
    for (const it of open) {
      const { user_id } = it.attachment;
      heardAt.set(user_id, Math.max(heardAt.get(user_id) ?? 0, this.#sockets.lastHeard(it)));
    }
    return heardAt;
  }

  #came(userId: string, now: number): void {
    this.#online.add(userId);
    // Should the object be lost, this is the last that is known of them.
    this.#store.setLastSeen(userId, now);
    this.#tell(userId, null);
  }

  #went(userId: string, lastSeen: number): void {
    this.#online.delete(userId);
    this.#store.setLastSeen(userId, lastSeen);
    this.#tell(userId, lastSeen);
  }

  #tell(user_id: string, last_seen: number | null): void {
    const frame = encodeFrame({ type: 'presence', user_id, online: last_seen === null, last_seen });
    this.#sockets.tellOthers(user_id, frame);
  }
}
