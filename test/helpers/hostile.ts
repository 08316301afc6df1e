import { exports } from 'cloudflare:workers';
import * as fc from 'fast-check';
import { HOST } from './api.ts';
import { query } from './conversation.ts';
import { dumpTables } from './tables.ts';

/** A request that means no good. */
export type Hostile = { method?: string; path: string; headers?: Record<string, string>; body?: BodyInit };

/**
 * What refutes a property: the smallest input, what went wrong with it, and the seed and the path that repeat it;
 * undefined if nothing does.
 */
export async function refutation<T>(
  property: fc.IAsyncProperty<T>,
  runs: fc.Parameters<T> = { numRuns: 200 },
): Promise<string | undefined> {
  return fc.asyncDefaultReportMessage(await fc.check(property, { includeErrorInReport: true, ...runs }));
}

/** Sends a request. The runtime refuses to make some: then there is nothing to be tried. */
export async function send({ method = 'GET', path, headers = {}, body }: Hostile) {
  const withBody = body !== undefined && method !== 'GET' && method !== 'HEAD';
  let request: Request | undefined;
  try {
    const init = { method, headers, redirect: 'manual', ...(withBody ? { body } : {}) } as const;
    request = new Request(`https://${HOST}${path}`, init);
  } catch {
    request = undefined;
  }
  fc.pre(request !== undefined);
  const answer = await exports.default.fetch(request);
  const text = answer.webSocket ? '' : await answer.text();
  answer.webSocket?.accept();
  answer.webSocket?.close();
  return { status: answer.status, headers: answer.headers, text };
}

/**
 * Throws unless the server survives the request: it does not fail, and stores nothing of what it refuses, neither in
 * the directory nor in the conversation.
 */
export async function survives(conversationId: string, hostile: Hostile): Promise<void> {
  const before = await everythingStored(conversationId);
  const { status, headers, text } = await send(hostile);
  if (status >= 500) throw new Error(`The server failed: ${status} ${text}`);
  if (status < 400) return;
  if ((await everythingStored(conversationId)) !== before) throw new Error(`Something was stored: ${status} ${text}`);
  if (text !== '' && !headers.get('Content-Type')?.startsWith('text/html')) JSON.parse(text);
}

async function everythingStored(conversationId: string): Promise<string> {
  // That something was refused is counted, and its user may read of it.
  const { throttles: _throttles, security_events: _events, ...tables } = await dumpTables();
  const stored = [
    tables,
    await query(conversationId, 'SELECT * FROM messages ORDER BY n'),
    await query(conversationId, 'SELECT * FROM operations ORDER BY sender_id, ref'),
    await query(conversationId, 'SELECT * FROM reactions ORDER BY n, emoji, user_id'),
    await query(conversationId, 'SELECT user_id, rev, read, delivered, left_at FROM members ORDER BY user_id'),
  ];
  return JSON.stringify(stored);
}

/** Texts that have broken servers. */
export const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.constantFrom(
    '',
    '\0',
    '\ud800',
    "'; DROP TABLE users; --",
    '__proto__',
    'null',
    'NaN',
    '-1',
    '1e400',
    '%00',
    '../'.repeat(20),
    'ı'.repeat(201),
    '\u202e',
    'a@b.example\0',
    '9007199254740993',
  ),
);

/** Anything that JSON can hold, mostly texts. */
export const value = fc.oneof(
  { weight: 3, arbitrary: text },
  { weight: 1, arbitrary: fc.jsonValue() },
  fc.double(),
  fc.maxSafeInteger(),
);

/** What a header can hold. */
export const headerText = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 200,
});

/** Up to 40 of these characters. */
export const characters = (of: string) => fc.string({ unit: fc.constantFrom(...of.split('')), maxLength: 40 });

/** A piece of a path, as a client may spell it. */
export const segment = fc.oneof(
  text.map((some) => encodeURIComponent(some.toWellFormed())),
  fc.webSegment(),
  fc.uuid(),
  fc.uuid().map((some) => some.toUpperCase()),
  fc.bigInt().map(String),
  characters('0123456789abcdefABCDEF-{}%:'),
);
