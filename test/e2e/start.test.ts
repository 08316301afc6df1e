import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  copyProject,
  freePort,
  inspectorArgs,
  ready,
  run,
  type Running,
  start,
  writeVars,
} from '../helpers/node/wrangler-dev.ts';

const WRANGLER = 'node_modules/wrangler/bin/wrangler.js';

let project: string;
let running: Running | undefined;

/** Remembers what runs, so that it ends with its test. */
function started(command: Running): Running {
  running = command;
  return command;
}

afterEach(() => running?.kill());

/** Removes the project once nothing writes to it any more: the hooks of a group run before those of the file. */
async function removeProject(): Promise<void> {
  await running?.kill();
  rmSync(project, { recursive: true });
}

const post = async (url: string, body: object) =>
  (await fetch(url, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }))
    .status;
const credentials = { email: 'ada@example.com', password: 'correct-horse-9' };
const register = (url: string) =>
  post(`${url}/api/register/`, {
    first_name: 'Ada',
    last_name: 'Lovelace',
    ...credentials,
    confirm_password: credentials.password,
  });
const logIn = (url: string) => post(`${url}/api/login/`, credentials);
const health = async (url: string) => (await fetch(`${url}/api/health/`)).status;

// Each test goes on from where the one before it stopped, as somebody does who has just cloned the project.
describe('npm start on a fresh clone', () => {
  let devVars: string;

  beforeAll(() => {
    project = copyProject();
  });
  afterAll(() => rmSync(project, { recursive: true }));

  it('makes .dev.vars, serves the API and asks nothing on a terminal', async () => {
    const port = await freePort();
    const command = `npm start -- --port ${port} ${inspectorArgs.join(' ')}`;
    const server = started(run('script', ['-qec', command, '/dev/null'], { folder: project }));
    const url = await ready(server);
    expect(url).toBe(`http://localhost:${port}`);
    expect(await health(url)).toBe(200);
    expect(await register(url)).toBe(201);
    // wrangler's own keys, which it offers only on a terminal.
    expect(server.output()).toContain('to exit');
    expect(server.output()).not.toMatch(/\(y\/n\)|fallback value|›/i);
    devVars = readFileSync(join(project, '.dev.vars'), 'utf8');
    expect(devVars).toMatch(
      /^# .*\nENVIRONMENT="development"\nJWT_SECRET="dev_[A-Za-z0-9_-]{64}"\nJWT_SECRET_PREVIOUS=""\n$/,
    );
    expect(statSync(join(project, '.dev.vars')).mode & 0o777).toBe(0o600);
    await server.stop();
  });

  it('keeps .dev.vars and the data when it starts again, and ends when npm is ended', async () => {
    const server = started(run('npm', ['start', '--', '--port', '0', ...inspectorArgs], { folder: project }));
    const url = await ready(server);
    expect(readFileSync(join(project, '.dev.vars'), 'utf8')).toBe(devVars);
    expect(await logIn(url)).toBe(200);
    await server.stop();
  });

  it('leaves a project in which a plain `wrangler dev` works', async () => {
    const args = [WRANGLER, 'dev', '--port', '0', ...inspectorArgs];
    const url = await ready(started(run(process.execPath, args, { folder: project })));
    expect(await health(url)).toBe(200);
    expect(await logIn(url)).toBe(200);
  });
});

describe('npm start', () => {
  beforeEach(() => {
    project = copyProject();
  });
  afterEach(removeProject);

  it('passes --persist-to=DIR and --config on to the migrations and the server', async () => {
    const config = readFileSync(join(project, 'wrangler.toml'), 'utf8');
    writeFileSync(join(project, 'other.toml'), config.replace(/^database_id = .*$/m, 'database_id = "other"'));
    const options = ['--port=0', '--persist-to=elsewhere', '--config', 'other.toml'];
    const url = await ready(started(start(project, options)));
    expect(await register(url)).toBe(201);
    expect(existsSync(join(project, 'elsewhere/v3/d1'))).toBe(true);
    expect(existsSync(join(project, '.wrangler/state'))).toBe(false);
  });

  it("exits with wrangler's code when it is ended, and leaves nothing behind", async () => {
    const server = started(start(project, ['--port', '0']));
    await ready(server);
    await server.stop();
    expect(await server.exited).toBe(128 + 15);
  });

  it('takes the server with it when it is killed', async () => {
    const server = started(start(project, ['--port', '0']));
    await ready(server);
    process.kill(server.pid, 'SIGKILL');
    // Rejects if a process of the server remains.
    expect(await server.exited).toBe(null);
  });

  it('says that the port is taken, before it touches anything', async () => {
    const other = createServer().listen(0, 'localhost');
    await once(other, 'listening');
    try {
      const { port } = other.address() as AddressInfo;
      const server = started(start(project, ['--port', String(port)]));
      expect(await server.exited).toBe(1);
      expect(server.output()).toContain(`Port ${port} is taken`);
      expect(server.output()).toContain(`npm start -- --port ${port + 1}`);
      expect(existsSync(join(project, '.wrangler/state'))).toBe(false);
    } finally {
      other.close();
    }
  });

  it('refuses a port that is none', async () => {
    const server = started(start(project, ['--port', 'http']));
    expect(await server.exited).toBe(1);
    expect(server.output()).toContain('--port must be a number');
  });

  it('shows why a migration failed and how to start over, and does not serve', async () => {
    writeFileSync(join(project, 'migrations/9999_broken.sql'), 'CREATE NONSENSE;');
    const server = started(start(project, ['--port', '0']));
    expect(await server.exited).toBe(1);
    expect(server.output()).toMatch(/near "NONSENSE"[^]*could not be migrated[^]*delete \.wrangler\/state/);
    expect(server.output()).not.toContain('Ready on');
  });

  it('says so when the packages are not installed', async () => {
    unlinkSync(join(project, 'node_modules'));
    const server = started(start(project, []));
    expect(await server.exited).toBe(1);
    expect(server.output()).toContain('Run `npm ci`');
  });
});

/** Serves with the variables of wrangler.toml, which a deployment has, and this secret. */
function serve(secret: string | undefined): Running {
  writeVars(project, { ENVIRONMENT: undefined, JWT_SECRET: secret });
  return started(run(process.execPath, [WRANGLER, 'dev', '--port', '0', ...inspectorArgs], { folder: project }));
}

describe('a production configuration', () => {
  beforeEach(() => {
    project = copyProject();
  });
  afterEach(removeProject);

  it.each([
    ['no secret', undefined, 'JWT_SECRET is missing'],
    ['an empty secret', '', 'JWT_SECRET is missing'],
    ['a secret of 31 bytes', 'x'.repeat(31), 'JWT_SECRET is shorter than 32 bytes'],
    ['a development secret', `dev_${'x'.repeat(60)}`, 'JWT_SECRET is a development secret'],
  ])('refuses to start with %s', async (_, secret, reason) => {
    const server = serve(secret);
    expect(await server.exited).toBe(1);
    expect(server.output()).toContain(reason);
    expect(server.output()).not.toContain('Ready on');
  });

  it('starts with a secret of 32 bytes', async () => {
    expect(await health(await ready(serve('x'.repeat(32))))).toBe(200);
  });
});
