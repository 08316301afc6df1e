import { settings } from '../../settings.ts';

const LOOPBACK_HOSTS = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Whether a request may name this host. A deployment is only reached under its own names; a server on someone's machine
 * is reached by any name that a page lets resolve to it (DNS rebinding), and answers to this machine's names only, and
 * to those in ALLOWED_ORIGINS.
 */
export function isAllowedHost(requestUrl: string): boolean {
  const url = new URL(requestUrl);
  return !settings.development || LOOPBACK_HOSTS.has(url.hostname) || settings.allowedOrigins.has(url.origin);
}

/**
 * Whether a page with this `Origin` may use the API and the sockets: this host's own pages, those in ALLOWED_ORIGINS,
 * and, in development, any page on this machine. `null` and anything that is not an origin may not.
 */
export function isAllowedOrigin(origin: string, requestUrl: string): boolean {
  const url = URL.parse(origin);
  if (!url || url.host === '') return false;
  const isThisHost = url.origin === new URL(requestUrl).origin && isAllowedHost(requestUrl);
  if (isThisHost || settings.allowedOrigins.has(url.origin)) return true;
  return settings.development && LOOPBACK_HOSTS.has(url.hostname);
}
