import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { BODY_MAX_BYTES } from '../config.ts';
import type { AppEnv } from './app-env.ts';
import { bodyTooLarge } from './body.ts';
import { chat } from './chat.ts';
import { changes } from './changes.ts';
import { chatSocket } from './chat-socket.ts';
import { onError, onNotFound } from './errors.ts';
import { refuseForeignHosts, corsHeaders, securityHeaders } from './middleware/headers.ts';
import { docs } from './openapi/routes.ts';
import { health } from './health.ts';
import { login } from './login.ts';
import { logout } from './logout.ts';
import { marks } from './marks.ts';
import { messages } from './messages.ts';
import { otherMethods } from './middleware/methods.ts';
import { register } from './register.ts';
import { requestLog } from './middleware/request-log.ts';
import { token } from './token.ts';
import { users } from './users.ts';

/** The HTTP side. Paths work with and without a trailing slash. */
export const app = new Hono<AppEnv>({ strict: false });

app.onError(onError);
app.notFound(onNotFound);

app.use(requestLog, securityHeaders);
app.route('/', chatSocket);

// Sockets check their origin themselves, and no middleware may change the headers of a 101.
app.use(refuseForeignHosts, corsHeaders, otherMethods(app));
app.use('/api/*', bodyLimit({ maxSize: BODY_MAX_BYTES, onError: bodyTooLarge }));

for (const resource of [register, login, token, logout, users, chat, messages, marks, changes, health])
  app.route('/', resource);
app.route('/', docs(app));
