import { expect } from 'vitest';
import {
  bearer,
  call,
  described,
  differs,
  EMPTY,
  exchange,
  get,
  GET_ONLY,
  invalid,
  NO_CREDENTIALS,
  NOT_FOUND,
  notAllowed,
  notFound,
  ok,
  options,
  page,
  REDIRECT,
  unauthorized,
  type Exchange,
} from './exchange.ts';
import { loginAs, NO_ACCOUNT } from './login.ts';
import { enter, message } from '../../helpers/node/people.ts';
import { address } from './register.ts';
import { usersBut } from './users.ts';
import { UUID, type Name, type World } from './world.ts';

const chatPath = (recipient: string) => `/api/users/${recipient}/chat/`;

/** The conversation with another account, asked for by john unless told otherwise. */
const chatWith =
  (recipient: Name, caller: Name = 'john', spelling = (id: string) => id) =>
  (world: World) =>
    get(chatPath(spelling(world.id(recipient))), bearer(world.access(caller)));

/** A path that names no account, with john's token. */
const asJohn =
  (recipient: string, headers: Readonly<Record<string, string>> = {}) =>
  (world: World) =>
    get(chatPath(recipient), { ...bearer(world.access('john')), ...headers });

const retrieved = (data: unknown) => ({
  success: true,
  msg: 'User conversation with messages retrieved successfully.',
  data,
  status: 200,
});
const EMPTY_CHAT = ok((world: World) => retrieved({ id: world.conversation, messages: [] }));

const UNKNOWN = '00000000-0000-4000-8000-000000000000';
const NO_USER = notFound({ detail: 'No UserAccount matches the given query.' });

// In the recording the messages were put into the database with instants of 2024. No endpoint can do that, so they are
// sent over sockets here, and `created_at` is held to its form: ISO 8601, UTC, three or six digits of a second.
const INSTANT = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(\d{3})?Z$/);

const SAID: readonly { readonly by: 'john' | 'ray'; readonly text: string }[] = [
  { by: 'john', text: 'first' },
  { by: 'ray', text: 'second' },
  { by: 'john', text: 'no micros' },
  { by: 'ray', text: 'short micros' },
  { by: 'john', text: 'Ünï😀 <b>&"\u2028' },
];
const FIRST_NAMES = { john: 'John', ray: 'Ray' };

const NEWEST_FIRST = ok((world: World) =>
  retrieved({
    id: world.conversation,
    messages: SAID.toReversed().map(({ by, text }) => ({
      text,
      sender: { id: world.id(by), first_name: FIRST_NAMES[by], last_name: 'Doe' },
      created_at: INSTANT,
    })),
  }),
);

/** Has the messages said, each after the one before has arrived on both sides. */
async function say(world: World): Promise<void> {
  const john = await enter(world.server, world.conversation, world.access('john'));
  const ray = await enter(world.server, world.conversation, world.access('ray'));
  for (const { by, text } of SAID) {
    const [speaker, recipient] = by === 'john' ? [john, 'ray' as const] : [ray, 'john' as const];
    speaker.send(message(text, world.id(recipient)));
    await Promise.all([john.next(), ray.next()]);
  }
}

export const CHAT: readonly Exchange[] = [
  exchange('C00', 'no token', (world) => get(chatPath(world.id('ray'))), NO_CREDENTIALS),
  exchange('C01', 'the first look makes the conversation', chatWith('ray'), ok(retrieved({ id: UUID, messages: [] })), {
    learn: (world, text) => {
      const { data }: { data: { id: string } } = JSON.parse(text);
      world.conversation = data.id;
    },
  }),
  exchange('C02', 'the second look finds it', chatWith('ray'), EMPTY_CHAT),
  exchange('C03', 'so does the other side', chatWith('john', 'ray'), EMPTY_CHAT),
  exchange('C04', 'oneself', chatWith('john'), invalid({ success: false, msg: 'Invalid recipient.', status: 400 })),
  exchange('C05.unknown', 'nobody', asJohn(UNKNOWN), NO_USER),
  exchange('C05.nil', 'the nil UUID', asJohn('00000000-0000-0000-0000-000000000000'), NO_USER),
  exchange('C05.anonymous', 'nobody, without a token', get(chatPath(UNKNOWN)), NO_CREDENTIALS),
  exchange('C06.malformed', 'no UUID', asJohn('not-a-uuid'), page(404), differs('not-found', NOT_FOUND)),
  exchange(
    'C06.upper',
    'an upper-case UUID',
    chatWith('ray', 'john', (id) => id.toUpperCase()),
    page(404),
    differs('not-found', EMPTY_CHAT),
  ),
  exchange(
    'C06.undashed',
    'a UUID without dashes',
    chatWith('ray', 'john', (id) => id.replaceAll('-', '')),
    page(404),
    differs('not-found', EMPTY_CHAT),
  ),
  exchange(
    'C06.json',
    'no UUID, JSON asked for',
    asJohn('not-a-uuid', { Accept: 'application/json' }),
    page(404),
    differs('not-found', NOT_FOUND),
  ),
  exchange(
    'C06.anonymous',
    'no UUID, without a token',
    get(chatPath('not-a-uuid')),
    page(404),
    differs('not-found', NOT_FOUND),
  ),
  exchange(
    'C07',
    'without the last slash',
    (world) => get(chatPath(world.id('ray')).slice(0, -1), bearer(world.access('john'))),
    REDIRECT,
    differs('trailing-slash', EMPTY_CHAT),
  ),
  ...['POST', 'PUT', 'DELETE'].map((method) =>
    exchange(
      `C08.${method}`,
      method,
      (world) => call(method, chatPath(world.id('ray')), bearer(world.access('john'))),
      notAllowed(method, GET_ONLY),
    ),
  ),
  exchange(
    'C08.OPTIONS',
    'OPTIONS',
    (world) => call('OPTIONS', chatPath(world.id('ray')), bearer(world.access('john'))),
    described(GET_ONLY, {
      name: 'User Chat',
      description: 'API view to display conversation (chat) between users',
    }),
    differs('json-only', options(GET_ONLY)),
  ),
  exchange(
    'C08.HEAD',
    'HEAD',
    (world) => call('HEAD', chatPath(world.id('ray')), bearer(world.access('john'))),
    ok(EMPTY),
  ),
  exchange('C09', 'messages, newest first', chatWith('ray'), NEWEST_FIRST, { given: say }),
  // Recorded after all messages had been given one and the same instant, which no endpoint can do either.
  exchange('C10', 'messages again, in the same order', chatWith('ray'), NEWEST_FIRST),
];

/** What an account that was deactivated, selena's, can do, and what others can do with it. */
export const INACTIVE: readonly Exchange[] = [
  exchange(
    'X01.users',
    'her token',
    (world) => get('/api/users/', bearer(world.access('selena'))),
    unauthorized({ detail: 'User is inactive', code: 'user_inactive' }),
    {
      given: async (world) => {
        await world.server.deactivate(address('selena'));
        world.inactive.add('selena');
      },
    },
  ),
  exchange('X01.login', 'her login', loginAs('-', 'selena').call, NO_ACCOUNT),
  exchange(
    'X01.listed',
    'the list of users',
    (world) => get('/api/users/', bearer(world.access('john'))),
    ok((world: World) => world.others('john', 'inactive too')),
    differs('users-list', usersBut('john')),
  ),
  exchange('X01.chat', 'a conversation with her', chatWith('selena'), ok(retrieved({ id: UUID, messages: [] }))),
];
