// Runs the wrangler that the lock file names, quietly: nothing asks a question, and nothing calls home.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/** The project's folder. */
export const root = join(import.meta.dirname, '..');

const path = join(root, 'node_modules/wrangler/bin/wrangler.js');

/** Whether `npm ci` was run. */
export const isInstalled = (): boolean => existsSync(path);

const QUIET = {
  WRANGLER_SEND_METRICS: 'false',
  // The banner is where wrangler asks the package registry for a newer version of itself.
  WRANGLER_HIDE_BANNER: 'true',
};

type Options = {
  env?: NodeJS.ProcessEnv;
  /** Whether it has this process's terminal. Otherwise its output is collected, and it has nobody to ask. */
  show?: boolean;
  /** Options for Node itself. */
  nodeArgs?: readonly string[];
};

/** How a run ended. `code` is as a shell counts it; `output` is both streams, in plain text. */
export type Run = { readonly code: number; readonly stdout: string; readonly output: string };

let child: ChildProcess | undefined;
let stopping: NodeJS.Signals | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    stopping = signal;
    child?.kill(signal);
  });
}

/** Runs wrangler to its end. A signal to this process goes to wrangler, and ends this process after it. */
export async function wrangler(args: readonly string[], options: Options = {}): Promise<Run> {
  const { env = {}, show = false, nodeArgs = [] } = options;
  child = spawn(process.execPath, [...nodeArgs, path, ...args], {
    cwd: root,
    env: { ...process.env, ...QUIET, ...(show ? {} : { NO_COLOR: '1' }), ...env },
    stdio: show ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, output] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    output += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  if (stopping && !show) process.exit(128 + constants.signals[stopping]);
  return {
    code: code ?? 128 + (signal ? constants.signals[signal] : 0),
    stdout,
    output: stripVTControlCharacters(output),
  };
}
