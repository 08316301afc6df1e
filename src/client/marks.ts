import type { Environment } from './environment.ts';
import type { Link } from './link.ts';
import type { Log } from './log.ts';

/** Milliseconds in which marks are gathered: others see them once a second at most. */
const GATHER_MS = 500;

/** How far one has read and received. What the server does not show yet is told again after each reconnect and probe. */
export class Marks {
  readonly #log: Log;
  readonly #link: Link;
  readonly #environment: Environment;
  #read = 0;
  /** What this socket was told. */
  #told = { read: 0, delivered: 0 };
  #cancelTelling: (() => void) | null = null;

  constructor(log: Log, link: Link, environment: Environment) {
    this.#log = log;
    this.#link = link;
    this.#environment = environment;
  }

  /** Everything up to message `n` was read, of what is here. */
  read(n: number): void {
    this.#read = Math.max(this.#read, Math.min(n, this.#log.last));
  }

  /** Forgets what was told, but not what was read: a socket may be lost before it is stored. */
  forgetTold(): void {
    this.#told = { read: 0, delivered: 0 };
  }

  /** Forgets all. */
  clear(): void {
    this.#read = 0;
    this.forgetTold();
    this.#cancelTelling?.();
    this.#cancelTelling = null;
  }

  /** Tells what is not told yet, and not stored as far as is known. @param me whose marks they are */
  tell(me: string): void {
    this.#read = Math.min(this.#read, this.#log.last);
    if (this.#cancelTelling || !this.#isNews(me)) return;
    this.#cancelTelling = this.#environment.after(GATHER_MS, () => {
      this.#cancelTelling = null;
      if (!this.#link.welcome || !this.#isNews(me)) return;
      this.#told = { read: this.#read, delivered: this.#log.last };
      this.#link.tell({ type: 'mark', read: this.#told.read, delivered: this.#told.delivered });
    });
  }

  #isNews(me: string): boolean {
    const own = this.#log.member(me);
    if (!own) return false;
    const { read, delivered } = this.#told;
    return this.#read > Math.max(own.read, read) || this.#log.last > Math.max(own.delivered, delivered);
  }
}
