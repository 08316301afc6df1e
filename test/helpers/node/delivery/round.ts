import { setTimeout as delay } from 'node:timers/promises';
import type { Accounts } from './accounts.ts';
import type { MortalServer } from './mortal-server.ts';
import type { Random } from './random.ts';
import { add, noTotals, type Totals } from './totals.ts';
import { Trial } from './trial.ts';
import { cameTrue } from './wait.ts';

/** Milliseconds in which a server with this load must have acknowledged what a life is to see. */
const LIFE_WITHIN_MS = 120_000;

/** How long a server stays away, beyond what it takes to start, in milliseconds. */
const AWAY_MAX_MS = 1500;

/** How much a round is. */
export interface RoundOptions {
  /** How many conversations there are at a time. */
  readonly conversations: number;
  readonly kills: number;
  /** How many operations of all conversations are acknowledged in each life of the server, from and to. */
  readonly acknowledgedByLife: readonly [least: number, most: number];
}

/** Some conversations on a server that is killed while they go on, and the verdict on them. */
export async function playRound(
  server: MortalServer,
  accounts: Accounts,
  random: Random,
  { conversations, kills, acknowledgedByLife: [least, most] }: RoundOptions,
): Promise<Totals> {
  const totals = { ...noTotals(), rounds: 1, kills };
  const trials: Trial[] = [];
  for (let i = 0; i < conversations; i += 1) trials.push(await Trial.begin(server, accounts, random.fork()));
  const acknowledged = () => trials.reduce((sum, { recorder }) => sum + recorder.acknowledged, 0);
  const open = () => trials.reduce((sum, { recorder }) => sum + recorder.open, 0);

  for (let life = 0, before = 0; life <= kills; life += 1) {
    const enough = before + random.integer(least, most);
    const isEnough = () => acknowledged() >= enough && open() > 0;
    if (!(await cameTrue(isEnough, LIFE_WITHIN_MS))) {
      totals.unsettled.push(`Life ${life}: ${acknowledged() - before} of ${enough - before} acknowledged in time.`);
    }
    if (life < kills) {
      totals.openAtKills.push(open());
      await server.kill();
      await delay(random.integer(0, AWAY_MAX_MS));
    }
    totals.acknowledgedByLife.push(acknowledged() - before);
    before = acknowledged();
    if (life < kills) await server.restart();
  }

  for (const verdict of await Promise.all(trials.map((trial) => trial.end()))) add(totals, verdict);
  return totals;
}
