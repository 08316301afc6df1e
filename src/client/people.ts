import type { MemberRow } from '../protocol/rows.ts';
import type { ServerFrameOf } from '../protocol/server-frames.ts';
import type { Environment } from './environment.ts';
import { Presence } from './presence.ts';
import type { Member } from './types.ts';
import { Typing } from './typing.ts';
import { reuse } from './view.ts';

/** Who is there and who types. None of it is stored, and all of it starts anew with a socket. */
export class People {
  readonly #presence = new Presence();
  readonly #typing: Typing;
  #members: readonly Member[] = [];

  /** @param onChange is called when somebody has not said for long enough that they still type */
  constructor(environment: Environment, onChange: () => void) {
    this.#typing = new Typing(environment, onChange);
  }

  welcome({ online, last_seen }: ServerFrameOf<'welcome'>): void {
    this.#presence.clear();
    for (const [userId, time] of Object.entries(last_seen)) this.#presence.tell(userId, false, time);
    for (const userId of online) this.#presence.tell(userId, true, null);
  }

  presence({ user_id, online, last_seen }: ServerFrameOf<'presence'>): void {
    this.#presence.tell(user_id, online, last_seen);
  }

  /** @param lifetime milliseconds for which to believe it */
  typing({ user_id, on }: ServerFrameOf<'typing'>, lifetime: number): void {
    if (on) this.#typing.begin('', user_id, lifetime);
    else this.stopTyping(user_id);
  }

  /** Somebody has sent what they were typing. */
  stopTyping(userId: string): void {
    this.#typing.stop('', userId);
  }

  /** Nobody is known to type. */
  nobodyTypes(): void {
    this.#typing.clear();
  }

  /** The members, with what is known of them. Who has not changed stays the same object; so does the list. */
  members(rows: Iterable<MemberRow>): readonly Member[] {
    const before = new Map(this.#members.map((member) => [member.user_id, member]));
    const typing = new Set(this.#typing.in(''));
    const members = Array.from(rows, (row) =>
      reuse<Member>(before.get(row.user_id), {
        ...row,
        ...this.#presence.of(row.user_id),
        typing: typing.has(row.user_id),
      }),
    );
    this.#members = reuse(this.#members, members);
    return this.#members;
  }
}
