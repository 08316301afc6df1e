import type { Environment } from './environment.ts';
import { Gatherer } from './gatherer.ts';
import type { Link } from './link.ts';
import type { Log } from './log.ts';

/** How far one has read and received. What the server does not show yet is told again after each reconnect and probe. */
export class Marks {
  readonly #log: Log;
  readonly #link: Link<'conversation'>;
  readonly #gatherer: Gatherer;
  #me = '';
  #read = 0;
  /** What this socket was told. */
  #told = { read: 0, delivered: 0 };

  constructor(log: Log, link: Link<'conversation'>, environment: Environment) {
    this.#log = log;
    this.#link = link;
    this.#gatherer = new Gatherer(environment, () => this.#tell());
  }

  /** Everything up to message `n` was read, of what is here. */
  read(n: number): void {
    this.#read = Math.max(this.#read, Math.min(n, this.#log.last));
  }

  /** Forgets what was told, but not what was read: a socket may be lost before it is stored. */
  forgetTold(): void {
    this.#told = { read: 0, delivered: 0 };
  }

  /** They were refused: they are told again after so many milliseconds. */
  refused(milliseconds: number): void {
    this.forgetTold();
    this.#gatherer.later(milliseconds);
  }

  /** The socket was lost. */
  lost(): void {
    this.#gatherer.cancel();
  }

  /** Forgets all. */
  clear(): void {
    this.#read = 0;
    this.forgetTold();
    this.#gatherer.cancel();
  }

  /** Tells what is not told yet, and not stored as far as is known. @param me whose marks they are */
  tell(me: string): void {
    this.#me = me;
    this.#read = Math.min(this.#read, this.#log.last);
    if (this.#isNews()) this.#gatherer.soon();
  }

  #tell(): void {
    if (!this.#link.welcome || !this.#isNews()) return;
    this.#told = { read: this.#read, delivered: this.#log.last };
    this.#link.tell({ type: 'mark', read: this.#told.read, delivered: this.#told.delivered });
  }

  #isNews(): boolean {
    const own = this.#log.member(this.#me);
    if (!own) return false;
    const { read, delivered } = this.#told;
    return this.#read > Math.max(own.read, read) || this.#log.last > Math.max(own.delivered, delivered);
  }
}
