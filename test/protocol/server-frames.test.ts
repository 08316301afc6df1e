import { describe, expect, test } from 'vitest';
import { decodeServerFrame } from '../../src/protocol/server-frames.ts';

const JOHN = '11111111-1111-4111-8111-1111111111ab';
const LARGEST = Number.MAX_SAFE_INTEGER;

const message = {
  n: 1,
  rev: 2,
  id: '33333333-3333-4333-8333-333333333333',
  sender_id: JOHN,
  ref: 'r1',
  text: 'Hello',
  reply_to: null,
  created_at: 1_763_900_000_000,
  edited_at: null,
  deleted_at: null,
  reactions: [{ emoji: '👍', user_ids: [JOHN] }],
};
const member = {
  user_id: JOHN,
  rev: 1,
  first_name: 'John',
  last_name: '',
  role: 'member',
  read: 0,
  delivered: 1,
  left_at: null,
};
const limits = {
  text_max_length: 4000,
  frame_max_bytes: 65_536,
  page_max_rows: 100,
  resume_rows: 1000,
  ping_interval_ms: 25_000,
  typing_interval_ms: 3000,
  typing_lifetime_ms: 6000,
};
const FRAMES = {
  welcome: {
    type: 'welcome',
    conversation: '44444444-4444-4444-8444-444444444444',
    me: JOHN,
    epoch: 1,
    rev: 2,
    limits,
    online: [JOHN],
    last_seen: { '22222222-2222-4222-8222-2222222222cd': 5 },
    resumed: false,
    snapshot: { messages: [message], members: [member] },
  },
  changes: { type: 'changes', ref: 'r1', after: 0, rev: 2, messages: [message], members: [member], more: false },
  ok: { type: 'ok', ref: 'r1', n: 1, rev: 2, id: message.id, created_at: 5, duplicate: true },
  error: { type: 'error', ref: 'r1', code: 'rate_limited', message: 'Wait.', retry_after_ms: 50 },
  page: { type: 'page', ref: 'r1', epoch: 1, rev: 2, messages: [message], more: true },
  typing: { type: 'typing', user_id: JOHN, on: true },
  presence: { type: 'presence', user_id: JOHN, online: false, last_seen: 5 },
};
/** Fields that a frame may lack. */
const OPTIONAL: Record<string, string[]> = {
  welcome: ['snapshot'],
  changes: ['ref'],
  ok: ['id', 'created_at', 'duplicate'],
  error: ['ref', 'retry_after_ms'],
};

const decode = (frame: object) => decodeServerFrame(JSON.stringify(frame));
/** The same value with a key of a newer server in every object of it. */
const fromNewerServer = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(fromNewerServer);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, fromNewerServer(inner)]);
  return { ...(Object.fromEntries(entries) as object), ...('2' in value ? {} : { colour: { of: 'red' } }) };
};

describe.each(Object.entries(FRAMES))('%s', (type, frame) => {
  const mayLack = OPTIONAL[type] ?? [];

  test('is decoded to what it is', () => {
    expect(decode(frame)).toStrictEqual(frame);
  });

  test('is decoded without what it may lack', () => {
    const entries = Object.entries(frame).filter(([key]) => !mayLack.includes(key));
    expect(decode(Object.fromEntries(entries))).toStrictEqual(Object.fromEntries(entries));
  });

  test('is decoded without the keys that a newer server adds, wherever they are', () => {
    const newer = fromNewerServer({ ...frame, last_seen: undefined }) as object;
    const lastSeen = 'last_seen' in frame ? { last_seen: frame.last_seen } : {};
    expect(JSON.stringify(newer)).toContain('colour');
    expect(decode({ ...newer, ...lastSeen })).toStrictEqual(frame);
  });

  test('is nothing without any other of its fields', () => {
    const required = Object.keys(frame).filter((key) => !mayLack.includes(key));
    const accepted = required.filter((key) => decode({ ...frame, [key]: undefined }) !== undefined);
    expect(accepted).toEqual([]);
  });

  test('is nothing with a field of another kind', () => {
    const accepted = Object.entries(frame).filter(([key, value]) => {
      const other = typeof value === 'string' ? 5 : 'x';
      return decode({ ...frame, [key]: other }) !== undefined;
    });
    expect(accepted).toEqual([]);
  });
});

const changesWith = (rows: object) => decode({ ...FRAMES.changes, messages: [], members: [], ...rows });

describe('a row', () => {
  test.each(Object.keys(message))('of a message has %s, or its frame is nothing', (key) => {
    expect(changesWith({ messages: [message, { ...message, [key]: undefined }] })).toBeUndefined();
    expect(changesWith({ messages: [{ ...message, [key]: { x: 1 } }] })).toBeUndefined();
  });

  test.each(Object.keys(member))('of a member has %s, or its frame is nothing', (key) => {
    expect(changesWith({ members: [member, { ...member, [key]: undefined }] })).toBeUndefined();
    expect(changesWith({ members: [{ ...member, [key]: { x: 1 } }] })).toBeUndefined();
  });

  test('of a deleted message has no text', () => {
    const deleted = { ...message, text: null, ref: null, deleted_at: 5, reactions: [] };
    expect(changesWith({ messages: [deleted] })).toMatchObject({ messages: [deleted] });
  });

  test('has numbers as large as JavaScript counts, and no larger', () => {
    expect(changesWith({ messages: [{ ...message, n: LARGEST, rev: LARGEST }] })).toBeDefined();
    for (const n of [LARGEST + 1, 0, -1, 1.5]) expect(changesWith({ messages: [{ ...message, n }] })).toBeUndefined();
  });

  test('has ids that are UUIDs', () => {
    expect(changesWith({ messages: [{ ...message, sender_id: 'john' }] })).toBeUndefined();
    expect(
      changesWith({ messages: [{ ...message, reactions: [{ emoji: '👍', user_ids: ['john'] }] }] }),
    ).toBeUndefined();
  });
});

test('an ok says that it is a duplicate, or nothing about it', () => {
  for (const duplicate of [false, null, 1]) expect(decode({ ...FRAMES.ok, duplicate })).toBeUndefined();
});

describe('a newer server', () => {
  test('has types of frames that are nothing to this release', () => {
    expect(decode({ type: 'call', user_id: JOHN })).toBeUndefined();
  });

  test('has reasons to refuse a frame that this release does not know, and the refusal is understood', () => {
    const refusal = { type: 'error', ref: 'r1', code: 'too_beautiful', message: 'No.' };
    expect(decode(refusal)).toStrictEqual(refusal);
  });

  test('has roles, and emoji, that this release does not know', () => {
    const rows = {
      messages: [{ ...message, reactions: [{ emoji: '🫥🫥', user_ids: [] }] }],
      members: [{ ...member, role: 'owner' }],
    };
    expect(decode({ ...FRAMES.changes, ...rows })).toStrictEqual({ ...FRAMES.changes, ...rows });
  });
});
