// `npm run check:audit [-- --strict]`: fails if npm knows an advisory of a package whose code is in what is shipped, the
// Worker's bundle and the client's. Where the registry cannot be asked it says so, and fails only if it must be strict.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'vite';
import { type Answer, type Bundled, type Lock, packagesIn, readAnswer, verdict } from './audit-report.ts';
import { root, wrangler } from './wrangler.ts';

const { values: options } = parseArgs({ options: { strict: { type: 'boolean', default: false } } });

const readJson = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'));

const modules = { 'the Worker': await modulesOfWorker(), 'the client': await modulesOfClient() };
const bundled = packagesIn(modules, readJson('package-lock.json') as Lock);
bundled.forEach(checkInstalled);
for (const { name, version, bundles } of bundled) console.log(`${name} ${version}: in ${bundles.join(' and ')}`);

const { code, lines } = verdict(askNpm(), bundled, options);
for (const line of lines) console.log(line);
process.exitCode = code;

/** The modules that the Worker's bundle has code of. @throws Error if it cannot be built */
async function modulesOfWorker(): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'edge-chat-audit-'));
  try {
    const metafile = join(folder, 'meta.json');
    const result = await wrangler(['deploy', '--dry-run', '--outdir', folder, '--metafile', metafile]);
    if (result.code !== 0) throw new Error(`The Worker could not be built:\n${result.output}`);
    const { outputs } = JSON.parse(readFileSync(metafile, 'utf8')) as {
      outputs: Record<string, { inputs: Record<string, { bytesInOutput: number }> }>;
    };
    const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs));
    return inputs.flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : []));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The modules that the client's bundle has code of: that of scripts/build-client.ts, without writing it. */
async function modulesOfClient(): Promise<string[]> {
  const built = await build({
    root,
    configFile: false,
    publicDir: false,
    envDir: false,
    logLevel: 'warn',
    build: { write: false, lib: { entry: join(root, 'src/client/index.ts'), formats: ['es'] } },
  });
  return [built].flat().flatMap((bundle) => {
    if (!('output' in bundle)) throw new Error('vite watches instead of building.');
    return bundle.output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
  });
}

/** @throws Error if another version is installed than the one that npm is asked about */
function checkInstalled({ place, version }: Bundled): void {
  const installed = readJson(join(place, 'package.json')) as { version?: string };
  if (installed.version === version) return;
  throw new Error(`${place} is ${installed.version}, and package-lock.json has ${version}. Run \`npm ci\`.`);
}

/**
 * Asks about every package of the lock file. The flags are for the settings of this machine under which npm leaves
 * packages out, or does not ask at all, and then reports that it found nothing.
 */
function askNpm(): Answer {
  const flags = ['--package-lock-only', '--include=dev', '--include=optional', '--include=peer', '--no-offline'];
  const { stdout, error } = spawnSync('npm', ['audit', '--json', ...flags], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 2 ** 26,
  });
  return error ? { reason: error.message } : readAnswer(stdout);
}
