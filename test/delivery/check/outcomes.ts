import type { MessageRow } from '../../../src/protocol/rows.ts';
import { key, nameOf, plainEmoji, type Asked, type Facts } from './facts.ts';

// As docs/protocol.md has them.
const TEXT_MAX_LENGTH = 4_000;
const REACTION_KINDS_MAX = 20;
const REACTIONS_MAX = 500;

/** Nothing was refused but for a reason that the protocol has, and that was the case where it can still be told. */
export function* refusedWrongly(facts: Facts): Iterable<string> {
  const reactions = reactionsAskedFor(facts);
  const texts = everyText(facts);
  for (const asked of facts.asked) {
    const { outcome } = asked.operation;
    if (outcome?.type !== 'refused') continue;
    const name = nameOf(asked.operation);
    if (!isJustified(facts, asked, outcome.code, reactions)) yield `${name} was refused as ${outcome.code}`;
    else if (asked.change.type === 'edit' && texts.has(asked.change.text) && !isStored(facts, asked.change)) {
      yield `${name} was refused as ${outcome.code}, although it has taken place`;
    }
  }
}

/** What is stored although it was refused, `invented` tells. */
function isStored({ stored }: Facts, { n, text }: { readonly n: number; readonly text: string }): boolean {
  return stored.get(n)?.text === text;
}

/** Every text that a message ever had; none after a restore, for what it took back may rightly be refused then. */
function everyText({ history, epochs }: Facts): ReadonlySet<string | null> {
  if (history.restores.length > 0) return new Set();
  const rows = [...epochs.values()].flatMap(({ messages }) => [...messages.values()].flatMap((it) => [...it.values()]));
  return new Set(rows.map(({ row }) => row.text));
}

/** Everything was answered, except what plain sockets sent and what nobody waits for any more. */
export function* unanswered({ asked }: Facts): Iterable<string> {
  for (const { operation } of asked) {
    if (!operation.outcome && !operation.plain && !operation.abandoned) yield `${nameOf(operation)} was never answered`;
  }
}

function isJustified(facts: Facts, { operation, change }: Asked, code: string, reactions: Reactions): boolean {
  switch (code) {
    case 'not_your_message':
      if (change.type !== 'edit' && change.type !== 'delete') return false;
      return couldBe(facts, change.n, ({ sender_id }) => sender_id !== operation.user_id);
    case 'message_deleted':
      if (change.type !== 'edit' && change.type !== 'react') return false;
      return couldBe(facts, change.n, ({ deleted_at }) => deleted_at !== null);
    // The message may have come after the question.
    case 'no_such_message':
      return change.type !== 'send';
    case 'unknown_reply_to':
      return change.type === 'send' && change.reply_to !== null;
    case 'too_many_reactions': {
      if (change.type !== 'react' || !change.on) return false;
      const { emoji, all } = reactions.get(change.n) ?? { emoji: new Set(), all: new Set() };
      return emoji.size > REACTION_KINDS_MAX || all.size > REACTIONS_MAX;
    }
    case 'invalid_text':
      return (change.type === 'send' || change.type === 'edit') && isInvalid(change.text);
    default:
      return false;
  }
}

/** Whether a message was ever so. After a restore nobody knows every message that its n has named. */
function couldBe({ history, epochs }: Facts, n: number, test: (row: MessageRow) => boolean): boolean {
  if (history.restores.length > 0) return true;
  return [...epochs.values()].some(({ messages }) =>
    [...(messages.get(n)?.values() ?? [])].some(({ row }) => test(row)),
  );
}

type Reactions = ReadonlyMap<number, { readonly emoji: Set<string>; readonly all: Set<string> }>;

/** For each message all reactions that it may ever have had. */
function reactionsAskedFor({ asked }: Facts): Reactions {
  const reactions = new Map<number, { emoji: Set<string>; all: Set<string> }>();
  for (const { operation, change } of asked) {
    if (change.type !== 'react' || !change.on) continue;
    const those = reactions.get(change.n) ?? { emoji: new Set(), all: new Set() };
    reactions.set(change.n, those);
    those.emoji.add(plainEmoji(change.emoji));
    those.all.add(key(operation.user_id, plainEmoji(change.emoji)));
  }
  return reactions;
}

function isInvalid(text: string): boolean {
  return text.trim() === '' || !text.isWellFormed() || [...text].length > TEXT_MAX_LENGTH;
}
