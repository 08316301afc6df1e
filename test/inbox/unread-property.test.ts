import { abortAllDurableObjects, evictAllDurableObjects, runDurableObjectAlarm } from 'cloudflare:test';
import * as fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { openChat, type ChatSocket } from '../helpers/chat-socket.ts';
import { objectOf } from '../helpers/conversation.ts';
import { versionOf } from '../helpers/directory.ts';
import { arrive, feedsThrough, lose, loseReceipt, repeat, type Passage, type Told } from '../helpers/ill-inboxes.ts';
import { inboxOf, inboxRow, say, standingBySql } from '../helpers/inbox.ts';
import { pairInConversation, type Person } from '../helpers/people.ts';
import { stopClock } from '../helpers/stopped-clock.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const SIDES = ['john', 'ray'] as const;
type Side = (typeof SIDES)[number];
type Action = { run(world: World): Promise<unknown> };

const ILLS = { arrive, lose, loseReceipt, repeat } as const;

/** A conversation, its members, each with a socket that is opened anew when it is lost, and the passage of its feeds. */
class World {
  readonly sockets = new Map<Side, ChatSocket>();
  readonly told: readonly Told[];
  readonly arriveLate: (told: Told) => Promise<void>;
  readonly #through: (passage: Passage) => void;
  #sent = 0;

  constructor(
    readonly conversationId: string,
    readonly people: Record<Side, Person>,
    readonly clock: { now: number },
  ) {
    const { told, through, arriveLate } = feedsThrough(conversationId);
    this.told = told;
    this.#through = through;
    this.arriveLate = arriveLate;
  }

  /** From now on, feeds to one side take a passage. */
  feedsOf(side: Side, passage: Passage): void {
    const others = this.passages.get(side === 'john' ? 'ray' : 'john') ?? arrive;
    this.passages.set(side, passage);
    this.#through(async (told, deliver) =>
      told.userId === this.people[side].id ? passage(told, deliver) : others(told, deliver),
    );
  }
  private readonly passages = new Map<Side, Passage>();

  async socket(side: Side): Promise<ChatSocket> {
    const known = this.sockets.get(side);
    if (known) return known;
    const socket = await openChat(this.conversationId, this.people[side].access);
    this.sockets.set(side, socket);
    return socket;
  }

  async request(side: Side, frame: Parameters<ReturnType<typeof objectOf>['request']>[2]): Promise<void> {
    const known = await versionOf(this.conversationId);
    const answer = await objectOf(this.conversationId).request(known, this.people[side].id, frame);
    const isRefused = answer?.type === 'error' && !['not_your_message', 'message_deleted'].includes(answer.code);
    if (isRefused) throw new Error(`Refused: ${answer.code}`);
  }

  ref = (): string => `${(this.#sent += 1)}`;
}

const ALL = { epoch: 1, shows_presence: true };
const side = fc.constantFrom(...SIDES);
const n = fc.integer({ min: 1, max: 60 });

const action = (says: string, run: Action['run']): Action => ({ run, [fc.toStringMethod]: () => says }) as Action;

const messages = fc.tuple(side, fc.integer({ min: 1, max: 6 })).map(([by, count]) =>
  action(`${by} sends ${count} by socket`, async (world) => {
    const socket = await world.socket(by);
    for (let i = 0; i < count; i += 1) await socket.say(`${i} by ${by}`);
  }),
);
const httpMessages = side.map((by) =>
  action(`${by} sends over HTTP`, async (world) => world.request(by, { type: 'send', ref: world.ref(), text: by })),
);
const edits = fc
  .tuple(side, n)
  .map(([by, of]) =>
    action(`${by} edits ${of}`, async (world) =>
      world.request(by, { type: 'edit', ref: world.ref(), n: await existing(world, of), text: `edited ${of}` }),
    ),
  );
const deletions = fc
  .tuple(side, n)
  .map(([by, of]) =>
    action(`${by} deletes ${of}`, async (world) =>
      world.request(by, { type: 'delete', ref: world.ref(), n: await existing(world, of) }),
    ),
  );
const reactions = fc
  .tuple(side, n)
  .map(([by, of]) =>
    action(`${by} reacts to ${of}`, async (world) =>
      world.request(by, { type: 'react', ref: world.ref(), n: await existing(world, of), emoji: '👍', on: true }),
    ),
  );
const marks = fc
  .tuple(side, n, fc.constantFrom('socket', 'HTTP', 'inbox'), fc.boolean())
  .map(([by, to, device, read]) =>
    action(`${by} ${read ? 'reads' : 'receives'} up to ${to} by ${device}`, async (world) => {
      const frame = { type: 'mark' as const, ...(read ? { read: to } : { delivered: to }) };
      if (device === 'HTTP') return world.request(by, frame);
      if (device === 'inbox') return objectOf(world.conversationId).mark(world.people[by].id, frame);
      const socket = await world.socket(by);
      socket.send(frame);
      return socket.settled();
    }),
  );
