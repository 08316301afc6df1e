import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { cloudflareApi } from '../helpers/node/cloudflare-api.ts';
import { type Account, type Call, commandOf } from '../helpers/node/wrangler-stand-in.ts';
import { copyProject, run } from '../helpers/node/wrangler-dev.ts';

const root = join(import.meta.dirname, '../..');

const FRESH: Account = { loggedIn: true, databases: [] };
const STEPS = [
  'whoami',
  'd1 list',
  'd1 create edge-chat',
  'd1 list',
  'secret list',
  'd1 migrations apply DB',
  'deploy',
];

describe('npm run deploy', () => {
  let folder: string;

  /** A project whose installed wrangler is the stand-in, and an account for it. */
  function setUp(account: Account): void {
    folder = mkdtempSync(join(tmpdir(), 'edge-chat-test-'));
    for (const name of ['scripts', 'wrangler.toml', 'package.json']) {
      cpSync(join(root, name), join(folder, name), { recursive: true });
    }
    mkdirSync(join(folder, 'node_modules/wrangler/bin'), { recursive: true });
    const standIn = join(root, 'test/helpers/node/wrangler-stand-in.ts');
    writeFileSync(join(folder, 'node_modules/wrangler/bin/wrangler.js'), `import(${JSON.stringify(standIn)});\n`);
    mkdirSync(join(folder, 'account'));
    mkdirSync(join(folder, 'tmp'));
    setAccount(account);
  }

  const setAccount = (account: Account) => writeFileSync(join(folder, 'account/account.json'), JSON.stringify(account));
  const readAccount = () => JSON.parse(readFileSync(join(folder, 'account/account.json'), 'utf8')) as Account;

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function deploy(): Promise<{ code: number | null; output: string; calls: Call[]; commands: string[] }> {
    const record = join(folder, 'account/calls.ndjson');
    writeFileSync(record, '');
    const env = { STAND_IN_ACCOUNT: join(folder, 'account'), TMPDIR: join(folder, 'tmp') };
    const running = run(process.execPath, ['scripts/deploy.ts'], { folder, env });
    const code = await running.exited;
    const lines = readFileSync(record, 'utf8').trim().split('\n').filter(Boolean);
    const calls = lines.map((line) => JSON.parse(line) as Call);
    return { code, output: running.output(), calls, commands: calls.map(commandOf) };
  }

  it('gives a fresh account a database, its tables and a Worker with a secret, in this order', async () => {
    setUp(FRESH);
    const { code, output, commands } = await deploy();
    expect({ code, commands }).toEqual({ code: 0, commands: STEPS });
    expect(output.trim().split('\n').at(-1)).toBe('https://edge-chat.example.workers.dev');
    const { databases, worker } = readAccount();
    expect(databases).toEqual([{ name: 'edge-chat', uuid: worker?.databaseId, tables: true }]);
  });

  it('prints one line for each step', async () => {
    setUp(FRESH);
    const { output } = await deploy();
    expect(output.trim().split('\n')).toEqual([
      'Logged in to Cloudflare as me@example.com.',
      expect.stringMatching(/^Database "edge-chat": created, [0-9a-f-]{36}\.$/),
      'Wrote wrangler.deploy.toml.',
      'Signing secret: none yet, making one.',
      'Database migrated.',
      'Deployed.',
      'https://edge-chat.example.workers.dev',
    ]);
  });

  it('writes the real database id to wrangler.deploy.toml and leaves wrangler.toml alone', async () => {
    setUp(FRESH);
    const before = readFileSync(join(folder, 'wrangler.toml'), 'utf8');
    await deploy();
    const id = readAccount().databases[0]?.uuid ?? '';
    const written = readFileSync(join(folder, 'wrangler.deploy.toml'), 'utf8');
    expect(written).toContain(before.replace('00000000-0000-0000-0000-000000000000', id));
    expect(written).not.toContain('00000000-0000-0000-0000-000000000000');
    expect(readFileSync(join(folder, 'wrangler.toml'), 'utf8')).toBe(before);
  });

  it('creates nothing a second time, and keeps the secret', async () => {
    setUp(FRESH);
    await deploy();
    const before = readAccount();
    const { code, commands, calls, output } = await deploy();
    expect({ code, commands }).toEqual({
      code: 0,
      commands: ['whoami', 'd1 list', 'secret list', 'd1 migrations apply DB', 'deploy'],
    });
    expect(calls.at(-1)?.argv).not.toContain('--secrets-file');
    expect(output).toContain('https://edge-chat.example.workers.dev');
    expect(readAccount()).toEqual(before);
  });

  it('does not take a database of another name for its own', async () => {
    const other = { name: 'edge-chat-2', uuid: '11111111-1111-4111-8111-111111111111' };
    setUp({ ...FRESH, databases: [other] });
    await deploy();
    expect(readAccount().databases).toEqual([other, expect.objectContaining({ name: 'edge-chat' })]);
  });

  it('gives a secret to a Worker that has none, and keeps its other secrets', async () => {
    setUp({ ...FRESH, worker: { secrets: { OTHER: 'kept' }, databaseId: '' } });
    expect((await deploy()).code).toBe(0);
    expect(readAccount().worker?.secrets).toEqual({ OTHER: 'kept', JWT_SECRET: expect.any(String) });
  });

  it('makes a secret of at least 256 random bits that production accepts, another one for each account', async () => {
    const secrets = new Set<string>();
    for (let account = 0; account < 2; account++) {
      setUp(FRESH);
      await deploy();
      const secret = readAccount().worker?.secrets['JWT_SECRET'] ?? '';
      expect(secret).toMatch(/^live_[A-Za-z0-9_-]{43,}$/);
      secrets.add(secret);
      rmSync(folder, { recursive: true });
    }
    expect(secrets.size).toBe(2);
  });

  it('shows the secret to nobody: not on a command line, not in a file, not in what it prints', async () => {
    setUp(FRESH);
    const { calls, output } = await deploy();
    const secret = readAccount().worker?.secrets['JWT_SECRET'] ?? '';
    expect(secret).not.toBe('');
    expect(calls.at(-1)?.secretsFile).toMatch(/JWT_SECRET/);
    for (const { argv, secretsFile = '' } of calls) expect([...argv, secretsFile].join(' ')).not.toContain(secret);
    expect(output).not.toContain(secret);
    expect(readdirSync(join(folder, 'tmp'))).toEqual([]);
    rmSync(join(folder, 'account'), { recursive: true });
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.map(({ name }) => name)).toContain('wrangler.deploy.toml');
    for (const { parentPath, name } of files) {
      expect(readFileSync(join(parentPath, name), 'utf8')).not.toContain(secret);
    }
  });

  it('says how to log in, and does nothing else, when nobody is logged in', async () => {
    setUp({ ...FRESH, loggedIn: false });
    const { code, output, commands } = await deploy();
    expect({ code, commands }).toEqual({ code: 1, commands: ['whoami'] });
    expect(output).toMatch(/Not logged in.*`npx wrangler login`.*CLOUDFLARE_API_TOKEN/);
  });

  it.each([
    ['whoami', 'npx wrangler whoami'],
    ['d1 list', 'CLOUDFLARE_ACCOUNT_ID'],
    ['d1 create edge-chat', 'https://dash.cloudflare.com'],
    ['secret list', 'Workers Scripts: Edit'],
    ['d1 migrations apply DB', 'correct it'],
    ['deploy', 'Correct what wrangler says'],
  ])('stops when `wrangler %s` fails, says what to do, and continues when run again', async (failing, remedy) => {
    setUp({ ...FRESH, failing });
    const failed = await deploy();
    expect({ code: failed.code, commands: failed.commands }).toEqual({
      code: 1,
      commands: STEPS.slice(0, STEPS.indexOf(failing) + 1),
    });
    expect(failed.output).toContain(`stand-in: ${failing} fails`);
    expect(failed.output).toContain(remedy);
    expect(failed.output).toContain('run `npm run deploy` again');
    expect(readdirSync(join(folder, 'tmp'))).toEqual([]);

    const { failing: _, ...repaired } = readAccount();
    setAccount(repaired);
    expect((await deploy()).code).toBe(0);
    expect(readAccount().databases).toHaveLength(1);
  });

  it('does not replace the secret of a Worker whose secrets cannot be listed', async () => {
    setUp(FRESH);
    await deploy();
    const before = readAccount();
    setAccount({ ...before, failing: 'secret list' });
    expect((await deploy()).commands).not.toContain('deploy');
    expect(readAccount().worker).toEqual(before.worker);
  });

  it('stops when wrangler.toml has another id in place of the one that it fills in', async () => {
    setUp(FRESH);
    const path = join(folder, 'wrangler.toml');
    writeFileSync(path, readFileSync(path, 'utf8').replace(/^database_id = .*$/m, 'database_id = "something"'));
    const { code, output, commands } = await deploy();
    expect({ code, commands }).toEqual({ code: 1, commands: ['whoami'] });
    expect(output).toContain('wrangler.toml must name its database and leave database_id at');
  });
});

