import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createChat, type Conversation } from '../../src/client/index.ts';
import { PASSWORD, register, type Person } from '../helpers/node/people.ts';
import { run, startServer, type Server } from '../helpers/node/wrangler-dev.ts';

let server: Server;
beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server.stop();
});

/** The program under "A bot". */
function botOf(document: string): string {
  const program = /\n## A bot\n.*?```js\n(.*?)```/s.exec(document)?.[1];
  if (program === undefined) throw new Error('docs/client.md has no program under "A bot"');
  return program;
}

function start(bot: Person, peer: Person) {
  return run(process.execPath, ['echo-bot.mjs'], {
    folder: server.project,
    env: { CHAT_URL: server.url, EMAIL: bot.email, PASSWORD, PEER_ID: peer.id },
  });
}

/** Resolves when a conversation shows so many messages. */
async function shows(conversation: Conversation, count: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const look = () => {
      if (conversation.snapshot().messages.length >= count) resolve();
    };
    conversation.subscribe(look);
    look();
  });
}

test('the bot of docs/client.md answers every message once, also after it was killed', async () => {
  const build = run('npm', ['run', 'build:client'], { folder: server.project });
  if ((await build.exited) !== 0) throw new Error(build.output());
  writeFileSync(
    join(server.project, 'echo-bot.mjs'),
    botOf(readFileSync(join(import.meta.dirname, '../../docs/client.md'), 'utf8')),
  );
  const [bot, ana] = [await register(server, 'bot'), await register(server, 'ana')];
  const chat = createChat({ url: server.url });
  await chat.signIn({ email: ana.email, password: PASSWORD });
  const conversation = await chat.conversationWith(bot.id);

  const first = start(bot, ana);
  await conversation.send('one');
  await shows(conversation, 2);
  await first.kill();
  for (const text of ['two', 'three']) await conversation.send(text);

  const second = start(bot, ana);
  await shows(conversation, 6);
  await conversation.send('four');
  await shows(conversation, 8);
  await second.kill();
  expect(second.output()).toBe('');
  expect(conversation.snapshot().messages.map(({ text, reply_to }) => [text, reply_to])).toEqual([
    ['one', null],
    ['You said: one', 1],
    ['two', null],
    ['three', null],
    ['You said: two', 3],
    ['You said: three', 4],
    ['four', null],
    ['You said: four', 7],
  ]);
  chat.close();
});
