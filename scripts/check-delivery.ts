// `npm run check:delivery -- --minutes 30 [--seed 1]`: holds the server and its clients to the promise of
// docs/protocol.md for so long, and prints a report. Half of the time random histories inside of workerd, the other half
// real processes and `kill -9`. Ends with 1 if the promise was broken, or somebody did not come to rest. The seed is that
// of the real processes; a history that fails is printed with its own.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Accounts } from '../test/helpers/node/delivery/accounts.ts';
import { MortalServer } from '../test/helpers/node/delivery/mortal-server.ts';
import { Random } from '../test/helpers/node/delivery/random.ts';
import { report, reportOfRuns, type RunTotals } from '../test/helpers/node/delivery/report.ts';
import { playRound } from '../test/helpers/node/delivery/round.ts';
import { add, noTotals, type Totals } from '../test/helpers/node/delivery/totals.ts';
import { DELIVERY_VARS } from '../test/helpers/node/delivery/vars.ts';

const root = join(import.meta.dirname, '..');

/** What a long run must have seen, however slow its machine is. */
const LONG = { minutes: 30, kills: 20 } as const;

const ROUND = { conversations: 3, kills: 3, acknowledgedByLife: [200, 700] } as const;

const { values: options } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' } } });
const minutes = Number(options.minutes ?? 3);
const seed = Number(options.seed ?? randomInt(2 ** 32));
if (!(minutes > 0) || !Number.isInteger(seed) || seed < 0) {
  console.error('--minutes must be a number above 0, and --seed a whole number.');
  process.exit(1);
}

const began = performance.now();
console.log(`# Delivery check\n\n${facts()}\n`);
const histories = await randomHistories(minutes / 2);
console.log(`\n## Random histories inside of workerd: ${histories.isGood ? 'good' : 'FAILED'}\n\n${histories.text}\n`);
const processes = await realProcesses(minutes / 2);
const areProcessesGood = processes.violations.length === 0 && processes.unsettled.length === 0;
console.log(`\n## Real processes: ${areProcessesGood ? 'good' : 'FAILED'}\n\n${report(processes)}\n`);
console.log(`Took ${((performance.now() - began) / 60_000).toFixed(1)} minutes, with seed ${seed}.`);
process.exit(areProcessesGood && histories.isGood ? 0 : 1);

function git(...args: string[]): string {
  return execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
}

function version(name: string): string {
  return JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version;
}

function facts(): string {
  const isChanged = git('status', '--porcelain') !== '';
  return [
    `Date: ${new Date().toISOString()}`,
    `Commit: ${git('rev-parse', '--short', 'HEAD')}${isChanged ? ', with changes that are not committed' : ''}`,
    `Versions: node ${process.versions.node}, wrangler ${version('wrangler')}, workerd ${version('workerd')}`,
    `Minutes: ${minutes}`,
    `Seed: ${seed}`,
  ].join('\n');
}

/** The tests that make histories up, for so long. What they print about them is one line of JSON. */
async function randomHistories(forMinutes: number): Promise<{ readonly isGood: boolean; readonly text: string }> {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', 'test/delivery/delivery.test.ts', '--project', 'workers', '--silent=false'];
  const env = { ...process.env, DELIVERY_MINUTES: String(forMinutes), NO_COLOR: '1' };
  const tests = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [tests.stdout, tests.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const [code] = await once(tests, 'close');
  const line = output.split('\n').findLast((it) => it.includes('{"delivery":"totals"'));
  const totals = line === undefined ? undefined : (JSON.parse(line.slice(line.indexOf('{'))) as RunTotals);
  const isGood = code === 0 && totals !== undefined && totals.violations === 0;
  const texts = [...(totals ? [reportOfRuns(totals)] : []), ...(isGood ? [] : [output.trimEnd()])];
  return { isGood, text: texts.join('\n\n') };
}

/** Rounds on a real server, for so long and until it was killed often enough. */
async function realProcesses(forMinutes: number): Promise<Totals> {
  const until = performance.now() + forMinutes * 60_000;
  const random = new Random(seed);
  const totals = noTotals();
  const server = await MortalServer.start(DELIVERY_VARS);
  try {
    const accounts = new Accounts(server);
    const isEnough = () =>
      performance.now() > until && (minutes < LONG.minutes || totals.kills >= LONG.kills) && totals.rounds > 0;
    while (!isEnough()) {
      const round = await playRound(server, accounts, random.fork(), ROUND);
      add(totals, round);
      console.log(progress(totals, round));
      if (round.violations.length > 0 || round.unsettled.length > 0) {
        console.log(`The server printed last:\n${server.lastLines(20)}`);
        break;
      }
    }
  } finally {
    await server.remove();
  }
  return totals;
}

function progress(totals: Totals, round: Totals): string {
  const megabytes = Math.round(process.memoryUsage().rss / 2 ** 20);
  return (
    `Round ${totals.rounds}: ${round.stored} messages, acknowledged in each life ${round.acknowledgedByLife.join(' + ')}, ` +
    `${round.violations.length} violations, ${round.unsettled.length} not settled; memory ${megabytes} MB`
  );
}
