import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chat, enter, login, PASSWORD, register, type Person } from '../helpers/node/people.ts';
import { run, startServer, type Server } from '../helpers/node/wrangler-dev.ts';

let server: Server;

beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

/** Runs `npm run admin` as somebody at this server's machine would. */
async function admin(...args: string[]): Promise<{ code: number | null; output: string }> {
  const where = ['--url', server.url, '--persist-to', server.persistTo];
  const command = run('npm', ['run', '--silent', 'admin', '--', ...args, ...where], { folder: server.project });
  const code = await command.exited;
  return { code, output: command.output().trim() };
}

const statusOf = async (path: string, { access }: Pick<Person, 'access'>) =>
  (await fetch(`${server.url}${path}`, { headers: { Authorization: `Bearer ${access}` } })).status;

const logInStatus = async (email: string) => {
  const body = JSON.stringify({ email, password: PASSWORD });
  const headers = { 'Content-Type': 'application/json' };
  return (await fetch(`${server.url}/api/login/`, { method: 'POST', headers, body })).status;
};

describe('npm run admin', () => {
  it('lists accounts in order of registration', async () => {
    const [zoe, amy] = [await register(server, 'zoe'), await register(server, 'amy')];
    const { code, output } = await admin('list');
    expect(code).toBe(0);
    const lines = output.split('\n');
    expect(lines.map((line) => line.split('  ').slice(0, 3))).toEqual([
      [zoe.email, 'zoe Doe', 'active'],
      [amy.email, 'amy Doe', 'active'],
    ]);
    expect(lines[0]).toContain(zoe.id);
  });

  it('shows an account and where it is signed in, whatever case its address is typed in', async () => {
    const { email } = await register(server, 'ida');
    const { code, output } = await admin('show', email.toUpperCase());
    expect(code).toBe(0);
    expect(output).toMatch(/^ida\.sockets@gmail\.com {2}ida Doe {2}active .*\n {2}signed in \S+, last used \S+: node$/);
  });

  it('deactivates an account: its sockets close at once, and nothing lets it in until it is active again', async () => {
    const [eve, bob] = [await register(server, 'eve'), await register(server, 'bob')];
    const socket = await enter(server, await chat(server, eve, bob), eve.access);
    await socket.ping();
    expect(await admin('deactivate', eve.email)).toMatchObject({ code: 0 });
    expect(await socket.closed).toMatchObject({ code: 4410 });
    expect(await statusOf('/api/users/', eve)).toBe(401);
    expect(await logInStatus(eve.email)).toBe(401);
    expect((await admin('show', eve.email)).output).toMatch(/inactive.*\n {2}not signed in$/);

    expect(await admin('activate', eve.email)).toMatchObject({ code: 0 });
    expect(await statusOf('/api/users/', eve)).toBe(401);
    expect(await statusOf('/api/users/', await login(server, eve.email))).toBe(200);
  });

  it('ends the sessions of an account, which may sign in again', async () => {
    const dan = await register(server, 'dan');
    expect(await admin('end-sessions', dan.email)).toMatchObject({ code: 0 });
    expect(await statusOf('/api/users/', dan)).toBe(401);
    expect(await logInStatus(dan.email)).toBe(200);
  });

  it('deletes an account', async () => {
    const joe = await register(server, 'joe');
    expect(await admin('delete', joe.email)).toMatchObject({ code: 0, output: `${joe.email} is deleted.` });
    expect(await statusOf('/api/users/', joe)).toBe(401);
    const { code, output } = await admin('show', joe.email);
    expect(code).toBe(1);
    expect(output).toBe(`There is no account with the address ${joe.email}.`);
    expect((await admin('list')).output).not.toContain('joe');
  });

  it.each([
    ['no such command', ['rename', 'x@example.org'], /^Not a command: "rename x@example\.org"\./],
    ['no address', ['delete'], /^Not a command: "delete"\./],
    ['two addresses', ['delete', 'x@example.org', 'y@example.org'], /^"y@example\.org" is too much\./],
    ['an unknown option', ['list', '--force'], /^Unknown option '--force'/],
    ['a deployment that is not named', ['list', '--remote'], /^A deployment is asked by https: only\.$/],
    [
      'another database',
      ['list', '--persist-to', '/nowhere'],
      /The database could not be written\. Run `npm start` first\.$/,
    ],
    [
      'a server that is not there',
      ['list', '--url', 'http://localhost:1'],
      /^Nothing answers at http:\/\/localhost:1\./,
    ],
  ])('says what is wrong: %s', async (_, args, message) => {
    const command = run(
      'npm',
      ['run', '--silent', 'admin', '--', '--url', server.url, '--persist-to', server.persistTo, ...args],
      {
        folder: server.project,
      },
    );
    expect(await command.exited).toBe(1);
    expect(command.output().trim()).toMatch(message);
    expect(command.output()).not.toMatch(/at .*\.ts:\d+/);
  });

  it('is open to nobody who cannot write to the database: a key that was made up is refused', async () => {
    const headers = { Authorization: `Bearer ${'x'.repeat(43)}` };
    expect((await fetch(`${server.url}/api/admin/users/`, { headers })).status).toBe(401);
  });
});
