import { DrizzleQueryError } from 'drizzle-orm';

/** What a log line may hold: ids, codes, counts. Never a token, a password, an address or a message's text. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Writes one line of JSON to the Worker's log. Line breaks in values are escaped, so a line is always one event. */
export function log(event: string, fields: LogFields = {}): void {
  // eslint-disable-next-line no-console -- the console is the Worker's log
  console.log(JSON.stringify({ event, ...fields }));
}

/** Logs an unexpected error, with its stack, which goes nowhere else. */
export function logError(event: string, error: unknown, fields: LogFields = {}): void {
  // Drizzle's message, and with it its stack, repeats the parameters of the query: addresses and hashes.
  const known = error instanceof DrizzleQueryError ? (error.cause ?? new Error('A query failed.')) : error;
  const fault = known instanceof Error ? known : new Error(String(known));
  // eslint-disable-next-line no-console -- the console is the Worker's log
  console.error(JSON.stringify({ event, ...fields, error: fault.name, message: fault.message, stack: fault.stack }));
}
