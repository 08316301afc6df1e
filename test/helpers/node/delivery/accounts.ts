import { chat, login, register, type Person } from '../people.ts';

type Server = { readonly url: string };

/** Two people, and the conversation that they have. */
export interface Pair {
  readonly people: readonly [Person, Person];
  readonly conversation: string;
}

/**
 * Accounts on a server. A password's hash is slow to make, so they are used again; only the conversation of two of them
 * is new each time.
 */
export class Accounts {
  readonly #server: Server;
  readonly #people: Person[] = [];
  readonly #unused: (readonly [Person, Person])[] = [];

  constructor(server: Server) {
    this.#server = server;
  }

  /** Two who have not talked yet. */
  async pair(): Promise<Pair> {
    let people = this.#unused.shift();
    while (!people) {
      const person = await register(this.#server, nameOf(this.#people.length));
      this.#unused.push(...this.#people.map((other) => [other, person] as const));
      this.#people.push(person);
      people = this.#unused.shift();
    }
    // The token of the registration may have expired.
    const caller = await login(this.#server, people[0].email);
    return { people, conversation: await chat(this.#server, caller, people[1]) };
  }
}

/** A name by letters: Aa, Ab … Ba … */
function nameOf(index: number): string {
  const letters = 'abcdefghijklmnopqrstuvwxyz';
  return `${letters[Math.floor(index / 26)]?.toUpperCase()}${letters[index % 26]}`;
}
