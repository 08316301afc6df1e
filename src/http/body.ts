import type { Context } from 'hono';
import * as v from 'valibot';
import { BODY_MAX_BYTES } from '../config.ts';
import type { AppEnv } from './app-env.ts';
import { ApiError, invalid, type FieldErrors } from './errors.ts';

/** A schema for the fields of a request body. */
export type FieldsSchema = v.ObjectSchema<v.ObjectEntries, v.ErrorMessage<v.ObjectIssue> | undefined>;

/** Looks at the valid fields together, or elsewhere, and returns messages for those that are wrong all the same. */
type FurtherCheck<S extends FieldsSchema> = (valid: Partial<v.InferOutput<S>>) => Promise<FieldErrors>;

/**
 * Reads a body by its Content-Type (JSON, form or multipart) and validates it. `check`, if given, adds its messages to
 * those of the schema, so that everything that is wrong is told at once.
 * @throws ApiError 400, 413 or 415, in the original's words
 */
export async function readFields<S extends FieldsSchema>(
  c: Context<AppEnv>,
  schema: S,
  check: FurtherCheck<S> = async () => ({}),
): Promise<v.InferOutput<S>> {
  const result = v.safeParse(schema, await readBody(c));
  const errors = messagesByField(result.issues);
  const entries = Object.entries(Object(result.output)).filter(([field]) => !(field in errors));
  // What is left has passed the schema.
  Object.assign(errors, await check(Object.fromEntries(entries) as Partial<v.InferOutput<S>>));
  if (!result.success || Object.keys(errors).length > 0) throw invalid(errors);
  return result.output;
}

/** Validates the query string. @throws ApiError 400 */
export function readQuery<S extends FieldsSchema>(c: Context<AppEnv>, schema: S): v.InferOutput<S> {
  const result = v.safeParse(schema, c.req.query());
  if (!result.success) throw invalid(messagesByField(result.issues));
  return result.output;
}

function messagesByField(issues: readonly v.BaseIssue<unknown>[] = []): FieldErrors {
  const errors: FieldErrors = {};
  for (const issue of issues) {
    const [at] = issue.path ?? [];
    const field = typeof at?.key === 'string' ? at.key : 'non_field_errors';
    (errors[field] ??= []).push(issue.message);
  }
  return errors;
}

async function readBody(c: Context<AppEnv>): Promise<Record<string, unknown>> {
  const bytes = await c.req.arrayBuffer();
  if (bytes.byteLength === 0) return {};
  const contentType = c.req.header('Content-Type') ?? '';
  switch (contentType.split(';')[0]?.trim().toLowerCase()) {
    case 'application/json':
      return requireObject(parseJson(bytes));
    case 'application/x-www-form-urlencoded':
      return Object.fromEntries(new URLSearchParams(new TextDecoder().decode(bytes)));
    case 'multipart/form-data':
      return parseMultipart(bytes, contentType);
    default:
      throw new ApiError(415, { detail: `Unsupported media type "${contentType}" in request.` });
  }
}

function parseJson(bytes: ArrayBuffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw new ApiError(400, { detail: `JSON parse error - ${error instanceof Error ? error.message : 'malformed'}` });
  }
}

function requireObject(body: unknown): Record<string, unknown> {
  if (body === null) throw invalid({ non_field_errors: ['No data provided'] });
  if (typeof body !== 'object' || Array.isArray(body)) {
    throw invalid({ non_field_errors: [`Invalid data. Expected a dictionary, but got ${pythonTypeName(body)}.`] });
  }
  return body as Record<string, unknown>;
}

function pythonTypeName(value: unknown): string {
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'string') return 'str';
  if (typeof value === 'boolean') return 'bool';
  return Number.isInteger(value) ? 'int' : 'float';
}

async function parseMultipart(bytes: ArrayBuffer, contentType: string): Promise<Record<string, unknown>> {
  try {
    const form = await new Response(bytes, { headers: { 'Content-Type': contentType } }).formData();
    return Object.fromEntries(form);
  } catch {
    const detail = 'Multipart form parse error - the body does not match the boundary of its Content-Type.';
    throw new ApiError(400, { detail });
  }
}

/** The answer to a body over the limit. */
export function bodyTooLarge(): never {
  throw new ApiError(413, { detail: `The body is larger than ${BODY_MAX_BYTES} bytes.`, code: 'body_too_large' });
}
