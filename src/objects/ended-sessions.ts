import type { Gate } from './gate.ts';

/** A session that has ended, and until when one of its access tokens may still turn up, in milliseconds since 1970. */
export type EndedSession = { session_id: string; remember_until: number };

/**
 * The sessions that an object was told have ended, until their last access token has expired: somebody may be about to
 * connect with it. Kept in the table `ended_sessions` of the object.
 */
export class EndedSessions {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Closes the sockets of sessions that have ended, and remembers the sessions for as long as it takes. */
  end(sessions: readonly EndedSession[], gate: Gate, now: number): void {
    this.#sql.exec('DELETE FROM ended_sessions WHERE remember_until <= ?', now);
    for (const { session_id, remember_until } of sessions) {
      if (remember_until > now) {
        this.#sql.exec(
          'INSERT INTO ended_sessions (session_id, remember_until) VALUES (?, ?) ON CONFLICT DO NOTHING',
          session_id,
          remember_until,
        );
      }
      gate.closeSession(session_id);
    }
  }

  /** Whether the object was told that a session has ended. */
  has(sessionId: string): boolean {
    return this.#sql.exec('SELECT 1 FROM ended_sessions WHERE session_id = ?', sessionId).toArray().length > 0;
  }
}
