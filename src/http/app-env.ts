import type { Caller, InboxState } from '../directory/access.ts';
import type { ConversationVersion } from '../directory/conversations.ts';

/** What Hono's context carries here. */
export type AppEnv = {
  Bindings: Env;
  Variables: {
    requestId: string;
    /** Whom a verified access token names. Set by `bearer` and `member`. */
    caller: Caller;
    /** What the directory says of the caller's inbox. Set by `bearer` and `member`. */
    inbox: InboxState;
    /** The `:id` of the path, in canonical spelling. Set by `pathId`. */
    id: string;
    /** What the directory says of the conversation that the path names. Set by `member`. */
    conversation: ConversationVersion;
  };
};
