import type { InboxRow, UnreadTotal } from '../../src/protocol/inbox-frames.ts';
import { api } from '../helpers/api.ts';
import { signIn } from '../helpers/people.ts';

interface Page {
  readonly rev: number;
  readonly conversations: readonly InboxRow[];
  readonly total: UnreadTotal;
}

/** How a conversation stands in the inbox of a user, as they are answered over HTTP. */
export async function standingIn(
  userId: string,
  conversationId: string,
): Promise<{ rev: number; row: InboxRow | null; total: UnreadTotal }> {
  const { access } = await signIn(userId);
  const page = await pageOf(access, 'false');
  const rows = [...page.conversations, ...(await pageOf(access, 'true')).conversations];
  const row = rows.find(({ conversation }) => conversation === conversationId) ?? null;
  return { rev: page.rev, row, total: page.total };
}

async function pageOf(token: string, archived: 'true' | 'false'): Promise<Page> {
  const { status, text, body } = await api(`/api/conversations/?archived=${archived}`, { token });
  if (status !== 200) throw new Error(`The inbox answers ${status}: ${text}`);
  return body as Page;
}
