import { env } from 'cloudflare:workers';
import {
  JWT_SECRET_MIN_BYTES,
  RATE_BURST,
  RATE_PER_SECOND,
  RESUME_ROWS,
  SOCKETS_PER_CONVERSATION,
  SOCKETS_PER_USER,
} from './config.ts';
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
  /** Tokens of one user in one conversation: a frame of up to RATE_FRAME_BYTES takes one. */
  readonly rateBurst: number;
  /** Tokens that they regain in a second. */
  readonly ratePerSecond: number;
  readonly socketsPerUser: number;
  readonly socketsPerConversation: number;
  /** A cursor behind which more rows have changed gets a snapshot. */
  readonly resumeRows: number;
};

/** The variables and secrets that {@link readSettings} reads. All may be absent: a deployment may be wrong. */
export type SettingsSource = {
  ENVIRONMENT?: string | undefined;
  ALLOWED_ORIGINS?: string | undefined;
  JWT_SECRET?: string | undefined;
  JWT_SECRET_PREVIOUS?: string | undefined;
  RATE_BURST?: string | undefined;
  RATE_PER_SECOND?: string | undefined;
  SOCKETS_PER_USER?: string | undefined;
  SOCKETS_PER_CONVERSATION?: string | undefined;
  RESUME_ROWS?: string | undefined;
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
    rateBurst: readLimit('RATE_BURST', source.RATE_BURST, RATE_BURST),
    ratePerSecond: readLimit('RATE_PER_SECOND', source.RATE_PER_SECOND, RATE_PER_SECOND),
    socketsPerUser: readLimit('SOCKETS_PER_USER', source.SOCKETS_PER_USER, SOCKETS_PER_USER),
    socketsPerConversation: readLimit(
      'SOCKETS_PER_CONVERSATION',
      source.SOCKETS_PER_CONVERSATION,
      SOCKETS_PER_CONVERSATION,
    ),
    resumeRows: readLimit('RESUME_ROWS', source.RESUME_ROWS, RESUME_ROWS),
  };
}

function readLimit(name: string, text: string | undefined, standard: number): number {
  if (!text) return standard;
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    throw new Error(`${name} is ${JSON.stringify(text)}. Set it to a whole number of at least 1, or leave it out.`);
  }
  return Number(text);
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
