import { settings } from '../settings.ts';

const LOOPBACK_HOSTS = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Whether a page with this `Origin` may use the API and the sockets: this host's own pages, those in ALLOWED_ORIGINS,
 * and, in development, any page on this machine. `null` and anything that is not an origin may not.
 */
export function isAllowedOrigin(origin: string, requestUrl: string): boolean {
  const url = URL.parse(origin);
  if (!url || url.host === '') return false;
  if (url.origin === new URL(requestUrl).origin || settings.allowedOrigins.has(url.origin)) return true;
  return settings.development && LOOPBACK_HOSTS.has(url.hostname);
}
