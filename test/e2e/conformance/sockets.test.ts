import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChatSocket, handshake, type Headers } from '../../helpers/node/socket.ts';
import { because, cited, report } from './differences.ts';
import {
  chat,
  enter,
  historyPages,
  login,
  logout,
  message,
  PAGE,
  register,
  socketUrl,
  type Person,
} from '../../helpers/node/people.ts';
import { serve, type Server } from './server.ts';
import { now, resign, unsign } from './world.ts';

const HOUR = 3600;

let server: Server;
let john: Person;
let ray: Person;
let selena: Person;
/** Someone with whom nobody has a conversation at first. */
let stranger: Person;
/** Someone whose account is no longer active. */
let inactive: Person;
let johnRay: string;
let johnSelena: string;
let raySelena: string;
let johnInactive: string;

beforeAll(async () => {
  server = await serve();
  [john, ray, selena, stranger, inactive] = await Promise.all([
    register(server, 'john'),
    register(server, 'ray'),
    register(server, 'selena'),
    register(server, 'stranger'),
    register(server, 'inactive'),
  ]);
  johnRay = await chat(server, john, ray);
  johnSelena = await chat(server, john, selena);
  raySelena = await chat(server, ray, selena);
  johnInactive = await chat(server, john, inactive);
  await server.deactivate(inactive.email);
});

afterAll(async () => {
  report(`Sockets: ${cited.length} answers differ on purpose.`);
  await server.stop();
});

describe('the tests that the original came with', () => {
  test("someone else's conversation is refused", async () => {
    expect((await handshake(socketUrl(server, raySelena, john.access), PAGE)).status).toBe(403);
  });

  test('their own conversation is accepted', async () => {
    expect((await handshake(socketUrl(server, johnRay, john.access), PAGE)).status).toBe(101);
  });

  test('a message to oneself is answered "Invalid recipient."', async () => {
    const socket = await enter(server, johnRay, john.access);
    socket.send(message('Hello', john.id));
    expect(await socket.next()).toBe('Invalid recipient.');
  });

  test('a message to the recipient comes back', async () => {
    const socket = await enter(server, johnRay, john.access);
    socket.send(message('Hello', ray.id));
    expect(read(await socket.next())).toEqual({ message: 'Hello', recipient_id: ray.id });
  });
});

// Handshakes

/** What differs from john opening the conversation with ray, with his access token, from an allowed page. */
type Attempt = {
  /** The path, instead of that of `conversation`. */
  path?: string;
  conversation?: string;
  /** The query, instead of that with `token`. */
  query?: string;
  token?: string;
  headers?: Headers;
};
type Outcome = { status: number; body: unknown };
type HandshakeRow = {
  attempt: () => Attempt | Promise<Attempt>;
  outcome: Outcome;
  /** The row of docs/differences.md, where the original did something else. */
  because?: string;
};

const ACCEPTED: Outcome = { status: 101, body: undefined };
const NOT_FOUND: Outcome = { status: 404, body: { detail: 'Not found.' } };
const refused = (code: string, detail: string): Outcome => ({ status: 403, body: { detail, code } });

const BAD_TOKEN = refused('token_not_valid', 'Token is invalid or expired');
const NO_TOKEN = refused('not_authenticated', 'Authentication credentials were not provided.');
const NO_USER = refused('user_not_found', 'User not found');
const NO_CONVERSATION = refused('no_such_conversation', 'There is no such conversation.');
const FOREIGN_PAGE = refused('origin_not_allowed', 'Pages of this origin may not open sockets here.');

/** Accepted, as it was. */
const accepts = (attempt: HandshakeRow['attempt'] = () => ({})): HandshakeRow => ({ attempt, outcome: ACCEPTED });

/** Refused, as it was, but with a body or another status. */
const refuses = (outcome: Outcome, attempt: HandshakeRow['attempt']): HandshakeRow => ({
  attempt,
  outcome,
  because: 'handshake-refusals',
});

/** john's access token with other claims. */
const claiming = (changes: () => Readonly<Record<string, unknown>>) => async (): Promise<Attempt> => ({
  token: await resign(john.access, changes(), server),
});
const from = (origin: string) => (): Attempt => ({ headers: { Origin: origin } });

