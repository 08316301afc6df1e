import type { MessageRow } from '../../../src/protocol/rows.ts';
import { isKept, isRefused, key, nameOfMessage, plainEmoji, type Asked, type AskedSend, type Facts } from './facts.ts';

/**
 * Whatever the server has and clients showed was asked for; and what clients showed is stored, unless a restore took it
 * back: nobody is told of anything before it is.
 */
export function* invented(facts: Facts): Iterable<string> {
  for (const [epoch, { messages, members }] of facts.epochs) {
    for (const byRev of messages.values()) {
      for (const { row, by } of byRev.values()) {
        const what = `epoch ${epoch}: ${by} had ${nameOfMessage(row)}`;
        const fault = faultOf(facts, row) ?? (isKept(facts, epoch, row.rev) ? whyNotStored(facts, row) : undefined);
        if (fault !== undefined) yield `${what}; ${fault}`;
      }
    }
    const stored = new Map(facts.history.server.members.map((member) => [member.user_id, member]));
    for (const [userId, byRev] of members) {
      for (const { row, by } of byRev.values()) {
        const rev = stored.get(userId)?.rev ?? 0;
        if (isKept(facts, epoch, row.rev) && rev < row.rev) {
          yield `epoch ${epoch}: ${by} had member ${userId} at rev ${row.rev}; the server has rev ${rev}`;
        }
      }
    }
  }
  for (const row of facts.history.server.messages) {
    if (isRefusedRow(facts, row)) yield `the server has ${nameOfMessage(row)}; what it is from was refused`;
  }
  yield* tooManyPlain(facts);
}

/** What about a row nobody asked for. */
function faultOf(facts: Facts, row: MessageRow): string | undefined {
  const { n, sender_id, text, reply_to, deleted_at, reactions } = row;
  const sends = sendsOf(facts, row);
  // A plain message without one is another than it was sent as: what follows tells, and they are counted.
  if (!sends && row.ref !== null) return 'nobody sent it';
  if (sends && !sends.some(({ change }) => change.reply_to === reply_to)) return 'it was no reply to that';
  if ((text === null) !== (deleted_at !== null)) return 'it is deleted by halves';
  if (text === null && !facts.deletes.has(key(sender_id, n))) return 'nobody deleted it';
  if (text !== null && !isSentAs(sends, text) && !facts.edits.has(key(sender_id, n, text))) return 'nobody wrote that';
  for (const { emoji, user_ids } of reactions) {
    for (const userId of user_ids) {
      const reacts = facts.reacts.get(key(userId, n, plainEmoji(emoji)));
      if (!reacts?.some(({ change }) => change.on)) return `${userId} did not react with ${emoji}`;
    }
  }
  return undefined;
}

function whyNotStored(facts: Facts, { n, id, rev }: MessageRow): string | undefined {
  const stored = facts.stored.get(n);
  if (!stored) return 'the server has no such message';
  if (stored.id !== id) return `the server has another id: ${nameOfMessage(stored)}`;
  return stored.rev < rev ? `the server has rev ${stored.rev}` : undefined;
}

/** What was refused is not done. Only what the server has in the end tells: a restore may come before the refusal. */
function isRefusedRow(facts: Facts, row: MessageRow): boolean {
  const { sender_id, n, text } = row;
  const sends = sendsOf(facts, row);
  if (areRefused(sends)) return true;
  if (text === null) return areRefused(facts.deletes.get(key(sender_id, n)));
  return !isSentAs(sends, text) && areRefused(facts.edits.get(key(sender_id, n, text)));
}

/** What a message may be from; undefined also for a plain one whose text is another by now. */
function sendsOf(facts: Facts, { sender_id, ref, text }: MessageRow): readonly AskedSend[] | undefined {
  if (ref !== null) return facts.sends.get(key(sender_id, ref));
  return text === null ? undefined : facts.plain.get(key(sender_id, text));
}

function isSentAs(sends: readonly AskedSend[] = [], text: string): boolean {
  return sends.some(({ change }) => change.text === text);
}

function areRefused(asked: readonly Asked[] | undefined): boolean {
  return asked?.every(({ operation }) => isRefused(operation)) ?? false;
}

/** Plain messages that were edited or deleted cannot be told apart, but counted. */
function* tooManyPlain({ history, asked }: Facts): Iterable<string> {
  const counts = new Map<string, number>();
  for (const { operation } of asked) {
    if (operation.plain) counts.set(operation.user_id, (counts.get(operation.user_id) ?? 0) + 1);
  }
  for (const row of history.server.messages) {
    if (row.ref !== null) continue;
    const left = counts.get(row.sender_id) ?? 0;
    counts.set(row.sender_id, left - 1);
    if (left === 0)
      yield `the server has more plain messages of ${row.sender_id} than they sent: ${nameOfMessage(row)}`;
  }
}
