import * as argon2 from '@noble/hashes/argon2.js';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { api } from '../helpers/api.ts';
import { createPerson, deactivate, signedIn } from '../helpers/people.ts';
import { dumpTables } from '../helpers/tables.ts';

const PASSWORD = 'a horse of another colour';
const TAKEN = { email: ['user account with this email already exists.'] };

let people = 0;

/** A registration that nothing is wrong with, with changes. */
function registration(changes: Record<string, unknown> = {}) {
  people += 1;
  return {
    first_name: 'Ana',
    last_name: 'Doe',
    email: `person-${people}@example.org`,
    password: PASSWORD,
    confirm_password: PASSWORD,
    ...changes,
  };
}

const register = (json: unknown, token?: string) =>
  api('/api/register/', { json, ...(token === undefined ? {} : { token }) });

const stored = async (email: string) => env.DB.prepare('SELECT * FROM users WHERE email = ?').bind(email).all();

afterEach(() => {
  vi.restoreAllMocks();
});

describe('registering', () => {
  it('stores an account and answers with it, but for its password and its id', async () => {
    const person = registration();
    const { status, body } = await register(person);
    expect(status).toBe(201);
    expect(body).toEqual({
      success: true,
      msg: 'User account created successfully.',
      data: { first_name: 'Ana', last_name: 'Doe', email: person.email },
      status: 201,
    });
    expect((await stored(person.email)).results).toMatchObject([{ first_name: 'Ana', last_name: 'Doe', is_active: 1 }]);
  });

  it('makes an account that can sign in', async () => {
    const { email } = registration();
    await register(registration({ email }));
    expect((await api('/api/login/', { json: { email, password: PASSWORD } })).status).toBe(200);
  });

  it('stores of the password a hash with the parameters of today, and nothing else', async () => {
    const { email } = registration();
    await register(registration({ email }));
    expect((await stored(email)).results[0]?.['password']).toMatch(/^\$argon2id\$v=19\$m=12288,t=3,p=1\$/);
    expect(JSON.stringify(await dumpTables())).not.toContain(PASSWORD);
  });

  it('lower-cases the address', async () => {
    const { body } = await register(registration({ email: 'Mixed.Case@Example.ORG' }));
    expect(body.data.email).toBe('mixed.case@example.org');
    expect((await stored('mixed.case@example.org')).results).toHaveLength(1);
  });

  it('cuts white space off names and address, but takes the password as typed', async () => {
    const { email } = registration();
    const password = `  ${PASSWORD} `;
    const { body } = await register({
      first_name: ' Ana ',
      last_name: '\tDoe\n',
      email: `  ${email} `,
      password,
      confirm_password: password,
    });
    expect(body.data).toEqual({ first_name: 'Ana', last_name: 'Doe', email });
    expect((await api('/api/login/', { json: { email, password } })).status).toBe(200);
    expect((await api('/api/login/', { json: { email, password: PASSWORD } })).status).toBe(401);
  });

  it('ignores fields that are not the caller’s to set', async () => {
    const { email } = registration();
    const id = '00000000-0000-4000-8000-000000000001';
    await register(registration({ email, id, seq: 1, is_active: false, is_staff: true, created_at: 0 }));
    const [row] = (await stored(email)).results;
    expect(row).toMatchObject({ is_active: 1 });
    expect(row?.['id']).not.toBe(id);
    expect(row?.['created_at']).not.toBe(0);
  });
});

describe('an address that has an account', () => {
  it.each([
    ['as it is', (email: string) => email],
    ['in upper case', (email: string) => email.toUpperCase()],
    ['padded', (email: string) => `  ${email}\n`],
  ])('is refused: %s', async (_, spell) => {
    const { email } = await createPerson();
    const before = await dumpTables();
    const { status, body } = await register(registration({ email: spell(email) }));
    expect(status).toBe(400);
    expect(body).toEqual(TAKEN);
    expect(await dumpTables()).toEqual(before);
  });

  it('is refused if the account is inactive, too', async () => {
    const { id, email } = await createPerson();
    await deactivate(id);
    expect((await register(registration({ email }))).body).toEqual(TAKEN);
  });

  it('is refused before a password is hashed', async () => {
    const hasher = vi.spyOn(argon2, 'argon2id');
    const { email } = await createPerson();
    await register(registration({ email }));
    expect(hasher).not.toHaveBeenCalled();
  });

  it('is told along with everything else that is wrong', async () => {
    const { email } = await createPerson();
    expect((await register({ ...registration({ email }), first_name: '' })).body).toEqual({
      first_name: ['This field may not be blank.'],
      ...TAKEN,
    });
  });

  it('of two registrations at the same time, one succeeds', async () => {
    const { email } = registration();
    const answers = await Promise.all([
      register(registration({ email })),
      register(registration({ email: email.toUpperCase() })),
    ]);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201, 400]));
    expect(answers.find(({ status }) => status === 400)?.body).toEqual(TAKEN);
    expect((await stored(email)).results).toHaveLength(1);
  });
});