const HANDSHAKES: Readonly<Record<string, HandshakeRow>> = {
  "a member's access token": accepts(),
  'no token': refuses(NO_TOKEN, () => ({ query: '' })),
  'an empty token': refuses(NO_TOKEN, () => ({ token: '' })),
  'nonsense as token': refuses(BAD_TOKEN, () => ({ token: 'nonsense' })),
  'an expired token': refuses(
    BAD_TOKEN,
    claiming(() => ({ exp: now() - 1 })),
  ),
  'a token signed with another key': refuses(BAD_TOKEN, async () => ({
    token: await resign(john.access, {}, { secret: `not ${server.secret}`, kidOf: server.secret }),
  })),
  'a token of a user who is gone': refuses(
    NO_USER,
    claiming(() => ({ user_id: randomUUID() })),
  ),
  'a token without user_id': refuses(
    refused('no_user_id', 'Token contained no recognizable user identification'),
    claiming(() => ({ user_id: undefined })),
  ),

  'a refresh token': {
    attempt: () => ({ token: john.refresh }),
    outcome: refused('token_not_valid', 'Token has wrong type'),
    because: 'socket-credentials',
  },
  'a refresh token that was given back': {
    attempt: async () => ({ token: (await loggedOut()).refresh }),
    outcome: refused('token_not_valid', 'Token has wrong type'),
    because: 'socket-credentials',
  },
  'a token without type': {
    attempt: claiming(() => ({ token_type: undefined })),
    outcome: refused('token_not_valid', 'Token has no type'),
    because: 'socket-credentials',
  },
  'a token without end': {
    attempt: claiming(() => ({ exp: undefined })),
    outcome: refused('token_not_valid', "Token has no 'exp' claim"),
    because: 'socket-credentials',
  },
  'a token of an inactive user': {
    attempt: () => ({ conversation: johnInactive, token: inactive.access }),
    outcome: refused('user_inactive', 'User is inactive'),
    because: 'socket-credentials',
  },
  'the access token of a session that has ended': {
    attempt: async () => ({ token: (await loggedOut()).access }),
    outcome: refused('session_ended', 'Token is invalid or expired'),
    because: 'access-after-logout',
  },

  'an unsigned token': refuses(BAD_TOKEN, () => ({ token: unsign(john.access) })),
  'a token signed with HS512': refuses(BAD_TOKEN, async () => ({
    token: await resign(john.access, {}, { secret: server.secret, alg: 'HS512' }),
  })),
  'a token from the future': refuses(
    BAD_TOKEN,
    claiming(() => ({ iat: now() + HOUR })),
  ),
  'a token that is not valid yet': refuses(
    BAD_TOKEN,
    claiming(() => ({ nbf: now() + HOUR })),
  ),
  'a token for another audience': refuses(
    BAD_TOKEN,
    claiming(() => ({ aud: 'somewhere else' })),
  ),
  'a token whose user_id is no UUID': refuses(
    NO_USER,
    claiming(() => ({ user_id: 'john' })),
  ),
  'two tokens, the good one first': accepts(() => ({ query: `?token=${john.access}&token=nonsense` })),
  'two tokens, the good one last': refuses(BAD_TOKEN, () => ({ query: `?token=nonsense&token=${john.access}` })),

  "someone else's conversation": refuses(refused('not_a_member', 'You are not a member of this conversation.'), () => ({
    conversation: raySelena,
  })),
  'an unknown conversation': refuses(NO_CONVERSATION, () => ({ conversation: randomUUID() })),
  'a malformed conversation id': refuses(NO_CONVERSATION, () => ({ conversation: 'lobby' })),
  'a conversation id in braces': {
    attempt: () => ({ conversation: `{${johnRay}}` }),
    outcome: NO_CONVERSATION,
    because: 'socket-id',
  },
  'a conversation id as URN': {
    attempt: () => ({ conversation: `urn:uuid:${johnRay}` }),
    outcome: NO_CONVERSATION,
    because: 'socket-id',
  },

  'no Origin': { attempt: () => ({ headers: {} }), outcome: ACCEPTED, because: 'socket-origin' },
  'a foreign Origin': refuses(FOREIGN_PAGE, from('https://evil.example')),
  'Origin null': refuses(FOREIGN_PAGE, from('null')),
  'a subdomain of localhost': refuses(FOREIGN_PAGE, from('http://sub.localhost:8000')),
  'a host that begins like this one': refuses(FOREIGN_PAGE, from('http://127.0.0.1.evil.example')),
  'Origin localhost': accepts(from('http://localhost')),
  'Origin localhost, another port and scheme': accepts(from('https://localhost:4711')),
  'Origin localhost in upper case': accepts(from('HTTP://LOCALHOST:8000')),
  'Origin 127.0.0.1': accepts(from('http://127.0.0.1:8000')),
  'Origin [::1]': accepts(from('http://[::1]:8000')),
  'an Origin without scheme': { attempt: from('127.0.0.1:8000'), outcome: FOREIGN_PAGE, because: 'socket-origin' },
  'a foreign Host': accepts(() => ({ headers: { ...PAGE, Host: 'evil.example' } })),

  'an unknown path': {
    attempt: () => ({ path: `/ws/nope/${johnRay}/` }),
    outcome: NOT_FOUND,
    because: 'handshake-refusals',
  },
  'no last slash': { attempt: () => ({ path: `/ws/chat/${johnRay}` }), outcome: ACCEPTED, because: 'trailing-slash' },
  'a path of the REST API, which answers as it always does': {
    attempt: () => ({ path: '/api/users/' }),
    outcome: { status: 401, body: { detail: 'Authentication credentials were not provided.' } },
    because: 'handshake-refusals',
  },
  'a subprotocol that nobody speaks': accepts(() => ({ headers: { ...PAGE, 'Sec-WebSocket-Protocol': 'soap, mqtt' } })),
};

