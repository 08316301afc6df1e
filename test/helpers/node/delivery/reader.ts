import type { MemberRow, MessageRow } from '../../../../src/protocol/rows.ts';
import type { State } from '../../../delivery/history.ts';

type Server = { readonly url: string };

/** A conversation as the server has it. */
export interface ServerState extends State {
  readonly rev: number;
}

type Members = { readonly epoch: number; readonly rev: number; readonly members: readonly MemberRow[] };

/** All that a server answers someone about a conversation who was never here before, without a socket. */
export async function readState(server: Server, conversation: string, access: string): Promise<ServerState> {
  const messages: MessageRow[] = [];
  for (let more = true; more;) {
    const path = `messages/?after=${messages.at(-1)?.n ?? 0}`;
    const page = await ask<{ messages: MessageRow[]; more: boolean }>(server, conversation, access, path);
    messages.push(...page.messages);
    more = page.more;
  }
  const { epoch, rev, members } = await ask<Members>(server, conversation, access, 'changes/');
  return { epoch, rev, messages, members };
}

/** The last change of a conversation. */
export async function revOf(server: Server, conversation: string, access: string): Promise<number> {
  return (await ask<Members>(server, conversation, access, 'changes/')).rev;
}

async function ask<Body>(server: Server, conversation: string, access: string, path: string): Promise<Body> {
  const response = await fetch(`${server.url}/api/conversations/${conversation}/${path}`, {
    headers: { Authorization: `Bearer ${access}` },
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json() as Promise<Body>;
}