describe('a registration is refused', () => {
  const REQUIRED = ['This field is required.'];

  it('with a message for every field that is wrong, and stores nothing', async () => {
    const before = await dumpTables();
    const { status, body } = await register({
      first_name: 'x'.repeat(101),
      last_name: null,
      email: 'nobody@',
      password: true,
    });
    expect(status).toBe(400);
    expect(body).toEqual({
      first_name: ['Ensure this field has no more than 100 characters.'],
      last_name: ['This field may not be null.'],
      email: ['Enter a valid email address.'],
      password: ['Not a valid string.'],
      confirm_password: REQUIRED,
    });
    expect(await dumpTables()).toEqual(before);
  });

  it('without any field', async () => {
    expect((await register({})).body).toEqual({
      first_name: REQUIRED,
      last_name: REQUIRED,
      email: REQUIRED,
      password: REQUIRED,
      confirm_password: REQUIRED,
    });
  });

  it.each<[string, Record<string, unknown>, Record<string, string[]>]>([
    ['a blank name', { first_name: ' \t ' }, { first_name: ['This field may not be blank.'] }],
    ['U+0000 in a name', { last_name: 'a\0b' }, { last_name: ['Null characters are not allowed.'] }],
    [
      'half of a surrogate pair in a name',
      { last_name: 'a\ud800' },
      { last_name: ['Surrogate characters are not allowed: U+D800.'] },
    ],
    [
      'an address of 201 characters',
      { email: `${'a'.repeat(189)}@example.org` },
      { email: ['Ensure this field has no more than 200 characters.'] },
    ],
    [
      'a password of 129 characters',
      { password: 'é'.repeat(129), confirm_password: 'é'.repeat(129) },
      {
        password: ['Ensure this field has no more than 128 characters.'],
        confirm_password: ['Ensure this field has no more than 128 characters.'],
      },
    ],
    ['two passwords', { confirm_password: `${PASSWORD}!` }, { password: ["Password fields didn't match."] }],
    [
      'a password that is short, common and numeric',
      { password: '12345', confirm_password: '12345' },
      {
        password: [
          'This password is too short. It must contain at least 8 characters.',
          'This password is too common.',
          'This password is entirely numeric.',
        ],
      },
    ],
    [
      'a password like the name',
      { first_name: 'Wilhelmina', password: 'wilhelmina1', confirm_password: 'wilhelmina1' },
      { password: ['The password is too similar to the first name.'] },
    ],
  ])('for %s', async (_, changes, errors) => {
    const before = await dumpTables();
    const { status, body } = await register(registration(changes));
    expect(status).toBe(400);
    expect(body).toEqual(errors);
    expect(await dumpTables()).toEqual(before);
  });

  it('takes 100 emoji for a name: lengths are in characters, not in bytes', async () => {
    const { status, body } = await register(registration({ first_name: '😀'.repeat(100) }));
    expect(status).toBe(201);
    expect(body.data.first_name).toBe('😀'.repeat(100));
  });
});

describe('an access token on a registration', () => {
  it('is not needed, and a good one changes nothing', async () => {
    const { access } = await signedIn();
    expect((await register(registration(), access)).status).toBe(201);
  });

  it('that is no good is refused before anything else', async () => {
    const { status, body } = await register({}, 'nonsense');
    expect(status).toBe(401);
    expect(body).toMatchObject({ code: 'token_not_valid' });
  });
});

describe('a database that fails', () => {
  it('after the check of the address leaves no account, and the same registration works later', async () => {
    const person = registration();
    const prepare = env.DB.prepare.bind(env.DB);
    const spy = vi
      .spyOn(env.DB, 'prepare')
      .mockImplementation((sql) => prepare(sql.startsWith('insert') ? 'INSERT INTO no_such_table VALUES (1)' : sql));
    expect((await register(person)).status).toBe(500);
    spy.mockRestore();
    expect((await stored(person.email)).results).toEqual([]);
    expect((await register(person)).status).toBe(201);
  });
});