/** Tokens of a login of john's that is over. */
async function loggedOut(): Promise<Person> {
  const over = await login(server, john.email);
  await logout(server, over);
  return over;
}

describe('handshakes', () => {
  for (const [name, row] of Object.entries(HANDSHAKES)) {
    test(`${name}: ${row.outcome.status}${row.because === undefined ? '' : because(row.because)}`, async () => {
      const { path, conversation = johnRay, token = john.access, query, headers = PAGE } = await row.attempt();
      const url = new URL(path ?? `/ws/chat/${conversation}/`, server.url);
      const answer = await handshake(`${url.href}${query ?? `?token=${token}`}`, headers);

      const body: unknown = answer.body === '' ? undefined : JSON.parse(answer.body);
      expect({ status: answer.status, body }).toEqual(row.outcome);
      expect(answer.headers['sec-websocket-protocol']).toBeUndefined();
      expect(answer.headers['sec-websocket-extensions']).toBeUndefined();
    });
  }

  test.each([
    ['upper case', (id: string) => id.toUpperCase()],
    ['no dashes', (id: string) => id.replaceAll('-', '')],
  ])(`a conversation id in %s opens the same conversation${because('not-found')}`, async (_, spell) => {
    const socket = await enter(server, spell(johnRay), john.access);
    const canonical = await enter(server, johnRay, ray.access);
    socket.send(message('which room?', ray.id));
    expect(await canonical.next()).toBe(message('which room?', ray.id));
  });
});

// The original has no subprotocol and looks for the token in the query only; what follows is new.
describe('what no client of the original asked for', () => {
  test('a token in Authorization instead of the query is accepted', async () => {
    const headers = { ...PAGE, Authorization: `Bearer ${john.access}` };
    expect((await handshake(socketUrl(server, johnRay, ''), headers)).status).toBe(101);
  });

  test.each<[string, () => { conversation: string; token: string }, number]>([
    ['no good token', () => ({ conversation: johnRay, token: 'nonsense' }), 4401],
    ['not a member', () => ({ conversation: raySelena, token: john.access }), 4403],
    ['no such conversation', () => ({ conversation: randomUUID(), token: john.access }), 4404],
  ])('chat.v1 is accepted, and closed with a code that a browser can read: %s', async (_, who, code) => {
    const { conversation, token } = who();
    const url = socketUrl(server, conversation, '');
    const socket = await ChatSocket.open(url, { headers: PAGE, protocols: ['chat.v1', `bearer.${token}`] });
    expect(socket.protocol).toBe('chat.v1');
    expect((await socket.closed).code).toBe(code);
  });

  test('chat.v1 is accepted, and welcomes a member', async () => {
    const url = socketUrl(server, johnRay, '');
    const socket = await ChatSocket.open(url, { headers: PAGE, protocols: ['chat.v1', `bearer.${john.access}`] });
    expect(socket.protocol).toBe('chat.v1');
    expect(JSON.parse(await socket.next())).toMatchObject({ type: 'welcome', conversation: johnRay, me: john.id });
    await socket.close();
  });
});

// Frames

