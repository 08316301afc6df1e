import { Hono } from 'hono';
import * as v from 'valibot';
import type { AppEnv } from './app-env.ts';
import { markConversation } from './ask-conversation.ts';
import { readFields } from './body.ts';
import { invalid } from './errors.ts';
import { wholeNumberField } from './fields.ts';
import { member } from './middleware/bearer.ts';
import { pathId } from './middleware/path-id.ts';
import { describe } from './openapi/describe.ts';
import { schema } from './openapi/schemas.ts';

const newMarks = schema(
  'Marks',
  v.object({ read: v.optional(wholeNumberField(0)), delivered: v.optional(wholeNumberField(0)) }),
);

export const marks = new Hono<AppEnv>();

marks.use('/api/conversations/:id/marks', pathId, member);

marks.patch(
  '/api/conversations/:id/marks',
  describe({
    summary: 'Say how far you have read',
    description:
      'By `n`: everything up to `read` was read, everything up to `delivered` received. Marks only move up, no further ' +
      'than the newest message, and `read` raises `delivered`.',
    tags: ['Messages'],
    bearer: true,
    member: true,
    body: newMarks,
    responses: { 204: { description: 'The marks are there, or further.' } },
  }),
  async (c) => {
    const { read, delivered } = await readFields(c, newMarks);
    if (read === undefined && delivered === undefined) {
      throw invalid({ non_field_errors: ['Give "read", "delivered" or both.'] });
    }
    await markConversation(c, { type: 'mark', read, delivered });
    return c.body(null, 204);
  },
);
