import { describe, expect, it } from 'vitest';
import {
  CONVERSATIONS_PER_DAY,
  LOGIN_ATTEMPTS,
  LOGIN_ATTEMPTS_PER_HOUR,
  MAILS_PER_HOUR,
  PROFILE_CHANGES_PER_HOUR,
  RATE_BURST,
  RATE_PER_SECOND,
  REGISTRATIONS_PER_DAY,
  RESUME_ROWS,
  SOCKETS_PER_CONVERSATION,
  SOCKETS_PER_USER,
} from '../src/config.ts';
import { readSettings, type Settings, type SettingsSource } from '../src/settings.ts';

const SECRET = 'b1946ac92492d2347c6235b4d2611184';
const PRODUCTION: SettingsSource = { ENVIRONMENT: 'production', ALLOWED_ORIGINS: '', JWT_SECRET: SECRET };
const DEVELOPMENT: SettingsSource = { ...PRODUCTION, ENVIRONMENT: 'development' };
const REMEDY = 'Run `npm run deploy`, or set a random one: npx wrangler secret put JWT_SECRET. Refusing to start.';

describe('the environment', () => {
  it('is production or development', () => {
    expect(readSettings(PRODUCTION).development).toBe(false);
    expect(readSettings(DEVELOPMENT).development).toBe(true);
  });

  it.each([
    [undefined, 'undefined'],
    ['', '""'],
    ['Production', '"Production"'],
    ['staging', '"staging"'],
  ])('is refused if it is %j, with what to set it to', (ENVIRONMENT, shown) => {
    expect(() => readSettings({ ...PRODUCTION, ENVIRONMENT })).toThrow(
      `ENVIRONMENT is ${shown}. Set it to "production" or "development".`,
    );
  });
});

describe('the secret', () => {
  it('of a good configuration is taken as it is', () => {
    expect(readSettings(PRODUCTION)).toMatchObject({ jwtSecret: SECRET, jwtSecretPrevious: undefined });
  });

  describe.each([
    ['production', PRODUCTION],
    ['development', DEVELOPMENT],
  ])('in %s', (_, source) => {
    it.each([undefined, ''])('is refused if it is missing (%j), with what to do', (JWT_SECRET) => {
      expect(() => readSettings({ ...source, JWT_SECRET })).toThrow(`JWT_SECRET is missing. ${REMEDY}`);
    });

    it('is refused below 32 bytes, with what to do', () => {
      expect(() => readSettings({ ...source, JWT_SECRET: SECRET.slice(1) })).toThrow(
        `JWT_SECRET is shorter than 32 bytes. ${REMEDY}`,
      );
    });

    it('is measured in bytes, not in characters', () => {
      expect(readSettings({ ...source, JWT_SECRET: 'é'.repeat(16) }).jwtSecret).toBe('é'.repeat(16));
      expect(() => readSettings({ ...source, JWT_SECRET: 'é'.repeat(15) })).toThrow('shorter than 32 bytes');
    });
  });

  it('of development is refused in production, with what to do', () => {
    expect(() => readSettings({ ...PRODUCTION, JWT_SECRET: `dev_${SECRET}` })).toThrow(
      `JWT_SECRET is a development secret (it starts with "dev_"). ${REMEDY}`,
    );
  });

  it('of development is good in development', () => {
    expect(readSettings({ ...DEVELOPMENT, JWT_SECRET: `dev_${SECRET}` }).jwtSecret).toBe(`dev_${SECRET}`);
  });

  it.each([
    ['short', 'hunter2'],
    ['of development', `dev_${SECRET}`],
  ])('is not repeated in the message that refuses it: %s', (_, JWT_SECRET) => {
    expect(() => readSettings({ ...PRODUCTION, JWT_SECRET })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining(JWT_SECRET) }),
    );
  });
});

