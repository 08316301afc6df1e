import { Hono } from 'hono';
import { html } from 'hono/html';
import type { AppEnv } from './app-env.ts';

export const docs = new Hono<AppEnv>();
docs.get('/api/docs', (c) => c.html(html`<h1>docs</h1>`));
