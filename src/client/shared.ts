import type { Environment } from './environment.ts';
import type { Keeper } from './keeper.ts';
import type { Session } from './session.ts';
import type { Connection } from './types.ts';

/** What the conversations of a chat and its inbox share. */
export type Shared = {
  readonly session: Session;
  readonly keeper: Keeper;
  readonly environment: Environment;
  /** Of the server, with `ws:` or `wss:`. */
  readonly socketUrl: string;
  /** Whether a conversation has everything that is told over a socket of its own. */
  isOnline(conversationId: string): boolean;
  /** Tells that the user has read a conversation up to message `n`. */
  hasRead(conversationId: string, n: number): void;
};

/** What is shown of a connection. */
export function connectionOf(link: Omit<Connection, 'durable'>, { durable }: Keeper): Connection {
  return { status: link.status, problem: link.problem, durable };
}
