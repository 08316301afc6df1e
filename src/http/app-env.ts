import type { Caller } from '../directory/access.ts';

/** What Hono's context carries here. */
export type AppEnv = {
  Bindings: Env;
  Variables: {
    requestId: string;
    /** Whom a verified access token names. Set by `bearer`. */
    caller: Caller;
    /** The `:id` of the path, in canonical spelling. Set by `pathId`. */
    id: string;
  };
};