type Echo = { message: unknown; recipient_id: unknown };
type FrameRow = {
  frame: () => string;
  /** What john, who sends it, gets. Without it: the echo of the frame. */
  answer?: string;
  because?: string;
};

const NO_SUCH_USER = 'Error: UserAccount matching query does not exist.';
const NO_SUCH_CONVERSATION = 'Error: Conversation matching query does not exist.';
const NO_OBJECT = 'Error: The frame is not a JSON object with "message" and "recipient_id".';
const NO_JSON = 'Error: The frame is not valid JSON.';

const echoed = (text: string, recipient = () => ray.id): FrameRow => ({ frame: () => message(text, recipient()) });
const to = (recipient: () => unknown, answer: string): FrameRow => ({
  frame: () => message('Hello', recipient()),
  answer,
});
const malformed = (frame: () => string, answer: string): FrameRow => ({ frame, answer, because: 'frame-errors' });
const badMessage = (value: unknown, answer: string): FrameRow => ({
  frame: () => message(value, ray.id),
  answer,
  because: 'message-values',
});

const FRAMES: Readonly<Record<string, FrameRow>> = {
  'a message': echoed('Hello'),
  'a message that is not ASCII': echoed('Ünï😀 <b>&"\u2028'),
  'a message with U+0000': echoed('a\0b'),
  'a message between spaces': echoed('  Hello\n'),
  'a message with more keys': {
    frame: () => JSON.stringify({ type: 'chat', message: 'Hello', recipient_id: ray.id, n: 1 }),
  },
  'a message of 4,000 emoji': echoed('😀'.repeat(4000)),
  'a recipient in upper case': echoed('Hello', () => ray.id.toUpperCase()),
  'a recipient without dashes': echoed('Hello', () => ray.id.replaceAll('-', '')),

  'an unknown recipient': { ...to(randomUUID, NO_SUCH_CONVERSATION), because: 'recipient' },
  'recipient null': to(() => null, NO_SUCH_USER),
  'recipient 5': to(() => 5, NO_SUCH_USER),
  'recipient true': to(() => true, NO_SUCH_USER),
  'recipient "abc"': to(() => 'abc', "Error: ['“abc” is not a valid UUID.']"),
  'recipient ""': to(() => '', "Error: ['“” is not a valid UUID.']"),
  'recipient []': to(() => [], "Error: ['“[]” is not a valid UUID.']"),
  'someone of another conversation': { ...to(() => selena.id, NO_SUCH_CONVERSATION), because: 'recipient' },
  'someone without a conversation': to(() => stranger.id, NO_SUCH_CONVERSATION),

  'no message': malformed(() => JSON.stringify({ recipient_id: ray.id }), 'Error: The frame has no "message".'),
  'no recipient_id': malformed(() => JSON.stringify({ message: 'Hello' }), 'Error: The frame has no "recipient_id".'),
  'neither key': malformed(() => '{}', 'Error: The frame has no "message" and no "recipient_id".'),
  null: malformed(() => 'null', NO_OBJECT),
  'an array': malformed(() => '["Hello"]', NO_OBJECT),
  'a string': malformed(() => '"Hello"', NO_OBJECT),
  'a number': malformed(() => '5', NO_OBJECT),
  'malformed JSON': malformed(() => '{"message": ', NO_JSON),
  'an empty frame': malformed(() => '', NO_JSON),
  'message NaN': malformed(() => `{"message": NaN, "recipient_id": "${ray.id}"}`, NO_JSON),

  'message ""': badMessage('', 'Error: "message" is blank.'),
  'a message of spaces': badMessage(' \n\t ', 'Error: "message" is blank.'),
  'message null': badMessage(null, 'Error: "message" is not a string.'),
  'message 5': badMessage(5, 'Error: "message" is not a string.'),
  'message true': badMessage(true, 'Error: "message" is not a string.'),
  'an object as message': badMessage({ a: 1 }, 'Error: "message" is not a string.'),
  'a message of 4,001 characters': badMessage('x'.repeat(4001), 'Error: "message" is longer than 4000 characters.'),
  'a message with half of a surrogate pair': {
    frame: () => message('\ud800', ray.id),
    answer: 'Error: "message" contains half of a surrogate pair.',
    because: 'socket-text',
  },
};

