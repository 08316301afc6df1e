import type { Hono } from 'hono';
import { describeRoute, generateSpecs, type DescribeRouteOptions } from 'hono-openapi';
import * as v from 'valibot';
import packageJson from '../../../package.json' with { type: 'json' };
import type { AppEnv } from '../app-env.ts';
import type { FieldsSchema } from '../body.ts';
import { errorBody, fieldErrorsOrError, jsonSchema, namedJsonSchemas, type AnySchema } from './schemas.ts';

/** The sections of the description, in order. */
const TAGS = ['Accounts', 'Sessions', 'Users', 'Conversations', 'Messages', 'Service', 'Operating'] as const;

/** What the API's description says of a route. */
type RouteDescription = {
  summary: string;
  description?: string;
  tags: [(typeof TAGS)[number]];
  /** Whether it needs an access token. */
  bearer: boolean;
  /** Whether it needs a key of the operator. */
  operator?: true;
  /** What the bodies of its own `responses` are, if not JSON. */
  produces?: string;
  body?: FieldsSchema;
  /** Query parameters, all of them optional. */
  query?: FieldsSchema;
  /** Request headers, all of them optional. */
  headers?: FieldsSchema;
  /** Whether it asks a conversation for something, as one of its members. */
  member?: true;
  /** The answers by status, but for those that any route of this kind may give. */
  responses: Record<number, { description: string; schema?: AnySchema }>;
};

const fieldErrors = { description: 'Messages by field.', schema: fieldErrorsOrError };
/** The answer of a route that hashes a password when too many others do. */
export const hasherBusy = {
  description: 'Too many passwords are being hashed; `Retry-After` says when to try again.',
  schema: errorBody,
};

const tooMany = { description: 'Too many requests; `Retry-After` says when to try again.', schema: errorBody };

const operatorRefused = { description: 'The key is missing, wrong or too old.', schema: errorBody };

const tokenRefused = {
  description: 'The token is missing, invalid, expired or its session has ended.',
  schema: errorBody,
};

const memberResponses = {
  403: { description: 'The caller is not a member, or the other member is not available to them.', schema: errorBody },
  404: { description: 'There is no such conversation, or nothing of this name in it.', schema: errorBody },
};

/**
 * Describes a route for `/api/schema/`, in the same place where it is made and with the schemas that it validates by.
 * A middleware that does nothing when a request comes.
 */
export function describe(route: RouteDescription) {
  const responses: RouteDescription['responses'] = {
    ...route.responses,
    429: route.responses[429] ?? tooMany,
    500: { description: 'A fault of the server.', schema: errorBody },
  };
  if (route.body) responses[400] ??= fieldErrors;
  if (route.body) {
    responses[413] = { description: 'The body is too large.', schema: errorBody };
    responses[415] = { description: 'The body is neither JSON nor a form.', schema: errorBody };
  }
  if (route.bearer) responses[401] = tokenRefused;
  if (route.operator) responses[401] = operatorRefused;
  if (route.member) Object.assign(responses, { ...memberResponses, ...route.responses });
  return describeRoute({
    summary: route.summary,
    ...(route.description && { description: route.description }),
    tags: route.tags,
    security: securityOf(route),
    ...(route.body && { requestBody: requestBody(route.body) }),
    ...((route.query || route.headers) && { parameters: parameters(route) }),
    responses: Object.fromEntries(
      Object.entries(responses).map(([status, { description, schema }]) => [
        status,
        {
          description,
          ...(schema && { content: { [mediaType(route, status)]: { schema: jsonSchema(schema) } } }),
        },
      ]),
    ),
  } as DescribeRouteOptions);
}

function mediaType({ produces, responses }: RouteDescription, status: string): string {
  return produces !== undefined && status in responses ? produces : 'application/json';
}

function securityOf({ bearer, operator }: RouteDescription) {
  if (operator) return [{ operator: [] }];
  return bearer ? [{ bearer: [] }] : [];
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

function parameters({ query, headers }: RouteDescription) {
  return [...parametersIn('query', query?.entries), ...parametersIn('header', headers?.entries)];
}

function parametersIn(where: 'query' | 'header', entries: v.ObjectEntries = {}) {
  return Object.entries(entries).map(([name, entry]) => ({
    in: where,
    name,
    description: v.getDescription(entry),
    required: false,
    schema: jsonSchema(entry),
  }));
}

/** See {@link openApiDocument}. */
export type OpenApiDocument = Awaited<ReturnType<typeof openApiDocument>>;

/** The OpenAPI 3.1 document of an app whose routes are described. */
export async function openApiDocument(app: Hono<AppEnv>) {
  const document = await generateSpecs(app, {
    documentation: {
      info: { title: 'edge-chat', version: packageJson.version, description: packageJson.description },
      tags: TAGS.map((name) => ({ name })),
      components: {
        schemas: namedJsonSchemas() as Record<string, object>,
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
          operator: { type: 'http', scheme: 'bearer', description: 'A key that `npm run admin` makes, for a minute.' },
        },
      },
    },
  });
  // Both forms are served; the one with a slash is the original's.
  const paths = Object.entries(document.paths).map(([path, item]) => [path === '/' ? path : `${path}/`, item]);
  return { ...document, paths: Object.fromEntries(paths) as typeof document.paths };
}