const readAll = side.map((by) =>
  action(`${by} marks all as read in the inbox`, async (world) =>
    inboxOf(world.people[by].id).set(ALL, world.conversationId, { unread: false }),
  ),
);
const ills = fc
  .tuple(side, fc.constantFrom<keyof typeof ILLS>('arrive', 'lose', 'lose', 'loseReceipt', 'repeat'))
  .map(([to, ill]) => action(`feeds to ${to}: ${ill}`, async (world) => world.feedsOf(to, ILLS[ill])));
const late = fc.nat({ max: 30 }).map((ago) =>
  action(`a feed of ${ago} ago comes late`, async ({ told, arriveLate }) => {
    const one = told[told.length - 1 - (ago % Math.max(1, told.length))];
    if (one) await arriveLate(one);
  }),
);
const time = fc
  .constantFrom(10, 250, 3000, 60_000)
  .map((ms) => action(`${ms} ms pass`, async ({ clock }) => void (clock.now += ms)));
const alarms = fc.constant(
  action('the alarm goes off', async ({ conversationId }) => runDurableObjectAlarm(objectOf(conversationId))),
);
const evictions = fc.constant(action('all objects are evicted', async () => evictAllDurableObjects()));
const aborts = fc.constant(
  action('all objects are aborted', async ({ sockets }) => {
    await abortAllDurableObjects();
    for (const socket of sockets.values()) await socket.closed;
    sockets.clear();
  }),
);

/** The message of a number, or, if there are not so many, another that is there. */
async function existing({ conversationId, people }: World, wanted: number): Promise<number> {
  const newest = (await standingBySql(conversationId, people.john.id))?.n ?? 1;
  return 1 + (wanted % newest);
}

/** Expects that the inboxes, when they work and the alarm goes off, come to say what the log says. */
async function expectRecovery(world: World): Promise<void> {
  for (const by of SIDES) world.feedsOf(by, arrive);
  await vi.waitFor(
    async () => {
      // Whatever pause a failure has brought is over.
      world.clock.now += 10 * 60_000;
      await runDurableObjectAlarm(objectOf(world.conversationId));
      await expectHonest(world);
    },
    { timeout: 5000, interval: 10 },
  );
}

const script = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: messages },
    { weight: 2, arbitrary: httpMessages },
    { weight: 2, arbitrary: edits },
    { weight: 4, arbitrary: deletions },
    { weight: 1, arbitrary: reactions },
    { weight: 5, arbitrary: marks },
    { weight: 1, arbitrary: readAll },
    { weight: 4, arbitrary: ills },
    { weight: 3, arbitrary: late },
    { weight: 3, arbitrary: time },
    { weight: 1, arbitrary: alarms },
    { weight: 1, arbitrary: evictions },
    { weight: 1, arbitrary: aborts },
  ),
  { minLength: 5, maxLength: 40, size: 'max' },
);

/** Expects of both inboxes what the log says, counted by SQL. */
async function expectHonest({ conversationId, people }: World): Promise<void> {
  for (const by of SIDES) {
    const { sender_id, text, ...standing } = (await standingBySql(conversationId, people[by].id)) ?? { n: 0 };
    const row = await inboxRow(people[by].id, conversationId);
    expect(row).toMatchObject({ ...standing, last: { n: standing.n, sender_id, text } });
    const peer = people[by === 'john' ? 'ray' : 'john'];
    expect(row?.peer).toEqual({ user_id: peer.id, first_name: peer.first_name, last_name: peer.last_name });
  }
}

async function tryOut(actions: readonly Action[]): Promise<void> {
  const clock = stopClock();
  const { john, ray, conversationId } = await pairInConversation();
  const world = new World(conversationId, { john, ray }, clock);
  try {
    await say(conversationId, john.id, 'Hello');
    for (const it of actions) await it.run(world);
    await expectRecovery(world);
  } finally {
    for (const socket of world.sockets.values()) socket.close(1000);
    vi.restoreAllMocks();
  }
}

test('whatever happens to objects and feeds, both inboxes end with what the log says', async () => {
  expect.hasAssertions();
  await fc.assert(
    fc.asyncProperty(script, async (actions) => tryOut(actions)),
    { numRuns: 20 },
  );
}, 60_000);

test('so do those of somebody who has more unread than is counted', async () => {
  const many = action('john sends 130', async (world) => {
    const johns = await world.socket('john');
    for (let i = 0; i < 130; i += 1) johns.send({ type: 'send', ref: `m${i}`, text: `${i}` });
    for (let i = 0; i < 130; i += 1) await johns.answer(`m${i}`);
  });
  expect.hasAssertions();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(deletions, marks, ills, late, time, evictions), { maxLength: 12 }),
      async (actions) => tryOut([many, ...actions]),
    ),
    { numRuns: 4 },
  );
}, 60_000);
