import { Validator, type Schema } from '@cfworker/json-schema';
import { beforeAll, describe, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { clientFrames } from '../../src/protocol/client-frames.ts';
import { CLOSE, verdictOf } from '../../src/protocol/close-codes.ts';
import { ERROR_CODES } from '../../src/protocol/error-codes.ts';
import { inboxClientFrames, inboxServerFrames } from '../../src/protocol/inbox-frames.ts';
import { serverFrames } from '../../src/protocol/server-frames.ts';
import { api } from '../helpers/api.ts';

type Reference = { $ref: string };
type Message = { name: string; summary: string; contentType?: string; payload: Schema };
type Operation = {
  action: string;
  channel: Reference;
  summary: string;
  messages: Reference[];
  reply?: { channel: Reference; messages: Reference[] };
};
type Channel = { address: string; parameters?: object; messages: Record<string, Reference>; bindings: { ws: Binding } };
type Binding = Record<'query' | 'headers', { type: string; properties: Record<string, Schema> }>;
type Document = {
  asyncapi: string;
  info: { title: string; version: string };
  channels: Record<string, Channel>;
  operations: Record<string, Operation>;
  components: { messages: Record<string, Message>; schemas: Record<string, Schema> };
  'x-error-codes': Record<string, string>;
  'x-close-codes': Record<string, { name: string; verdict: string }>;
};

let document: Document;

/** The messages of each channel by name. */
const MESSAGES: Record<string, string[]> = {
  chat: [...namesOf('', clientFrames, serverFrames), 'client.ping', 'server.pong'],
  inbox: [...namesOf('inbox.', inboxClientFrames, inboxServerFrames), 'inbox.client.ping', 'inbox.server.pong'],
};
/** The frames that have a ref, and so an answer. */
const ANSWERS: Record<string, string[]> = {
  'client.send': ['server.ok', 'server.error'],
  'client.edit': ['server.ok', 'server.error'],
  'client.delete': ['server.ok', 'server.error'],
  'client.react': ['server.ok', 'server.error'],
  'client.history': ['server.page', 'server.error'],
  'client.sync': ['server.changes', 'server.error'],
  'inbox.client.sync': ['inbox.server.changes', 'inbox.server.error'],
  'inbox.client.list': ['inbox.server.page', 'inbox.server.error'],
  'inbox.client.set': ['inbox.server.ok', 'inbox.server.error'],
};

beforeAll(async () => {
  document = (await api('/api/asyncapi/')).body;
});

function namesOf(prefix: string, client: object, server: object): string[] {
  return [
    ...Object.keys(client).map((type) => `${prefix}client.${type}`),
    ...Object.keys(server).map((type) => `${prefix}server.${type}`),
  ];
}

const isLiteral = (name: string) => /\.p[io]ng$/.test(name);
const frameNames = Object.values(MESSAGES)
  .flat()
  .filter((name) => !isLiteral(name));

function channelOf(name: string): Channel {
  const channel = document.channels[name];
  if (!channel) throw new Error(`The document has no channel ${name}.`);
  return channel;
}

/** The operations of a channel by name. */
const operationsOf = (channel: string) =>
  Object.entries(document.operations).filter(([name]) => name.startsWith('inbox.') === (channel === 'inbox'));

/** Every `$ref` in a value. */
function referencesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === '$ref' ? [String(inner)] : referencesIn(inner as unknown),
  );
}

/** What a JSON pointer within the document leads to. */
function resolve(reference: string): unknown {
  if (!reference.startsWith('#/')) return undefined;
  const steps = reference.slice(2).split('/');
  return steps.reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined)?.[step], document);
}

const lastStep = ({ $ref }: Reference) => $ref.split('/').at(-1) ?? '';

