import { sha256 } from '@noble/hashes/sha2.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';
import type { Context } from 'hono';
import { html, raw } from 'hono/html';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { AppEnv } from './app-env.ts';

/** A piece of HTML whose values are escaped. */
export type Html = ReturnType<typeof html>;

/**
 * The policy of a page that has no script and loads nothing; its one style sheet is in it, and known by its hash.
 * @param formAction where its forms may go
 */
export function pagePolicy(style: string, formAction: "'none'" | "'self'" = "'none'"): string {
  return [
    "default-src 'none'",
    `style-src 'sha256-${btoa(String.fromCharCode(...sha256(utf8ToBytes(style))))}'`,
    "base-uri 'none'",
    `form-action ${formAction}`,
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
}

/** Answers with a small page of one column. */
export function smallPage(c: Context<AppEnv>, title: string, content: Html, status: ContentfulStatusCode = 200) {
  c.header('Content-Security-Policy', SMALL_PAGE_POLICY);
  return c.html(
    html`<!doctype html>
      <html lang="en">
        <head>
          <meta charset="utf-8" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <title>${title}</title>
          ${raw(`<style>${STYLE}</style>`)}
        </head>
        <body>
          <main>
            <h1>${title}</h1>
            ${content}
          </main>
        </body>
      </html>`,
    status,
  );
}

const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#c9d1d9, #444c56); --link: light-dark(#0b5cad, #7db8ff); --error: light-dark(#a3243b, #ff8fa3); }
body { margin: 0; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; background: light-dark(#fff, #121518); color: light-dark(#1c2128, #e2e6ea); }
main { max-width: 34rem; margin: 8vh auto 0; }
h1 { font-size: 1.4rem; }
a { color: var(--link); }
label { display: block; margin: 1rem 0 .3rem; font-weight: 600; }
input { box-sizing: border-box; width: 100%; font: inherit; padding: .5rem .6rem; border: 1px solid var(--line); border-radius: .4rem; background: transparent; color: inherit; }
button { margin-top: 1.2rem; font: inherit; font-weight: 600; padding: .5rem 1.2rem; border: 0; border-radius: .4rem; background: light-dark(#0b5cad, #7db8ff); color: light-dark(#fff, #121518); cursor: pointer; }
.error { color: var(--error); }
article { border: 1px solid var(--line); border-radius: .5rem; padding: .2rem 1rem; margin: .8rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; }
small { opacity: .75; }
`;

const SMALL_PAGE_POLICY = pagePolicy(STYLE, "'self'");