describe('the previous secret', () => {
  const PREVIOUS = SECRET.toUpperCase();

  it.each([undefined, ''])('may be absent: %j', (JWT_SECRET_PREVIOUS) => {
    expect(readSettings({ ...PRODUCTION, JWT_SECRET_PREVIOUS }).jwtSecretPrevious).toBeUndefined();
  });

  it('is taken as it is', () => {
    expect(readSettings({ ...PRODUCTION, JWT_SECRET_PREVIOUS: PREVIOUS }).jwtSecretPrevious).toBe(PREVIOUS);
  });

  it('is held to the same rules, since it verifies tokens too, with what to do', () => {
    const remedy = 'Set it to the old JWT_SECRET, or delete it: npx wrangler secret delete JWT_SECRET_PREVIOUS.';
    expect(() => readSettings({ ...PRODUCTION, JWT_SECRET_PREVIOUS: 'short' })).toThrow(
      `JWT_SECRET_PREVIOUS is shorter than 32 bytes. ${remedy}`,
    );
    expect(() => readSettings({ ...PRODUCTION, JWT_SECRET_PREVIOUS: `dev_${PREVIOUS}` })).toThrow(
      `JWT_SECRET_PREVIOUS is a development secret (it starts with "dev_"). ${remedy}`,
    );
  });
});

const origins = (ALLOWED_ORIGINS: string | undefined) => [
  ...readSettings({ ...PRODUCTION, ALLOWED_ORIGINS }).allowedOrigins,
];

describe('the allowed origins', () => {
  it.each([undefined, '', '  '])('may be none: %j', (list) => {
    expect(origins(list)).toEqual([]);
  });

  it.each(['https://a.example http://b.example:8080', ' https://a.example\n\thttp://b.example:8080 '])(
    'are separated by white space: %j',
    (list) => {
      expect(origins(list)).toEqual(['https://a.example', 'http://b.example:8080']);
    },
  );

  it('are kept in the spelling in which browsers send them', () => {
    expect(origins('HTTPS://Chat.Example.ORG/')).toEqual(['https://chat.example.org']);
  });

  it('may be separated by commas', () => {
    expect(origins('https://a.example, https://b.example')).toEqual(['https://a.example', 'https://b.example']);
  });

  it.each([
    'chat.example.org',
    '*',
    'null',
    'https://',
    'https://*.example.org/path',
    'https://chat.example.org/path',
    'https://chat.example.org/?x',
    'https://user@chat.example.org',
    'file:///etc/passwd',
    'data:text/plain',
  ])('are refused if one of them is %s, which the message names', (bad) => {
    expect(() => origins(`https://good.example ${bad}`)).toThrow(
      `ALLOWED_ORIGINS has "${bad}", which is not an origin such as "https://chat.example.org".`,
    );
  });
});

describe('the limits that a deployment may set', () => {
  const LIMITS: [keyof SettingsSource, keyof Settings, number][] = [
    ['RATE_BURST', 'rateBurst', RATE_BURST],
    ['RATE_PER_SECOND', 'ratePerSecond', RATE_PER_SECOND],
    ['SOCKETS_PER_USER', 'socketsPerUser', SOCKETS_PER_USER],
    ['SOCKETS_PER_CONVERSATION', 'socketsPerConversation', SOCKETS_PER_CONVERSATION],
    ['RESUME_ROWS', 'resumeRows', RESUME_ROWS],
    ['LOGIN_ATTEMPTS', 'loginAttempts', LOGIN_ATTEMPTS],
    ['LOGIN_ATTEMPTS_PER_HOUR', 'loginAttemptsPerHour', LOGIN_ATTEMPTS_PER_HOUR],
    ['REGISTRATIONS_PER_DAY', 'registrationsPerDay', REGISTRATIONS_PER_DAY],
    ['CONVERSATIONS_PER_DAY', 'conversationsPerDay', CONVERSATIONS_PER_DAY],
    ['MAILS_PER_HOUR', 'mailsPerHour', MAILS_PER_HOUR],
    ['PROFILE_CHANGES_PER_HOUR', 'profileChangesPerHour', PROFILE_CHANGES_PER_HOUR],
  ];
  const STANDARD = Object.fromEntries(LIMITS.map(([, key, standard]) => [key, standard]));

  it.each([undefined, ''])('are those of config.ts if they are absent: %j', (text) => {
    const absent = Object.fromEntries(LIMITS.map(([name]) => [name, text]));
    expect(readSettings({ ...PRODUCTION, ...absent })).toMatchObject(STANDARD);
  });

  it('take a burst of at least 1,500 messages unless a deployment says otherwise', () => {
    expect(readSettings(PRODUCTION).rateBurst).toBeGreaterThanOrEqual(1500);
  });

  describe.each(LIMITS)('%s', (name, key) => {
    it.each([
      ['1', 1],
      ['77', 77],
      ['999999999', 999_999_999],
    ])('may be %s, and changes no other', (text, expected) => {
      expect(readSettings({ ...PRODUCTION, [name]: text })).toMatchObject({ ...STANDARD, [key]: expected });
    });

    it.each([
      '0',
      '00',
      '01',
      '-1',
      '+1',
      '1.5',
      '1e3',
      '0x10',
      ' 1',
      '1 ',
      '1\n',
      '١',
      '1_000',
      'many',
      'Infinity',
      '1000000000',
    ])('is refused if it is %j, with what to set it to', (text) => {
      expect(() => readSettings({ ...PRODUCTION, [name]: text })).toThrow(
        `${name} is ${JSON.stringify(text)}. Set it to a whole number of at least 1, or leave it out.`,
      );
    });
  });
});

