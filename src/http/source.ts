import type { Context } from 'hono';
import type { Attempt } from '../auth/login-attempts.ts';
import type { Source } from '../auth/security-log.ts';
import { USER_AGENT_MAX_LENGTH } from '../config.ts';
import type { AppEnv } from './app-env.ts';

/** Where a request came from. */
export function sourceOf(c: Context<AppEnv>): Source {
  return {
    request_id: c.get('requestId'),
    address: addressOf(c) ?? null,
    user_agent: c.req.header('User-Agent')?.slice(0, USER_AGENT_MAX_LENGTH) ?? null,
  };
}

/**
 * The client's IP address. Cloudflare sets the header on every request and lets none through that a client made up;
 * `X-Forwarded-For` is the client's own word and is never read.
 */
export function addressOf(c: Context<AppEnv>): string | undefined {
  return c.req.header('CF-Connecting-IP');
}

/** A login, or what shows as much, as it counts. */
export function attemptOf(email: string, { address }: Source): Attempt {
  return { email: email.toLowerCase(), network: address === null ? undefined : networkOf(address) };
}

/** What one subscriber has of addresses: one of IPv4, or the 2^64 of an IPv6 network. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const canonical = URL.parse(`http://[${address}]`)?.hostname.slice(1, -1) ?? address;
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (mapped) return mapped.slice(1).flatMap(octetsOf).join('.');
  const [head = '', tail] = canonical.split('::');
  const groups = head.split(':').filter(Boolean);
  const rest = tail?.split(':').filter(Boolean) ?? [];
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - rest.length) }, () => '0');
  return `${[...groups, ...zeros, ...rest].slice(0, 4).join(':')}::/64`;
}

/** The two decimal numbers in a group of four hexadecimal digits. */
function octetsOf(group: string): number[] {
  const value = parseInt(group, 16);
  return [value >> 8, value & 0xff];
}
