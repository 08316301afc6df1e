import { toJsonSchema, toJsonSchemaDefs, type ConversionConfig, type JsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import { inboxRow as inboxRowSchema, unreadTotal as unreadTotalSchema } from '../../protocol/inbox-frames.ts';
import { memberRow, messageRow } from '../../protocol/rows.ts';

/** Any valibot schema. */
export type AnySchema = v.GenericSchema;

const named: Record<string, AnySchema> = {};

/** Gives a schema a name in the API's description, so that generated clients get a type of that name. */
export function schema<S extends AnySchema>(name: string, definition: S): S {
  named[name] = definition;
  return definition;
}

/** `{"detail": …}`, with a `code` where a client may want to tell reasons apart. */
export const errorBody = schema('Error', v.looseObject({ detail: v.string(), code: v.optional(v.string()) }));

/** Messages by field; `non_field_errors` are about the body as a whole. */
export const fieldErrorsBody = schema('FieldErrors', v.record(v.string(), v.array(v.string())));

/** What a 400 may hold: messages by field, or what is wrong with the body as a whole. */
export const fieldErrorsOrError = v.union([errorBody, fieldErrorsBody]);

/** A time as accounts and sessions have it: ISO 8601, UTC. */
export const isoTime = v.pipe(v.string(), v.isoTimestamp());

/** A refresh and an access token. */
export const tokenPair = schema('TokenPair', v.strictObject({ refresh: v.string(), access: v.string() }));

/** What everyone may see of a user. */
export const publicUser = schema(
  'User',
  v.strictObject({ id: v.pipe(v.string(), v.uuid()), first_name: v.string(), last_name: v.string() }),
);

/** A message and a member, as the frames of chat.v1 have them too. */
export const message = schema('MessageRow', messageRow);
export const member = schema('MemberRow', memberRow);

/** A conversation in an inbox, and what is unread in all of them, as the frames of an inbox have them too. */
export const inboxRow = schema('InboxRow', inboxRowSchema);
export const unreadTotal = schema('UnreadTotal', unreadTotalSchema);

/** The named schemas, for `components.schemas`. Complete once every route was described. */
export function namedJsonSchemas(): Record<string, JsonSchema> {
  return toJsonSchemaDefs(named, config);
}

/** A schema as JSON Schema; named ones are referred to. */
export function jsonSchema(definition: v.GenericSchema): JsonSchema {
  const { $schema: _, $defs: __, ...rest } = toJsonSchema(definition, { ...config, definitions: named });
  return rest;
}

/** Actions of schemas that JSON Schema cannot state. What they ask for is said in descriptions. */
export const RULES_IN_WORDS = ['check', 'raw_check', 'raw_transform'];

const config: ConversionConfig = {
  target: 'draft-2020-12',
  typeMode: 'input',
  // `readFields` takes numbers for text, as the original does, but nobody should be told to send them.
  overrideSchema: ({ valibotSchema }) => (isTextInput(valibotSchema) ? { type: 'string' } : undefined),
  overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
  ignoreActions: RULES_IN_WORDS,
};

function isTextInput(definition: { type: string }): boolean {
  const { type, options } = definition as { type: string; options?: AnySchema[] };
  return type === 'union' && options?.map((option) => option.type).join() === 'string,number';
}
