import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { scenes, scripts, type Action, type Scene } from './actions.ts';
import { violations } from './check.ts';
import { FaultyFeeds } from './feeds.ts';
import { hurryServer } from './hurry.ts';
import { FailingStore } from './rollback.ts';
import { story } from './story.ts';
import { Totals } from './totals.ts';
import { World, type Faults } from './world.ts';

// vitest.config.ts says from which variables these come. A failure prints the seed and the path that repeat it.
const { minutes, seed, runs, path } = inject('delivery');
/** Milliseconds for all runs, unless they are to go on for minutes. */
const LIMIT_MS = 25_000;
const totals = new Totals();
// eslint-disable-next-line no-console -- whoever asks for a long run reads it
const print = console.log.bind(console);
/** Alarms go off by the clock of the machine: from a day ahead of it none does by itself. */
const AHEAD_MS = 24 * 60 * 60_000;
let faults: Faults;

beforeAll(() => {
  // The Worker's log would be longer than all that is worth reading.
  vi.spyOn(console, 'log').mockImplementation(() => {});
  vi.spyOn(console, 'error').mockImplementation(() => {});
  hurryServer();
  faults = { store: new FailingStore(), feeds: new FaultyFeeds() };
});

afterAll(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
  print(totals.toString());
});

async function run(scene: Scene, script: readonly Action[]): Promise<void> {
  vi.useFakeTimers({ now: realNow() + AHEAD_MS, toFake: ['Date'] });
  const world = await World.begin(scene, faults);
  // A run that does not come to rest breaks the promise as well.
  let broken = 1;
  try {
    for (const action of script) await world.act(action);
    const history = await world.end();
    const found = violations(history);
    broken = found.length;
    if (found.length > 0) throw new Error(story(history, found));
  } finally {
    totals.add(world, broken);
    world.close();
  }
}

function realNow(): number {
  vi.useRealTimers();
  return Date.now();
}

test(
  'what was acknowledged is stored exactly once, in order, and everyone sees it, whatever fails',
  async () => {
    const until = realNow() + minutes * 60_000;
    do {
      await fc.assert(fc.asyncProperty(scenes, scripts({ minLength: 20, maxLength: 120 }), run), {
        numRuns: runs,
        // A smaller example of what depends on timing is rarely worth the time that it takes to find.
        endOnFailure: true,
        // On a machine that is busy there are fewer.
        ...(minutes === 0 && { interruptAfterTimeLimit: LIMIT_MS }),
        ...(seed !== undefined && { seed }),
        ...(path !== undefined && { path }),
      });
    } while (realNow() < until);
    expect(totals.violations).toBe(0);
  },
  minutes * 60_000 + 300_000,
);
