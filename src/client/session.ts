import { backoff } from './backoff.ts';
import { ChatError, closedError, signedOutError } from './error.ts';
import type { Environment } from './environment.ts';
import { ask, expected, granted, type HttpAnswer, type HttpRequest } from './http.ts';
import type { Keeper } from './keeper.ts';
import { outboxPrefix } from './outbox.ts';
import type { ChatSnapshot, Credentials, NewAccount } from './types.ts';

type Tokens = { readonly access: string; readonly refresh: string };

const KEY = 'session';
/** What is kept in place of tokens when the session has ended, so that other tabs do not take it for a sign-out. */
const ENDED = 'ended';

/** Who is signed in, and the tokens that prove it. Whether a token is still good only the server says. */
export class Session {
  readonly #url: string;
  readonly #environment: Environment;
  readonly #keeper: Keeper;
  readonly #onChange: () => void;
  #tokens: Tokens | null = null;
  /** Who was signed in last: what is theirs may still be on this device. */
  #lastUser: string | null = null;
  /** Raised by each sign-in and sign-out: what was begun before must not undo it. */
  #turn = 0;
  #refreshing: Promise<void> | null = null;
  #restoring: Promise<void> | null = null;
  #cancelRetry = () => {};
  readonly #stopWatching: () => void;
  #isClosed = false;
  snapshot: ChatSnapshot = { status: 'restoring', me: null, problem: null };

  /** @param onChange is called when somebody was signed in or out, by whatever tab */
  constructor(url: string, environment: Environment, keeper: Keeper, onChange: () => void) {
    this.#url = url;
    this.#environment = environment;
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
    const answer = await this.#ask({ path: '/api/login/', json: { email, password } });
    const tokens = tokensOf(granted(answer));
    this.#turn += 1;
    await this.#adopt(tokens);
  }

  async signOut(): Promise<void> {
    if (this.snapshot.status === 'restoring') await this.#restoring;
    const [tokens, user] = [this.#tokens, this.#lastUser];
    this.#turn += 1;
    this.#lastUser = null;
    this.#set(null, null);
    await Promise.all([
      this.#keeper.keep(KEY, undefined, true),
      user === null ? undefined : this.#keeper.forget(outboxPrefix(user)),
    ]);
    if (!tokens) return;
    await this.#ask({ path: '/api/logout/', json: { refresh: tokens.refresh } }).catch(() => {});
  }

  /** Asks as the user, with a new token if need be. @throws ChatError */
  async request(request: HttpRequest): Promise<HttpAnswer> {
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
    if (this.#tokens?.access !== stale) return;
    this.#refreshing ??= this.#keeper
      .exclusively('refresh', () => this.#refresh(stale))
      .finally(() => (this.#refreshing = null));
    await this.#refreshing;
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

  async #restore(attempt: number): Promise<void> {
    this.#cancelRetry();
    const turn = this.#turn;
    let kept: unknown;
    let problem: ChatError | null = null;
    try {
      kept = await this.#keeper.read(KEY);
    } catch (error) {
      problem = new ChatError('storage', 'What this device keeps cannot be read.', { cause: error });
    }
    if (this.#isClosed || turn !== this.#turn || this.#tokens) return;
    if (isTokens(kept)) return this.#set(kept, null);
    if (kept === ENDED) return this.#set(null, endedError());
    if (this.snapshot.status === 'restoring' || (!problem && this.snapshot.problem?.code === 'storage')) {
      this.#set(null, problem);
    }
    if (!problem) return;
    const pause = backoff(attempt, this.#environment.random());
    this.#cancelRetry = this.#environment.after(pause, () => void this.#restore(attempt + 1));
  }

  /** Does as another tab has done: signs in or out, or takes its newer tokens. */
  async #reconsider(): Promise<void> {
    const turn = this.#turn;
    if (this.snapshot.status === 'restoring' || !this.#keeper.has(KEY)) return;
    const kept = await this.#keeper.read(KEY).catch(() => this.#tokens);
    if (this.#isClosed || turn !== this.#turn || !this.#keeper.has(KEY)) return;
    if (isTokens(kept)) {
      if (kept.access !== this.#tokens?.access) this.#set(kept, null);
    } else if (this.#tokens) this.#set(null, kept === ENDED ? endedError() : null);
  }

  async #refresh(stale: string): Promise<void> {
    const own = this.#tokens;
    if (own?.access !== stale) return;
    const turn = this.#turn;
    const kept = await this.#kept(own);
    if (turn !== this.#turn) return;
    // What another tab keeps there is newer, and nothing there means that another tab has signed out.
    if (kept === ENDED) return this.#set(null, endedError());
    if (kept?.access !== stale) return this.#set(kept, null);
    const answer = await this.#ask({ path: '/api/token/refresh/', json: { refresh: kept.refresh } });
    if (turn !== this.#turn) return;
    if (answer.status !== 401) return this.#adopt(tokensOf(granted(answer)));
    // Without a common lock another tab may have been faster. Its tokens must stay.
    const newer = await this.#kept(own);
    if (turn !== this.#turn) return;
    if (isTokens(newer) && newer.access !== stale) return this.#set(newer, null);
    if (newer === own || isTokens(newer)) void this.#keeper.keepNow(KEY, ENDED);
    this.#set(null, endedError());
  }

  /** What is kept; what is here, if it is newer because it could not be kept, or if the storage fails. */
  async #kept(own: Tokens): Promise<Tokens | typeof ENDED | null> {
    if (!this.#keeper.has(KEY)) return own;
    try {
      const kept = await this.#keeper.read(KEY);
      return isTokens(kept) || kept === ENDED ? kept : null;
    } catch {
      return own;
    }
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