describe('a frame that john sends to ray', () => {
  for (const [name, row] of Object.entries(FRAMES)) {
    const { frame, answer } = row;
    const effect =
      answer === undefined ? 'reaches both, and is stored once' : 'is answered with an error, and not stored';
    test(`${name}: ${effect}${row.because === undefined ? '' : because(row.because)}`, async () => {
      const johns = await enter(server, johnRay, john.access);
      const rays = await enter(server, johnRay, ray.access);

      const [start, end] = [randomUUID(), randomUUID()];
      johns.send(message(start, ray.id), frame(), message(end, ray.id));

      const sent = answer === undefined ? [echoOf(frame())] : [];
      expect(await framesBetween(johns, start, end)).toEqual(answer === undefined ? sent : [answer]);
      expect(await framesBetween(rays, start, end)).toEqual(sent);
      expect(await storedBetween(start, end)).toEqual(sent.map((echo) => echo.message));
    });
  }

  test('every socket of both gets it', async () => {
    const first = await enter(server, johnRay, john.access);
    const second = await enter(server, johnRay, john.access);
    const rays = await enter(server, johnRay, ray.access);
    const raysOther = await enter(server, johnRay, ray.access);
    first.send(message('to all', ray.id));
    for (const socket of [first, second, rays, raysOther]) {
      expect(read(await socket.next())).toEqual({ message: 'to all', recipient_id: ray.id });
    }
  });

  test('while ray is away it is stored for him', async () => {
    const johns = await enter(server, johnRay, john.access);
    const text = `for later ${randomUUID()}`;
    johns.send(message(text, ray.id));
    await johns.next();
    expect((await historyPages(server, ray, john))[0]?.[0]).toBe(text);
  });

  test('to himself: "Invalid recipient.", close 1000; frames that were queued behind it are stored and reach ray', async () => {
    const johns = await enter(server, johnRay, john.access);
    const rays = await enter(server, johnRay, ray.access);
    await johns.ping();
    const [start, end] = [randomUUID(), randomUUID()];
    johns.send(message(start, ray.id), message('me', john.id), message('queued', ray.id), message(end, ray.id));

    expect(await johns.take(2)).toEqual([message(start, ray.id), 'Invalid recipient.']);
    expect((await johns.closed).code).toBe(1000);
    expect(await framesBetween(rays, start, end)).toEqual([{ message: 'queued', recipient_id: ray.id }]);
    expect(await storedBetween(start, end)).toEqual(['queued']);
  });

  test(`to selena, in the conversation with ray: nobody but him hears of it${because('recipient')}`, async () => {
    const johns = await enter(server, johnRay, john.access);
    const rays = await enter(server, johnRay, ray.access);
    const selenas = await enter(server, johnSelena, selena.access);
    const johnsOther = await enter(server, johnSelena, john.access);
    johns.send(message('astray', selena.id), message('marker', ray.id));
    johnsOther.send(message('marker', selena.id));

    expect(await johns.take(2)).toEqual([NO_SUCH_CONVERSATION, message('marker', ray.id)]);
    expect(await rays.next()).toBe(message('marker', ray.id));
    expect(await selenas.next()).toBe(message('marker', selena.id));
    expect(await historyPages(server, selena, john)).toEqual([['marker']]);
  });

  test.each<[string, () => string | Uint8Array<ArrayBuffer>, number]>([
    [`a binary frame${because('binary-frames')}`, () => new TextEncoder().encode(message('Hello', ray.id)), 1003],
    [`a message of 1 MB${because('message-values')}`, () => message('x'.repeat(1 << 20), ray.id), 1009],
    [`a message of 16 MB${because('message-values')}`, () => message('x'.repeat(1 << 24), ray.id), 1009],
  ])('%s closes his socket, says why, and nothing is stored or reaches ray', async (_, frame, code) => {
    const johns = await enter(server, johnRay, john.access);
    const rays = await enter(server, johnRay, ray.access);
    await johns.ping();
    const [start, end] = [randomUUID(), randomUUID()];
    johns.send(message(start, ray.id), frame());
    expect(await johns.next()).toBe(message(start, ray.id));
    expect((await johns.closed).code).toBe(code);

    rays.send(message(end, john.id));
    expect(await framesBetween(rays, start, end)).toEqual([]);
    expect(await storedBetween(start, end)).toEqual([]);
  });
});

