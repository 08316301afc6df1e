// `npm run deploy`: puts the chat on a Cloudflare account, a fresh one or one that has it already. Every step can be
// repeated: after a failure, running it again continues. Reads wrangler.toml, writes wrangler.deploy.toml (not in git).
//
// The order matters. The database is migrated before the code that needs the new tables goes live; migrations only add,
// so the code that is still live bears them. The signing secret arrives in the same upload as the first code, so there
// is no moment at which the Worker is live without one.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isInstalled, root, wrangler, type Run } from './wrangler.ts';

const CONFIG = 'wrangler.toml';
const DEPLOY_CONFIG = 'wrangler.deploy.toml';
const PLACEHOLDER_ID = '00000000-0000-0000-0000-000000000000';

/** A step that did not succeed: what failed, and what the reader can do. */
class StepFailed extends Error {}

const scratch = mkdtempSync(join(tmpdir(), 'edge-chat-deploy-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

try {
  await deploy();
} catch (error) {
  if (!(error instanceof StepFailed)) throw error;
  console.error(`\n${error.message}\nThen run \`npm run deploy\` again; it continues where it stopped.`);
  process.exitCode = 1;
}

async function deploy(): Promise<void> {
  if (!isInstalled()) throw new StepFailed('The packages are not installed. Run `npm ci`.');
  const account = await logIn();
  console.log(`Logged in to Cloudflare as ${account}.`);

  const template = readFileSync(join(root, CONFIG), 'utf8');
  const name = /^database_name\s*=\s*"([^"]+)"/m.exec(template)?.[1];
  if (name === undefined || !template.includes(`"${PLACEHOLDER_ID}"`)) {
    throw new StepFailed(
      `${CONFIG} must name its database and leave database_id at "${PLACEHOLDER_ID}": this script fills it in.`,
    );
  }
  const existing = await findDatabase(name);
  const id = existing ?? (await createDatabase(name));
  console.log(`Database "${name}": ${existing === undefined ? 'created' : 'exists'}, ${id}.`);

  const notice = `# Written by \`npm run deploy\` from ${CONFIG}. Change that one.\n`;
  writeFileSync(join(root, DEPLOY_CONFIG), notice + template.replaceAll(PLACEHOLDER_ID, id));
  console.log(`Wrote ${DEPLOY_CONFIG}.`);

  const hasSecret = await workerHasSecret();
  console.log(hasSecret ? 'Signing secret: the Worker has one, it stays.' : 'Signing secret: none yet, making one.');

  await migrate();
  console.log('Database migrated.');

  const addresses = await upload(hasSecret ? undefined : newSecret());
  console.log('Deployed.');
  for (const address of addresses) console.log(address);
}

/** Returns who is logged in. */
async function logIn(): Promise<string> {
  const result = await wrangler(['whoami', '--json']);
  const user = parseJson(result) as { loggedIn?: boolean; email?: string; authType?: string } | undefined;
  if (user?.loggedIn === false) {
    throw new StepFailed(
      'Not logged in to Cloudflare. Run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN to a token made from the ' +
        'template "Edit Cloudflare Workers" with "D1: Edit" added (https://dash.cloudflare.com/profile/api-tokens).',
    );
  }
  if (result.code !== 0 || !user?.loggedIn) {
    throw failed(result, 'The Cloudflare login could not be checked.', 'Try `npx wrangler whoami` until it succeeds.');
  }
  return user.email ?? user.authType ?? 'the holder of the token';
}

/** Returns the database's id, or undefined if the account has none of this name. */
async function findDatabase(name: string): Promise<string | undefined> {
  const result = await wrangler(['d1', 'list', '--json']);
  const databases = parseJson(result);
  if (result.code !== 0 || !Array.isArray(databases)) {
    throw failed(
      result,
      "The account's D1 databases could not be listed.",
      'If the login has several accounts, set CLOUDFLARE_ACCOUNT_ID; if it is a token, give it "D1: Edit".',
    );
  }
  return (databases as { name?: string; uuid?: string }[]).find((database) => database.name === name)?.uuid;
}

