// Proof that the check of the promise can fail. Each of test/delivery/mutants is the product with one mistake in it, as
// a patch, and the scenario of the same name in test/delivery/scenarios.test.ts has to find it.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { copyProject, run } from '../helpers/node/wrangler-dev.ts';

const FOLDER = 'test/delivery/mutants';
const SCENARIOS = 'test/delivery/scenarios.test.ts';

/** What the scenario of a mutant has to say: which rule of the check was broken, or who never came to rest. */
const FOUND: Readonly<Record<string, string>> = {
  'anyone-edits': 'invented: ',
  'dedupe-window': 'twice: ',
  'edit-without-ref': 'twice: ',
  'feed-last-writer-wins': 'unread: ',
  'feed-not-retried': 'unread: ',
  'feed-resurrects': 'unread: ',
  'feed-settles-too-much': 'unread: ',
  'forgetful-outbox': 'unanswered: ',
  'gap-applied': 'diverged: ',
  'inbox-counts-up': 'unread: ',
  'marks-go-back': 'went back: ',
  'marks-told-once': 'ray did not settle: ',
  'marks-unread': 'marks: ',
  'memory-ahead': 'order: ',
  'no-dedupe': 'twice: ',
  'no-probe': 'ray did not settle: ',
  'no-rev-check': 'diverged: ',
  'ok-before-write': 'lost: ',
  'refused-for-good': 'refused wrongly: ',
  'same-epoch': 'diverged: ',
  'skip-row': 'diverged: ',
  'tell-before-write': 'one order: ',
  'two-in-flight': 'order: ',
};

/** The mutants that run at the same time: more would be no faster, for each keeps a core busy. */
const LANES = 2;
/** Milliseconds for all of them, since the last one waits for the others. They take a fifth of it. */
const DEADLINE_MS = 300_000;

/** What vitest's reporter tells of a test. */
interface Outcome {
  readonly title: string;
  readonly status: string;
  readonly failureMessages: readonly string[];
}

const names = readdirSync(join(import.meta.dirname, '../..', FOLDER)).map((file) => file.replace(/\.patch$/, ''));

test('it is known of each mutant how it is found', () => {
  expect(names.toSorted()).toEqual(Object.keys(FOUND).toSorted());
});

describe('the check finds the mutant', () => {
  let lanes: { project: string; last: Promise<unknown> }[] = [];
  beforeAll(() => {
    lanes = Array.from({ length: LANES }, () => ({ project: copyProject(), last: Promise.resolve() }));
  });
  afterAll(() => {
    for (const { project } of lanes) rmSync(project, { recursive: true, force: true });
  });

  test.concurrent.each(names.map((name, index) => ({ name, lane: index % LANES })))(
    '$name',
    async ({ name, lane: index }) => {
      const lane = lanes[index];
      if (!lane) throw new Error('There is no such lane.');
      const turn = lane.last.then(async () => scenarioOf(name, lane.project));
      lane.last = turn.catch(() => {});
      const outcomes = await turn;
      expect(outcomes).toMatchObject([{ status: 'failed' }]);
      expect(outcomes[0]?.failureMessages[0]).toContain(`'${FOUND[name]}`);
    },
    DEADLINE_MS,
  );
});

/** Runs the scenario of a mutant on a copy of the project, which has its mistake meanwhile. */
async function scenarioOf(name: string, project: string): Promise<Outcome[]> {
  const patch = `${FOLDER}/${name}.patch`;
  const report = join(project, `${name}.json`);
  apply(project, patch);
  try {
    const only = ['--project=workers', '--testNamePattern', `^${name}: `];
    // The caches would be in node_modules, which the copies share.
    const how = ['--no-cache', `--fsModuleCachePath=${join(project, '.cache')}`];
    const told = ['--reporter=json', `--outputFile=${report}`];
    const command = ['node_modules/vitest/vitest.mjs', 'run', SCENARIOS, ...only, ...how, ...told];
    const vitest = run(process.execPath, command, { folder: project });
    const code = await vitest.exited;
    if (!existsSync(report)) throw new Error(`vitest ended with ${code} and without a report:\n${vitest.output()}`);
    return outcomesIn(readFileSync(report, 'utf8'));
  } finally {
    apply(project, '--reverse', patch);
  }
}

/** Those that were not left out. @throws Error if there are none: the file could not be loaded, or lacks the scenario */
function outcomesIn(report: string): Outcome[] {
  const { testResults } = JSON.parse(report) as { testResults: { message: string; assertionResults: Outcome[] }[] };
  const outcomes = testResults.flatMap(({ assertionResults }) => assertionResults);
  const ran = outcomes.filter(({ status }) => status === 'passed' || status === 'failed');
  if (ran.length === 0) throw new Error(`No scenario ran. ${testResults.map(({ message }) => message).join('\n')}`);
  return ran;
}

/** Applies a patch. @throws Error that says so, if the source is another by now */
function apply(project: string, ...patch: string[]): void {
  // Where the folder for temporary files is in a repository, git would look for the files from its root.
  const env = { ...process.env, GIT_CEILING_DIRECTORIES: dirname(project) };
  try {
    execFileSync('git', ['apply', ...patch], { cwd: project, env, stdio: 'pipe', encoding: 'utf8' });
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new Error(`${patch.join(' ')} does not apply: make the same mistake in the source as it is now.\n${stderr}`, {
      cause: error,
    });
  }
}
