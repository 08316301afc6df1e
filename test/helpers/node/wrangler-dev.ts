// Real servers for end-to-end tests: scripts/start.ts and all that it starts, on a copy of the project, so that tests
// neither touch the developer's own state nor are disturbed by an editor that saves a file while they run.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const root = join(import.meta.dirname, '../../..');

/** How long a server may take to start or to end, in milliseconds. Both take about two seconds. */
const DEADLINE_MS = 40_000;
/** How often a condition is looked at while waiting for it, in milliseconds. */
const POLL_MS = 20;

/** Signs and verifies the tokens of every server that {@link startServer} starts, unless its `vars` say otherwise. */
export const TEST_JWT_SECRET = 'dev_only_for_end_to_end_tests_0123456789abcdefghijklmnop';

/** A command and everything that it started, in their own process group. */
export type Running = {
  /** The command's own process. */
  pid: number;
  /** What it printed so far, on both streams. */
  output(): string;
  /** Resolves when it has printed the text, with the match. Rejects if it ends first, or after the deadline. */
  printed(text: RegExp): Promise<RegExpExecArray>;
  /** Resolves with its exit code once it has ended, and everything that it started too. */
  exited: Promise<number | null>;
  /** SIGTERM to the command itself; resolves when everything that it started is gone. */
  stop(): Promise<void>;
  /** SIGKILL to it and everything that it started, at once; resolves when all are gone. */
  kill(): Promise<void>;
};

export type Server = Running & {
  /** Its copy of the project, gone when it has stopped. */
  project: string;
  /** Where it keeps its data. */
  persistTo: string;
  /** Where it answers, without a slash at the end: `http://localhost:12345`. */
  url: string;
  port: number;
};

export type ServerOptions = {
  /** Where to keep its data, so that the next server has it; the caller removes it. By default it goes with the server. */
  persistTo?: string;
  /** Variables of the Worker besides or instead of {@link TEST_JWT_SECRET}'s; `undefined` leaves one out. */
  vars?: Readonly<Record<string, string | undefined>>;
  /** Any free one by default. */
  port?: number;
};

/**
 * Starts the project's server and waits until it answers. Several may run at once.
 * @throws Error with what the server printed, if it ends or does not answer within the deadline.
 */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const project = copyProject();
  writeVars(project, options.vars);
  const persistTo = options.persistTo ?? join(project, '.wrangler/state');
  const running = start(project, ['--port', String(options.port ?? 0), '--persist-to', persistTo]);
  const removeProject = () => rmSync(project, { recursive: true, force: true });
  try {
    const url = await ready(running);
    const port = Number(new URL(url).port);
    const end = async (ending: Promise<void>) => {
      await ending;
      await portIsFree(port);
      removeProject();
    };
    const ends = { stop: () => end(running.stop()), kill: () => end(running.kill()) };
    return { ...running, ...ends, url, port, project, persistTo };
  } catch (error) {
    await running.kill();
    removeProject();
    throw error;
  }
}

/** Runs the Worker's scheduled handler once, as the cron trigger would. @throws Error if the handler failed. */
export async function cron(url: string): Promise<void> {
  const response = await fetch(`${url}/cdn-cgi/local/scheduled?cron=*+*+*+*+*`);
  const outcome = await response.text();
  if (!response.ok || outcome !== 'ok') throw new Error(`The scheduled handler failed: ${response.status} ${outcome}`);
}

/** What a fresh clone has, in a new temporary folder, with this project's packages. Returns its path. */
export function copyProject(): string {
  const project = mkdtempSync(join(tmpdir(), 'edge-chat-'));
  const left = new Set(['.git', ...readFileSync(join(root, '.gitignore'), 'utf8').split(/\/?\n/)]);
  cpSync(root, project, { recursive: true, filter: (path) => !left.has(basename(path)) });
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'));
  return project;
}