async function createDatabase(name: string): Promise<string> {
  const result = await wrangler(['d1', 'create', name]);
  const remedy = 'See https://dash.cloudflare.com → Storage & databases → D1.';
  if (result.code !== 0) throw failed(result, `The D1 database "${name}" could not be created.`, remedy);
  // The list is JSON; what `create` prints is meant for people.
  const id = await findDatabase(name);
  if (id === undefined) throw failed(result, `The D1 database "${name}" was created but is not listed yet.`, remedy);
  return id;
}

/** Whether the Worker has a JWT_SECRET: replacing one that is in use would sign everybody out. */
async function workerHasSecret(): Promise<boolean> {
  const result = await wrangler(['secret', 'list', '--format', 'json', '--config', DEPLOY_CONFIG]);
  // The Worker of a fresh account. Any other failure must not look like it.
  if (result.code !== 0 && /^.*Worker "[^"]*" not found\.?\s*$/m.test(result.output)) return false;
  const secrets = parseJson(result);
  if (result.code !== 0 || !Array.isArray(secrets)) {
    throw failed(
      result,
      "The Worker's secrets could not be listed.",
      'If the login is a token, give it "Workers Scripts: Edit".',
    );
  }
  return (secrets as { name?: string }[]).some((secret) => secret.name === 'JWT_SECRET');
}

async function migrate(): Promise<void> {
  const result = await wrangler(['d1', 'migrations', 'apply', 'DB', '--remote', '--config', DEPLOY_CONFIG]);
  if (result.code !== 0) {
    throw failed(
      result,
      'The database could not be migrated. The code that is live, if any, is unchanged.',
      'A migration that failed is rolled back, those before it stay: correct it.',
    );
  }
}

/** The prefix tells it from the secrets of development, which start with `dev_` and which production refuses. */
function newSecret(): string {
  return `live_${randomBytes(48).toString('base64url')}`;
}

/** Builds and uploads the Worker, with a secret if it needs one; returns the addresses where it answers. */
async function upload(secret: string | undefined): Promise<string[]> {
  const args = ['deploy', '--config', DEPLOY_CONFIG];
  const reportPath = join(scratch, 'report.ndjson');
  const env: NodeJS.ProcessEnv = { WRANGLER_OUTPUT_FILE_PATH: reportPath };
  if (secret !== undefined) {
    // wrangler takes secrets from a file in which it expands variables. So the file only names the secret, whose value
    // is never on a disk or a command line.
    const secretsPath = join(scratch, 'secrets.env');
    writeFileSync(secretsPath, 'JWT_SECRET="${JWT_SECRET}"\n', { mode: 0o600 });
    args.push('--secrets-file', secretsPath);
    env['JWT_SECRET'] = secret;
  }
  const result = await wrangler(args, { env });
  if (result.code !== 0) {
    throw failed(
      result,
      'The Worker could not be deployed. The database is migrated; the code that is live, if any, bears that.',
      "Correct what wrangler says. If the account has no workers.dev subdomain yet, open wrangler's link and choose one.",
    );
  }
  return existsSync(reportPath) ? deployedTo(readFileSync(reportPath, 'utf8')) : [];
}

/** The addresses in the report that wrangler writes, one JSON object a line. */
function deployedTo(report: string): string[] {
  const entries = report.split('\n').filter(Boolean);
  return entries.flatMap((line) => {
    const entry = JSON.parse(line) as { type?: string; targets?: string[] };
    if (entry.type !== 'deploy') return [];
    // Besides addresses: "schedule: * * * * *".
    const hosts = (entry.targets ?? []).filter((target) => /^(https:\/\/)?[\w-]+(\.[\w-]+)+/.test(target));
    return hosts.map((host) => (host.startsWith('https://') ? host : `https://${host}`));
  });
}

/** The JSON that wrangler printed, which an empty line precedes; undefined if it is none. */
function parseJson({ stdout }: Run): unknown {
  try {
    return JSON.parse(stdout);
  } catch {
    return undefined;
  }
}

function failed({ output }: Run, what: string, remedy: string): StepFailed {
  return new StepFailed(`${output.trim()}\n\n${what} ${remedy}`);
}
