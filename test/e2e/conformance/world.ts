import { createHash, randomBytes } from 'node:crypto';
import { decodeJwt, SignJWT, UnsecuredJWT, type JWTPayload } from 'jose';
import { expect } from 'vitest';
import type { Pair } from '../../helpers/node/people.ts';
import type { Server } from './server.ts';

/** Part of every e-mail address that must not meet one of another run. Fixed: one exchange has it in upper case. */
export const RUN = 'a87fc4b9';

export type Account = { readonly first_name: string; readonly last_name: string };
export type Name = 'john' | 'ray' | 'selena';

/** Those whose accounts the recording begins with, in this order. */
const FIRST_TO_REGISTER: readonly Name[] = ['john', 'ray', 'selena'];

/** Matches any UUID in its canonical spelling. */
export const UUID = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);

/** What the replay has learnt so far, and what the tables need to speak of it. */
export class World {
  /** The accounts made so far, in order of registration. */
  readonly #registered: Account[] = [];
  readonly inactive = new Set<Name>();
  readonly #pairs = new Map<Name, Pair>();
  #conversation: string | undefined;

  constructor(readonly server: Server) {}

  register({ first_name, last_name }: Account): void {
    this.#registered.push({ first_name, last_name });
  }

  loggedIn(name: Name, pair: Pair): void {
    this.#pairs.set(name, pair);
  }

  /** The newest access token of an account. */
  access(name: Name): string {
    return this.#pair(name).access;
  }

  /** The newest refresh token of an account. */
  refresh(name: Name): string {
    return this.#pair(name).refresh;
  }

  id(name: Name): string {
    const { user_id } = decodeJwt(this.access(name));
    if (typeof user_id !== 'string') throw new TypeError(`the token of ${name} names no user`);
    return user_id;
  }

  get conversation(): string {
    if (this.#conversation === undefined) throw new Error('john and ray have no conversation yet');
    return this.#conversation;
  }

  set conversation(id: string) {
    this.#conversation = id;
  }

  /** What the list of users holds for a caller: ids are known of those who have logged in. */
  others(caller: Name, which: 'active' | 'inactive too' = 'active'): unknown[] {
    return this.#registered
      .map((account, index) => ({ account, name: FIRST_TO_REGISTER[index] }))
      .filter(({ name }) => name !== caller && (which === 'inactive too' || !name || !this.inactive.has(name)))
      .map(({ account, name }) => ({ id: name ? this.id(name) : UUID, ...account }));
  }

  #pair(name: Name): Pair {
    const pair = this.#pairs.get(name);
    if (!pair) throw new Error(`${name} has not logged in yet`);
    return pair;
  }
}

type Signing = { readonly secret: string; readonly alg?: 'HS256' | 'HS512'; readonly kidOf?: string };

/**
 * A token with the claims of another, changed as told (`undefined` removes a claim) and signed again.
 * @param signing the key; `kidOf` is the key that the header names, if it is another one
 */
export function resign(
  token: string,
  changes: Readonly<Record<string, unknown>>,
  { secret, alg = 'HS256', kidOf = secret }: Signing,
): Promise<string> {
  return new SignJWT(changed(token, changes))
    .setProtectedHeader({ alg, typ: 'JWT', kid: keyId(kidOf) })
    .sign(new TextEncoder().encode(secret));
}

/** The same token with `alg: none` and no signature. */
export const unsign = (token: string): string => new UnsecuredJWT(decodeJwt(token)).encode();

/** A token id that no login gave out. */
export const newTokenId = (): string => randomBytes(16).toString('hex');

/** Seconds since 1970. */
export const now = (): number => Math.floor(Date.now() / 1000);

function changed(token: string, changes: Readonly<Record<string, unknown>>): JWTPayload {
  return Object.fromEntries(
    Object.entries({ ...decodeJwt(token), ...changes }).filter(([, value]) => value !== undefined),
  );
}

/** How the server names a key in a token's header. */
function keyId(secret: string): string {
  return createHash('sha256').update(`kid${secret}`).digest('base64url').slice(0, 8);
}
