import type { Context } from 'hono';
import * as v from 'valibot';
import { BODY_MAX_BYTES } from '../config.ts';
import type { AppEnv } from './app-env.ts';
import { ApiError, invalid, type FieldErrors } from './errors.ts';

/** A schema for the fields of a request body. */
export type FieldsSchema = v.ObjectSchema<v.ObjectEntries, v.ErrorMessage<v.ObjectIssue> | undefined>;

/** A body's fields after validation: the values of the valid ones, and messages for the others. */
export type Fields<S extends FieldsSchema> = { values: Partial<v.InferOutput<S>>; errors: FieldErrors };

/**
 * Reads a body by its Content-Type (JSON, form or multipart) and validates it.
 * @throws ApiError 400, 413 or 415, in the original's words
 */
export async function readFields<S extends FieldsSchema>(c: Context<AppEnv>, schema: S): Promise<v.InferOutput<S>> {
  const { values, errors } = await checkFields(c, schema);
  if (Object.keys(errors).length > 0) throw invalid(errors);
  return values;
}

/** Like {@link readFields}, but leaves it to the caller to refuse the errors, along with others of its own. */
export async function checkFields<S extends FieldsSchema>(c: Context<AppEnv>, schema: S): Promise<Fields<S>> {
  const result = v.safeParse(schema, await readBody(c));
  if (result.success) return { values: result.output, errors: {} };
  const errors: FieldErrors = {};
  for (const issue of result.issues) {
    const [at] = issue.path ?? [];
    const field = typeof at?.key === 'string' ? at.key : 'non_field_errors';
    (errors[field] ??= []).push(issue.message);
  }
  const valid = Object.entries(result.output as Record<string, unknown>).filter(([field]) => !(field in errors));
  return { values: Object.fromEntries(valid) as Partial<v.InferOutput<S>>, errors };
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
