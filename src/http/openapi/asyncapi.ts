import { toJsonSchema, toJsonSchemaDefs, type ConversionConfig } from '@valibot/to-json-schema';
import * as v from 'valibot';
import packageJson from '../../../package.json' with { type: 'json' };
import { PING_INTERVAL_MS } from '../../config.ts';
import { clientFrames } from '../../protocol/client-frames.ts';
import { CLOSE, verdictOf } from '../../protocol/close-codes.ts';
import { ERROR_CODES } from '../../protocol/error-codes.ts';
import { memberRow, messageRow } from '../../protocol/rows.ts';
import { serverFrames } from '../../protocol/server-frames.ts';
import { BEARER_PREFIX, CHAT_V1 } from '../../protocol/versions.ts';
import { RULES_IN_WORDS, type AnySchema } from './schemas.ts';

type FrameSchemas = Record<string, AnySchema>;

/** What answers each frame that has a ref. */
const REPLIES: Partial<Record<keyof typeof clientFrames, (keyof typeof serverFrames)[]>> = {
  send: ['ok', 'error'],
  edit: ['ok', 'error'],
  delete: ['ok', 'error'],
  react: ['ok', 'error'],
  history: ['page', 'error'],
  sync: ['changes', 'error'],
};

const CHANNEL = { $ref: '#/channels/chat' };

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
        'One socket in one conversation. Text frames, each a JSON object with a `type`; unknown keys are ignored. ' +
        'Literal `ping` is answered `pong`. The rules that go with the frames are in docs/protocol.md.',
    },
    defaultContentType: 'application/json',
    channels: {
      chat: {
        address: '/ws/chat/{conversation_id}/',
        parameters: { conversation_id: { description: 'The UUID of a conversation of which the caller is a member.' } },
        messages: {
          ...refs('client', clientFrames),
          ...refs('server', serverFrames),
          'client.ping': { $ref: '#/components/messages/client.ping' },
          'server.pong': { $ref: '#/components/messages/server.pong' },
        },
        bindings: {
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
        },
      },
    },
    operations: {
      ...operations('client', clientFrames),
      ...operations('server', serverFrames),
      'client.ping': {
        action: 'receive',
        channel: CHANNEL,
        summary: `Every ${PING_INTERVAL_MS / 1000} seconds.`,
        messages: [{ $ref: '#/channels/chat/messages/client.ping' }],
        reply: { channel: CHANNEL, messages: [{ $ref: '#/channels/chat/messages/server.pong' }] },
      },
    },
    components: {
      messages: {
        ...messages('client', clientFrames),
        ...messages('server', serverFrames),
        'client.ping': literal('ping', 'Shows that the client is there. Answered without waking the conversation.'),
        'server.pong': literal('pong', 'The answer to `ping`.'),
      },
      schemas: toJsonSchemaDefs(definitions, config),
    },
    'x-error-codes': ERROR_CODES,
    'x-close-codes': Object.fromEntries(
      Object.entries(CLOSE).map(([name, code]) => [code, { name, verdict: verdictOf(code) }]),
    ),
  };
}

const definitions: FrameSchemas = { Message: messageRow, Member: memberRow };

const config: ConversionConfig = {
  // What AsyncAPI's own schemas extend.
  target: 'draft-07',
  typeMode: 'input',
  definitions,
  overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
  ignoreActions: RULES_IN_WORDS,
};

function refs(side: string, frames: FrameSchemas) {
  return Object.fromEntries(
    Object.keys(frames).map((type) => [`${side}.${type}`, { $ref: `#/components/messages/${side}.${type}` }]),
  );
}

function messages(side: string, frames: FrameSchemas) {
  return Object.fromEntries(
    Object.entries(frames).map(([type, schema]) => {
      const { $schema: _, $defs: __, definitions: ___, ...payload } = toJsonSchema(schema, config);
      return [`${side}.${type}`, { name: type, summary: v.getDescription(schema), payload }];
    }),
  );
}

function operations(side: 'client' | 'server', frames: FrameSchemas) {
  return Object.fromEntries(
    Object.entries(frames).map(([type, schema]) => {
      const replies = side === 'client' ? REPLIES[type as keyof typeof clientFrames] : undefined;
      return [
        `${side}.${type}`,
        {
          action: side === 'client' ? 'receive' : 'send',
          channel: CHANNEL,
          summary: v.getDescription(schema),
          messages: [{ $ref: `#/channels/chat/messages/${side}.${type}` }],
          ...(replies && {
            reply: {
              channel: CHANNEL,
              messages: replies.map((reply) => ({ $ref: `#/channels/chat/messages/server.${reply}` })),
            },
          }),
        },
      ];
    }),
  );
}

function literal(text: string, summary: string) {
  return { name: text, summary, contentType: 'text/plain', payload: { type: 'string', const: text } };
}
