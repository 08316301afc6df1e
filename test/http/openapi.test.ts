import { Validator, type Schema } from '@cfworker/json-schema';
import { sha256 } from '@noble/hashes/sha2.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';
import { Hono } from 'hono';
import { beforeAll, describe, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import type { AppEnv } from '../../src/http/app-env.ts';
import { describe as describeRoute, openApiDocument } from '../../src/http/openapi/describe.ts';
import { api } from '../helpers/api.ts';
import { pathOf, routesOf, type Route } from '../helpers/routes.ts';

type Parameter = { in: string; name: string; required: boolean; description?: string; schema: object };
type Content = Record<string, { schema: object }>;
type Operation = {
  operationId: string;
  summary: string;
  tags: string[];
  security: Record<string, string[]>[];
  parameters?: Parameter[];
  requestBody?: { content: Content };
  responses: Record<string, { description: string; content?: Content }>;
};
type Document = {
  openapi: string;
  info: { title: string; version: string; description: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object>; securitySchemes: Record<string, object> };
};

let document: Document;
let operations: { name: string; path: string; method: string; operation: Operation }[];

beforeAll(async () => {
  document = (await api('/api/schema/')).body;
  operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      path,
      method,
      operation,
    })),
  );
});

/** `GET /api/users/{id}/chat/` for a route, as its description should name it. */
const nameOf = ({ method, path }: Route) => `${method} ${path.replace(/:(\w+)/g, '{$1}').replace(/\/?$/, '/')}`;
/** The same for each route of an app. */
const namesOf = (app?: Hono<AppEnv>) => routesOf(app).map(nameOf);

/** The same of a description. */
const describedBy = (paths: object) =>
  Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item as object).map((method) => `${method.toUpperCase()} ${path}`),
  );

/** Every value of a property of this name, anywhere in a value. */
function valuesOf(property: string, value: unknown): unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    ...(key === property ? [inner as unknown] : []),
    ...valuesOf(property, inner),
  ]);
}

/** The text of a piece of HTML. */
const textOf = (html: string) =>
  html
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();

/** What a JSON pointer within the document leads to. */
function resolve(reference: string): unknown {
  const steps = reference.replace(/^#\//, '').split('/');
  return steps.reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined)?.[step], document);
}

describe('the description', () => {
  it('names exactly the routes that exist, method by method', () => {
    expect(new Set(describedBy(document.paths))).toEqual(new Set(namesOf()));
  });

  it('misses a route that is not described, which the comparison shows', async () => {
    const app = new Hono<AppEnv>();
    const described = describeRoute({ summary: 'x', tags: ['Service'], bearer: false, responses: {} });
    app.get('/described', described, (c) => c.text('x'));
    app.post('/described', (c) => c.text('x'));
    app.get('/not-described/:id', (c) => c.text('x'));
    const names = describedBy((await openApiDocument(app)).paths);
    expect(namesOf(app).filter((name) => !names.includes(name))).toEqual([
      'POST /described/',
      'GET /not-described/{id}/',
    ]);
  });

  it('is OpenAPI 3.1 of this version of the package', () => {
    expect(document.openapi).toMatch(/^3\.1\.\d$/);
    expect(document.info).toEqual({
      title: packageJson.name,
      version: packageJson.version,
      description: packageJson.description,
    });
  });

  it('names every operation differently', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    for (const id of ids) expect(id).toMatch(/^[A-Za-z]\w*$/);
    expect(new Set(ids)).toHaveLength(operations.length);
  });

  it('says of every operation in a few words what it is, and where it belongs', () => {
    for (const { operation } of operations) {
      expect(operation.summary).toMatch(/^\S.*\S$/);
      expect(operation.tags).toHaveLength(1);
    }
  });

  it('says of every operation whether it needs a token, or a key of the operator, as it does', async () => {
    const [described, needed] = [new Map<string, object>(), new Map<string, object>()];
    for (const { name, operation } of operations) described.set(name, operation.security);
    for (const route of routesOf()) {
      const path = pathOf(route, { userId: crypto.randomUUID(), conversationId: crypto.randomUUID() });
      const { status, body } = await api(path, {
        method: route.method,
        ...(['POST', 'PATCH'].includes(route.method) && { json: {} }),
      });
      const scheme = body?.code === 'operator_key_needed' ? 'operator' : 'bearer';
      needed.set(nameOf(route), status === 401 ? [{ [scheme]: [] }] : []);
    }
    expect(described).toEqual(needed);
  });

  it('knows two kinds of tokens', () => {
    expect(document.components.securitySchemes).toEqual({
      bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
      operator: { type: 'http', scheme: 'bearer', description: expect.stringContaining('`npm run admin`') },
    });
  });

  it('declares every parameter of a path, required, and no other', () => {
    for (const { path, operation } of operations) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      expect(declared.map(({ name }) => name)).toEqual(inPath);
      for (const parameter of declared) expect(parameter).toMatchObject({ required: true, schema: { type: 'string' } });
    }
  });

  it('declares no parameter twice, and describes those of a query and those in a header', () => {
    for (const { operation } of operations) {
      const parameters = operation.parameters ?? [];
      expect(new Set(parameters.map((one) => `${one.in} ${one.name}`))).toHaveLength(parameters.length);
      for (const { description } of parameters.filter((one) => one.in !== 'path')) expect(description).toBeTruthy();
    }
  });

  it('describes every answer, and every operation’s failure', () => {
    for (const { operation } of operations) {
      const answers = Object.entries(operation.responses);
      for (const [status, { description }] of answers) {
        expect(status).toMatch(/^[1-5]\d\d$/);
        expect(description).toBeTruthy();
      }
      expect(operation.responses).toHaveProperty('500');
    }
  });

  it('gives a body to POST and PATCH, but for one that needs only its caller, in every form in which it is read', () => {
    for (const { name, method, operation } of operations) {
      expect(Object.keys(operation.requestBody?.content ?? {})).toEqual(
        ['post', 'patch'].includes(method) && name !== 'POST /api/email-verification/'
          ? ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data']
          : [],
      );
    }
  });

  it('refers only to schemas that it has, and has none that nothing refers to', () => {
    const references = valuesOf('$ref', document) as string[];
    expect(references.length).toBeGreaterThan(0);
    for (const reference of references) {
      expect(reference).toMatch(/^#\/components\/schemas\/\w+$/);
      expect(resolve(reference)).toBeTypeOf('object');
    }
    const referred = new Set(references.map((reference) => reference.split('/').at(-1)));
    expect(referred).toEqual(new Set(Object.keys(document.components.schemas)));
  });

  it('holds schemas that a validator understands', () => {
    for (const schema of valuesOf('schema', document.paths) as Schema[]) {
      const validator = new Validator({ ...schema, components: document.components }, '2020-12', false);
      expect(() => validator.validate({})).not.toThrow();
    }
  });

  it('tells the limits of a registration', () => {
    expect(document.components.schemas['Registration']).toMatchObject({
      type: 'object',
      required: ['first_name', 'last_name', 'email', 'password', 'confirm_password'],
      properties: {
        first_name: { type: 'string', minLength: 1, maxLength: 100 },
        email: { type: 'string', format: 'email', maxLength: 200 },
        password: { type: 'string', format: 'password', maxLength: 128 },
      },
    });
  });

  it('is the same without the trailing slash', async () => {
    expect((await api('/api/schema')).body).toEqual(document);
  });
});

