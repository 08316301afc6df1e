import * as fc from 'fast-check';

/** As much of JSON Schema as our documents use. */
export type JsonSchema = {
  $ref?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: JsonSchema[];
  type?: string;
  format?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: JsonSchema;
};

/** Any value that a schema allows. `named` are the schemas that it may refer to. */
export function valuesOf(schema: JsonSchema, named: Record<string, JsonSchema>): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) {
    const target = named[schema.$ref.replace('#/components/schemas/', '')];
    if (!target) throw new Error(`There is no ${schema.$ref}.`);
    return valuesOf(target, named);
  }
  if ('const' in schema) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((one) => valuesOf(one, named)));
  switch (schema.type) {
    case undefined:
      return anyJson;
    case 'null':
      return fc.constant(null);
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return wholeNumbers(schema);
    case 'number':
      return fc.oneof(wholeNumbers({ minimum: 0, maximum: 5 }), fc.double({ noDefaultInfinity: true, noNaN: true }));
    case 'string':
      return strings(schema);
    case 'array':
      return fc.array(valuesOf(schema.items ?? {}, named), { maxLength: 5 });
    case 'object':
      return objects(schema, named);
    default:
      throw new Error(`No values are known of ${JSON.stringify(schema)}.`);
  }
}

function wholeNumbers({ minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER }: JsonSchema) {
  const small = { min: minimum, max: Math.min(maximum, minimum + 200) };
  return fc.oneof(fc.integer(small), fc.integer({ min: minimum, max: maximum }), fc.constant(maximum));
}

function strings({ minLength = 0, maxLength = 100, pattern, format }: JsonSchema) {
  if (format === 'uuid') return fc.uuid();
  if (format === 'email') return fc.emailAddress();
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern));
  return fc.oneof(
    fc.string({ unit: 'binary', minLength, maxLength }),
    fc.string({ unit: 'grapheme-ascii', minLength, maxLength }),
  );
}

function objects({ properties, required = [], additionalProperties }: JsonSchema, named: Record<string, JsonSchema>) {
  if (!properties) return fc.dictionary(fc.uuid(), valuesOf(additionalProperties ?? {}, named), { maxKeys: 3 });
  const entries = Object.entries(properties).map(([key, value]) => [key, valuesOf(value, named)] as const);
  return fc.record(Object.fromEntries(entries), { requiredKeys: required });
}

const NEARLY = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, -1, 0, 1, 1.5, 100, 101, 2 ** 53, 1e300, [], {}, [[]]),
  fc.constantFrom('', ' ', '1', 'x'.repeat(64), 'x'.repeat(65), '😀'.repeat(65), '\ud800', '\0', '😀', '❤', 'changes'),
  fc.jsonValue(),
);

/** Any JSON value, with a preference for those that are nearly right somewhere. */
export const anyJson = NEARLY.map((value) => JSON.parse(JSON.stringify(value)) as unknown);

type Place = { holder: Record<string, unknown>; key: string };

/** Values with up to three changes: anywhere in them, something is replaced, removed or added. */
export function changed(values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const change = fc.record({ place: fc.nat(), how: fc.constantFrom('replace', 'remove', 'add'), value: anyJson });
  return fc.tuple(values, fc.array(change, { maxLength: 3 })).map(([value, changes]) => {
    // A copy: fast-check repeats a value to shrink it.
    const whole: Record<string, unknown> = { value: JSON.parse(JSON.stringify(value)) as unknown };
    for (const { place, how, value: other } of changes) {
      const places = placesIn(whole.value);
      const { holder, key } = places[place % places.length] ?? { holder: whole, key: 'value' };
      if (how === 'add') holder[`${key}_too`] = other;
      else if (how === 'remove') delete holder[key];
      else holder[key] = other;
    }
    return JSON.parse(JSON.stringify(whole.value ?? null)) as unknown;
  });
}

function placesIn(value: unknown): Place[] {
  if (typeof value !== 'object' || value === null) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((key) => [{ holder, key }, ...placesIn(holder[key])]);
}
