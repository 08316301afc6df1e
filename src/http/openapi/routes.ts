import { Hono } from 'hono';
import * as v from 'valibot';
import type { AppEnv } from '../app-env.ts';
import { asyncApiDocument } from './asyncapi.ts';
import { docsPage, docsPolicy } from './page.ts';
import { describe, openApiDocument, type OpenApiDocument } from './describe.ts';

/** The description of `app`: for programs at `/api/schema/` and `/api/asyncapi/`, for people at `/api/docs/`. */
export function docs(app: Hono<AppEnv>): Hono<AppEnv> {
  let document: OpenApiDocument | undefined;
  let asyncApi: ReturnType<typeof asyncApiDocument> | undefined;
  const read = async () => (document ??= await openApiDocument(app));
  const routes = new Hono<AppEnv>();

  routes.get(
    '/api/schema',
    describe({
      summary: 'This description, as OpenAPI 3.1',
      tags: ['Service'],
      bearer: false,
      responses: { 200: { description: 'The document.', schema: v.looseObject({ openapi: v.string() }) } },
    }),
    async (c) => c.json(await read()),
  );

  routes.get(
    '/api/docs',
    describe({
      summary: 'This description, as a page',
      tags: ['Service'],
      bearer: false,
      produces: 'text/html',
      responses: { 200: { description: 'The page.', schema: v.string() } },
    }),
    async (c) => {
      c.header('Content-Security-Policy', docsPolicy);
      return c.html(docsPage(await read()));
    },
  );

  routes.get(
    '/api/asyncapi',
    describe({
      summary: 'The protocol of the sockets, as AsyncAPI 3',
      tags: ['Service'],
      bearer: false,
      responses: { 200: { description: 'The document.', schema: v.looseObject({ asyncapi: v.string() }) } },
    }),
    (c) => c.json((asyncApi ??= asyncApiDocument())),
  );

  routes.get(
    '/',
    describe({
      summary: 'Leads to the documentation',
      tags: ['Service'],
      bearer: false,
      responses: { 302: { description: 'To `/api/docs/`.' } },
    }),
    (c) => c.redirect('/api/docs/'),
  );

  return routes;
}
