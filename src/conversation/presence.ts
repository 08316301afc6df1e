import { SILENT_AFTER_MS } from '../config.ts';
import { logError } from '../log.ts';
import { encodeFrame } from '../protocol/server-frames.ts';
import { readAttachment } from '../objects/connection.ts';
import type { OpenSocket, Sockets } from '../objects/sockets.ts';
import type { ConversationStore } from './store.ts';

/**
 * Who is here: whoever has a socket that gave a sign of life of late, however many. It is read off the sockets whenever
 * something happens anyway; nothing wakes the object to find that somebody is gone.
 */
export class Presence {
  readonly #store: ConversationStore;
  readonly #sockets: Sockets;
  /** Whom the others believe to be here. After waking up: who has a socket that does not say otherwise. */
  readonly #online = new Set<string>();
  /** Whom the others believe to have gone, as far as is known after waking up. */
  readonly #away = new Set<string>();
  /** When this was last looked at, in milliseconds since 1970. */
  lookedAt = 0;

  constructor(store: ConversationStore, sockets: Sockets) {
    this.#store = store;
    this.#sockets = sockets;
    for (const { attachment } of sockets.open()) {
      (attachment.away ? this.#away : this.#online).add(attachment.user_id);
    }
  }

  /** Whether the others believe that someone is here. */
  isOnline(userId: string): boolean {
    return this.#online.has(userId);
  }

  /** For someone's `welcome`: who is here, and when the others were last seen. */
  now(userId: string): { online: string[]; last_seen: Record<string, number> } {
    const isShown = (id: string) => id === userId || !this.#store.hidesPresence(id);
    const away = this.#store
      .allMembers()
      .filter(({ user_id, left_at }) => left_at === null && !this.isOnline(user_id) && isShown(user_id));
    return {
      online: [...this.#online].filter(isShown),
      last_seen: Object.fromEntries(away.flatMap((it) => (it.last_seen === null ? [] : [[it.user_id, it.last_seen]]))),
    };
  }

  /**
   * Looks who is here, and tells the others who came or went since the last look.
   * @param closed a socket that is closing and counts no more, although it may still be among the open ones
   */
  update(now: number, closed?: WebSocket): void {
    this.lookedAt = now;
    const attachment = closed && readAttachment(closed);
    // Its closing may be what woke the object, or come behind another that did: then its user is not among those here.
    if (attachment && !this.#away.has(attachment.user_id)) this.#online.add(attachment.user_id);
    const heardAt = this.#heardAt(closed);
    for (const [userId, at] of heardAt) {
      if (now - at < SILENT_AFTER_MS && !this.#online.has(userId)) this.#came(userId, now);
    }
    for (const userId of this.#online) {
      const at = heardAt.get(userId);
      if (at !== undefined && now - at < SILENT_AFTER_MS) continue;
      const isClosed = closed !== undefined && userId === attachment?.user_id;
      this.#went(userId, at ?? (isClosed ? this.#lastSeenAtClose({ socket: closed, attachment }, now) : now));
    }
  }

  /** Tells whether someone is here, now that the others may see it, or may not any more. */
  visibilityChanged(userId: string, now: number): void {
    if (this.isOnline(userId)) this.#send(userId, this.#store.hidesPresence(userId) ? now : null);
  }

  /** A connection that fell silent long ago may be closed at last by the network: its user was not here until now. */
  #lastSeenAtClose(closed: OpenSocket, now: number): number {
    const heardAt = this.#sockets.lastHeard(closed);
    if (now - heardAt < SILENT_AFTER_MS) return now;
    return Math.max(heardAt, this.#store.member(closed.attachment.user_id)?.last_seen ?? 0);
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
    this.#away.delete(userId);
    this.#sockets.setAway(userId, false);
    this.#tell(userId, null);
    // Should the object be lost, this is the last that is known of them.
    this.#noteLastSeen(userId, now);
  }

  #went(userId: string, lastSeen: number): void {
    this.#online.delete(userId);
    this.#away.add(userId);
    this.#sockets.setAway(userId, true);
    this.#tell(userId, lastSeen);
    this.#noteLastSeen(userId, lastSeen);
  }

  /** Nothing depends on it: who cannot be noted is told all the same, and whatever asked for it goes on. */
  #noteLastSeen(userId: string, at: number): void {
    try {
      this.#store.setLastSeen(userId, at);
    } catch (error) {
      logError('presence_failed', error, { user_id: userId });
    }
  }

  #tell(userId: string, lastSeen: number | null): void {
    if (!this.#store.hidesPresence(userId)) this.#send(userId, lastSeen);
  }

  #send(user_id: string, last_seen: number | null): void {
    const frame = encodeFrame({ type: 'presence', user_id, online: last_seen === null, last_seen });
    this.#sockets.tellOthers(user_id, frame);
  }
}
