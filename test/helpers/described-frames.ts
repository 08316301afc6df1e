import { Validator, type Schema } from '@cfworker/json-schema';
import * as fc from 'fast-check';
import { asyncApiDocument } from '../../src/http/openapi/asyncapi.ts';
import { clientFrames } from '../../src/protocol/client-frames.ts';
import { serverFrames } from '../../src/protocol/server-frames.ts';
import { EMOJI } from './emoji.ts';
import { valuesOf, type JsonSchema } from './from-schema.ts';

const { components } = asyncApiDocument();
const named = components.schemas as Record<string, JsonSchema>;
const payloads = components.messages as Record<string, { payload: JsonSchema } | undefined>;

/** A frame, of which only the type is known. */
export type AnyFrame = Record<string, unknown> & { type: string };

export const clientTypes = Object.keys(clientFrames);
export const serverTypes = Object.keys(serverFrames);

function payloadOf(side: 'client' | 'server', type: string): JsonSchema {
  const message = payloads[`${side}.${type}`];
  if (!message) throw new Error(`The AsyncAPI document has no ${side}.${type}.`);
  return message.payload;
}

/** Whether the AsyncAPI document allows a value as a frame of a type, keys that it does not name included. */
export function allowedByAsyncApi(side: 'client' | 'server', type: string, value: unknown): boolean {
  return new Validator({ ...payloadOf(side, type), components } as Schema, '7', true).validate(value).valid;
}

/** Any frame that the AsyncAPI document allows from a server. */
export const anyServerFrame = fc.oneof(
  ...serverTypes.map((type) => valuesOf(payloadOf('server', type), named) as fc.Arbitrary<AnyFrame>),
);

/** Any frame that the AsyncAPI document allows from a client and, mostly, what it says in words as well. */
export const anyClientFrame = fc.oneof(
  ...clientTypes.map((type) =>
    fc
      .tuple(valuesOf(payloadOf('client', type), named) as fc.Arbitrary<AnyFrame>, fc.constantFrom(...EMOJI))
      .map(([frame, emoji]): AnyFrame => ('emoji' in frame ? { ...frame, emoji } : frame)),
  ),
);
