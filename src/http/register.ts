import { Hono } from 'hono';
import * as v from 'valibot';
import { passwordProblems } from '../auth/password-rules.ts';
import { hashPassword } from '../auth/passwords.ts';
import { directory } from '../directory/database.ts';
import { createUser, emailTaken } from '../directory/users.ts';
import type { AppEnv } from './app-env.ts';
import { optionalBearer } from './middleware/bearer.ts';
import { readFields } from './body.ts';
import { invalid } from './errors.ts';
import { emailField, nameField, passwordField, REQUIRED } from './fields.ts';
import { describe, hasherBusy } from './openapi/describe.ts';
import { errorBody, schema } from './openapi/schemas.ts';

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

const EMAIL_TAKEN = ['user account with this email already exists.'];

export const register = new Hono<AppEnv>();

register.use('/api/register', optionalBearer);

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
      email !== undefined && (await emailTaken(db, email)) ? { email: EMAIL_TAKEN } : {},
    );
    if (password !== confirm_password) throw invalid({ password: ["Password fields didn't match."] });
    const weaknesses = passwordProblems(password, person);
    if (weaknesses.length > 0) throw invalid({ password: weaknesses });

    const created = await createUser(db, { ...person, password: await hashPassword(password) }, Date.now());
    if (!created) throw invalid({ email: EMAIL_TAKEN });
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
