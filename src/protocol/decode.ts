import * as v from 'valibot';
import type { ErrorCode } from './error-codes.ts';
import { isRef, parseJson } from './text.ts';

/** Schemas of frames, by their `type`. */
type Frames = Readonly<Record<string, v.GenericSchema>>;
type FrameOf<Schemas extends Frames> = v.InferOutput<Schemas[keyof Schemas]>;

/** What is wrong with a frame. `ref` is that of the frame, if it has one that can be repeated. */
export type FrameProblem = { readonly code: ErrorCode; readonly message: string; readonly ref?: string };

/** A frame, or what is wrong with it. */
export type Decoded<Frame> =
  { readonly frame: Frame; readonly problem?: never } | { readonly frame?: never; readonly problem: FrameProblem };

/** Decodes a text frame from a client. Never throws, whatever the frame holds. */
export function decodeFromClient<Schemas extends Frames>(schemas: Schemas, frame: string): Decoded<FrameOf<Schemas>> {
  const body = parseJson(frame);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    const found = body === undefined ? 'is not JSON' : 'is not a JSON object';
    return { problem: { code: 'bad_frame', message: `The frame ${found}.` } };
  }
  const given = 'ref' in body && typeof body.ref === 'string' && isRef(body.ref) ? { ref: body.ref } : {};
  const type = 'type' in body ? body.type : undefined;
  if (typeof type !== 'string') {
    const message = type === undefined ? 'The frame has no "type".' : '"type" is not a string.';
    return { problem: { code: 'bad_frame', message, ...given } };
  }
  const schema = schemaOf(schemas, type);
  if (!schema) {
    const known = Object.keys(schemas).join(', ');
    return { problem: { code: 'unknown_type', message: `The "type" is none of: ${known}.`, ...given } };
  }
  const result = v.safeParse(schema, body);
  if (!result.success) return { problem: { ...problemOf(result.issues[0], body), ...given } };
  return { frame: result.output as FrameOf<Schemas> };
}

/**
 * Decodes a text frame from a server. Never throws.
 * @returns undefined for a frame that this release does not understand: it may be from a newer server
 */
export function decodeFromServer<Schemas extends Frames>(
  schemas: Schemas,
  frame: string,
): FrameOf<Schemas> | undefined {
  const body = parseJson(frame);
  if (typeof body !== 'object' || body === null || !('type' in body) || typeof body.type !== 'string') return undefined;
  const schema = schemaOf(schemas, body.type);
  const result = schema && v.safeParse(schema, body);
  return result?.success ? result.output : undefined;
}

function schemaOf(schemas: Frames, type: string): v.GenericSchema | undefined {
  return Object.hasOwn(schemas, type) ? schemas[type] : undefined;
}

function problemOf(issue: v.BaseIssue<unknown>, body: object): FrameProblem {
  const key = v.getDotPath(issue);
  if (key === null) return { code: 'bad_frame', message: issue.message };
  if (!Object.hasOwn(body, key)) return { code: 'bad_frame', message: `The frame has no "${key}".` };
  const isText = key === 'text' && issue.kind === 'validation';
  return { code: isText ? 'invalid_text' : 'bad_frame', message: `"${key}" ${issue.message}` };
}
