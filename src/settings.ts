import { env } from 'cloudflare:workers';
import { JWT_SECRET_MIN_BYTES } from './config.ts';
import { utf8Bytes } from './protocol/text.ts';

/** What may differ between deployments, decoded once from the Worker's variables and secrets. */
export type Settings = {
  readonly development: boolean;
  /** Origins besides this host's own, in their canonical spelling (`https://chat.example.org`). */
  readonly allowedOrigins: ReadonlySet<string>;
  /** Signs tokens, and verifies them. */
  readonly jwtSecret: string;
  /** Verifies tokens signed before the last change of the secret. */
  readonly jwtSecretPrevious: string | undefined;
};

/** The variables and secrets that {@link readSettings} reads. All may be absent: a deployment may be wrong. */
export type SettingsSource = {
  ENVIRONMENT?: string | undefined;
  ALLOWED_ORIGINS?: string | undefined;
  JWT_SECRET?: string | undefined;
  JWT_SECRET_PREVIOUS?: string | undefined;
};

/**
 * Decodes the deployment's variables.
 * @throws Error that says which one is wrong and what to do; the Worker then refuses to start.
 */
export function readSettings(source: SettingsSource): Settings {
  const environment = source.ENVIRONMENT;
  if (environment !== 'production' && environment !== 'development') {
    throw new Error(`ENVIRONMENT is ${JSON.stringify(environment)}. Set it to "production" or "development".`);
  }
  const development = environment === 'development';
  const previous = source.JWT_SECRET_PREVIOUS || undefined;
  const current = checkSecret(
    'JWT_SECRET',
    source.JWT_SECRET,
    development,
    'Run `npm run deploy`, or set a random one: npx wrangler secret put JWT_SECRET.',
  );
  if (previous !== undefined) {
    checkSecret(
      'JWT_SECRET_PREVIOUS',
      previous,
      development,
      'Set it to the old JWT_SECRET, or delete it: npx wrangler secret delete JWT_SECRET_PREVIOUS.',
    );
  }
  return {
    development,
    allowedOrigins: readOrigins(source.ALLOWED_ORIGINS ?? ''),
    jwtSecret: current,
    jwtSecretPrevious: previous,
  };
}

function checkSecret(name: string, secret: string | undefined, development: boolean, remedy: string): string {
  if (!secret) throw new Error(`${name} is missing. ${remedy} Refusing to start.`);
  if (utf8Bytes(secret) < JWT_SECRET_MIN_BYTES) {
    throw new Error(`${name} is shorter than ${JWT_SECRET_MIN_BYTES} bytes. ${remedy} Refusing to start.`);
  }
  if (!development && secret.startsWith('dev_')) {
    throw new Error(`${name} is a development secret (it starts with "dev_"). ${remedy} Refusing to start.`);
  }
  return secret;
}

function readOrigins(list: string): ReadonlySet<string> {
  return new Set(
    list
      .split(/[\s,]+/)
      .filter(Boolean)
      .map((text) => {
        const url = URL.parse(text);
        if (!url || url.origin === 'null' || url.origin !== text.toLowerCase().replace(/\/$/, '')) {
          throw new Error(`ALLOWED_ORIGINS has "${text}", which is not an origin such as "https://chat.example.org".`);
        }
        return url.origin;
      }),
  );
}

/** This deployment's settings. Read when the Worker starts, so that a wrong deployment never answers a request. */
export const settings: Settings = readSettings(env);
