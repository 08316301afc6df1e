import { diverged } from './check/diverged.ts';
import { factsOf, type Facts } from './check/facts.ts';
import { invented } from './check/invented.ts';
import { lost } from './check/lost.ts';
import { marks } from './check/marks.ts';
import { oneOrder, order } from './check/order.ts';
import { refusedWrongly, unanswered } from './check/outcomes.ts';
import { twice } from './check/twice.ts';
import { unread } from './check/unread.ts';
import { wentBack } from './check/went-back.ts';
import type { History } from './history.ts';

const RULES = {
  lost,
  twice,
  invented,
  order,
  'one order': oneOrder,
  'went back': wentBack,
  diverged,
  marks,
  'refused wrongly': refusedWrongly,
  unanswered,
  unread,
} satisfies Record<string, (facts: Facts) => Iterable<string>>;

/** What of the promise was broken. */
export type Rule = keyof typeof RULES;

export interface Violation {
  readonly rule: Rule;
  /** Who, which message, what was expected and what was found. */
  readonly detail: string;
}

/** More than this would be read by nobody. */
const DETAILS_MAX = 20;

/**
 * Checks a history against the promise: a message that was acknowledged is stored exactly once, in order, and every
 * member sees it, however long they were away.
 * @returns what contradicts it, for each rule the first few and how many more there are; nothing if it was kept
 */
export function violations(history: History): Violation[] {
  const facts = factsOf(history);
  return Object.entries(RULES).flatMap(([name, check]) => {
    const rule = name as Rule;
    const found: Violation[] = [];
    let more = 0;
    for (const detail of check(facts)) {
      if (found.length < DETAILS_MAX) found.push({ rule, detail });
      else more += 1;
    }
    return more === 0 ? found : [...found, { rule, detail: `… and ${more} more` }];
  });
}
