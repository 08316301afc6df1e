import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { app } from '../../src/http/app.ts';
import { openApiDocument } from '../../src/http/openapi/describe.ts';
import { settings } from '../../src/settings.ts';
import { HOST } from '../helpers/api.ts';
import { describedBy, type Description } from '../helpers/description.ts';
import { refutation, send, type Hostile } from '../helpers/hostile.ts';
import {
  allowedRequests,
  bentRequests,
  filled,
  newWorld,
  operationsOf,
  type Operation,
  type World,
} from '../helpers/openapi-requests.ts';

const document: Description = await openApiDocument(app);
const OPERATIONS = operationsOf(document);
const TIMEOUT = { timeout: 60_000 };

/** Answers of 500 and more that are no faults, where the description has them. */
const NO_FAULTS = [
  { status: 503, code: 'busy' },
  { status: 501, code: 'mail_off' },
];

const present = { ...settings };

beforeAll(() => {
  // No limit stands in the way of what lies behind it.
  const limits = Object.entries(settings).filter(([, limit]) => typeof limit === 'number');
  Object.assign(settings, Object.fromEntries(limits.map(([name]) => [name, 1e9])));
});

afterAll(() => {
  Object.assign(settings, present);
});

const hashes = ({ requestBody, responses }: Operation) => requestBody !== undefined && '503' in responses;
const varies = ({ requestBody, parameters = [] }: Operation) => requestBody !== undefined || parameters.length > 0;

/** How often a property of an operation is tried. More operations do not make this file slower; a hash takes 0.2 s. */
function runs(operation: Operation) {
  if (!varies(operation)) return { numRuns: 4 };
  const [all, among] = hashes(operation) ? [18, OPERATIONS.filter(hashes)] : [250, OPERATIONS.filter(varies)];
  return { numRuns: Math.ceil(all / among.length) };
}

type Answer = Awaited<ReturnType<typeof send>>;

/** Throws if an answer is a fault, or not what the description says of the operation. */
function requireDescribed(operation: Operation, path: string, { status, headers, text }: Answer): void {
  const type = headers.get('Content-Type')?.split(';')[0] ?? '';
  const body = type === 'application/json' ? (JSON.parse(text) as { code?: unknown }) : undefined;
  const { pathname } = new URL(path, `https://${HOST}`);
  describedBy(document, { method: operation.method, path: pathname, status, body });
  const content = operation.responses[status]?.content;
  if (content ? !(type in content) : text !== '') throw new Error(`${status} is described as something else: ${type}`);
  if (status >= 500 && !NO_FAULTS.some((one) => one.status === status && one.code === body?.code)) {
    throw new Error(`The server failed: ${status} ${text}`);
  }
  if ((status === 429 || status === 503) && !/^[1-9]\d*$/.test(headers.get('Retry-After') ?? '')) {
    throw new Error(`${status} does not say when to try again: ${headers.get('Retry-After')}`);
  }
  if (status === 401 && !headers.get('WWW-Authenticate')) throw new Error('401 does not say how to sign in.');
}

const succeeded = new Set<string>();

async function requireAnswer(operation: Operation, request: Hostile): Promise<void> {
  const answer = await send(request);
  requireDescribed(operation, request.path, answer);
  if (answer.status < 400) succeeded.add(operation.name);
}

/** A property: these requests, sent once or twice, are answered as the operation is described. */
function answeredAsDescribed(operation: Operation, requests: fc.Arbitrary<Hostile>) {
  // A request that may change something has a world of its own, so that it does the same when it is repeated.
  const unchanged = newWorld();
  const world = (): World => (operation.method === 'GET' ? unchanged : newWorld());
  return fc.asyncProperty(requests, fc.constantFrom(1, 1, 2), async (request, times) => {
    const sent = await filled(request, world());
    for (let time = 1; time <= times; time += 1) await requireAnswer(operation, sent);
  });
}

describe.for(OPERATIONS.map((operation) => [operation.name, operation] as const))(
  '%s is answered as it is described',
  ([, operation]) => {
    it('when the request is allowed', TIMEOUT, async () => {
      const property = answeredAsDescribed(operation, allowedRequests(operation));
      expect(await refutation(property, runs(operation))).toBeUndefined();
    });

    it('when something is wrong with the request', TIMEOUT, async () => {
      const property = answeredAsDescribed(operation, bentRequests(operation));
      expect(await refutation(property, runs(operation))).toBeUndefined();
    });
  },
);

it('is more than refusals: every operation is carried out for some of the requests', TIMEOUT, async () => {
  for (const operation of OPERATIONS) {
    for (const request of fc.sample(allowedRequests(operation), 100)) {
      if (succeeded.has(operation.name)) break;
      await requireAnswer(operation, await filled(request, newWorld()));
    }
  }
  expect(OPERATIONS.map(({ name }) => name).filter((name) => !succeeded.has(name))).toEqual([]);
});
