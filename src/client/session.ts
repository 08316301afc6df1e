import { backoff } from './backoff.ts';
import { ChatError, closedError, signedOutError } from './error.ts';
import type { Environment } from './environment.ts';
import { ask, expected, granted, type HttpAnswer, type HttpRequest } from './http.ts';
import type { Keeper } from './keeper.ts';
import { outboxPrefix } from './outbox.ts';
import type { ChatSnapshot, Credentials, NewAccount } from './types.ts';

type Tokens = { readonly access: string; readonly refresh: string };

/** What is kept in place of tokens when a user's session has ended: other tabs must not take it for a sign-out. */
type Ended = { readonly ended: string };

const KEY = 'session';

/** Who is signed in, and the tokens that prove it. Whether a token is still good only the server says. */
export class Session {
  readonly #url: string;
  readonly #environment: Environment;
  readonly #steady: Environment;
  readonly #keeper: Keeper;
  readonly #onChange: () => void;
  #tokens: Tokens | null = null;
  /** Who was signed in last: what is theirs may still be on this device. */
  #lastUser: string | null = null;
  /** Raised by each sign-in and sign-out here: a restore that was begun before must not undo it. */
  #turn = 0;
  /** Raised by each sign-out here: a sign-in that was begun before must not undo it. */
  #signOuts = 0;
  /** The access token of a session that has ended. It may still be kept, if the storage failed then. */
  #dead: string | null = null;
  #refreshing: { readonly stale: string; readonly done: Promise<void> } | null = null;
  #restoring: Promise<void> | null = null;
  #cancelRetry = () => {};
  readonly #stopWatching: () => void;
  #isClosed = false;
  snapshot: ChatSnapshot = { status: 'restoring', me: null, problem: null };

  /**
   * @param steady an environment whose requests go on when the client is closed
   * @param onChange is called when somebody was signed in or out, by whatever tab
   */
  constructor(url: string, environment: Environment, steady: Environment, keeper: Keeper, onChange: () => void) {
    this.#url = url;
    this.#environment = environment;
    this.#steady = steady;
    this.#keeper = keeper;
    this.#onChange = onChange;
    this.#stopWatching = keeper.watch(KEY, () => void this.#reconsider());
  }

  /** The token to be used now; null unless somebody is signed in. */
  get access(): string | null {
    return this.#tokens?.access ?? null;
  }

  /** Takes up the session that is kept, if there is one. Tries until the storage says whether there is. */
  restore(): void {
    this.#restoring = this.#restore(0);
  }

