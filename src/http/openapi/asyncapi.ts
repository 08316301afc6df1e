import { toJsonSchema, toJsonSchemaDefs, type ConversionConfig } from '@valibot/to-json-schema';
import * as v from 'valibot';
import packageJson from '../../../package.json' with { type: 'json' };
import { PING_INTERVAL_MS } from '../../config.ts';
import { clientFrames } from '../../protocol/client-frames.ts';
import { CLOSE, verdictOf } from '../../protocol/close-codes.ts';
import { ERROR_CODES } from '../../protocol/error-codes.ts';
import {
  contactPresence,
  inboxClientFrames,
  inboxRow,
  inboxServerFrames,
  removedRow,
  unreadTotal,
} from '../../protocol/inbox-frames.ts';
import { memberRow, messageRow } from '../../protocol/rows.ts';
import { serverFrames } from '../../protocol/server-frames.ts';
import { BEARER_PREFIX, CHAT_V1 } from '../../protocol/versions.ts';
import { RULES_IN_WORDS, type AnySchema } from './schemas.ts';

type FrameSchemas = Record<string, AnySchema>;

/** A kind of socket. */
type Socket = {
  /** The name of its channel. */
  channel: string;
  /** Goes before the names of its messages, which all channels share. */
  prefix: string;
  address: string;
  parameters?: Record<string, { description: string }>;
  client: FrameSchemas;
  server: FrameSchemas;
  /** What answers each frame that has a ref. */
  replies: Record<string, readonly string[]>;
};

const chat: Socket = {
  channel: 'chat',
  prefix: '',
  address: '/ws/chat/{conversation_id}/',
  parameters: { conversation_id: { description: 'The UUID of a conversation of which the caller is a member.' } },
  client: clientFrames,
  server: serverFrames,
  replies: {
    send: ['ok', 'error'],
    edit: ['ok', 'error'],
    delete: ['ok', 'error'],
    react: ['ok', 'error'],
    history: ['page', 'error'],
    sync: ['changes', 'error'],
  } satisfies Partial<Record<keyof typeof clientFrames, (keyof typeof serverFrames)[]>>,
};

const inbox: Socket = {
  channel: 'inbox',
  prefix: 'inbox.',
  address: '/ws/inbox/',
  client: inboxClientFrames,
  server: inboxServerFrames,
  replies: {
    sync: ['changes', 'error'],
    list: ['page', 'error'],
    set: ['ok', 'error'],
  } satisfies Partial<Record<keyof typeof inboxClientFrames, (keyof typeof inboxServerFrames)[]>>,
};

/**
 * chat.v1 as an AsyncAPI 3 document, from the schemas by which frames are decoded. From the server's side: it receives
 * what clients send.
 */
export function asyncApiDocument() {
  return {
    asyncapi: '3.0.0',
    info: {
      title: `edge-chat ${CHAT_V1}`,
      version: packageJson.version,
      description:
        'A socket in a conversation, or in the inbox of its user. Text frames, each a JSON object with a `type`; ' +
        'unknown keys are ignored. Literal `ping` is answered `pong`. The rules that go with the frames are in ' +
        'docs/protocol.md.',
    },
    defaultContentType: 'application/json',
    channels: { chat: channel(chat), inbox: channel(inbox) },
    operations: { ...operations(chat), ...operations(inbox) },
    components: {
      messages: { ...messages(chat), ...messages(inbox) },
      schemas: toJsonSchemaDefs(definitions, config),
    },
    'x-error-codes': ERROR_CODES,
    'x-close-codes': Object.fromEntries(
      Object.entries(CLOSE).map(([name, code]) => [code, { name, verdict: verdictOf(code) }]),
    ),
  };
}

const definitions: FrameSchemas = {
  Message: messageRow,
  Member: memberRow,
  InboxRow: inboxRow,
  RemovedRow: removedRow,
  UnreadTotal: unreadTotal,
  ContactPresence: contactPresence,
};

const config: ConversionConfig = {
  // What AsyncAPI's own schemas extend.
  target: 'draft-07',
  typeMode: 'input',
  definitions,
  overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
  ignoreActions: RULES_IN_WORDS,
};

/** What an upgrade brings, which is the same for every socket. */
const bindings = {
  ws: {
    method: 'GET',
    headers: {
      type: 'object',
      properties: {
        'Sec-WebSocket-Protocol': {
          type: 'string',
          description: `\`${CHAT_V1}, ${BEARER_PREFIX}<access token>\`. Programs that can set headers may send \`Authorization: Bearer\` instead of the second.`,
        },
      },
      required: ['Sec-WebSocket-Protocol'],
    },
    query: {
      type: 'object',
      properties: {
        after: { type: 'integer', minimum: 0, description: 'The `rev` up to which the client has everything.' },
        epoch: { type: 'integer', minimum: 0, description: 'The `epoch` that `after` belongs to.' },
      },
    },
    bindingVersion: '0.1.0',
  },
};

function channel(socket: Socket) {
  const { address, parameters } = socket;
  const names = Object.keys(messages(socket));
  return {
    address,
    ...(parameters && { parameters }),
    messages: Object.fromEntries(names.map((name) => [name, { $ref: `#/components/messages/${name}` }])),
    bindings,
  };
}

function messages({ prefix, client, server }: Socket) {
  return Object.fromEntries([
    ...Object.entries(client).map(([type, schema]) => [`${prefix}client.${type}`, message(type, schema)]),
    ...Object.entries(server).map(([type, schema]) => [`${prefix}server.${type}`, message(type, schema)]),
    [`${prefix}client.ping`, literal('ping', 'Shows that the client is there. Answered without waking anything.')],
    [`${prefix}server.pong`, literal('pong', 'The answer to `ping`.')],
  ]) as Record<string, object>;
}

function message(type: string, schema: AnySchema) {
  const { $schema: _, $defs: __, definitions: ___, ...payload } = toJsonSchema(schema, config);
  return { name: type, summary: v.getDescription(schema), payload };
}

function literal(text: string, summary: string) {
  return { name: text, summary, contentType: 'text/plain', payload: { type: 'string', const: text } };
}

function operations(socket: Socket) {
  const { prefix, client, server, replies } = socket;
  const received = Object.entries(client).map(([type, schema]) => [
    `${prefix}client.${type}`,
    operation(socket, `client.${type}`, v.getDescription(schema), replies[type]),
  ]);
  const sent = Object.entries(server).map(([type, schema]) => [
    `${prefix}server.${type}`,
    operation(socket, `server.${type}`, v.getDescription(schema)),
  ]);
  const often = `Every ${PING_INTERVAL_MS / 1000} seconds.`;
  const ping = [`${prefix}client.ping`, operation(socket, 'client.ping', often, ['pong'])];
  return Object.fromEntries([...received, ...sent, ping]) as Record<string, object>;
}

function operation({ channel: name, prefix }: Socket, of: string, summary = '', replies?: readonly string[]) {
  const where = { $ref: `#/channels/${name}` };
  const messageOf = (it: string) => ({ $ref: `${where.$ref}/messages/${prefix}${it}` });
  return {
    action: of.startsWith('client.') ? 'receive' : 'send',
    channel: where,
    summary,
    messages: [messageOf(of)],
    ...(replies && { reply: { channel: where, messages: replies.map((type) => messageOf(`server.${type}`)) } }),
  };
}
