import type { MemberRow, MessageRow } from '../../../src/protocol/rows.ts';
import type { InboxFinal } from '../history.ts';
import type { Facts } from './facts.ts';
import { differences } from './same.ts';

/** Where `unread` stops to count. */
const UNREAD_MAX = 100;
/** Code points of the last message that an inbox shows. */
const BEGINNING = 200;

/**
 * In the end every inbox says of the conversation what the log says, wherever it is looked at: the newest message, how
 * far its user has read, and how many messages of others come after that, deleted ones left out. Who has left has
 * nothing of it.
 */
export function* unread({ history: { inboxes = [], server } }: Facts): Iterable<string> {
  const firsts = new Map<string, InboxFinal>();
  for (const inbox of inboxes) {
    const member = server.members.find(({ user_id }) => user_id === inbox.user_id);
    const expected = member && member.left_at === null ? standing(member, server.messages) : null;
    yield* rowWrong(inbox, expected);
    yield* totalWrong(inbox, expected?.unread ?? 0);
    const first = firsts.get(inbox.user_id) ?? inbox;
    firsts.set(inbox.user_id, first);
    if (first.row && inbox.row) {
      const differing = differences(first.row, inbox.row);
      if (differing !== '') yield `${first.by} and ${inbox.by} ended with different ${differing}`;
    }
  }
}

/** How a conversation stands for a member, counted from its log; null if there is nothing in it. */
function standing({ user_id, read }: MemberRow, messages: readonly MessageRow[]) {
  const last = messages.at(-1);
  if (!last) return null;
  const { n, sender_id, text, created_at } = last;
  const beginning = text === null ? null : Array.from(text).slice(0, BEGINNING).join('');
  const others = messages.filter((row) => row.n > read && row.sender_id !== user_id && row.deleted_at === null);
  const count = Math.min(others.length, UNREAD_MAX);
  return { n, read, unread: count, last: { n, sender_id, text: beginning, created_at } };
}

function* rowWrong({ by, user_id, row }: InboxFinal, expected: ReturnType<typeof standing>): Iterable<string> {
  if (!expected) {
    if (row) yield `${by} ended with the conversation, in which there is nothing for ${user_id}`;
    return;
  }
  if (!row) {
    yield `${by} ended without the conversation, in which ${user_id} has ${expected.unread} unread`;
    return;
  }
  const { n, read, unread: count, last } = row;
  const differing = differences({ n, read, unread: count, last }, expected);
  if (differing !== '') yield `${by} ended with a row in which it and the log have ${differing}`;
}

/** Nothing else is in the inbox of whoever takes part in a history. */
function* totalWrong({ by, row, total }: InboxFinal, count: number): Iterable<string> {
  const isLeftOut = !row || row.archived || row.muted_until !== null;
  const messages = isLeftOut ? 0 : count;
  const conversations = !isLeftOut && (count > 0 || row.marked_unread) ? 1 : 0;
  const differing = differences(total, { messages, conversations });
  if (differing !== '') yield `${by} ended with a total in which it and the log have ${differing}`;
}