  async signUp(account: NewAccount): Promise<void> {
    const json = { ...account, confirm_password: account.password };
    granted(await this.#ask({ path: '/api/register/', json }));
  }

  async signIn({ email, password }: Credentials): Promise<void> {
    const signOuts = this.#signOuts;
    const answer = await this.#ask({ path: '/api/login/', json: { email, password } });
    const tokens = tokensOf(granted(answer));
    if (signOuts !== this.#signOuts) {
      await this.#endSession(tokens);
      throw signedOutError();
    }
    this.#turn += 1;
    await this.#adopt(tokens);
  }

  async signOut(): Promise<void> {
    if (this.snapshot.status === 'restoring') await this.#restoring;
    const [tokens, user] = [this.#tokens, this.#lastUser];
    this.#turn += 1;
    this.#signOuts += 1;
    this.#lastUser = null;
    this.#set(null, null);
    await Promise.all([
      this.#keeper.keep(KEY, undefined, true),
      user === null ? undefined : this.#keeper.forget(outboxPrefix(user)),
    ]);
    if (tokens) await this.#endSession(tokens);
  }

  /** Asks as the user, with a new token if need be. @throws ChatError */
  async request(request: HttpRequest): Promise<HttpAnswer> {
    if (this.snapshot.status === 'restoring') await this.#restoring;
    const { me } = this.snapshot;
    for (let isRetry = false; ; isRetry = true) {
      const { access } = this;
      // Another user may have signed in meanwhile, for whom this must not be done.
      if (access === null || this.snapshot.me !== me) throw signedOutError();
      const answer = await this.#ask({ ...request, access });
      if (answer.status !== 401 || isRetry) {
        granted(answer);
        return answer;
      }
      await this.refresh(access);
    }
  }

  /**
   * Gets a token in place of one that the server does not take any more; one at a time, for all tabs. Afterwards
   * {@link access} is another one, or null if the session has ended.
   * @throws ChatError if neither is known, since the server cannot be asked
   */
  async refresh(stale: string): Promise<void> {
    while (this.#tokens?.access === stale) {
      const underWay = this.#refreshing;
      if (underWay && underWay.stale !== stale) {
        await underWay.done.catch(() => {});
        continue;
      }
      this.#refreshing ??= { stale, done: this.#refreshOnce(stale) };
      return this.#refreshing.done;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelRetry();
    this.#stopWatching();
  }

  async #ask(request: HttpRequest): Promise<HttpAnswer> {
    if (this.#isClosed) throw closedError();
    return ask(this.#environment, this.#url, request);
  }

  async #endSession({ refresh }: Tokens): Promise<void> {
    await this.#ask({ path: '/api/logout/', json: { refresh } }).catch(() => {});
  }

  async #restore(attempt: number): Promise<void> {
    this.#cancelRetry();
    const turn = this.#turn;
    const kept = await this.#keeper.read(KEY).catch(unreadable);
    if (this.#isClosed || turn !== this.#turn || this.#tokens) return;
    if (!(kept instanceof ChatError)) return this.#follow(kept);
    if (this.snapshot.status === 'restoring') this.#set(null, kept);
    const pause = backoff(attempt, this.#environment.random());
    this.#cancelRetry();
    this.#cancelRetry = this.#environment.after(pause, () => void this.#restore(attempt + 1));
  }

  /** Does as another tab has done: signs in or out, or takes its newer tokens. */
  async #reconsider(): Promise<void> {
    const [turn, tokens] = [this.#turn, this.#tokens];
    if (this.snapshot.status === 'restoring' || !this.#keeper.has(KEY)) return;
    const kept = await this.#keeper.read(KEY).catch(unreadable);
    if (this.#isClosed || turn !== this.#turn || tokens !== this.#tokens || !this.#keeper.has(KEY)) return;
    // Whether the session has ended for this tab too, its own refresh tells.
    const isToldSoon = this.#refreshing !== null && isEnded(kept);
    if (!(kept instanceof ChatError) && !isToldSoon) this.#follow(kept);
  }

  /** Is as what is kept says. */
  #follow(kept: unknown): void {
    if (isTokens(kept)) {
      if (kept.access !== this.#tokens?.access && kept.access !== this.#dead) this.#set(kept, null);
    } else if (isEnded(kept)) {
      this.#lastUser = kept.ended;
      if (this.snapshot.problem?.code !== 'signed_out') this.#set(null, endedError());
    } else if (this.snapshot.status !== 'signed_out' || this.snapshot.problem) this.#set(null, null);
  }

  async #refreshOnce(stale: string): Promise<void> {
    try {
      await this.#keeper.exclusively('refresh', async () => this.#refresh(stale));
    } finally {
      this.#refreshing = null;
    }
  }

  async #refresh(stale: string): Promise<void> {
    const own = this.#tokens;
    if (own?.access !== stale) return;
    const before = await this.#kept(own);
    if (this.#tokens !== own) return;
    // What another tab keeps there is newer, and nothing there means that another tab has signed out.
    if (before !== own) return this.#follow(before);
    // Whoever closes the client now must not lose the new tokens: the old ones are used up.
    const answer = await ask(this.#steady, this.#url, { path: '/api/token/refresh/', json: { refresh: own.refresh } });
    if (this.#tokens !== own) return;
    // Another tab may have signed in or out meanwhile, or, without a common lock, have been faster.
    const after = await this.#kept(own);
    if (this.#tokens !== own) return;
    // One that was refused because this one came first takes the session for ended.
    const isOurs = after === own || (isEnded(after) && answer.status !== 401);
    if (!isOurs) return this.#follow(after);
    if (answer.status !== 401) return this.#adopt(tokensOf(granted(answer)));
    const { me } = this.snapshot;
    this.#dead = stale;
    if (me !== null) void this.#keeper.keepNow(KEY, { ended: me } satisfies Ended);
    this.#set(null, endedError());
  }

  /** What is kept; `own` itself if that is it, or is newer because it could not be kept, or if the storage fails. */
  async #kept(own: Tokens): Promise<unknown> {
    if (!this.#keeper.has(KEY)) return own;
    const kept = await this.#keeper.read(KEY).catch(() => own);
    return isTokens(kept) && kept.access === own.access ? own : kept;
  }

  async #adopt(tokens: Tokens): Promise<void> {
    const kept = this.#keeper.keep(KEY, tokens, true);
    this.#set(tokens, null);
    await kept;
  }

  #set(tokens: Tokens | null, problem: ChatError | null): void {
    this.#tokens = tokens;
    const me = tokens && userIdOf(tokens.access);
    this.#lastUser = me ?? this.#lastUser;
    const status = me === null ? 'signed_out' : 'signed_in';
    const { snapshot } = this;
    const isSame = snapshot.status === status && snapshot.me === me && snapshot.problem === problem;
    if (!isSame) this.snapshot = { status, me, problem };
    this.#onChange();
  }
}

function unreadable(error: unknown): ChatError {
  return new ChatError('storage', 'What this device keeps cannot be read.', { cause: error });
}

function endedError(): ChatError {
  return new ChatError('signed_out', 'The session has ended. Sign in again.');
}

/** @throws ChatError `server` */
function tokensOf(body: unknown): Tokens {
  const { access, refresh } = expected(body, isTokens);
  return { access, refresh };
}

function isTokens(value: unknown): value is Tokens {
  if (typeof value !== 'object' || value === null) return false;
  const { access, refresh } = value as Partial<Record<keyof Tokens, unknown>>;
  return typeof access === 'string' && typeof refresh === 'string' && userIdOf(access) !== null;
}

function isEnded(value: unknown): value is Ended {
  return typeof (value as Partial<Ended> | null | undefined)?.ended === 'string';
}

/** Whom an access token is for. The server checks it; here it only tells whose things are kept where. */
function userIdOf(access: string): string | null {
  try {
    const payload = atob((access.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/'));
    const { user_id } = JSON.parse(payload) as { user_id?: unknown };
    return typeof user_id === 'string' ? user_id : null;
  } catch {
    return null;
  }
}
