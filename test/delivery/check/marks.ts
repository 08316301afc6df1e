import type { Facts } from './facts.ts';

/** Everyone has read what they said, and no more: but for their own messages, which move the mark of whoever read all. */
export function* marks({ history, stored }: Facts): Iterable<string> {
  const { server, finals } = history;
  const asked = new Map<string, number>();
  for (const { user_id, read } of history.marks ?? []) asked.set(user_id, Math.max(read, asked.get(user_id) ?? 0));
  for (const { user_id, marked } of finals) asked.set(user_id, Math.max(marked, asked.get(user_id) ?? 0));

  const read = new Map(server.members.map((member) => [member.user_id, member.read]));
  for (const { client, user_id, marked } of finals) {
    const expected = Math.min(marked, server.messages.length);
    const found = read.get(user_id) ?? 0;
    if (found < expected) yield `${client} said that ${user_id} has read ${expected}; the server has ${found}`;
  }
  for (const [userId, found] of read) {
    let allowed = asked.get(userId) ?? 0;
    while (stored.get(allowed + 1)?.sender_id === userId) allowed += 1;
    if (found > allowed)
      yield `the server has that ${userId} has read ${found}; they said ${allowed}, own ones included`;
  }
}
