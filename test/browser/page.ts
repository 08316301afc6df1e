// What runs in the browser: a client, whose snapshots are told to the test, and whose methods the test calls.
import {
  createChat,
  type Chat,
  type ChatSnapshot,
  type Conversation,
  type ConversationSnapshot,
} from '../../src/client/index.ts';
import { allKept, keep } from './kept.ts';

/** What the page offers to its test. */
export type App = {
  readonly chat: Chat;
  readonly conversation: Conversation;
  readonly allKept: typeof allKept;
  readonly keep: typeof keep;
};

/** What the page tells its test. Errors arrive without their messages. */
export type Report = { readonly chat: ChatSnapshot; readonly conversation: ConversationSnapshot };

declare global {
  var app: App;
  /** Brings a {@link Report}, as JSON, to the test. */
  function report(json: string): Promise<void>;
}

const query = new URLSearchParams(location.search);
const random = query.get('random');

const chat = createChat({
  url: query.get('server') ?? '',
  ...(random !== null && { environment: { random: () => Number(random) } }),
});
const conversation = chat.conversation(query.get('conversation') ?? '');
globalThis.app = { chat, conversation, allKept, keep };

const tell = () => void report(JSON.stringify({ chat: chat.snapshot(), conversation: conversation.snapshot() }));
chat.subscribe(tell);
conversation.subscribe(tell);
tell();
