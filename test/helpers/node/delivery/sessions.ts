import { setTimeout as delay } from 'node:timers/promises';
import type { Tokens } from '../../../delivery/parties/seat.ts';
import { login, type Person } from '../people.ts';
import type { MortalServer } from './mortal-server.ts';

/** Milliseconds until it is tried again to sign in on a server that is away. */
const RETRY_MS = 50;

/** The sessions of some people in one conversation, which begin although the server may be killed meanwhile. */
export class Sessions {
  readonly #server: MortalServer;
  readonly #shared = new Map<string, Promise<Tokens>>();
  #isClosed = false;

  constructor(server: MortalServer) {
    this.#server = server;
  }

  /** A new session of someone. */
  async begin({ email }: Person): Promise<Tokens> {
    while (!this.#isClosed) {
      if (this.#server.isAlive) {
        try {
          return await login(this.#server, email);
        } catch (error) {
          // What fails although the server lives will fail again.
          if (this.#server.isAlive && !(error instanceof TypeError)) throw error;
        }
      }
      await delay(RETRY_MS);
    }
    return NEVER;
  }

  /** A new session of someone whose access token is no good any more, as after a night. */
  async beginStale(person: Person): Promise<Tokens> {
    const { access, refresh } = await this.begin(person);
    return { access: access.replace(/[^.]*$/, (signature) => [...signature].toReversed().join('')), refresh };
  }

  /** A session that is never refreshed, and so can be anybody's. The hash of a password is slow to make. */
  async shared(person: Person): Promise<Tokens> {
    const known = this.#shared.get(person.id) ?? this.begin(person);
    this.#shared.set(person.id, known);
    return known;
  }

  /** Nobody needs a session any more. */
  close(): void {
    this.#isClosed = true;
  }
}

/** Who asks for a session when all is over hears nothing. */
const NEVER = new Promise<never>(() => {});
