// Stands in for wrangler's command line in the tests of scripts/deploy.ts. Answers as wrangler 4 does, from an account
// kept in account.json of the folder that STAND_IN_ACCOUNT names, and records every call there in calls.ndjson.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the account holds. */
export type Account = {
  loggedIn: boolean;
  databases: { name: string; uuid: string; tables?: boolean }[];
  /** Undefined until it is first deployed. */
  worker?: { secrets: Record<string, string>; databaseId: string };
  /** The command that is to fail, as {@link commandOf} names it. */
  failing?: string;
};

export type Call = {
  argv: string[];
  /** The secrets file as it is on disk. */
  secretsFile?: string;
};

/** What a call asks for, without its options: `d1 migrations apply DB`. */
export function commandOf(call: Call): string {
  const end = call.argv.findIndex((word) => word.startsWith('-'));
  return call.argv.slice(0, end < 0 ? undefined : end).join(' ');
}

function fail(text: string): never {
  console.error(`✘ [ERROR] ${text}`);
  process.exit(1);
}

function main(folder: string): void {
  const account = JSON.parse(readFileSync(join(folder, 'account.json'), 'utf8')) as Account;
  const argv = process.argv.slice(2);
  const option = (name: string) => (argv.includes(name) ? argv[argv.indexOf(name) + 1] : undefined);
  const secretsPath = option('--secrets-file');
  const secretsFile = secretsPath === undefined ? undefined : readFileSync(secretsPath, 'utf8');
  const call: Call = { argv, ...(secretsFile === undefined ? {} : { secretsFile }) };
  appendFileSync(join(folder, 'calls.ndjson'), `${JSON.stringify(call)}\n`);

  const database = () => {
    const id = /^database_id = "(.*)"$/m.exec(readFileSync(option('--config') ?? 'wrangler.toml', 'utf8'))?.[1];
    return account.databases.find(({ uuid }) => uuid === id) ?? fail(`Couldn't find a D1 DB with the id ${id}`);
  };

  const command = commandOf(call);
  if (account.failing === command) fail(`stand-in: ${command} fails`);
  if (command === 'whoami') {
    console.log(
      `\n${JSON.stringify(account.loggedIn ? { loggedIn: true, email: 'me@example.com' } : { loggedIn: false })}`,
    );
    if (!account.loggedIn) process.exit(1);
  } else if (command === 'd1 list') {
    console.log(JSON.stringify(account.databases, null, 2));
  } else if (command.startsWith('d1 create ')) {
    const name = command.slice('d1 create '.length);
    account.databases.push({ name, uuid: crypto.randomUUID() });
    console.log(`✅ Successfully created DB '${name}'`);
  } else if (command === 'secret list') {
    if (!account.worker) fail('Worker "edge-chat" not found.\n\nIf this is a new Worker, run `wrangler deploy` first.');
    const names = Object.keys(account.worker?.secrets ?? {});
    console.log(JSON.stringify(names.map((name) => ({ name, type: 'secret_text' }))));
  } else if (command === 'd1 migrations apply DB' && argv.includes('--remote')) {
    database().tables = true;
  } else if (command === 'deploy') {
    if (!database().tables) fail('stand-in: the Worker went live before its tables');
    const secrets = { ...account.worker?.secrets };
    for (const [, name, text] of secretsFile?.matchAll(/^(\w+)="(.*)"$/gm) ?? []) {
      if (name && text !== undefined)
        secrets[name] = text.replace(/\$\{(\w+)\}/g, (_, key: string) => process.env[key] ?? '');
    }
    if (!secrets['JWT_SECRET']) fail('Uncaught Error: JWT_SECRET is missing. Refusing to start. [code: 10021]');
    account.worker = { secrets, databaseId: database().uuid };
    const targets = ['edge-chat.example.workers.dev', 'schedule: * * * * *'];
    appendFileSync(process.env['WRANGLER_OUTPUT_FILE_PATH'] ?? '', `${JSON.stringify({ type: 'deploy', targets })}\n`);
  } else {
    fail(`Unknown arguments: ${argv.join(' ')}`);
  }
  writeFileSync(join(folder, 'account.json'), JSON.stringify(account));
}

const folder = process.env['STAND_IN_ACCOUNT'];
if (folder !== undefined) main(folder);