const mail = (source: SettingsSource) => readSettings({ ...PRODUCTION, ...source }).mail;

describe('mail', () => {
  const FROM = 'Chat <no-reply@example.org>';
  const HTTP = { MAIL_FROM: FROM, MAIL_URL: 'https://api.example.org/emails', MAIL_API_KEY: 'a-secret-key' };
  const EMAIL = { send: () => undefined };

  it.each([
    {},
    { MAIL_FROM: FROM },
    { MAIL_FROM: '', MAIL_URL: '', MAIL_API_KEY: '' },
    { MAIL_FROM: FROM, MAIL_URL: '', MAIL_API_KEY: undefined },
  ])('is not sent where no way is named: %j', (source) => {
    expect(mail(source)).toBeUndefined();
  });

  it('goes by the binding, if there is one', () => {
    expect(mail({ EMAIL, MAIL_FROM: FROM })).toEqual({ by: 'binding', from: FROM });
    expect(mail({ EMAIL, ...HTTP })).toEqual({ by: 'binding', from: FROM });
  });

  it('goes by an HTTP provider, if an address and a key are named', () => {
    expect(mail(HTTP)).toEqual({ by: 'http', from: FROM, url: HTTP.MAIL_URL, key: HTTP.MAIL_API_KEY });
  });

  it.each<[string, SettingsSource]>([
    ['the binding', { EMAIL }],
    ['an address', { ...HTTP, MAIL_FROM: undefined }],
    ['an empty sender', { ...HTTP, MAIL_FROM: '' }],
    ['only an address', { MAIL_URL: HTTP.MAIL_URL }],
    ['only a key', { MAIL_API_KEY: HTTP.MAIL_API_KEY }],
  ])('is refused without a sender, with what to do: %s', (_, source) => {
    expect(() => mail(source)).toThrow('MAIL_FROM is missing. Set it to the address that mail comes from.');
  });

  it.each([{ MAIL_URL: undefined }, { MAIL_URL: '' }, { MAIL_API_KEY: undefined }, { MAIL_API_KEY: '' }])(
    'is refused with half of an HTTP provider, with what to do: %j',
    (missing) => {
      expect(() => mail({ ...HTTP, ...missing })).toThrow(
        'An HTTP mail provider takes both MAIL_URL and the secret MAIL_API_KEY. Set both.',
      );
    },
  );

  it.each([
    'http://api.example.org/emails',
    'http://localhost.example.org/emails',
    'api.example.org',
    'ftp://api.example.org',
    'not an address',
  ])('is refused if the key would travel in the clear, with what to do: %j', (MAIL_URL) => {
    expect(() => mail({ ...HTTP, MAIL_URL })).toThrow(
      `MAIL_URL is ${JSON.stringify(MAIL_URL)}. Set it to an https: address, since the key travels with it.`,
    );
  });

  it('may go to a provider on this machine', () => {
    expect(mail({ ...HTTP, MAIL_URL: 'http://localhost:8025/emails' })).toMatchObject({ by: 'http' });
  });

  it('never repeats the key in a message', () => {
    for (const wrong of [{ MAIL_FROM: '' }, { MAIL_URL: '' }, { MAIL_URL: 'http://api.example.org' }]) {
      expect(() => mail({ ...HTTP, ...wrong })).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining(HTTP.MAIL_API_KEY) }),
      );
    }
  });
});
