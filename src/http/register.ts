import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import { hashPassword } from '../auth/passwords.ts';
import { requireAll } from '../auth/throttle.ts';
import { directory } from '../directory/database.ts';
import { createUser, emailTaken } from '../directory/users.ts';
import { settings } from '../settings.ts';
import type { AppEnv } from './app-env.ts';
import { checkNewPassword } from './account-checks.ts';
import { credentialLimit } from './middleware/address-limit.ts';
import { optionalBearer } from './middleware/bearer.ts';
import { readFields } from './body.ts';
import { mailVerification } from './email-verification.ts';
import { invalid, type FieldErrors } from './errors.ts';
import { EMAIL_TAKEN, emailField, nameField, passwordField, REQUIRED } from './fields.ts';
import { describe, hasherBusy } from './openapi/describe.ts';
import { errorBody, schema } from './openapi/schemas.ts';
import { addressOf, networkOf } from './source.ts';

const registration = schema(
  'Registration',
  v.object(
    {
      first_name: nameField,
      last_name: nameField,
      email: emailField,
      password: passwordField,
      confirm_password: passwordField,
    },
    REQUIRED,
  ),
);

const registered = schema(
  'Registered',
  v.strictObject({
    success: v.literal(true),
    msg: v.string(),
    data: v.strictObject({ first_name: v.string(), last_name: v.string(), email: v.string() }),
    status: v.literal(201),
  }),
);

export const register = new Hono<AppEnv>();

register.use('/api/register', credentialLimit, optionalBearer);

register.post(
  '/api/register',
  describe({
    summary: 'Create an account',
    tags: ['Accounts'],
    bearer: false,
    body: registration,
    responses: {
      201: { description: 'The account, without its password.', schema: registered },
      401: { description: 'The request carries an access token, and that is no good.', schema: errorBody },
      503: hasherBusy,
    },
  }),
  async (c) => {
    const db = directory(c.env.DB);
    const { password, confirm_password, ...person } = await readFields(c, registration, async ({ email }) =>
      email === undefined ? {} : whetherTaken(c, email),
    );
    checkNewPassword(password, confirm_password, person);
    await requireRegistration(c);

    const id = await createUser(db, { ...person, password: await hashPassword(password) }, Date.now());
    if (id === undefined) throw invalid({ email: EMAIL_TAKEN });
    await mailVerification(c, { id, email: person.email });
    return c.json(
      {
        success: true,
        msg: 'User account created successfully.',
        data: { first_name: person.first_name, last_name: person.last_name, email: person.email },
        status: 201,
      },
      201,
    );
  },
);

/** Says whether an address has an account, and counts that like one that is made: nobody shall ask for many. */
async function whetherTaken(c: Context<AppEnv>, email: string): Promise<FieldErrors> {
  if (!(await emailTaken(directory(c.env.DB), email))) return {};
  await requireRegistration(c);
  return { email: EMAIL_TAKEN };
}

/** Counts an account that is about to be made, for its address. @throws Throttled */
async function requireRegistration(c: Context<AppEnv>): Promise<void> {
  const address = addressOf(c);
  if (address === undefined) return;
  const rate = { limit: settings.registrationsPerDay, periodMs: 24 * 60 * 60 * 1000 };
  await requireAll(directory(c.env.DB), [{ what: 'registration', whose: networkOf(address), rate }], Date.now());
}
