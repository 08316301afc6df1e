/** What the client uses of a WebSocket. That of browsers, Node and Workers will do. */
export interface Socket {
  send(frame: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'open' | 'error', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: 'close', listener: (event: { readonly code: number; readonly reason: string }) => void): void;
}

/** What the client takes from its runtime. */
export interface Environment {
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Opens a WebSocket. */
  openSocket(url: string, protocols: string[]): Socket;
  /** Calls `work` once, after so many milliseconds. @returns takes that back */
  after(milliseconds: number, work: () => void): () => void;
  /** Milliseconds since some moment, which never go back. */
  elapsed(): number;
  /** Milliseconds since 1970, by a clock that may be wrong: only to be shown. */
  now(): number;
  /** From 0 to 1, exclusively. */
  random(): number;
  /** Calls `work` when the page is looked at again or the network returns. @returns takes that back */
  onWake(work: () => void): () => void;
}

/** What browsers, Node and Workers have. */
export const runtime: Environment = {
  fetch: async (url, init) => fetch(url, init),
  openSocket: (url, protocols) => new WebSocket(url, protocols),
  after: (milliseconds, work) => {
    const timer = setTimeout(work, milliseconds);
    return () => clearTimeout(timer);
  },
  elapsed: () => performance.now(),
  now: () => Date.now(),
  random: () => Math.random(),
  onWake: (work) => {
    const { document, addEventListener, removeEventListener } = globalThis as Partial<PageGlobals>;
    if (!document || !addEventListener || !removeEventListener) return () => {};
    const whenVisible = () => {
      if (document.visibilityState === 'visible') work();
    };
    document.addEventListener('visibilitychange', whenVisible);
    addEventListener('online', work);
    addEventListener('pageshow', work);
    return () => {
      document.removeEventListener('visibilitychange', whenVisible);
      removeEventListener('online', work);
      removeEventListener('pageshow', work);
    };
  },
};

type Listening = (type: string, listener: () => void) => void;
/** What a page has and other runtimes lack. */
type PageGlobals = {
  document: { visibilityState: string; addEventListener: Listening; removeEventListener: Listening };
  addEventListener: Listening;
  removeEventListener: Listening;
};