describe('the description of the sockets', () => {
  it('is JSON, with and without the trailing slash, for everyone', async () => {
    for (const path of ['/api/asyncapi/', '/api/asyncapi']) {
      const { status, headers, body } = await api(path);
      expect(status).toBe(200);
      expect(headers.get('Content-Type')).toBe('application/json');
      expect(body).toEqual(document);
    }
  });

  it('is linked from the documentation page', async () => {
    expect((await api('/api/docs/')).text).toContain('<a href="/api/asyncapi/">');
  });

  it('is AsyncAPI 3.0 of this version of the package', () => {
    expect(document.asyncapi).toBe('3.0.0');
    expect(document.info).toMatchObject({ title: 'edge-chat chat.v1', version: packageJson.version });
  });

  it('has only what AsyncAPI 3.0 knows, but for extensions, under names that it allows', () => {
    const known = ['asyncapi', 'id', 'info', 'servers', 'defaultContentType', 'channels', 'operations', 'components'];
    expect(Object.keys(document).filter((key) => !known.includes(key) && !key.startsWith('x-'))).toEqual([]);
    const names = [document.channels, document.operations, ...Object.values(document.components)].flatMap(Object.keys);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9._-]+$/);
  });

  it('refers only to what it has', () => {
    const references = referencesIn(document);
    expect(references.length).toBeGreaterThan(0);
    expect(references.filter((reference) => typeof resolve(reference) !== 'object')).toEqual([]);
  });

  it('has no schema that nothing refers to', () => {
    const referred = new Set(referencesIn(document).filter((one) => one.startsWith('#/components/schemas/')));
    expect(new Set([...referred].map(($ref) => lastStep({ $ref })))).toEqual(
      new Set(Object.keys(document.components.schemas)),
    );
  });
});

