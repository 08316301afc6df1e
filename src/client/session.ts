import { backoff } from './backoff.ts';
import { ChatError } from './error.ts';
import type { Environment } from './environment.ts';
import { ask, granted, type HttpRequest } from './http.ts';
import type { Keeper } from './keeper.ts';
import { outboxPrefix } from './outbox.ts';
import type { ChatSnapshot, Credentials, NewAccount } from './types.ts';

type Tokens = { readonly access: string; readonly refresh: string };

const KEY = 'session';

/** Who is signed in, and the tokens that prove it. Whether a token is still good only the server says. */
export class Session {
  readonly #url: string;
  readonly #environment: Environment;
  readonly #keeper: Keeper;
  readonly #onChange: () => void;
  #tokens: Tokens | null = null;
  #refreshing: Promise<void> | null = null;
  #cancelRetry = () => {};
  #isClosed = false;
  snapshot: ChatSnapshot = { status: 'restoring', me: null, problem: null };

  /** @param onChange is called when somebody was signed in or out, by whatever tab */
  constructor(url: string, environment: Environment, keeper: Keeper, onChange: () => void) {
    this.#url = url;
    this.#environment = environment;
    this.#keeper = keeper;
    this.#onChange = onChange;
  }

  /** The token to be used now; null unless somebody is signed in. */
  get access(): string | null {
    return this.#tokens?.access ?? null;
  }

  /** Takes up the session that is kept, if there is one. Tries until the storage says whether there is. */
  async restore(attempt = 0): Promise<void> {
    this.#cancelRetry();
    let kept: unknown;
    try {
      kept = await this.#keeper.read(KEY);
    } catch {
      if (this.#tokens || this.#isClosed) return;
      const pause = backoff(attempt, this.#environment.random());
      this.#cancelRetry = this.#environment.after(pause, () => void this.restore(attempt + 1));
      this.#set(null, null);
      return;
    }
    if (!this.#tokens && !this.#isClosed) this.#set(kept as Tokens | null | undefined, this.snapshot.problem);
  }

  async signUp(account: NewAccount): Promise<void> {
    const json = { ...account, confirm_password: account.password };
    granted(await ask(this.#environment, this.#url, { path: '/api/register/', json }));
  }

  async signIn({ email, password }: Credentials): Promise<void> {
    const json = { email, password };
    const tokens = granted(await ask(this.#environment, this.#url, { path: '/api/login/', json })) as Tokens;
    await this.#adopt({ access: tokens.access, refresh: tokens.refresh });
  }

  async signOut(): Promise<void> {
    const [tokens, { me }] = [this.#tokens, this.snapshot];
    this.#set(null, null);
    const forgotten = [this.#keeper.keep(KEY, undefined)];
    if (me !== null) {
      const kept = await this.#keeper.readAll(outboxPrefix(me)).catch(() => []);
      forgotten.push(...kept.map(([key]) => this.#keeper.keep(key, undefined)));
    }
    await Promise.all(forgotten);
    if (!tokens) return;
    const json = { refresh: tokens.refresh };
    await ask(this.#environment, this.#url, { path: '/api/logout/', json }).catch(() => {});
  }

  /** Asks as the user, with a new token if need be. @throws ChatError */
  async request(request: HttpRequest): Promise<ReturnType<typeof ask>> {
    for (let isRetry = false; ; isRetry = true) {
      const { access } = this;
      if (access === null) throw new ChatError('signed_out', 'Nobody is signed in.');
      const answer = await ask(this.#environment, this.#url, { ...request, access });
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
  }

  async #refresh(stale: string): Promise<void> {
    const own = this.#tokens;
    if (own?.access !== stale) return;
    // What is kept is newer than what is here if another tab was faster; older, if it could not be kept.
    const kept = this.#keeper.has(KEY) ? await this.#kept(own) : own;
    if (kept?.access !== stale) {
      this.#set(kept, null);
      return;
    }
    const json = { refresh: kept.refresh };
    const answer = await ask(this.#environment, this.#url, { path: '/api/token/refresh/', json });
    if (this.#tokens?.access !== stale) return;
    if (answer.status === 401) {
      void this.#keeper.keep(KEY, undefined);
      this.#set(null, new ChatError('signed_out', 'The session has ended. Sign in again.'));
      return;
    }
    const tokens = granted(answer) as Tokens;
    await this.#adopt({ access: tokens.access, refresh: tokens.refresh });
  }

  /** What is kept, or what is here if the storage fails. */
  async #kept(own: Tokens): Promise<Tokens | undefined> {
    try {
      return (await this.#keeper.read(KEY)) as Tokens | undefined;
    } catch {
      return own;
    }
  }

  async #adopt(tokens: Tokens): Promise<void> {
    const kept = this.#keeper.keep(KEY, tokens);
    this.#set(tokens, null);
    await kept;
  }

  #set(tokens: Tokens | null | undefined, problem: ChatError | null): void {
    this.#tokens = tokens ?? null;
    const me = this.#tokens && userIdOf(this.#tokens.access);
    if (me === null) this.#tokens = null;
    const status = me === null ? 'signed_out' : 'signed_in';
    const { snapshot } = this;
    const isSame = snapshot.status === status && snapshot.me === me && snapshot.problem === problem;
    if (!isSame) this.snapshot = { status, me, problem };
    this.#onChange();
  }
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
