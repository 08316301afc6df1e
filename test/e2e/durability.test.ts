import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { startServer, type Server } from '../helpers/node/wrangler-dev.ts';
import { chat, historyPages, login, message, register, socketUrl, type Person } from '../helpers/node/people.ts';
import { ChatSocket } from '../helpers/node/socket.ts';

const persistTo = mkdtempSync(join(tmpdir(), 'edge-chat-state-'));
afterAll(() => rmSync(persistTo, { recursive: true, force: true }));

/** How many echoes the sender sees before the server is killed, in each life of the server. */
const KILL_AFTER = [1, 40, 333];
/** Sent at once in each life, so that the kill finds messages in every stage. */
const BURST = 1000;

test('a message whose echo was seen survives kill -9 of the whole server, once and in order', async () => {
  const seen: { sender: string[]; recipient: string[] } = { sender: [], recipient: [] };
  let server: Server = await startServer({ persistTo });
  const [ana, ben] = [await register(server, 'Ana'), await register(server, 'Ben')];

  for (const [life, killAfter] of KILL_AFTER.entries()) {
    const [sender, recipient] = [await open(server, ana, ben), await open(server, ben, ana)];
    for (let i = 0; i < BURST; i += 1) sender.send(message(`${life}/${i}`, ben.id));
    await sender.take(killAfter);
    await server.kill();
    await Promise.all([sender.closed, recipient.closed]);
    seen.sender.push(...texts(sender));
    seen.recipient.push(...texts(recipient));
    server = await startServer({ persistTo });
  }

  const stored = (await historyPages(server, await login(server, ana.email), ben)).flat().toReversed();
  await server.stop();
  expect(seen.sender.length).toBeGreaterThanOrEqual(KILL_AFTER.reduce((sum, count) => sum + count));
  expect(new Set(stored).size, 'stored twice').toBe(stored.length);
  expect(stored, 'not in the order in which it was sent').toEqual(stored.toSorted(bySending));
  expect(stored, 'an echo was seen of what is not stored').toEqual(expect.arrayContaining(seen.sender));
  expect(stored, 'the recipient saw what is not stored').toEqual(expect.arrayContaining(seen.recipient));
});

async function open(server: Server, person: Person, peer: Person): Promise<ChatSocket> {
  const { access } = await login(server, person.email);
  return ChatSocket.open(socketUrl(server, await chat(server, { ...person, access }, peer), access));
}

function texts(socket: ChatSocket): string[] {
  return socket.frames.map((frame) => String(JSON.parse(frame).message));
}

function bySending(a: string, b: string): number {
  const [lifeA = 0, indexA = 0] = a.split('/').map(Number);
  const [lifeB = 0, indexB = 0] = b.split('/').map(Number);
  return lifeA - lifeB || indexA - indexB;
}
