import { toJsonSchema, type JsonSchema } from '@valibot/to-json-schema';
import { describeRoute, type DescribeRouteOptions } from 'hono-openapi';
import * as v from 'valibot';
import type { FieldsSchema } from './body.ts';

type AnySchema = v.GenericSchema;

/** What the API's description says of a route. */
type RouteDescription = {
  summary: string;
  description?: string;
  tags: [string];
  /** Whether it needs an access token. */
  bearer: boolean;
  body?: FieldsSchema;
  /** Query parameters with their description. */
  query?: Record<string, string>;
  /** The answers by status, but for those that any route of this kind may give. */
  responses: Record<number, { description: string; schema?: AnySchema }>;
};

const messages = v.record(v.string(), v.array(v.string()));

/** `{"detail": …}`, with a `code` where a client may want to tell reasons apart. */
export const errorBody = v.looseObject({ detail: v.string(), code: v.optional(v.string()) });

const fieldErrors = { description: 'Messages by field.', schema: v.union([messages, errorBody]) };
const tokenRefused = { description: 'The token is missing, invalid, expired or its session has ended.', schema: errorBody };

/**
 * Describes a route for `/api/schema/`, in the same place where it is made and with the schemas that it validates by.
 * A middleware that does nothing when a request comes.
 */
export function describe(route: RouteDescription) {
  const responses: RouteDescription['responses'] = { ...route.responses, 500: { description: 'A fault of the server.', schema: errorBody } };
  if (route.body || route.query) responses[400] ??= fieldErrors;
  if (route.body) {
    responses[413] = { description: 'The body is too large.', schema: errorBody };
    responses[415] = { description: 'The body is neither JSON nor a form.', schema: errorBody };
  }
  if (route.bearer) responses[401] = tokenRefused;
  return describeRoute({
    summary: route.summary,
    ...(route.description && { description: route.description }),
    tags: route.tags,
    security: route.bearer ? [{ bearer: [] }] : [],
    ...(route.body && { requestBody: requestBody(route.body) }),
    ...(route.query && { parameters: Object.entries(route.query).map(queryParameter) }),
    responses: Object.fromEntries(
      Object.entries(responses).map(([status, { description, schema }]) => [
        status,
        { description, ...(schema && { content: { 'application/json': { schema: jsonSchema(schema) } } }) },
      ]),
    ),
  } as DescribeRouteOptions);
}

function requestBody(body: FieldsSchema) {
  const media = { schema: jsonSchema(body) };
  return {
    required: true,
    content: {
      'application/json': media,
      'application/x-www-form-urlencoded': media,
      'multipart/form-data': media,
    },
  };
}

function queryParameter([name, description]: [string, string]) {
  return { in: 'query', name, description, required: false, schema: { type: 'string' } };
}

function jsonSchema(schema: AnySchema): JsonSchema {
  const { $schema: _, ...rest } = toJsonSchema(schema, {
    target: 'draft-2020-12',
    typeMode: 'input',
    // A field that accepts more than it should be sent (numbers as text) is described by what it should be sent.
    overrideSchema: ({ valibotSchema }) => v.getMetadata(valibotSchema as AnySchema)['jsonSchema'] as JsonSchema | undefined,
  });
  return rest;
}
