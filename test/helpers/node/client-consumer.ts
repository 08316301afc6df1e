// What the test of the package compiles: code of somebody who has installed it.

/** A program that uses everything that the client offers. */
export const CONSUMER = `
import { ChatError, createChat, indexedDbStorage, memoryStorage } from 'edge-chat/client';
import type {
  Chat, ChatOptions, ChatSnapshot, ChatStorage, Connection, Conversation, ConversationSnapshot, Credentials,
  Environment, HistoryPage, HistoryRange, Inbox, InboxChange, InboxConversation, InboxMessage, InboxPage, InboxPeer,
  InboxSnapshot, InboxTotal, Member, Message, NewAccount, Observable, OperationOptions, PendingDelete, PendingEdit,
  PendingOperation, PendingReaction, PendingSend, Reaction, SendOptions, Socket, User, UserPage,
} from 'edge-chat/client';

const options: ChatOptions = { url: new URL('https://chat.example.org'), storage: memoryStorage() };
const storage: ChatStorage = indexedDbStorage('another-name');
const environment: Partial<Environment> = {
  openSocket: (url, protocols): Socket => new WebSocket(url, protocols),
  now: () => Date.now(),
};
export const chat: Chat = createChat({ ...options, storage, environment });

function useStore<Snapshot>({ subscribe, snapshot }: Observable<Snapshot>): Snapshot {
  const stop: () => void = subscribe(() => console.log(snapshot()));
  stop();
  return snapshot();
}

export async function talk(account: NewAccount): Promise<Message | undefined> {
  const credentials: Credentials = account;
  await chat.signUp(account);
  await chat.signIn(credentials);
  const { status, me, problem }: ChatSnapshot = useStore(chat);
  console.log(status === 'signed_in', me?.length, problem?.fields?.['email']?.[0]);
  const page: UserPage = await chat.users();
  const [user]: readonly User[] = page.users;
  if (!user) return undefined;
  const conversation: Conversation = await chat.conversationWith(user.id);
  const operation: OperationOptions = { ref: 'greeting-1' };
  const answer: SendOptions = { ...operation, reply_to: 1 };
  try {
    const message = await conversation.send('Hello', answer);
    await conversation.react(message.n, '👋', true);
    await conversation.edit(message.n, 'Hello!', operation);
    return message;
  } catch (error) {
    if (error instanceof ChatError && error.retry_after_ms !== null) conversation.discard('greeting-1');
    throw error;
  } finally {
    await chat.signOut();
    chat.close();
  }
}

export function show({ connection, messages, members, pending, cursor }: ConversationSnapshot): string[] {
  const { status }: Connection = connection;
  const readers = members.filter((member: Member) => member.read >= (messages.at(-1)?.n ?? 0));
  const emoji = messages.flatMap(({ reactions }) => reactions.map((reaction: Reaction) => reaction.emoji));
  return [status, String(cursor?.rev), ...readers.map(({ first_name }) => first_name), ...emoji, ...pending.map(describe)];
}

function describe(operation: PendingOperation): string {
  switch (operation.type) {
    case 'send': return ((send: PendingSend) => send.text)(operation);
    case 'edit': return ((edit: PendingEdit) => edit.text)(operation);
    case 'delete': return ((deletion: PendingDelete) => String(deletion.n))(operation);
    case 'react': return ((reaction: PendingReaction) => reaction.emoji)(operation);
  }
}

export async function read(conversation: Conversation, range: HistoryRange = { before: 10 }): Promise<HistoryPage> {
  await conversation.loadOlder();
  return conversation.history(range);
}

export async function tidy(inbox: Inbox): Promise<string[]> {
  const { conversations, unread, has_more }: InboxSnapshot = useStore(inbox);
  const total: InboxTotal = unread;
  if (has_more) await inbox.loadMore();
  const change: InboxChange = { archived: true, muted_until: null };
  for (const { conversation, last } of conversations) {
    const message: InboxMessage = last;
    if (message.text === null) await inbox.update(conversation, change);
  }
  const page: InboxPage = await inbox.archived();
  const peers = page.conversations.flatMap(({ peer }: InboxConversation): InboxPeer[] => (peer ? [peer] : []));
  const found = await chat.search('Ana', page.next ?? undefined);
  return [String(total.messages), ...peers.map(({ first_name }) => first_name), ...found.users.map(({ id }) => id)];
}
`;

/** What must not compile, a line each, and the compiler's code for what is wrong with it. */
export const WRONG_USES: readonly (readonly [line: string, code: string])[] = [
  [`import { createChat, type Conversation } from 'edge-chat/client';`, ''],
  [`declare const conversation: Conversation;`, ''],
  [`export const sent = conversation.send(5);`, 'TS2345'],
  [`export const chat = createChat({});`, 'TS2741'],
  [`export const text: string = conversation.snapshot().messages[0]!.text;`, 'TS2322'],
  [`conversation.snapshot().messages.push();`, 'TS2339'],
  [`chat.inbox.update('id', { pinned: 'yes' });`, 'TS2322'],
  [`export { startApp } from 'edge-chat/client';`, 'TS2305'],
  [`export * from 'edge-chat';`, 'TS2307'],
  [`export * from 'edge-chat/dist/client/index.js';`, 'TS2307'],
];
