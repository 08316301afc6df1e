import { Hono } from 'hono';
import * as v from 'valibot';
import { count } from '../protocol/rows.ts';
import type { AppEnv } from './app-env.ts';
import { objectOf, refused } from './ask-conversation.ts';
import { readQuery } from './body.ts';
import { invalid, notAMember } from './errors.ts';
import { wholeNumber } from './fields.ts';
import { member } from './middleware/bearer.ts';
import { pathId } from './middleware/path-id.ts';
import { describe } from './openapi/describe.ts';
import { fieldErrorsBody, member as memberRow, message, schema } from './openapi/schemas.ts';

const catchUp = schema(
  'CatchUp',
  v.strictObject({
    epoch: count,
    resumed: v.pipe(v.boolean(), v.description('Whether the cursor holds. If not, drop what you have.')),
    after: v.optional(count),
    rev: v.pipe(count, v.description('The next cursor.')),
    messages: v.array(message),
    members: v.array(memberRow),
    more: v.pipe(v.optional(v.boolean()), v.description('Whether to ask again at once, from `rev`.')),
  }),
);

const query = v.object({
  after: v.pipe(v.optional(wholeNumber(0)), v.description('The `rev` up to which the caller has everything.')),
  epoch: v.pipe(v.optional(wholeNumber(0)), v.description('The `epoch` that `after` belongs to.')),
});

export const changes = new Hono<AppEnv>();

changes.use('/api/conversations/:id/changes', pathId, member);

changes.get(
  '/api/conversations/:id/changes',
  describe({
    summary: 'Catch up with a conversation',
    description:
      'Every message and member that has changed since a cursor, as it stands now: for programs that have no socket. ' +
      'Without a cursor, or with one that is no good any more, the newest messages and all members.',
    tags: ['Messages'],
    bearer: true,
    member: true,
    query,
    responses: {
      200: { description: 'What has changed.', schema: catchUp },
      400: { description: 'A parameter is wrong.', schema: fieldErrorsBody },
    },
  }),
  async (c) => {
    const { after, epoch } = readQuery(c, query);
    if ((after === undefined) !== (epoch === undefined)) {
      throw invalid({ non_field_errors: ['Give both "after" and "epoch", or neither.'] });
    }
    const cursor = after === undefined || epoch === undefined ? undefined : { after, epoch };
    const answer = await objectOf(c).catchUp(c.get('conversation'), c.get('caller').user_id, cursor);
    if (!answer) throw notAMember();
    if ('type' in answer) throw refused(answer);
    return c.json(answer);
  },
);
