import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { changeEmail, changePassword, deleteAccount } from '../auth/accounts.ts';
import { hashPassword } from '../auth/passwords.ts';
import { deliverNoticesOf } from '../deliver-notices.ts';
import { directory } from '../directory/database.ts';
import { emailTaken, renameUser, setPresence, type Account } from '../directory/users.ts';
import { emailChangedLetter, passwordChangedLetter } from '../mail/letters.ts';
import { sendMail } from '../mail/mail.ts';
import type { AppEnv } from './app-env.ts';
import { readFields } from './body.ts';
import { callersAccount, checkNewPassword, requirePassword, requireProfileChange } from './account-checks.ts';
import { mailVerification } from './email-verification.ts';
import { ApiError, invalid } from './errors.ts';
import { choiceField, EMAIL_TAKEN, emailField, nameField, passwordField, REQUIRED } from './fields.ts';
import { mayMailTo } from './mail-links.ts';
import { bearer } from './middleware/bearer.ts';
import { credentialLimit } from './middleware/address-limit.ts';
import { describe, hasherBusy } from './openapi/describe.ts';
import { errorBody, isoTime, schema } from './openapi/schemas.ts';
import { sourceOf } from './source.ts';

const showPresence = choiceField(['contacts', 'nobody']);

const account = schema(
  'Account',
  v.strictObject({
    id: v.pipe(v.string(), v.uuid()),
    first_name: v.string(),
    last_name: v.string(),
    email: v.string(),
    email_verified: v.boolean(),
    show_presence: showPresence,
    created_at: isoTime,
  }),
);

const profile = schema(
  'Profile',
  v.object({
    first_name: v.optional(nameField),
    last_name: v.optional(nameField),
    email: v.optional(emailField),
    show_presence: v.pipe(
      v.optional(showPresence),
      v.description('Who sees whether you are online, and when you were last.'),
    ),
    current_password: v.pipe(v.optional(passwordField), v.description('Needed for another e-mail address.')),
  }),
);

const newPassword = schema(
  'NewPassword',
  v.object({ current_password: passwordField, password: passwordField, confirm_password: passwordField }, REQUIRED),
);

const proof = schema('PasswordProof', v.object({ password: passwordField }, REQUIRED));

const changedMeanwhile = new ApiError(409, {
  detail: 'The account was changed at the same time. Look at it, and try again.',
  code: 'changed_meanwhile',
});
const conflict = { description: 'The account was changed at the same time.', schema: errorBody };

export const me = new Hono<AppEnv>();

me.use('/api/me', credentialLimit, bearer);
me.use('/api/me/password', credentialLimit, bearer);
me.use('/api/me/delete', credentialLimit, bearer);

me.get(
  '/api/me',
  describe({
    summary: 'Your account',
    tags: ['Accounts'],
    bearer: true,
    responses: { 200: { description: 'The account.', schema: account } },
  }),
  async (c) => c.json(shown(await callersAccount(c))),
);

me.patch(
  '/api/me',
  describe({
    summary: 'Change your name, your e-mail address, or who sees your presence',
    description:
      'What is left out stays. Every conversation shows a new name, and heeds `show_presence`, at once. A new address takes `current_password`, ' +
      'counts as not verified, and is told to the old one.',
    tags: ['Accounts'],
    bearer: true,
    body: profile,
    responses: { 200: { description: 'The account as it is now.', schema: account }, 409: conflict, 503: hasherBusy },
  }),
  async (c) => {
    const before = await callersAccount(c);
    const { email, current_password, show_presence, ...name } = await readFields(c, profile);
    const isRenamed =
      (name.first_name ?? before.first_name) !== before.first_name ||
      (name.last_name ?? before.last_name) !== before.last_name;
    const isMoving = email !== undefined && email !== before.email;
    const isPresenceChanged = show_presence !== undefined && show_presence !== before.show_presence;
    const isChanged = isRenamed || isMoving || isPresenceChanged;
    if (isMoving) {
      if (current_password === undefined) throw invalid({ current_password: [REQUIRED] });
      await requirePassword(c, before, current_password, 'current_password');
    }
    if (isChanged) await requireProfileChange(c);
    if (isMoving) await moveTo(c, before, email);
    const db = directory(c.env.DB);
    if (isRenamed) await renameUser(db, before.id, name, Date.now());
    if (isPresenceChanged) await setPresence(db, before.id, show_presence, Date.now());
    if (isRenamed || isPresenceChanged) c.executionCtx.waitUntil(deliverNoticesOf(c.env, before.id));
    return c.json(shown(isChanged ? await callersAccount(c) : before));
  },
);

