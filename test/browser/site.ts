import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { build } from 'vite';

/** A site with one page, {@link ./page.ts}, and an empty one, on an origin of its own. */
export type Site = {
  /** Where the page is, for a server and a conversation. */
  page(query: Readonly<Record<string, string>>): string;
  /** Where the empty page is. */
  readonly empty: string;
  close(): Promise<void>;
};

/** Bundles the page and serves it. */
export async function openSite(): Promise<Site> {
  const script = await bundle(join(import.meta.dirname, 'page.ts'));
  const server = createServer(({ url }, response) => {
    if (url === '/page.js') response.setHeader('Content-Type', 'text/javascript').end(script);
    else response.setHeader('Content-Type', 'text/html').end(url === '/empty' ? EMPTY : PAGE);
  });
  server.listen(0, 'localhost');
  await once(server, 'listening');
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  return {
    page: (query) => `${origin}/?${new URLSearchParams(query).toString()}`,
    empty: `${origin}/empty`,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

const EMPTY = '<!doctype html><meta charset="utf-8"><title>edge-chat</title><link rel="icon" href="data:,">\n';
const PAGE = `${EMPTY}<script type="module" src="/page.js"></script>\n`;

async function bundle(entry: string): Promise<string> {
  const result = await build({
    configFile: false,
    envDir: false,
    publicDir: false,
    logLevel: 'warn',
    build: { write: false, modulePreload: false, rolldownOptions: { input: entry } },
  });
  if (!('output' in result)) throw new Error('vite made something else than one bundle');
  const [chunk, ...more] = result.output;
  if (more.length > 0) throw new Error('The page must be one file');
  return chunk.code;
}