describe('npm run deploy with the real wrangler', () => {
  it("uploads the Worker with its secret, then without one, to a stand-in for Cloudflare's API", async () => {
    await using api = await cloudflareApi();
    const project = copyProject();
    onTestFinished(() => rmSync(project, { recursive: true, force: true }));
    const logs = join(project, '.wrangler/logs');
    const deploy = async () => {
      const running = run('npm', ['run', 'deploy'], { folder: project, env: api.env });
      return { code: await running.exited, output: running.output() };
    };

    const first = await deploy();
    expect(api.unknown).toEqual([]);
    expect(first).toEqual({ code: 0, output: expect.stringContaining('\nhttps://edge-chat.example.workers.dev\n') });
    const id = api.databases[0]?.uuid;
    expect(api.sql.join()).toContain('CREATE TABLE `users`');
    expect(api.uploads[0]).toEqual(
      expect.arrayContaining([
        { name: 'ENVIRONMENT', type: 'plain_text', text: 'production' },
        { name: 'JWT_SECRET', type: 'secret_text', text: expect.stringMatching(/^live_[A-Za-z0-9_-]{43,}$/) },
        { name: 'DB', type: 'd1', id },
      ]),
    );
    expect(api.assets).toEqual([expect.arrayContaining(['/favicon.svg', '/robots.txt'])]);
    expect(api.assets.flat()).not.toContain('/_headers');
    const secret = api.uploads[0]?.find(({ name }) => name === 'JWT_SECRET')?.text ?? '';
    expect(first.output).not.toContain(secret);
    expect(readdirSync(logs).length).toBeGreaterThan(0);
    for (const name of readdirSync(logs)) expect(readFileSync(join(logs, name), 'utf8')).not.toContain(secret);

    const second = await deploy();
    expect(api.unknown).toEqual([]);
    expect(second).toEqual({ code: 0, output: expect.stringContaining('\nhttps://edge-chat.example.workers.dev\n') });
    expect(api.databases).toHaveLength(1);
    expect(api.uploads).toHaveLength(2);
    expect(api.uploads[1]?.map(({ name }) => name)).not.toContain('JWT_SECRET');
  });
});
