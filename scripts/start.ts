// `npm start`: serves the chat on this machine. It makes what a fresh clone lacks (.dev.vars, the database's tables), then
// runs `wrangler dev` in the foreground. Options after `--` go to wrangler:
//
//   npm start -- --port 8080 --persist-to /tmp/chat
//
// A plain `npx wrangler dev` works too once this has run.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endWithParent } from './end-with-parent.ts';
import { isInstalled, root, wrangler } from './wrangler.ts';

const devVarsPath = join(root, '.dev.vars');

/** wrangler's own default. Always named, because wrangler would move on to another port if this one is taken. */
const DEFAULT_PORT = '8787';

const nodeArgs = ['--import', endWithParent];
// The `request.cf` of a real request is not needed; without this, wrangler fetches one.
const env = { CLOUDFLARE_CF_FETCH_ENABLED: 'false' };

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

const passedOn = process.argv.slice(2);
const { values: options } = parseArgs({
  args: passedOn,
  strict: false,
  allowPositionals: true,
  options: {
    port: { type: 'string' },
    ip: { type: 'string' },
    'persist-to': { type: 'string' },
    config: { type: 'string', short: 'c' },
    env: { type: 'string', short: 'e' },
    help: { type: 'boolean', short: 'h' },
  },
});

if (!isInstalled()) fail('The packages are not installed. Run `npm ci`, then `npm start` again.');

if (options.help) process.exit((await wrangler(['dev', '--help'], { show: true })).code);

const port = options.port ?? DEFAULT_PORT;
if (typeof port !== 'string' || !/^\d{1,5}$/.test(port)) fail('--port must be a number; 0 takes any free port.');
await checkPort(Number(port), typeof options.ip === 'string' && options.ip !== '*' ? options.ip : 'localhost');

createDevVars();

// What tells wrangler which database to use goes to both commands.
const databaseArgs = (['persist-to', 'config', 'env'] as const).flatMap((name) => {
  const value = options[name];
  return typeof value === 'string' ? [`--${name}`, value] : [];
});
const migrations = await wrangler(
  ['d1', 'migrations', 'apply', 'DB', '--local', ...databaseArgs],
  // On a terminal wrangler asks before it migrates, unless CI is set.
  { env: { ...env, CI: '1' }, nodeArgs },
);
if (migrations.code !== 0) {
  console.error(migrations.output);
  fail(
    `The local database could not be migrated (see above). To start over with an empty one, delete ${options['persist-to'] ?? '.wrangler/state'} and run \`npm start\` again.`,
  );
}

const portArgs = options.port === undefined ? ['--port', DEFAULT_PORT] : [];
process.exitCode = (await wrangler(['dev', ...portArgs, ...passedOn], { env, nodeArgs, show: true })).code;

/** Gives this machine its own signing secret, once: another one would sign everybody out. */
function createDevVars(): void {
  const lines = [
    '# Made by `npm start`, for this machine only: git ignores it. Delete it to get a new secret.',
    'ENVIRONMENT="development"',
    `JWT_SECRET="dev_${randomBytes(48).toString('base64url')}"`,
    'JWT_SECRET_PREVIOUS=""',
  ];
  try {
    writeFileSync(devVarsPath, `${lines.join('\n')}\n`, { flag: 'wx', mode: 0o600 });
    console.log('Created .dev.vars with a random secret for local development.');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    fail(`.dev.vars could not be written: ${(error as Error).message}`);
  }
}

/** Stops early, before the database is touched, if another server has the port. wrangler checks again. */
async function checkPort(wanted: number, host: string): Promise<void> {
  if (wanted === 0) return;
  const probe = createServer().listen({ port: wanted, host });
  try {
    await once(probe, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') return;
    fail(
      `Port ${wanted} is taken, perhaps by another \`npm start\`. Stop that one, or choose another port: npm start -- --port ${wanted + 1}`,
    );
  } finally {
    probe.close();
  }
}