describe.each([
  ['chat', '/ws/chat/{conversation_id}/', '/ws/chat/{id}/'],
  ['inbox', '/ws/inbox/', '/ws/inbox/'],
])('the channel %s', (name, address, path) => {
  it('is a socket, each of whose parameters is explained', () => {
    expect(Object.keys(document.channels)).toEqual(Object.keys(MESSAGES));
    const { parameters = {}, ...channel } = channelOf(name);
    expect(channel.address).toBe(address);
    const inAddress = [...address.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
    expect(Object.keys(parameters)).toEqual(inAddress);
    for (const parameter of Object.values(parameters)) expect(parameter).toHaveProperty('description');
  });

  it('is one that the HTTP description has too, with the cursor in its query', async () => {
    const { paths } = (await api('/api/schema/')).body as {
      paths: Record<string, { get: { parameters: { name: string }[] } }>;
    };
    const names = paths[path]?.get.parameters.map((parameter) => parameter.name);
    const { properties } = channelOf(name).bindings.ws.query;
    expect(names).toEqual(expect.arrayContaining(Object.keys(properties)));
    expect(Object.keys(properties)).toEqual(['after', 'epoch']);
  });

  it('names the header by which a client asks for the protocol', () => {
    const { headers } = channelOf(name).bindings.ws;
    expect(headers).toMatchObject({ type: 'object', required: ['Sec-WebSocket-Protocol'] });
  });

  it('has every frame of both sides, and the two literals, each described', () => {
    const { messages } = channelOf(name);
    expect(Object.keys(messages).toSorted()).toEqual(MESSAGES[name]?.toSorted());
    for (const [key, reference] of Object.entries(messages)) {
      expect(reference).toEqual({ $ref: `#/components/messages/${key}` });
    }
  });

  it('has operations for every message, literals included, so that it is known who sends it', () => {
    const used = operationsOf(name).flatMap(([, { messages, reply }]) => [...messages, ...(reply?.messages ?? [])]);
    expect(new Set(used.map(({ $ref }) => $ref))).toEqual(
      new Set(MESSAGES[name]?.map((message) => `#/channels/${name}/messages/${message}`)),
    );
  });

  it('is the one that its operations, and their replies, name', () => {
    const named = operationsOf(name).flatMap(([, { channel, reply }]) => [channel, ...(reply ? [reply.channel] : [])]);
    expect(new Set(named.map(({ $ref }) => $ref))).toEqual(new Set([`#/channels/${name}`]));
  });
});

describe('a message', () => {
  it('belongs to one channel', () => {
    expect(Object.keys(document.components.messages).toSorted()).toEqual(Object.values(MESSAGES).flat().toSorted());
  });

  it('is named by its type, says in a sentence what it is, and has a schema of that type', () => {
    for (const name of frameNames) {
      const type = name.split('.').at(-1);
      const { payload, summary, ...message } = document.components.messages[name] as Message;
      expect(message).toEqual({ name: type });
      expect(summary).toMatch(/^[A-Z].*\.$/);
      expect(payload).toMatchObject({ type: 'object', properties: { type: { const: type } } });
      expect(payload.required).toContain('type');
    }
  });

  it('says of no frame that other keys are forbidden: unknown ones are ignored', () => {
    expect(JSON.stringify(document)).not.toContain('"additionalProperties":false');
  });

  it('is plain text if it is a literal', () => {
    for (const [name, text] of [
      ['client.ping', 'ping'],
      ['server.pong', 'pong'],
      ['inbox.client.ping', 'ping'],
      ['inbox.server.pong', 'pong'],
    ] as const) {
      expect(document.components.messages[name]).toMatchObject({
        name: text,
        contentType: 'text/plain',
        payload: { type: 'string', const: text },
      });
    }
  });

  it('has a schema that a validator understands', () => {
    for (const { payload } of Object.values(document.components.messages)) {
      const validator = new Validator({ ...payload, components: document.components }, '7', false);
      expect(() => validator.validate({})).not.toThrow();
    }
  });

  it('tells the limits of its fields', () => {
    expect(document.components.messages['client.send']?.payload.properties).toMatchObject({
      ref: { type: 'string', minLength: 1, maxLength: 64 },
      text: { type: 'string', minLength: 1, maxLength: 4000 },
    });
    for (const name of ['client.history', 'inbox.client.list']) {
      expect(document.components.messages[name]?.payload.properties?.['limit']).toMatchObject({
        minimum: 1,
        maximum: 100,
        default: 100,
      });
    }
  });

  it('refers to a row of an inbox by its name', () => {
    const { properties } = document.components.messages['inbox.server.changes']?.payload ?? {};
    expect(properties).toMatchObject({
      conversations: { items: { $ref: '#/components/schemas/InboxRow' } },
      removed: { items: { $ref: '#/components/schemas/RemovedRow' } },
      total: { $ref: '#/components/schemas/UnreadTotal' },
    });
  });
});

describe('an operation', () => {
  it('is something that the server receives from a client, or sends', () => {
    for (const [name, { action, summary }] of Object.entries(document.operations)) {
      expect([name, action]).toEqual([name, /^(inbox\.)?client\./.test(name) ? 'receive' : 'send']);
      expect(summary).toMatch(/^[A-Z].*\.$/);
    }
  });

  it('is about the message of its name', () => {
    for (const [name, { messages }] of Object.entries(document.operations))
      expect(messages.map(lastStep)).toEqual([name]);
  });

  it('has a reply if it has a ref, which names messages of the channel from the server', () => {
    const frames = Object.entries(document.operations).filter(
      ([name]) => name.includes('client.') && frameNames.includes(name),
    );
    const replies = frames.flatMap(([name, { reply }]) =>
      reply ? [[name, reply.messages.map(lastStep)] as const] : [],
    );
    expect(Object.fromEntries(replies)).toEqual(ANSWERS);
    for (const [name] of frames) {
      const hasRef = document.components.messages[name]?.payload.required?.includes('ref');
      expect([name, hasRef]).toEqual([name, name in ANSWERS]);
    }
  });

  it('of a server has no reply', () => {
    const ofServer = Object.entries(document.operations).filter(([name]) => name.includes('server.'));
    expect(ofServer.filter(([, { reply }]) => reply !== undefined)).toEqual([]);
  });
});

describe('the codes', () => {
  it('of errors are those of the source, each explained, and those that an error frame may have', () => {
    expect(document['x-error-codes']).toEqual(ERROR_CODES);
    expect(document.components.messages['server.error']?.payload.properties?.['code']).toMatchObject({
      enum: Object.keys(ERROR_CODES),
    });
  });

  it('of closed sockets are those of the source, each with what a client does about it', () => {
    const expected = Object.entries(CLOSE).map(([name, code]) => [code, { name, verdict: verdictOf(code) }]);
    expect(document['x-close-codes']).toEqual(Object.fromEntries(expected));
  });
});
