import { env } from 'cloudflare:workers';
import {
  CONVERSATIONS_PER_DAY,
  JWT_SECRET_MIN_BYTES,
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
  /** Wrong passwords for one account from one address, in LOGIN_PERIOD_S. */
  readonly loginAttempts: number;
  /** Wrong passwords for one account from all addresses where nobody has signed in to it. */
  readonly loginAttemptsPerHour: number;
  /** Of one address. */
  readonly registrationsPerDay: number;
  /** Of one user. */
  readonly conversationsPerDay: number;
  /** To one address. */
  readonly mailsPerHour: number;
  /** Of one user. */
  readonly profileChangesPerHour: number;
  /** How this deployment sends mail; undefined if it does not. */
  readonly mail: MailSettings | undefined;
};

/** How mail is sent, and from whom. In development none is: see `mail/mailbox.ts`. */
export type MailSettings = { readonly from: string } & (
  { readonly by: 'binding' } | { readonly by: 'http'; readonly url: string; readonly key: string }
);

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
  LOGIN_ATTEMPTS?: string | undefined;
  LOGIN_ATTEMPTS_PER_HOUR?: string | undefined;
  REGISTRATIONS_PER_DAY?: string | undefined;
  CONVERSATIONS_PER_DAY?: string | undefined;
  MAILS_PER_HOUR?: string | undefined;
  PROFILE_CHANGES_PER_HOUR?: string | undefined;
  MAIL_FROM?: string | undefined;
  MAIL_URL?: string | undefined;
  MAIL_API_KEY?: string | undefined;
  /** A binding: Cloudflare's e-mail sending. */
  EMAIL?: unknown;
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
    loginAttempts: readLimit('LOGIN_ATTEMPTS', source.LOGIN_ATTEMPTS, LOGIN_ATTEMPTS),
    loginAttemptsPerHour: readLimit('LOGIN_ATTEMPTS_PER_HOUR', source.LOGIN_ATTEMPTS_PER_HOUR, LOGIN_ATTEMPTS_PER_HOUR),
    registrationsPerDay: readLimit('REGISTRATIONS_PER_DAY', source.REGISTRATIONS_PER_DAY, REGISTRATIONS_PER_DAY),
    conversationsPerDay: readLimit('CONVERSATIONS_PER_DAY', source.CONVERSATIONS_PER_DAY, CONVERSATIONS_PER_DAY),
    mailsPerHour: readLimit('MAILS_PER_HOUR', source.MAILS_PER_HOUR, MAILS_PER_HOUR),
    profileChangesPerHour: readLimit(
      'PROFILE_CHANGES_PER_HOUR',
      source.PROFILE_CHANGES_PER_HOUR,
      PROFILE_CHANGES_PER_HOUR,
    ),
    mail: readMail(source),
  };
}

function readMail({
  EMAIL,
  MAIL_FROM: from,
  MAIL_URL: url,
  MAIL_API_KEY: key,
}: SettingsSource): MailSettings | undefined {
  if (EMAIL === undefined && !url && !key) return undefined;
  if (!from) throw new Error('MAIL_FROM is missing. Set it to the address that mail comes from.');
  if (EMAIL !== undefined) return { by: 'binding', from };
  if (!url || !key) throw new Error('An HTTP mail provider takes both MAIL_URL and the secret MAIL_API_KEY. Set both.');
  const { protocol, hostname } = URL.parse(url) ?? {};
  if (protocol !== 'https:' && hostname !== 'localhost') {
    throw new Error(`MAIL_URL is ${JSON.stringify(url)}. Set it to an https: address, since the key travels with it.`);
  }
  return { by: 'http', url, key, from };
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
