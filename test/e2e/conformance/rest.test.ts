import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHAT, INACTIVE } from './chat.ts';
import { because, report } from './differences.ts';
import type { Exchange } from './exchange.ts';
import { LOGIN } from './login.ts';
import { LOGOUT } from './logout.ts';
import { REGISTER } from './register.ts';
import { expected, observed, send } from './replay.ts';
import { ROUTES } from './routes.ts';
import { serve } from './server.ts';
import { USERS } from './users.ts';
import { World, type Account } from './world.ts';

// In the order of the recording: later exchanges suppose the accounts, tokens and messages of the earlier ones, so the
// file runs as a whole or not at all.
const EXCHANGES: readonly Exchange[] = [...REGISTER, ...LOGIN, ...USERS, ...CHAT, ...INACTIVE, ...LOGOUT, ...ROUTES];
const DIFFERENCES = EXCHANGES.filter(({ ours }) => ours);

test('the recording is complete: 225 exchanges, each with an id of its own', () => {
  expect(EXCHANGES).toHaveLength(225);
  expect(new Set(EXCHANGES.map(({ id }) => id)).size).toBe(225);
});

test('an answer that is said to differ does', () => {
  const alike = DIFFERENCES.filter(({ original, ours }) => isDeepStrictEqual(ours?.answer, original));
  expect(alike.map(({ id }) => id)).toEqual([]);
});

describe('every exchange that was recorded with the original, replayed', () => {
  let world: World;

  beforeAll(async () => {
    world = new World(await serve());
  });

  afterAll(async () => {
    report(`${EXCHANGES.length} recorded exchanges: ${DIFFERENCES.length} are answered differently on purpose.`);
    await world.server.stop();
  });

  for (const { id, name, call, original, ours, given, learn } of EXCHANGES) {
    test(`${id}: ${name}${ours ? because(ours.because) : ''}`, async () => {
      await given?.(world);
      const answer = ours?.answer ?? original;
      const response = await send(world.server.url, typeof call === 'function' ? await call(world) : call);
      if (response.status === 201) world.register(readAccount(response.text));

      expect(observed(response, answer)).toEqual(expected(answer, world));
      learn?.(world, response.text);
    });
  }
});

function readAccount(text: string): Account {
  const { data }: { data: Account } = JSON.parse(text);
  return data;
}
