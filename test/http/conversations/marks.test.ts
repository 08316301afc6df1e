import { describe, expect, it } from 'vitest';
import { Caller } from '../../helpers/caller.ts';
import { storedMembers } from '../../helpers/conversation.ts';
import { pairInConversation } from '../../helpers/people.ts';

/** A conversation in which john has said five things, and ray's marks. */
async function five() {
  const { john, ray, conversationId } = await pairInConversation();
  const [johns, rays] = [new Caller(conversationId, john), new Caller(conversationId, ray)];
  for (const text of ['1', '2', '3', '4', '5']) await johns.say(text);
  const marks = async () => {
    const { read, delivered, rev } = (await storedMembers(conversationId)).get(ray.id) ?? {};
    return { read, delivered, rev };
  };
  return { johns, rays, marks };
}

describe('marks', () => {
  it.each([
    ['read raises delivered', { read: 3 }, { read: 3, delivered: 3 }],
    ['delivered leaves read alone', { delivered: 4 }, { read: 0, delivered: 4 }],
    ['both may be given', { read: 2, delivered: 4 }, { read: 2, delivered: 4 }],
    ['delivered is never less than read', { read: 4, delivered: 2 }, { read: 4, delivered: 4 }],
    ['go no further than the newest message', { read: 6, delivered: 9007199254740991 }, { read: 5, delivered: 5 }],
    ['may be of nothing', { read: 0, delivered: 0 }, { read: 0, delivered: 0 }],
  ])('are answered 204 without a body: %s', async (_, given, expected) => {
    const { rays, marks } = await five();
    const { status, text } = await rays.mark(given);
    expect([status, text]).toEqual([204, '']);
    expect(await marks()).toMatchObject(expected);
  });

  it('may be a form', async () => {
    const { rays, marks } = await five();
    expect((await rays.ask('marks/', { method: 'PATCH', body: new URLSearchParams({ read: '3' }) })).status).toBe(204);
    const form = new FormData();
    form.set('delivered', '4');
    expect((await rays.ask('marks/', { method: 'PATCH', body: form })).status).toBe(204);
    expect(await marks()).toMatchObject({ read: 3, delivered: 4 });
  });

  it('only move up, and take a rev only if they do', async () => {
    const { rays, marks } = await five();
    await rays.mark({ read: 3, delivered: 4 });
    const before = await marks();
    for (const given of [{ read: 2 }, { delivered: 3 }, { read: 3, delivered: 4 }, { read: 0 }]) {
      expect((await rays.mark(given)).status).toBe(204);
    }
    expect(await marks()).toEqual(before);
    await rays.mark({ read: 4 });
    expect(await marks()).toMatchObject({ read: 4, delivered: 4 });
    expect((await marks()).rev).toBeGreaterThan(before.rev ?? 0);
  });

  it('are one’s own', async () => {
    const { johns, rays, marks } = await five();
    await johns.mark({ read: 5 });
    await rays.mark({ read: 1, user_id: 'somebody else' });
    expect(await marks()).toMatchObject({ read: 1, delivered: 1 });
  });

  it.each([
    ['none', {}],
    ['others', { seen: 3 }],
  ])('that are %s are refused', async (_, given) => {
    const { rays, marks } = await five();
    const { status, body } = await rays.mark(given);
    expect(status).toBe(400);
    expect(body).toEqual({ non_field_errors: ['Give "read", "delivered" or both.'] });
    expect(await marks()).toMatchObject({ read: 0, delivered: 0 });
  });

  it.each(['one', '', null, true, -1, 1.5, 2 ** 53, [1], { n: 1 }])('of %j are refused by field', async (value) => {
    const { rays, marks } = await five();
    for (const field of ['read', 'delivered']) {
      const { status, body } = await rays.mark({ read: 1, delivered: 1, [field]: value });
      expect(status).toBe(400);
      expect(body).toEqual({ [field]: ['A valid integer is required.'] });
    }
    expect(await marks()).toMatchObject({ read: 0, delivered: 0 });
  });

  it('that are no object are refused', async () => {
    const { rays } = await five();
    for (const body of [null, [3], 3]) expect((await rays.mark(body)).status).toBe(400);
  });
});