me.post(
  '/api/me/password',
  describe({
    summary: 'Change your password',
    description: 'Ends every other session: their tokens are refused and their sockets close at once.',
    tags: ['Accounts'],
    bearer: true,
    body: newPassword,
    responses: { 204: { description: 'It is changed.' }, 409: conflict, 503: hasherBusy },
  }),
  async (c) => {
    const before = await callersAccount(c);
    const { current_password, password, confirm_password } = await readFields(c, newPassword);
    await requirePassword(c, before, current_password, 'current_password');
    checkNewPassword(password, confirm_password, before);
    const change = {
      kind: 'password_changed',
      user_id: before.id,
      session_id: c.get('caller').session_id,
      from: before.password,
      to: await hashPassword(password),
    } as const;
    if (!(await changePassword(directory(c.env.DB), change, sourceOf(c), Date.now()))) throw changedMeanwhile;
    c.executionCtx.waitUntil(deliverNoticesOf(c.env, before.id));
    c.executionCtx.waitUntil(sendMail(c.env, { to: before.email, ...passwordChangedLetter() }));
    return c.body(null, 204);
  },
);

me.post(
  '/api/me/delete',
  describe({
    summary: 'Delete your account',
    description:
      'For good: sessions end, sockets close, and your name, address, sessions, blocks and security events are gone. ' +
      'What you wrote stays, as messages of a "Deleted user".',
    tags: ['Accounts'],
    bearer: true,
    body: proof,
    responses: { 204: { description: 'It is deleted.' }, 409: conflict, 503: hasherBusy },
  }),
  async (c) => {
    const before = await callersAccount(c);
    const { password } = await readFields(c, proof);
    await requirePassword(c, before, password, 'password');
    const isDeleted = await deleteAccount(directory(c.env.DB), before.id, before.password, sourceOf(c), Date.now());
    if (!isDeleted) throw changedMeanwhile;
    c.executionCtx.waitUntil(deliverNoticesOf(c.env, before.id));
    return c.body(null, 204);
  },
);

async function moveTo(c: Context<AppEnv>, before: Account & { password: string }, email: string): Promise<void> {
  const db = directory(c.env.DB);
  const isTaken = invalid({ email: EMAIL_TAKEN });
  if (await emailTaken(db, email)) throw isTaken;
  const change = { user_id: before.id, email, password: before.password };
  if (!(await changeEmail(db, change, sourceOf(c), Date.now()))) {
    throw (await emailTaken(db, email)) ? isTaken : changedMeanwhile;
  }
  // Whoever has verified it is told in any case. Another address may be a stranger's, who must not get many.
  if (before.email_verified_at !== null || (await mayMailTo(c, before.email))) {
    c.executionCtx.waitUntil(sendMail(c.env, { to: before.email, ...emailChangedLetter() }));
  }
  await mailVerification(c, { ...before, email });
}

function shown({ id, first_name, last_name, email, email_verified_at, show_presence, created_at }: Account) {
  return {
    id,
    first_name,
    last_name,
    email,
    email_verified: email_verified_at !== null,
    show_presence,
    created_at: new Date(created_at).toISOString(),
  };
}
