import { html, raw } from 'hono/html';
import { pagePolicy } from '../html.ts';
import type { OpenApiDocument } from './describe.ts';

/** The parts of an OpenAPI operation that the page shows. */
type Operation = {
  summary?: string;
  description?: string;
  tags?: string[];
  security?: object[];
  parameters?: { in: string; name: string; description?: string }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses?: Record<string, { description: string; content?: Record<string, { schema: Schema }> }>;
};

type Schema = {
  $ref?: string;
  type?: string;
  format?: string;
  const?: unknown;
  enum?: unknown[];
  items?: Schema;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  required?: string[];
  maxLength?: number;
};

type Entry = { method: string; path: string; operation: Operation };

/** The API as one page without scripts: everything on it comes from the document. */
export function docsPage(document: OpenApiDocument) {
  const entries: Entry[] = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item ?? {}).map(([method, operation]) => ({ method, path, operation: operation as Operation })),
  );
  const byTag = Map.groupBy(entries, ({ operation }) => operation.tags?.[0]);
  const sections = (document.tags ?? []).map(({ name }) => [name, byTag.get(name) ?? []] as const);
  const schemas = Object.entries((document.components?.schemas ?? {}) as Record<string, Schema>);
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${document.info.title} API</title>
        ${raw(`<style>${STYLE}</style>`)}
      </head>
      <body>
        <header>
          <h1>${document.info.title} <small>${document.info.version}</small></h1>
          <p>${document.info.description}</p>
          <p>
            As OpenAPI 3.1: <a href="/api/schema/">/api/schema/</a>. The protocol of the sockets as AsyncAPI 3:
            <a href="/api/asyncapi/">/api/asyncapi/</a>
          </p>
          <nav>${sections.map(([tag]) => html`<a href="#${tag}">${tag}</a> `)}<a href="#schemas">Schemas</a></nav>
        </header>
        <main>
          ${sections.map(
            ([tag, operations]) =>
              html`<section id="${tag}">
                <h2>${tag}</h2>
                ${operations.map(operationBlock)}
              </section>`,
          )}
          <section id="schemas">
            <h2>Schemas</h2>
            ${schemas.map(schemaBlock)}
          </section>
        </main>
      </body>
    </html>`;
}

function operationBlock({ method, path, operation }: Entry) {
  const parameters = operation.parameters ?? [];
  const body = Object.values(operation.requestBody?.content ?? {})[0]?.schema;
  return html`<article>
    <h3><span class="method ${method}">${method.toUpperCase()}</span> <code>${path}</code></h3>
    <p>
      <strong>${operation.summary}</strong>${needOf(operation)}
    </p>
    ${operation.description ? html`<p>${code(operation.description)}</p>` : ''}
    <dl>
      ${parameters.map(
        (it) =>
          html`<dt><code>${it.in === 'query' ? '?' : ''}${it.name}</code></dt>
            <dd>${code(it.description ?? 'In the path.')}</dd>`,
      )}
      ${
        body
          ? html`<dt>Body</dt>
              <dd>${typeOf(body)}, as JSON or as a form</dd>`
          : ''
      }
      ${Object.entries(operation.responses ?? {}).map(([status, answer]) => {
        const content = Object.values(answer.content ?? {})[0]?.schema;
        return html`<dt>${status}</dt>
          <dd>${code(answer.description)}${content ? html` ${typeOf(content)}` : ''}</dd>`;
      })}
    </dl>
  </article>`;
}

function needOf({ security = [] }: Operation) {
  if (security.length === 0) return '';
  return security.some((scheme) => 'operator' in scheme)
    ? html` <em>Needs a key of the operator.</em>`
    : html` <em>Needs an access token.</em>`;
}

function schemaBlock([name, schema]: [string, Schema]) {
  const required = new Set(schema.required);
  return html`<article id="schema-${name}">
    <h3><code>${name}</code></h3>
    ${
      schema.properties
        ? html`<dl>
            ${Object.entries(schema.properties).map(
              ([key, property]) =>
                html`<dt><code>${key}</code></dt>
                  <dd>${typeOf(property)}${required.has(key) ? '' : ', may be absent'}</dd>`,
            )}
          </dl>`
        : html`<p>${typeOf(schema)}</p>`
    }
  </article>`;
}

/** A schema in a few words, with links to the named ones. */
function typeOf(schema: Schema): ReturnType<typeof html> | string {
  const name = schema.$ref?.split('/').at(-1);
  if (name !== undefined) return html`<a href="#schema-${name}">${name}</a>`;
  if ('const' in schema) return html`<code>${JSON.stringify(schema.const)}</code>`;
  if (schema.enum) return html`<code>${schema.enum.map((value) => JSON.stringify(value)).join(' | ')}</code>`;
  if (schema.anyOf) return html`${schema.anyOf.map((option, i) => html`${i > 0 ? ' or ' : ''}${typeOf(option)}`)}`;
  if (schema.items) return html`list of ${typeOf(schema.items)}`;
  if (schema.properties) {
    const fields = Object.entries(schema.properties);
    const mark = (key: string) => (schema.required?.includes(key) ? '' : '?');
    return html`{ ${fields.map(([key, it], i) => html`${i > 0 ? ', ' : ''}<code>${key}${mark(key)}</code>: ${typeOf(it)}`)} }`;
  }
  if (typeof schema.additionalProperties === 'object') return html`object of ${typeOf(schema.additionalProperties)}`;
  const limit = schema.maxLength === undefined ? '' : `, at most ${schema.maxLength} characters`;
  return `${schema.format ?? schema.type ?? 'anything'}${limit}`;
}

/** Text whose backquoted parts are code. */
function code(text: string) {
  return text.split('`').map((part, i) => (i % 2 === 1 ? html`<code>${part}</code>` : part));
}

const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#d8dee4, #363c44); --soft: light-dark(#f3f5f7, #1d2126); --link: light-dark(#0b5cad, #7db8ff); }
body { margin: 0 auto; max-width: 52rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; background: light-dark(#fff, #121518); color: light-dark(#1c2128, #e2e6ea); }
a { color: var(--link); }
h1 small { font-size: 1rem; font-weight: normal; }
h3 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; }
nav { display: flex; flex-wrap: wrap; gap: 1rem; }
article { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; margin: .8rem 0; }
code { font: .9em ui-monospace, monospace; background: var(--soft); padding: .1em .3em; border-radius: .25em; }
.method { display: inline-block; min-width: 3.5em; font: bold .85em ui-monospace, monospace; }
.get { color: light-dark(#0b6b3a, #67d493); }
.delete { color: light-dark(#a3243b, #ff8fa3); }
.patch, .put { color: light-dark(#6b3fa0, #c7a6ff); }
.post { color: light-dark(#8a4b00, #f0b35f); }
dl { display: grid; grid-template-columns: minmax(4rem, max-content) 1fr; gap: .2rem 1rem; margin: .6rem 0 0; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
`;

/** The policy of the page. */
export const docsPolicy = pagePolicy(STYLE);
