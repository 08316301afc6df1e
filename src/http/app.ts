import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { BODY_MAX_BYTES } from '../config.ts';
import type { AppEnv } from './app-env.ts';
import { bodyTooLarge } from './body.ts';
import { chat } from './chat.ts';
import { changes } from './changes.ts';
import { chatSocket } from './chat-socket.ts';
import { conversations } from './conversations.ts';
import { inboxSocket } from './inbox-socket.ts';
import { onError, onNotFound } from './errors.ts';
import { settings } from '../settings.ts';
import { admin } from './admin.ts';
import { blocks } from './blocks.ts';
import { devMail } from './dev-mail.ts';
import { emailVerification } from './email-verification.ts';
import { linkPages } from './link-pages.ts';
import { me } from './me.ts';
import { addressLimit } from './middleware/address-limit.ts';
import { mySessions } from './my-sessions.ts';
import { passwordResets } from './password-reset.ts';
import { securityEvents } from './security-events.ts';
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
app.route('/', inboxSocket);

// Sockets check their origin themselves, and no middleware may change the headers of a 101.
app.use(refuseForeignHosts, corsHeaders, addressLimit, otherMethods(app));
app.use(bodyLimit({ maxSize: BODY_MAX_BYTES, onError: bodyTooLarge }));

const accounts = [register, me, emailVerification, passwordResets, linkPages, securityEvents];
const sessions = [login, token, logout, mySessions];
const chatting = [users, blocks, chat, conversations, messages, marks, changes];
const operating = [health, admin, ...(settings.development ? [devMail] : [])];
for (const resource of [...accounts, ...sessions, ...chatting, ...operating]) app.route('/', resource);
app.route('/', docs(app));
