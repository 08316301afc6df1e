import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run, startServer, type Server } from '../helpers/node/wrangler-dev.ts';

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');

let server: Server;
beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server.stop();
});

/** The first block of shell commands under a heading, for a server that does not have the usual port to itself. */
function commandsUnder(heading: string): string {
  const [, section = ''] = readme.split(`\n## ${heading}\n`);
  const commands = /```bash\n(.*?)```/s.exec(section)?.[1];
  if (commands === undefined) throw new Error(`README.md has no commands under "${heading}"`);
  return commands.replaceAll('8787', String(server.port)).replaceAll('/tmp/', `${server.project}/`);
}

async function paste(commands: string): Promise<string> {
  const shell = run('bash', ['-c', commands], { folder: server.project });
  const code = await shell.exited;
  if (code !== 0) throw new Error(`The shell ended with ${code}:\n${shell.output()}`);
  return shell.output();
}

test('the tour works when pasted, and when pasted again', async () => {
  const tour = commandsUnder('Tour');
  const first = await paste(tour);
  expect(first.match(/"success":true,"msg":"User account created successfully\."/g)).toHaveLength(2);
  expect(first).toMatch(
    /Ana is told \{"type":"ok","ref":"tour-1","n":1,"rev":\d+,"id":"[0-9a-f-]{36}","created_at":\d+\}/,
  );
  expect(first).toMatch(/Ben sees \[[^\]]*text: 'Hello Ben'/);
  expect(first.match(/"text":"Hello Ben"/g)).toHaveLength(1);

  const second = await paste(tour);
  expect(second).toContain('user account with this email already exists.');
  expect(second).toMatch(/Ana is told .*"duplicate":true\}/);
  expect(second.match(/"text":"Hello Ben"/g)).toHaveLength(1);
});
