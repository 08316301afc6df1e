import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Accounts } from '../helpers/node/delivery/accounts.ts';
import { MortalServer } from '../helpers/node/delivery/mortal-server.ts';
import { Random } from '../helpers/node/delivery/random.ts';
import { playRound } from '../helpers/node/delivery/round.ts';
import { DELIVERY_VARS } from '../helpers/node/delivery/vars.ts';

// `npm run check:delivery` does the same for as long as it is told to.

/** How many operations are acknowledged in each life of the server, at least. */
const LEAST = 80;

let server: MortalServer;
beforeAll(async () => {
  server = await MortalServer.start(DELIVERY_VARS);
});
afterAll(() => server.remove());

test('what was acknowledged is stored once, in order, and all see it, over two kill -9 of the server and any network', async () => {
  const seed = randomInt(2 ** 32);
  const round = { conversations: 2, kills: 2, acknowledgedByLife: [LEAST, 200] } as const;
  const totals = await playRound(server, new Accounts(server), new Random(seed), round);
  expect(totals, `seed ${seed}`).toMatchObject({ unsettled: [], violations: [], kills: 2 });
  expect(totals.acknowledgedByLife).toHaveLength(3);
  for (const acknowledged of totals.acknowledgedByLife) expect(acknowledged).toBeGreaterThanOrEqual(LEAST);
}, 240_000);
