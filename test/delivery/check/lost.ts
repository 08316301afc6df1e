import type { MessageRow } from '../../../src/protocol/rows.ts';
import { isKept, key, mayFollow, nameOf, nameOfMessage, plainEmoji, type Asked, type Facts } from './facts.ts';

/**
 * What was acknowledged is there: the message under its n, and the effect of what was done to one, unless that was
 * undone later or a restore took it back. Where it is not known which of two came first, either may have.
 */
export function* lost(facts: Facts): Iterable<string> {
  for (const asked of facts.asked) {
    const { outcome } = asked.operation;
    if (outcome?.type !== 'acknowledged' || !isKept(facts, outcome.epoch, outcome.rev)) continue;
    const { n, rev, epoch } = outcome;
    const told = `${nameOf(asked.operation)} was acknowledged as message ${n}, rev ${rev}, epoch ${epoch}`;
    const row = facts.stored.get(n);
    if (!row) yield `${told}; the server has no such message`;
    else if (row.rev < (rev ?? 0) || !isThere(facts, asked, row)) yield `${told}; the server has ${nameOfMessage(row)}`;
  }
}

function isThere(facts: Facts, asked: Asked, row: MessageRow): boolean {
  const { operation, change } = asked;
  if (change.type !== 'send' && change.n !== row.n) return false;
  switch (change.type) {
    case 'send': {
      if (row.sender_id !== operation.user_id || row.ref !== operation.ref) return false;
      const mayDiffer = facts.changed.has(key(operation.user_id, row.n));
      return row.reply_to === change.reply_to && (mayDiffer || row.text === change.text);
    }
    case 'edit':
      return row.text === change.text || isUndone(facts, asked, row);
    case 'delete':
      return row.text === null && row.deleted_at !== null;
    case 'react':
      return (
        row.deleted_at !== null ||
        hasReaction(row, change.emoji, operation.user_id) === change.on ||
        anyFollows(
          facts,
          asked,
          facts.reacts
            .get(key(operation.user_id, row.n, plainEmoji(change.emoji)))
            ?.filter((other) => other.change.on !== change.on),
        )
      );
  }
}

function isUndone(facts: Facts, edit: Asked, row: MessageRow): boolean {
  const { sender_id, n, text } = row;
  if (text === null) return anyFollows(facts, edit, facts.deletes.get(key(sender_id, n)));
  return anyFollows(facts, edit, facts.edits.get(key(sender_id, n, text)));
}

function anyFollows(facts: Facts, earlier: Asked, others: readonly Asked[] = []): boolean {
  return others.findLast((other) => mayFollow(facts, other, earlier)) !== undefined;
}

function hasReaction({ reactions }: MessageRow, emoji: string, userId: string): boolean {
  const those = reactions.filter((reaction) => plainEmoji(reaction.emoji) === plainEmoji(emoji));
  return those.some(({ user_ids }) => user_ids.includes(userId));
}
