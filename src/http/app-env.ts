import type { Caller } from '../directory/access.ts';
import type { ConversationVersion } from '../directory/conversations.ts';

/** What Hono's context carries here. */
export type AppEnv = {
  Bindings: Env;
  Variables: {
    requestId: string;
    /** Whom a verified access token names. Set by `bearer`. */
    caller: Caller;
    /** The `:id` of the path, in canonical spelling. Set by `pathId`. */
    id: string;
    /** What the directory says of the conversation that the path names. Set by `member`. */
    conversation: ConversationVersion;
  };
};
