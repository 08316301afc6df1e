import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describedBy, type Description } from '../../helpers/description.ts';
import { CHAT, INACTIVE } from './chat.ts';
import { because, report } from './differences.ts';
import type { Exchange } from './exchange.ts';
import { LOGIN } from './login.ts';
import { LOGOUT } from './logout.ts';
import { REGISTER } from './register.ts';
import { expected, observed, send, type Response } from './replay.ts';
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
  let description: Description;

  beforeAll(async () => {
    world = new World(await serve());
    description = await (await fetch(`${world.server.url}/api/schema/`)).json();
  });

  afterAll(async () => {
    report(`${EXCHANGES.length} recorded exchanges: ${DIFFERENCES.length} are answered differently on purpose.`);
    await world.server.stop();
  });

  for (const { id, name, call, original, ours, given, learn } of EXCHANGES) {
    test(`${id}: ${name}${ours ? because(ours.because) : ''}`, async () => {
      await given?.(world);
      const answer = ours?.answer ?? original;
      const request = typeof call === 'function' ? await call(world) : call;
      const response = await send(world.server.url, request);
      if (response.status === 201) world.register(readAccount(response.text));

      expect(observed(response, answer)).toEqual(expected(answer, world));
      const [path = ''] = request.path.split('?');
      describedBy(description, { method: request.method, path, status: response.status, body: readJson(response) });
      learn?.(world, response.text);
    });
  }
});

function readJson({ headers, text }: Response): unknown {
  return headers['content-type']?.startsWith('application/json') && text !== '' ? JSON.parse(text) : undefined;
}

function readAccount(text: string): Account {
  const { data }: { data: Account } = JSON.parse(text);
  return data;
}
