import type { MessageRow } from '../../src/protocol/rows.ts';
import type { ServerFrameOf } from '../../src/protocol/server-frames.ts';
import { openChat, type Asked, type ChatSocket } from './chat-socket.ts';
import { pairInConversation, signIn, type Person } from './people.ts';

/** john and ray, with a chat.v1 socket each, which have been told of each other. */
export async function chatPair() {
  const pair = await pairInConversation();
  const johns = await openChat(pair.conversationId, pair.john.access);
  const rays = await openChat(pair.conversationId, pair.ray.access);
  await johns.next('presence', ({ user_id }) => user_id === pair.ray.id);
  return { ...pair, johns, rays };
}

/** The same user, signed in anew: what they had before has expired when the clock has moved on. */
export async function signedInAgain(person: Person): Promise<Person> {
  return { ...person, ...(await signIn(person.id)) };
}

/** The live `changes` that follow, up to the one that tells of `rev`. */
export async function changesUpTo(socket: ChatSocket, rev: number): Promise<ServerFrameOf<'changes'>[]> {
  const frames: ServerFrameOf<'changes'>[] = [];
  while ((frames.at(-1)?.rev ?? 0) < rev) frames.push(await socket.next('changes', ({ ref }) => ref === undefined));
  return frames;
}

/** Resolves when the server has handled what a socket sent before, by a frame that asks for nothing and costs little. */
export async function handled(socket: ChatSocket): Promise<void> {
  const ref = crypto.randomUUID();
  socket.sendRaw(JSON.stringify({ type: 'nonsense', ref }));
  await socket.answer(ref);
}

/** A page of history. */
export async function pageOf(
  socket: ChatSocket,
  range: Omit<Extract<Asked, { type: 'history' }>, 'type'> = {},
): Promise<ServerFrameOf<'page'>> {
  const answer = await socket.ask({ type: 'history', ...range });
  if (answer.type !== 'page') throw new Error(`Not a page, but: ${JSON.stringify(answer)}`);
  return answer;
}

/** A message as history shows it now. */
export async function messageRow(socket: ChatSocket, n: number): Promise<MessageRow> {
  const [row] = (await pageOf(socket, { around: n, limit: 1 })).messages;
  if (row?.n !== n) throw new Error(`There is no message ${n}.`);
  return row;
}

/** What is wrong: the whole `error` that a frame is answered. */
export async function errorOf(socket: ChatSocket, frame: Asked): Promise<ServerFrameOf<'error'>> {
  const answer = await socket.ask(frame);
  if (answer.type !== 'error') throw new Error(`Not an error, but: ${JSON.stringify(answer)}`);
  return answer;
}
