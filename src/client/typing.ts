import type { Environment } from './environment.ts';

/** Who types where. It ends by itself, unless it is said again. */
export class Typing {
  readonly #environment: Environment;
  readonly #onChange: () => void;
  /** What takes back that it ends by itself, by conversation and user. */
  readonly #typing = new Map<string, () => void>();

  /** @param onChange is called when somebody has not said for long enough that they still type */
  constructor(environment: Environment, onChange: () => void) {
    this.#environment = environment;
    this.#onChange = onChange;
  }

  /** @param lifetime milliseconds for which to believe it */
  begin(conversation: string, userId: string, lifetime: number): void {
    const key = keyOf(conversation, userId);
    this.#typing.get(key)?.();
    const cancel = this.#environment.after(lifetime, () => {
      this.#typing.delete(key);
      this.#onChange();
    });
    this.#typing.set(key, cancel);
  }

  /** Somebody has sent what they were typing, or given it up. */
  stop(conversation: string, userId: string): void {
    const key = keyOf(conversation, userId);
    this.#typing.get(key)?.();
    this.#typing.delete(key);
  }

  /** Nobody is known to type. */
  clear(): void {
    for (const cancel of this.#typing.values()) cancel();
    this.#typing.clear();
  }

  /** Who types in a conversation, in the order in which they began. */
  in(conversation: string): string[] {
    const prefix = keyOf(conversation, '');
    return [...this.#typing.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  }
}

function keyOf(conversation: string, userId: string): string {
  return `${conversation} ${userId}`;
}