describe('many frames', () => {
  test('60 in a row reach both in order', async () => {
    const johns = await enter(server, johnRay, john.access);
    const rays = await enter(server, johnRay, ray.access);
    const frames = numbered(60, (n) => message(`in a row ${n}`, ray.id));
    johns.send(...frames);
    expect(await johns.take(60)).toEqual(frames);
    expect(await rays.take(60)).toEqual(frames);
  });

  test(`600 from each side at once reach both, all of them and in order${because('bursts')}`, async () => {
    const conversation = await chat(server, selena, stranger);
    const selenas = await enter(server, conversation, selena.access);
    const strangers = await enter(server, conversation, stranger.access);
    const fromSelena = numbered(600, (n) => message(`selena ${n}`, stranger.id));
    const fromStranger = numbered(600, (n) => message(`stranger ${n}`, selena.id));
    selenas.send(...fromSelena);
    strangers.send(...fromStranger);

    const heard = await selenas.take(1200);
    expect(await strangers.take(1200)).toEqual(heard);
    expect(heard.filter((frame) => fromSelena.includes(frame))).toEqual(fromSelena);
    expect(heard.filter((frame) => fromStranger.includes(frame))).toEqual(fromStranger);

    const stored = (await historyPages(server, selena, stranger)).flat().toReversed();
    expect(stored).toEqual(heard.map((frame) => echoOf(frame).message));
  });

  test(`history is the newest 100, and \`next\` leads to the rest${because('chat-history')}`, async () => {
    const conversation = await chat(server, ray, stranger);
    const rays = await enter(server, conversation, ray.access);
    const texts = numbered(250, (n) => `page me ${n}`);
    rays.send(...texts.map((text) => message(text, stranger.id)));
    await rays.take(250);
    const newestFirst = texts.toReversed();
    expect(await historyPages(server, stranger, ray)).toEqual([
      newestFirst.slice(0, 100),
      newestFirst.slice(100, 200),
      newestFirst.slice(200),
    ]);
  });
});

describe('a conversation', () => {
  test(`that both open for the first time at once is one, and both can write in it${because('one-conversation')}`, async () => {
    const openings = [john, stranger].flatMap((one, index) =>
      numbered(14, () => chat(server, one, index === 0 ? stranger : john)),
    );
    const ids = new Set(await Promise.all(openings));
    expect(ids.size).toBe(1);

    const [conversation = ''] = ids;
    const johns = await enter(server, conversation, john.access);
    const strangers = await enter(server, conversation, stranger.access);
    johns.send(message('hello', stranger.id));
    expect(await strangers.next()).toBe(message('hello', stranger.id));
    strangers.send(message('hello yourself', john.id));
    expect(await johns.take(2)).toEqual([message('hello', stranger.id), message('hello yourself', john.id)]);
  });
});

describe('an open socket', () => {
  test(`is closed with 4401 when its token expires${because('socket-lifetime')}`, async () => {
    const access = await resign(john.access, { exp: now() + 2 }, server);
    const socket = await enter(server, johnRay, access);
    await socket.ping();
    expect((await socket.closed).code).toBe(4401);
  });

  test(`is closed with 4410 when its session ends, others are not${because('socket-lifetime')}`, async () => {
    const session = await login(server, john.email);
    const socket = await enter(server, johnRay, session.access);
    const other = await enter(server, johnRay, john.access);
    await socket.ping();
    await logout(server, session);
    expect((await socket.closed).code).toBe(4410);
    await other.ping();
  });
});

/** A frame as its receiver understands it: the two keys of a message, or the text of an error. */
function read(frame: string): unknown {
  return frame.startsWith('{') ? JSON.parse(frame) : frame;
}

/** The two keys that a frame's echo has. */
function echoOf(frame: string): Echo {
  const { message: text, recipient_id }: Echo = JSON.parse(frame);
  return { message: text, recipient_id };
}

const numbered = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n));

/** What a socket gets between the messages `start`, which must be its next one, and `end`. */
async function framesBetween(socket: ChatSocket, start: string, end: string): Promise<unknown[]> {
  expect(await socket.next()).toContain(start);
  const frames: unknown[] = [];
  for (let frame = await socket.next(); !frame.includes(end); frame = await socket.next()) frames.push(read(frame));
  return frames;
}

/** The texts that john's and ray's conversation has between two others, oldest first. */
async function storedBetween(start: string, end: string): Promise<string[]> {
  const texts = (await historyPages(server, john, ray)).flat().toReversed();
  expect(texts).toEqual(expect.arrayContaining([start, end]));
  return texts.slice(texts.indexOf(start) + 1, texts.indexOf(end));
}
