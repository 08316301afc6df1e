import { decodeJwt } from 'jose';
import { onTestFinished } from 'vitest';
import { ChatSocket } from './socket.ts';

/** A page that may open sockets: the original's clients had to name one. */
export const PAGE = { Origin: 'http://localhost:8000' };

/** Of everybody. */
export const PASSWORD = 'password321';

/** Where a server answers. */
type Server = { readonly url: string };
/** The tokens of a login. */
export type Pair = { readonly refresh: string; readonly access: string };
export type Person = Pair & { readonly email: string; readonly id: string };
type Page = { data: { id: string; messages: { text: string }[]; next?: string } };

/** Registers someone and logs them in. */
export async function register(server: Server, first_name: string): Promise<Person> {
  const email = `${first_name}.sockets@gmail.com`;
  const person = { first_name, last_name: 'Doe', email, password: PASSWORD, confirm_password: PASSWORD };
  await json(server, '/api/register/', { body: person });
  return login(server, email);
}

/** Logs someone in once more, which starts another session. */
export async function login(server: Server, email: string): Promise<Person> {
  const pair = await json<Pair>(server, '/api/login/', { body: { email, password: PASSWORD } });
  return { ...pair, email, id: String(decodeJwt(pair.access)['user_id']) };
}

/** Ends the session of someone's tokens. */
export async function logout(server: Server, { refresh }: Pair): Promise<void> {
  await json(server, '/api/logout/', { body: { refresh } });
}

/** The id of a conversation, which is made if there is none. */
export async function chat(server: Server, caller: Person, peer: Person): Promise<string> {
  const page = await json<Page>(server, `/api/users/${peer.id}/chat/`, { token: caller.access });
  return page.data.id;
}

/** Every page of the history that someone has with someone else: texts, newest first. */
export async function historyPages(server: Server, caller: Person, peer: Person): Promise<string[][]> {
  const pages: string[][] = [];
  let path: string | undefined = `/api/users/${peer.id}/chat/`;
  while (path !== undefined) {
    const { data }: Page = await json<Page>(server, path, { token: caller.access });
    pages.push(data.messages.map(({ text }) => text));
    path = data.next;
  }
  return pages;
}

/** Where a socket is opened. */
export function socketUrl(server: Server, conversation: string, token: string): string {
  return `${server.url.replace(/^http/, 'ws')}/ws/chat/${conversation}/?token=${token}`;
}

/** Opens a plain socket, as the original's clients did. It is closed when the test is over. */
export async function enter(server: Server, conversation: string, access: string): Promise<ChatSocket> {
  const socket = await ChatSocket.open(socketUrl(server, conversation, access), { headers: PAGE });
  onTestFinished(async () => {
    await socket.close();
  });
  return socket;
}

/** A frame with a message. */
export const message = (text: unknown, recipient: unknown): string =>
  JSON.stringify({ message: text, recipient_id: recipient });

async function json<T>(server: Server, path: string, { body, token }: { body?: unknown; token?: string }): Promise<T> {
  const response = await fetch(new URL(path, server.url), {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      'Content-Type': 'application/json',
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}