/** Writes the .dev.vars of a copied project. */
export function writeVars(project: string, vars: ServerOptions['vars'] = {}): void {
  const all = { ENVIRONMENT: 'development', JWT_SECRET: TEST_JWT_SECRET, JWT_SECRET_PREVIOUS: '', ...vars };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}='${value}'\n`]));
  if (lines.some((line) => line.split("'").length > 3)) throw new Error('A variable cannot contain a single quote.');
  writeFileSync(join(project, '.dev.vars'), lines.join(''));
}

/** Two servers cannot share wrangler's default port for debuggers. */
export const inspectorArgs = ['--inspector-port', '0'] as const;

/** Runs a copied project's scripts/start.ts with options of `wrangler dev`. */
export function start(project: string, args: readonly string[]): Running {
  return run(process.execPath, ['scripts/start.ts', ...inspectorArgs, ...args], { folder: project });
}

/** Waits until a started server answers requests; returns its address. */
export async function ready(running: Running): Promise<string> {
  const [, url] = await running.printed(/Ready on (http:\/\/\S+)/);
  if (url === undefined) throw new Error('wrangler printed no address');
  await fetch(`${url}/api/health/`, { signal: AbortSignal.timeout(DEADLINE_MS) });
  return url;
}

/** Runs a command in a folder, with nothing to type on its standard input. */
export function run(
  command: string,
  args: readonly string[],
  options: { folder: string; env?: NodeJS.ProcessEnv },
): Running {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    NO_COLOR: '1',
    // wrangler keeps things outside of the project too: who is logged in, which servers run, its logs.
    XDG_CONFIG_HOME: join(options.folder, '.wrangler/config'),
    WRANGLER_CACHE_DIR: join(options.folder, '.wrangler/cache'),
    WRANGLER_REGISTRY_PATH: join(options.folder, '.wrangler/registry'),
    WRANGLER_LOG_PATH: join(options.folder, '.wrangler/logs'),
    ...options.env,
  };
  // Set for the tests, and the command is not one.
  for (const name of ['NODE_ENV', 'NODE_OPTIONS', 'VITEST', 'TEST', 'FORCE_COLOR']) delete env[name];

  const child = spawn(command, args, {
    cwd: options.folder,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const family = new Family(child);
  // Where the test run itself is killed, the server notices: scripts/end-with-parent.ts.
  const killNow = () => family.signal('SIGKILL');
  process.once('exit', killNow);

  let output = '';
  const listeners = new Set<() => void>();
  const collect = (text: string) => {
    output += text;
    for (const listener of listeners) listener();
  };
  child.stdout?.setEncoding('utf8').on('data', collect);
  child.stderr?.setEncoding('utf8').on('data', collect);
  child.on('error', (error) => collect(`${command}: ${error.message}\n`));

  const closed = once(child, 'close');
  const exited = once(child, 'exit').then(async ([code]: (number | null)[]) => {
    await family.gone();
    await closed;
    process.off('exit', killNow);
    return code ?? null;
  });
  // A test that awaits neither is told by `printed`, `stop` and `kill`.
  closed.catch(() => {});
  exited.catch(() => {});

  return {
    pid: child.pid ?? -1,
    output: () => output,
    exited,
    printed: (text) =>
      new Promise((resolve, reject) => {
        const settle = (outcome: () => void) => {
          clearTimeout(timer);
          listeners.delete(look);
          outcome();
        };
        const look = () => {
          const match = text.exec(output);
          if (!match) return;
          family.look();
          settle(() => resolve(match));
        };
        const refuse = (why: string) => () =>
          settle(() =>
            reject(new Error(`${command} ${why} and did not print ${String(text)}. It printed:\n${output}`)),
          );
        const timer = setTimeout(refuse(`ran for ${DEADLINE_MS} ms`), DEADLINE_MS);
        listeners.add(look);
        look();
        exited.then(refuse('ended'), refuse('ended'));
      }),
    stop: async () => {
      family.look();
      child.kill('SIGTERM');
      await exited;
    },
    kill: async () => {
      await eventually(() => family.signal('SIGKILL') === 0);
      await exited;
    },
  };
}

/** A process and all that descend from it, also those whose parent has gone and those in other groups. */
class Family {
  readonly #group: number;
  #known: ReadonlySet<number>;
  #ended = false;

  /** @param head leads its own process group. */
  constructor(head: ChildProcess) {
    this.#group = head.pid ?? -1;
    this.#known = new Set([this.#group]);
  }

  /** The members that still run. Each look also remembers those it sees for the first time. */
  look(): number[] {
    if (this.#ended) return [];
    const members = new Map<number, ProcessRow>();
    const all = processes();
    for (let grown = true; grown;) {
      grown = false;
      for (const row of all) {
        const { pid, parent, group } = row;
        if (members.has(pid)) continue;
        if (group === this.#group || this.#known.has(pid) || members.has(parent)) {
          members.set(pid, row);
          grown = true;
        }
      }
    }
    // Only those still listed: the number of one that has gone may be given to a stranger.
    this.#known = new Set(members.keys());
    return [...members.values()].flatMap(({ pid, ended }) => (ended ? [] : [pid]));
  }

  /** Returns how many it was sent to. */
  signal(signal: NodeJS.Signals): number {
    const pids = this.look();
    for (const pid of pids) {
      try {
        process.kill(pid, signal);
      } catch {
        // It has gone in between.
      }
    }
    return pids.length;
  }

  /** Resolves when none is left. Kills what lingers although its head has ended, and rejects, so that a test fails. */
  async gone(): Promise<void> {
    if (await eventually(() => this.look().length === 0)) {
      this.#ended = true;
      return;
    }
    const pids = this.look();
    this.signal('SIGKILL');
    throw new Error(`Still running after the command has ended: processes ${pids.join(', ')}`);
  }
}

type ProcessRow = { pid: number; parent: number; group: number; ended: boolean };

function processes(): ProcessRow[] {
  if (process.platform !== 'linux') {
    const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,pgid=,stat='], { encoding: 'utf8' }).trim().split('\n');
    return rows.map((row) => toRow(row.trim().split(/\s+/)));
  }
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // pid (command) state parent group …; the command may contain anything.
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [state, parent, group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [toRow([name, parent, group, state])];
    } catch {
      return []; // It ended while this was reading.
    }
  });
}

function toRow([pid, parent, group, state]: (string | undefined)[]): ProcessRow {
  // A zombie has ended; only its parent has not asked for its exit code yet.
  return { pid: Number(pid), parent: Number(parent), group: Number(group), ended: /^[ZX]/.test(state ?? '') };
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, 'localhost');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

async function portIsFree(port: number): Promise<void> {
  const free = await eventually(async () => {
    const probe = createServer().listen(port, 'localhost');
    try {
      await once(probe, 'listening');
      return true;
    } catch {
      return false;
    } finally {
      probe.close();
    }
  });
  if (!free) throw new Error(`Port ${port} is still taken after the server has ended`);
}

async function eventually(condition: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + DEADLINE_MS;
  while (performance.now() < deadline) {
    if (await condition()) return true;
    await delay(POLL_MS);
  }
  return false;
}
