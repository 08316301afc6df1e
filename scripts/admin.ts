// `npm run admin -- COMMAND`: looks after accounts, of the server on this machine or of a deployment (--remote).
//
// The server does the work, by its operator's routes. What opens them is a key that is good for a minute, whose hash this
// command writes into the database: whoever may do that, by a file on this machine or by a Cloudflare login, is the
// operator. So there is no password to keep, and the server must be running.
import { createHash, randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { OPERATOR_KEY_LIFETIME_S } from '../src/config.ts';
import { isInstalled, wrangler } from './wrangler.ts';

const USAGE = `npm run admin -- COMMAND [EMAIL] [OPTIONS]

  list                  all accounts, in order of registration
  show EMAIL            one account, and where it is signed in
  deactivate EMAIL      it cannot sign in, and its sessions end
  activate EMAIL        it can again
  end-sessions EMAIL    signs it out everywhere
  delete EMAIL          for good; its messages stay, as those of a "Deleted user"

  --url URL             where the server is; http://localhost:8787 unless --remote
  --persist-to DIR      as for \`npm start\`
  --remote              a deployment (with --url), by the Cloudflare login of wrangler`;

type Account = {
  id: string;
  email: string;
  first_name: string;
  last_name: string;
  is_active: boolean;
  email_verified: boolean;
  created_at: string;
};
type Session = { device: string; created_at: string; last_used_at: string };

/** Something that the reader can mend. */
class AdminFailed extends Error {}

async function run(): Promise<void> {
  const { values, positionals } = readArguments();
  const [command = '', email, ...more] = positionals;
  if (values.help || command === '') return console.log(USAGE);
  if (!isInstalled()) throw new AdminFailed('The packages are not installed. Run `npm ci`.');
  if (values.remote && values.url === undefined) {
    throw new AdminFailed('--remote needs --url: the address that `npm run deploy` printed.');
  }
  const url = URL.parse(values.url ?? 'http://localhost:8787');
  if (!url) throw new AdminFailed(`"${values.url}" is not an address such as https://chat.example.org.`);
  if (values.remote && url.protocol !== 'https:') throw new AdminFailed('A deployment is asked by https: only.');
  if (more.length > 0) throw new AdminFailed(`"${more.join(' ')}" is too much.\n\n${USAGE}`);

  if (command === 'list' && email === undefined) return list(await open(url, values));
  const act = Object.hasOwn(ACTIONS, command) ? ACTIONS[command] : undefined;
  if (!act || email === undefined) throw new AdminFailed(`Not a command: "${positionals.join(' ')}".\n\n${USAGE}`);
  const server = await open(url, values);
  const [account] = await server.ask<Account[]>('GET', `/?email=${encodeURIComponent(email)}`);
  if (!account) throw new AdminFailed(`There is no account with the address ${email}.`);
  await act(server, account);
}

type Options = { remote?: boolean; 'persist-to'?: string; url?: string; help?: boolean };

function readArguments(): { values: Options; positionals: string[] } {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        url: { type: 'string' },
        remote: { type: 'boolean' },
        'persist-to': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new AdminFailed(`${(error as Error).message}\n\n${USAGE}`);
  }
}

const ACTIONS: Record<string, (server: Server, account: Account) => Promise<void>> = {
  async show(server, account) {
    print(account);
    const sessions = await server.ask<Session[]>('GET', `/${account.id}/sessions/`);
    if (sessions.length === 0) console.log('  not signed in');
    for (const { device, created_at, last_used_at } of sessions) {
      console.log(`  signed in ${created_at}, last used ${last_used_at}: ${printable(device)}`);
    }
  },
  async deactivate(server, { id, email }) {
    await server.ask('PATCH', `/${id}/`, { is_active: false });
    console.log(`${printable(email)} is deactivated and signed out everywhere.`);
  },
  async activate(server, { id, email }) {
    await server.ask('PATCH', `/${id}/`, { is_active: true });
    console.log(`${printable(email)} is active.`);
  },
  async 'end-sessions'(server, { id, email }) {
    await server.ask('DELETE', `/${id}/sessions/`);
    console.log(`${printable(email)} is signed out everywhere.`);
  },
  async delete(server, { id, email }) {
    await server.ask('DELETE', `/${id}/`);
    console.log(`${printable(email)} is deleted.`);
  },
};

async function list(server: Server): Promise<void> {
  let after = '';
  for (;;) {
    const page = await server.ask<Account[]>('GET', `/${after}`);
    page.forEach(print);
    const last = page.at(-1);
    if (!last) return;
    after = `?after=${last.id}`;
  }
}

function print({ id, email, first_name, last_name, is_active, email_verified, created_at }: Account): void {
  const state = [is_active ? 'active' : 'inactive', ...(email_verified ? ['verified'] : [])].join(', ');
  console.log(`${printable(email)}  ${printable(`${first_name} ${last_name}`)}  ${state}  ${created_at}  ${id}`);
}

/** Names and devices are what users typed: nothing in them may steer the terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, '�');
}

/** The operator's routes of a server. */
class Server {
  readonly #url: URL;
  readonly #key: string;

  constructor(url: URL, key: string) {
    this.#url = url;
    this.#key = key;
  }

  /** Asks for a path below `/api/admin/users`. */
  async ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.#fetch(method, path, body);
    const text = await answer.text();
    if (!answer.ok) throw new AdminFailed(`${this.#url.origin} answered ${answer.status}: ${text}\n${ELSEWHERE}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  async #fetch(method: string, path: string, body: unknown): Promise<Response> {
    try {
      return await fetch(new URL(`/api/admin/users${path}`, this.#url), {
        method,
        headers: {
          Authorization: `Bearer ${this.#key}`,
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch {
      throw new AdminFailed(
        `Nothing answers at ${this.#url.origin}. Start it with \`npm start\`, or name another by --url.`,
      );
    }
  }
}

const ELSEWHERE =
  'If it does not know the key, it has another database (see --persist-to and --remote), or its clock differs by a minute.';

/** Makes a key and tells the database. */
async function open(url: URL, options: Options): Promise<Server> {
  const key = randomBytes(32).toString('base64url');
  const hash = createHash('sha256').update(key).digest('hex');
  const expires = Date.now() + OPERATOR_KEY_LIFETIME_S * 1000;
  const where = options.remote
    ? ['--remote', '--config', 'wrangler.deploy.toml']
    : ['--local', ...(options['persist-to'] === undefined ? [] : ['--persist-to', options['persist-to']])];
  const sql = `INSERT INTO operator_keys (key_hash, expires_at) VALUES ('${hash}', ${expires})`;
  const { code, output } = await wrangler(['d1', 'execute', 'DB', ...where, '--command', sql], {
    env: { CI: '1', CLOUDFLARE_CF_FETCH_ENABLED: 'false' },
  });
  if (code !== 0) {
    const remedy = options.remote ? 'Run `npm run deploy` and `npx wrangler login` first.' : 'Run `npm start` first.';
    throw new AdminFailed(`${output.trim()}\n\nThe database could not be written. ${remedy}`);
  }
  return new Server(url, key);
}

try {
  await run();
} catch (error) {
  if (!(error instanceof AdminFailed)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
