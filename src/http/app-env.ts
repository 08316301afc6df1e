/** The user that a verified access token names. */
export type Caller = { readonly user_id: string; readonly session_id: string };

/** What Hono's context carries here. */
export type AppEnv = {
  Bindings: Env;
  Variables: {
    requestId: string;
    /** Set by the bearer middleware. */
    caller: Caller;
    /** The `:id` of the path, in canonical spelling. Set by `pathId`. */
    id: string;
  };
};
