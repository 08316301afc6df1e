import type { MemberRow } from '../protocol/rows.ts';
import type { ServerFrameOf } from '../protocol/server-frames.ts';
import type { Environment } from './environment.ts';
import type { Member } from './types.ts';

/** Who is there and who types. None of it is stored, and all of it starts anew with a socket. */
export class People {
  readonly #environment: Environment;
  readonly #onChange: () => void;
  #online = new Set<string>();
  #lastSeen = new Map<string, number>();
  /** Who types, and what takes back that it ends by itself. */
  readonly #typing = new Map<string, () => void>();
  #members: readonly Member[] = [];
  /** The row that each of them shows. */
  #rows = new Map<string, MemberRow>();

  /** @param onChange is called when somebody has not said for long enough that they still type */
  constructor(environment: Environment, onChange: () => void) {
    this.#environment = environment;
    this.#onChange = onChange;
  }

  welcome({ online, last_seen }: ServerFrameOf<'welcome'>): void {
    this.#online = new Set(online);
    this.#lastSeen = new Map(Object.entries(last_seen));
  }

  presence({ user_id, online, last_seen }: ServerFrameOf<'presence'>): void {
    if (online) this.#online.add(user_id);
    else this.#online.delete(user_id);
    if (last_seen !== null) this.#lastSeen.set(user_id, last_seen);
  }

  /** @param lifetime milliseconds for which to believe it */
  typing({ user_id, on }: ServerFrameOf<'typing'>, lifetime: number): void {
    this.stopTyping(user_id);
    if (!on) return;
    const cancel = this.#environment.after(lifetime, () => {
      this.#typing.delete(user_id);
      this.#onChange();
    });
    this.#typing.set(user_id, cancel);
  }

  /** Somebody has sent what they were typing. */
  stopTyping(userId: string): void {
    this.#typing.get(userId)?.();
    this.#typing.delete(userId);
  }

  /** Nobody is known to type. */
  nobodyTypes(): void {
    for (const cancel of this.#typing.values()) cancel();
    this.#typing.clear();
  }

  /** The members, with what is known of them. Who has not changed stays the same object; so does the list. */
  members(rows: Iterable<MemberRow>): readonly Member[] {
    const before = new Map(this.#members.map((member) => [member.user_id, member]));
    const shown = this.#rows;
    this.#rows = new Map();
    const members = [...rows].map((row) => {
      this.#rows.set(row.user_id, row);
      const online = this.#online.has(row.user_id);
      const last_seen = online ? null : (this.#lastSeen.get(row.user_id) ?? null);
      const typing = this.#typing.has(row.user_id);
      const old = shown.get(row.user_id) === row ? before.get(row.user_id) : undefined;
      const isSame = old?.online === online && old.last_seen === last_seen && old.typing === typing;
      return isSame ? old : { ...row, online, last_seen, typing };
    });
    const isSame = members.length === this.#members.length && members.every((it, i) => it === this.#members[i]);
    if (!isSame) this.#members = members;
    return this.#members;
  }
}
