import { api, type ApiAnswer, type ApiInit } from './api.ts';

type Keyed = ApiInit & {
  /** Sent as `Idempotency-Key`. */
  key?: string | undefined;
};

/** Someone who has no socket in a conversation and asks over HTTP. */
export class Caller {
  readonly #path: string;
  readonly #token: string | undefined;

  constructor(conversationId: string, person: { access: string } | undefined) {
    this.#path = `/api/conversations/${conversationId}/`;
    this.#token = person?.access;
  }

  /** Asks for a path below the conversation's. */
  async ask(path: string, { key, headers, ...init }: Keyed = {}): Promise<ApiAnswer> {
    return api(this.#path + path, {
      ...init,
      ...(this.#token !== undefined && { token: this.#token }),
      headers: { ...headers, ...(key !== undefined && { 'Idempotency-Key': key }) },
    });
  }

  async messages(query = ''): Promise<ApiAnswer> {
    return this.ask(`messages/${query}`);
  }

  async changes(query = ''): Promise<ApiAnswer> {
    return this.ask(`changes/${query}`);
  }

  async send(text: unknown, key?: string, more: object = {}): Promise<ApiAnswer> {
    return this.ask('messages/', { key, json: { text, ...more } });
  }

  /** Sends a message, and expects that it is new. */
  async say(text: string, key?: string): Promise<{ n: number; rev: number; id: string; created_at: number }> {
    const { status, body } = await this.send(text, key);
    if (status !== 201) throw new Error(`Not a new message: ${status} ${JSON.stringify(body)}`);
    return body;
  }

  async edit(n: number | string, text: unknown, key?: string): Promise<ApiAnswer> {
    return this.ask(`messages/${n}/`, { method: 'PATCH', key, json: { text } });
  }

  async remove(n: number | string, key?: string): Promise<ApiAnswer> {
    return this.ask(`messages/${n}/`, { method: 'DELETE', key });
  }

  /** @param emoji is percent-encoded on its way */
  async react(n: number | string, emoji: string, key?: string): Promise<ApiAnswer> {
    return this.ask(`messages/${n}/reactions/${encodeURIComponent(emoji)}/`, { method: 'PUT', key });
  }

  async unreact(n: number | string, emoji: string, key?: string): Promise<ApiAnswer> {
    return this.ask(`messages/${n}/reactions/${encodeURIComponent(emoji)}/`, { method: 'DELETE', key });
  }

  async mark(marks: unknown): Promise<ApiAnswer> {
    return this.ask('marks/', { method: 'PATCH', json: marks });
  }
}

/** The path to which `Link: rel="next"` of an answer leads; undefined if it has none. */
export function nextOf({ headers }: ApiAnswer): string | undefined {
  return /^<([^>]+)>; rel="next"$/.exec(headers.get('Link') ?? '')?.[1];
}
