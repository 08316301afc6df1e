import type { Environment } from '../../../src/client/environment.ts';
import type { FaultyNetwork } from '../network.ts';
import type { Recorder } from '../recorder.ts';

/** What a login answers. */
export interface Tokens {
  readonly access: string;
  readonly refresh: string;
}

/** Where a party takes part: who it is there, and what it is surrounded by. */
export interface Seat {
  readonly name: string;
  readonly userId: string;
  /** The other member. */
  readonly peerId: string;
  readonly conversationId: string;
  /** Of the server, with `http:` or `https:`. */
  readonly url: string;
  /** The party's own: it takes it down when it goes offline or dies. */
  readonly network: FaultyNetwork;
  readonly environment: Pick<Environment, 'after' | 'elapsed' | 'now' | 'random'>;
  readonly recorder: Recorder;
  /** Begins a session of the user, by means that do not fail. */
  signIn(): Promise<Tokens>;
}

/** Where a seat's socket leads to. @param query with its question mark, or nothing */
export function socketUrl({ url, conversationId }: Seat, query: string): string {
  return `${url.replace(/^http/, 'ws')}/ws/chat/${conversationId}/${query}`;
}
