import { Validator } from '@cfworker/json-schema';

/** As much of an AsyncAPI document as {@link frameCheck} reads. */
export type AsyncApi = {
  components: { messages: Record<string, { payload?: object } | undefined>; schemas: Record<string, unknown> };
};

/** Who sends a frame: a client or the server, in a conversation or in an inbox. */
export type Side = 'client' | 'server' | 'inbox.client' | 'inbox.server';

/** Throws unless a frame of a side is described. */
export type FrameCheck = (side: Side, frame: string) => void;

/**
 * A check that throws unless the document describes a frame: its type, every key of it, and every value. Stricter than
 * clients should be, which ignore keys that they do not know.
 */
export function frameCheck({ components }: AsyncApi): FrameCheck {
  const validators = new Map<string, Validator>();

  const validatorOf = (name: string): Validator => {
    const known = validators.get(name);
    if (known) return known;
    const payload = components.messages[name]?.payload;
    if (!payload) throw new Error(`The AsyncAPI document has no ${name}.`);
    const schema = { ...closed(payload), components: closed({ schemas: components.schemas }) };
    const validator = new Validator(schema, '7', false);
    validators.set(name, validator);
    return validator;
  };

  return (side, frame) => {
    const isLiteral = frame === 'ping' || frame === 'pong';
    const value: unknown = isLiteral ? frame : JSON.parse(frame);
    const type = isLiteral ? frame : String((value as { type?: unknown }).type);
    const { valid, errors } = validatorOf(`${side}.${type}`).validate(value);
    if (!valid) throw new Error(`Not what the AsyncAPI document says of ${side}.${type}: ${frame} ${errors[0]?.error}`);
  };
}

/** A schema whose objects may have no keys but those that it names. */
function closed(schema: object): object {
  const entries = Object.entries(schema).map(([key, value]) => {
    if (Array.isArray(value)) return [key, value.map((it: unknown) => (isObject(it) ? closed(it) : it))];
    return [key, isObject(value) ? closed(value) : value];
  });
  const copy = Object.fromEntries(entries) as object;
  return 'type' in schema && schema.type === 'object' && 'properties' in schema
    ? { ...copy, additionalProperties: false }
    : copy;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
