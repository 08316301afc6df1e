import type { ErrorHandler, NotFoundHandler } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { HasherBusyError } from '../auth/passwords.ts';
import { Throttled } from '../auth/throttle.ts';
import { logError } from '../log.ts';
import type { AppEnv } from './app-env.ts';

/** Messages by field; `non_field_errors` are about the body as a whole. */
export type FieldErrors = Record<string, string[]>;

/** An answer that ends a request early. Thrown anywhere below a route, answered by {@link onError}. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  constructor(
    readonly status: ContentfulStatusCode,
    readonly body: Record<string, unknown>,
    readonly headers: Record<string, string> = {},
  ) {
    super(JSON.stringify(body));
  }
}

/** 400 with messages for each wrong field. */
export function invalid(errors: FieldErrors): ApiError {
  return new ApiError(400, errors);
}

/** 401. Its body is the original's, which has a `code` for some reasons and none for others. */
export function unauthorized(detail: string, code?: string, more: Record<string, unknown> = {}): ApiError {
  return new ApiError(
    401,
    { detail, ...(code === undefined ? {} : { code }), ...more },
    {
      'WWW-Authenticate': 'Bearer realm="api"',
    },
  );
}

/** 401 for a refresh token, in the words of simplejwt 5.3.1. */
export function refreshTokenRefused(detail: string): ApiError {
  return unauthorized(detail, 'token_not_valid');
}

/** 404 for paths, and for ids in paths, that name nothing. */
export function notFound(detail = 'Not found.'): ApiError {
  return new ApiError(404, { detail });
}

/** 403 for a conversation of other people. */
export function notAMember(): ApiError {
  return new ApiError(403, { detail: 'You are not a member of this conversation.', code: 'not_a_member' });
}

/** 403 between two users of whom one has blocked the other. */
export function notAvailable(): ApiError {
  return new ApiError(403, { detail: 'This user is not available.', code: 'not_available' });
}

/** 429, with the time after which the same request may pass. */
export function tooManyRequests(retryAfterMs: number): ApiError {
  const seconds = Math.ceil(retryAfterMs / 1000);
  const body = { detail: `Too many requests. Try again in ${seconds} s.`, code: 'rate_limited' };
  return new ApiError(429, body, { 'Retry-After': String(seconds) });
}

/** Any error as an answer. What is not expected is logged, and answered 500 with no more than the request's id. */
export const onError: ErrorHandler<AppEnv> = (error, c) => {
  if (error instanceof ApiError) return c.json(error.body, error.status, error.headers);
  if (error instanceof Throttled) return onError(tooManyRequests(error.retryAfterMs), c);
  if (error instanceof HasherBusyError) {
    const retryAfter = String(error.retryAfterSeconds);
    const body = { detail: error.message, code: 'busy' };
    return c.json(body, 503, { 'Retry-After': retryAfter });
  }
  logError('request_failed', error, { request_id: c.get('requestId') });
  const body = { detail: 'Internal server error.', code: 'internal_error', request_id: c.get('requestId') };
  return c.json(body, 500);
};

/** A path that names nothing. */
export const onNotFound: NotFoundHandler<AppEnv> = (c) => c.json(notFound().body, 404);
