import { Validator, type Schema } from '@cfworker/json-schema';

type Operation = { responses?: Record<string, { content?: Record<string, { schema: Schema }> }> };

/** As much of the API's description as {@link describedBy} reads. */
export type Description = { paths: Record<string, unknown>; components: unknown };

/** An answer of the API; `body` is undefined if it is empty, or not JSON. */
export type Answer = { method: string; path: string; status: number; body: unknown };

const ERROR: Schema = { $ref: '#/components/schemas/Error' };
/** What a path may answer to a method that it does not have. */
const OTHER_METHOD_STATUSES = [204, 400, 401, 403, 404, 405];

/** Throws if the description does not allow this answer at this path. */
export function describedBy(description: Description, { method, path, status, body }: Answer): void {
  const matches = (schema: Schema, statusDescribed: boolean) => {
    const at = `${method} ${path} ${status}`;
    if (!statusDescribed) throw new Error(`${at} is not in the API's description: ${JSON.stringify(body)}`);
    if (body === undefined) return;
    const whole: Schema = { ...schema, components: description.components };
    const { valid, errors } = new Validator(whole, '2020-12', false).validate(body);
    if (!valid) throw new Error(`${at} is not what the API's description says: ${JSON.stringify({ body, errors })}`);
  };
  const item = Object.entries(description.paths).find(([template]) => templatePattern(template).test(path))?.[1];
  if (!item) return matches(ERROR, status === 404 || status === 400);
  const operation = (item as Record<string, Operation | undefined>)[method === 'HEAD' ? 'get' : method.toLowerCase()];
  if (!operation) return matches(ERROR, OTHER_METHOD_STATUSES.includes(status));
  const described = operation.responses?.[status];
  matches(described?.content?.['application/json']?.schema ?? {}, described !== undefined);
}

/** The paths that a template such as `/api/users/{id}/chat/` stands for. */
export function templatePattern(template: string): RegExp {
  return new RegExp(`^${template.replace(/\{[^}]+\}/g, '[^/]+').replace(/\/$/, '/?')}$`);
}
