import { describe, expect, it } from 'vitest';
import { RATE_BURST, RATE_PER_SECOND, RESUME_ROWS, SOCKETS_PER_CONVERSATION, SOCKETS_PER_USER } from '../src/config.ts';
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
