import { afterEach, expect, test, vi } from 'vitest';
import { chatPair, messageRow } from '../../helpers/chat-pair.ts';

const react = (emoji: string, on: boolean) => ({ type: 'react', n: 1, emoji, on }) as const;

afterEach(() => {
  vi.useRealTimers();
});

test('an emoji keeps its place while anyone uses it, also when its first user takes it back', async () => {
  const { john, ray, johns, rays } = await chatPair();
  await johns.say('one');
  await johns.ok(react('😀', true));
  await rays.ok(react('👍', true));
  await rays.ok(react('😀', true));
  await johns.ok(react('😀', false));
  expect((await messageRow(johns, 1)).reactions).toEqual([
    { emoji: '😀', user_ids: [ray.id] },
    { emoji: '👍', user_ids: [ray.id] },
  ]);
  await johns.ok(react('😀', true));
  expect((await messageRow(johns, 1)).reactions[0]).toEqual({ emoji: '😀', user_ids: [ray.id, john.id] });
});

test('an edit or a deletion is not earlier than the edit before it, though the clock was set back', async () => {
  const { johns } = await chatPair();
  const { created_at = 0 } = await johns.say('one');
  vi.useFakeTimers({ now: created_at + 60_000, toFake: ['Date'] });
  await johns.ok({ type: 'edit', n: 1, text: 'two' });
  vi.setSystemTime(created_at + 30_000);
  await johns.ok({ type: 'edit', n: 1, text: 'three' });
  expect(await messageRow(johns, 1)).toMatchObject({ edited_at: created_at + 60_000 });
  await johns.ok({ type: 'delete', n: 1 });
  expect(await messageRow(johns, 1)).toMatchObject({ deleted_at: created_at + 60_000 });
});
