import { Hono, type Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import * as v from 'valibot';
import { deleteAccount, setActive } from '../auth/accounts.ts';
import { endSessions } from '../auth/end-sessions.ts';
import { isOperatorKey } from '../auth/operator.ts';
import type { Source } from '../auth/security-log.ts';
import { PAGE_SIZE } from '../config.ts';
import { deliverNoticesOf } from '../deliver-notices.ts';
import { directory } from '../directory/database.ts';
import { findAccount, listAccounts, type Account } from '../directory/users.ts';
import type { AppEnv } from './app-env.ts';
import { readFields, readQuery } from './body.ts';
import { invalid, notFound, unauthorized } from './errors.ts';
import { REQUIRED, uuidParameter } from './fields.ts';
import { credentialLimit } from './middleware/address-limit.ts';
import { bearerToken } from './middleware/bearer.ts';
import { session, shownSessions } from './my-sessions.ts';
import { pathId } from './middleware/path-id.ts';
import { describe } from './openapi/describe.ts';
import { errorBody, fieldErrorsBody, isoTime, schema } from './openapi/schemas.ts';

const account = schema(
  'OperatedAccount',
  v.strictObject({
    id: v.pipe(v.string(), v.uuid()),
    email: v.string(),
    first_name: v.string(),
    last_name: v.string(),
    is_active: v.boolean(),
    email_verified: v.boolean(),
    created_at: isoTime,
  }),
);

const activity = schema('Activity', v.object({ is_active: v.boolean('Must be a boolean.') }, REQUIRED));

const listQuery = v.object({
  email: v.pipe(v.optional(v.string()), v.description('Only the account with this address.')),
  after: v.pipe(v.optional(uuidParameter), v.description('Id of the last account of the page before.')),
});

const noSuchAccount = { description: 'There is no such account.', schema: errorBody };

/** What whoever runs the service may do, with a key that `npm run admin` makes. */
export const admin = new Hono<AppEnv>();

const operator = createMiddleware<AppEnv>(async (c, next) => {
  const key = bearerToken(c);
  const isKnown =
    c.req.method === 'OPTIONS' || (key !== undefined && (await isOperatorKey(directory(c.env.DB), key, Date.now())));
  if (!isKnown) throw unauthorized('A key of the operator is needed. See `npm run admin`.', 'operator_key_needed');
  await next();
});

admin.use('/api/admin/*', credentialLimit, operator);
admin.use('/api/admin/users/:id', pathId);
admin.use('/api/admin/users/:id/sessions', pathId);

admin.get(
  '/api/admin/users',
  describe({
    summary: 'List accounts',
    description: `In order of registration, ${PAGE_SIZE} a page. \`Link: <…>; rel="next"\` leads to the next page.`,
    tags: ['Operating'],
    bearer: false,
    operator: true,
    query: listQuery,
    responses: {
      200: { description: 'The accounts.', schema: v.array(account) },
      400: { description: '`after` is not the id of a user.', schema: fieldErrorsBody },
    },
  }),
  async (c) => {
    const db = directory(c.env.DB);
    const { email, after } = readQuery(c, listQuery);
    if (email !== undefined) {
      const found = await findAccount(db, { email: email.toLowerCase() });
      return c.json(found ? [shown(found)] : []);
    }
    const page = await listAccounts(db, { after, limit: PAGE_SIZE });
    if (!page) throw invalid({ after: ['There is no such user.'] });
    const last = page.accounts.at(-1);
    if (page.more && last) c.header('Link', `</api/admin/users/?after=${last.id}>; rel="next"`);
    return c.json(page.accounts.map(shown));
  },
);

admin.patch(
  '/api/admin/users/:id',
  describe({
    summary: 'Deactivate or activate an account',
    description: 'Whoever is deactivated cannot sign in, and their sessions end.',
    tags: ['Operating'],
    bearer: false,
    operator: true,
    body: activity,
    responses: { 204: { description: 'It is done.' }, 404: noSuchAccount },
  }),
  async (c) => {
    const { is_active } = await readFields(c, activity);
    const isChanged = await setActive(directory(c.env.DB), c.get('id'), is_active, operatorOf(c), Date.now());
    if (!isChanged) throw notFound('There is no such account.');
    await deliverNoticesOf(c.env, c.get('id'));
    return c.body(null, 204);
  },
);

admin.delete(
  '/api/admin/users/:id',
  describe({
    summary: 'Delete an account',
    description: 'For good, as its user could.',
    tags: ['Operating'],
    bearer: false,
    operator: true,
    responses: { 204: { description: 'It is deleted.' }, 404: noSuchAccount },
  }),
  async (c) => {
    const isDeleted = await deleteAccount(directory(c.env.DB), c.get('id'), undefined, operatorOf(c), Date.now());
    if (!isDeleted) throw notFound('There is no such account.');
    await deliverNoticesOf(c.env, c.get('id'));
    return c.body(null, 204);
  },
);

admin.get(
  '/api/admin/users/:id/sessions',
  describe({
    summary: 'Where an account is signed in',
    tags: ['Operating'],
    bearer: false,
    operator: true,
    responses: { 200: { description: 'The sessions.', schema: v.array(session) }, 404: noSuchAccount },
  }),
  async (c) => {
    await requireAccount(c);
    return c.json(await shownSessions(c, c.get('id')));
  },
);

admin.delete(
  '/api/admin/users/:id/sessions',
  describe({
    summary: 'End all sessions of an account',
    tags: ['Operating'],
    bearer: false,
    operator: true,
    responses: { 204: { description: 'They have ended.' }, 404: noSuchAccount },
  }),
  async (c) => {
    await requireAccount(c);
    await endSessions(directory(c.env.DB), { user_id: c.get('id') }, 'operator', operatorOf(c), Date.now());
    await deliverNoticesOf(c.env, c.get('id'));
    return c.body(null, 204);
  },
);

/** @throws ApiError 404 if the path names nobody who has an account */
async function requireAccount(c: Context<AppEnv>): Promise<void> {
  if (!(await findAccount(directory(c.env.DB), { id: c.get('id') }))) throw notFound('There is no such account.');
}

/** The operator's own address is nothing that users should read in their log. */
function operatorOf(c: Context<AppEnv>): Source {
  return { request_id: c.get('requestId'), address: null, user_agent: null };
}

function shown({ id, email, first_name, last_name, is_active, email_verified_at, created_at }: Account) {
  return {
    id,
    email,
    first_name,
    last_name,
    is_active,
    email_verified: email_verified_at !== null,
    created_at: new Date(created_at).toISOString(),
  };
}