describe('the documentation page', () => {
  let page: string;
  let policy: Map<string, string>;

  beforeAll(async () => {
    const { text, headers } = await api('/api/docs/');
    page = text;
    const directives = (headers.get('Content-Security-Policy') ?? '').split('; ').map((one) => one.split(/ (.*)/));
    policy = new Map(directives.map(([name = '', value = '']) => [name, value]));
  });

  it('is HTML', async () => {
    const { status, headers } = await api('/api/docs/');
    expect(status).toBe(200);
    expect(headers.get('Content-Type')).toBe('text/html; charset=UTF-8');
    expect(page).toMatch(/^<!doctype html>/);
  });

  it('runs no script and loads nothing, from here or elsewhere', () => {
    expect(page).not.toMatch(/<(script|link|img|iframe|object|embed|base|form|meta http-equiv)\b/i);
    expect(page).not.toMatch(/\b(src|srcset|action|style|on\w+)\s*=\s*["']/i);
    expect(page).not.toMatch(/@import|url\(|javascript:|https?:\/\//i);
  });

  it('links to nothing but itself and the two descriptions', () => {
    const links = [...page.matchAll(/href="([^"]*)"/g)].map(([, target]) => target ?? '');
    expect(links.length).toBeGreaterThan(0);
    for (const link of links) expect(link).toMatch(/^(#[\w-]+|\/api\/schema\/|\/api\/asyncapi\/)$/);
    for (const link of ['/api/schema/', '/api/asyncapi/']) expect(links).toContain(link);
  });

  it('has what its links lead to', () => {
    const ids = [...page.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids)).toHaveLength(ids.length);
    for (const [, target] of page.matchAll(/href="#([^"]*)"/g)) expect(ids).toContain(target);
  });

  it('has a policy that allows it nothing but its own style', () => {
    expect(Object.fromEntries(policy)).toEqual({
      'default-src': "'none'",
      'style-src': expect.stringMatching(/^'sha256-[A-Za-z0-9+/]{43}='$/),
      'base-uri': "'none'",
      'form-action': "'none'",
      'frame-ancestors': "'none'",
      'require-trusted-types-for': "'script'",
      'trusted-types': "'none'",
    });
  });

  it('has one style sheet, the one that the policy names by its hash', () => {
    const styles = [...page.matchAll(/<style>([^]*?)<\/style>/g)].map(([, text]) => text ?? '');
    expect(styles).toHaveLength(1);
    const hash = btoa(String.fromCharCode(...sha256(utf8ToBytes(styles[0] ?? ''))));
    expect(policy.get('style-src')).toBe(`'sha256-${hash}'`);
  });

  it('shows every operation with its summary and its answers', () => {
    const articles = page.split('<article>').slice(1);
    for (const { name, operation } of operations) {
      const shown = articles.map(textOf).filter((text) => text.startsWith(`${name} `));
      expect(shown).toHaveLength(1);
      expect(shown[0]).toContain(operation.summary);
      for (const status of Object.keys(operation.responses)) expect(shown[0]).toContain(` ${status} `);
    }
  });

  it('shows every schema', () => {
    for (const name of Object.keys(document.components.schemas)) expect(page).toContain(`id="schema-${name}"`);
  });
});
