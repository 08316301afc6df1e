import { describe, expect, test } from 'vitest';
import type { Side } from '../helpers/asyncapi.ts';
import { describedByAsyncApi } from '../helpers/frames.ts';

const ID = '11111111-1111-4111-8111-1111111111ab';
const message = {
  n: 1,
  rev: 1,
  id: ID,
  sender_id: ID,
  ref: null,
  text: 'Hello',
  reply_to: null,
  created_at: 1,
  edited_at: null,
  deleted_at: null,
  reactions: [{ emoji: '👍', user_ids: [ID] }],
};
const member = {
  user_id: ID,
  rev: 1,
  first_name: 'John',
  last_name: 'Doe',
  role: 'member',
  read: 0,
  delivered: 0,
  left_at: null,
};
const changes = { type: 'changes', after: 0, rev: 1, messages: [message], members: [member], more: false };
const snapshot = { messages: [message], members: [member] };
const limits = {
  text_max_length: 1,
  frame_max_bytes: 1,
  page_max_rows: 1,
  resume_rows: 1,
  ping_interval_ms: 1,
  typing_interval_ms: 1,
  typing_lifetime_ms: 1,
};
const welcome = {
  type: 'welcome',
  conversation: ID,
  me: ID,
  epoch: 1,
  rev: 1,
  limits,
  online: [ID],
  last_seen: { [ID]: 5 },
  resumed: false,
  snapshot,
};

const row = {
  conversation: ID,
  rev: 1,
  kind: 'direct',
  title: null,
  peer: { user_id: ID, first_name: 'John', last_name: 'Doe' },
  n: 1,
  read: 0,
  unread: 1,
  marked_unread: false,
  last: { n: 1, sender_id: ID, text: 'Hello', created_at: 1 },
  muted_until: null,
  pinned: false,
  archived: false,
};
const total = { messages: 1, conversations: 1 };
const inboxChanges = {
  type: 'changes',
  after: 0,
  rev: 1,
  conversations: [row],
  removed: [{ conversation: ID, rev: 1 }],
  total,
  more: false,
};

const checked = (side: Side, frame: object) => () => describedByAsyncApi(side, JSON.stringify(frame));

// Every frame that passes in a test is held against the document. These show that this would find something.
describe('the comparison of frames with their description', () => {
  test('passes what is described', () => {
    checked('client', { type: 'send', ref: 'r1', text: 'Hello', reply_to: null })();
    checked('server', changes)();
    checked('server', welcome)();
    describedByAsyncApi('client', 'ping');
    describedByAsyncApi('server', 'pong');
    checked('inbox.client', { type: 'set', ref: 'r1', conversation: ID, pinned: true })();
    checked('inbox.server', inboxChanges)();
    describedByAsyncApi('inbox.client', 'ping');
    describedByAsyncApi('inbox.server', 'pong');
    expect.assertions(0);
  });

  test.each([
    ['in a frame', { ...changes, secret: 1 }],
    ['in a message', { ...changes, messages: [{ ...message, secret: 1 }] }],
    ['in the second message', { ...changes, messages: [message, { ...message, secret: 1 }] }],
    [
      'in a reaction',
      { ...changes, messages: [{ ...message, reactions: [{ emoji: '👍', user_ids: [], secret: 1 }] }] },
    ],
    ['in a member', { ...changes, members: [{ ...member, last_seen: 5 }] }],
    ['in the limits', { ...welcome, limits: { ...limits, secret: 1 } }],
    ['in a snapshot', { ...welcome, snapshot: { ...snapshot, secret: 1 } }],
    ['in a message of a snapshot', { ...welcome, snapshot: { ...snapshot, messages: [{ ...message, secret: 1 }] } }],
    ['in a member of a snapshot', { ...welcome, snapshot: { ...snapshot, members: [{ ...member, secret: 1 }] } }],
  ])('finds a key that is not described: %s', (_, frame) => {
    expect(checked('server', frame)).toThrow('Not what the AsyncAPI document says');
  });

  test('finds a key that is not described: in a frame of a client', () => {
    expect(checked('client', { type: 'typing', on: true, ref: 'r1' })).toThrow('Not what the AsyncAPI document says');
  });

  test.each([
    ['a key that is not described, in a row', { ...inboxChanges, conversations: [{ ...row, secret: 1 }] }],
    ['a key that is not described, in a removed row', { ...inboxChanges, removed: [{ ...row }] }],
    ['a key that is not described, in the total', { ...inboxChanges, total: { ...total, secret: 1 } }],
    ['a value that is not described', { ...inboxChanges, conversations: [{ ...row, pinned: 1 }] }],
    ['a missing field', { ...inboxChanges, total: undefined }],
  ])('finds in a frame of an inbox: %s', (_, frame) => {
    expect(checked('inbox.server', frame)).toThrow('Not what the AsyncAPI document says');
  });

  test.each([
    ['a number below its least', { ...changes, rev: -1 }],
    ['a row without a rev', { ...changes, messages: [{ ...message, rev: 0 }] }],
    ['a time that is no number', { ...welcome, last_seen: { [ID]: 'now' } }],
    ['an id that is no UUID', { ...welcome, me: 'john' }],
    ['null where nothing may be missing', { ...changes, more: null }],
    ['a missing field', { ...changes, more: undefined }],
    ['a missing field of a row', { ...changes, members: [{ ...member, left_at: undefined }] }],
    ['an error without a known code', { type: 'error', code: 'oops', message: 'No.' }],
  ])('finds a value that is not described: %s', (_, frame) => {
    expect(checked('server', frame)).toThrow('Not what the AsyncAPI document says');
  });

  test.each([
    ['a type that is unknown', 'server', { type: 'call' }],
    ['a type of the other side', 'server', { type: 'send', ref: 'r1', text: 'Hello' }],
    ['a type of the other side', 'client', changes],
    ['no type', 'server', { on: true }],
    ['a type of the other socket', 'inbox.client', { type: 'send', ref: 'r1', text: 'Hello' }],
    ['a type of the other socket', 'client', { type: 'list', ref: 'r1' }],
  ] as const)('finds a frame that is not described: %s', (_, side, frame) => {
    expect(checked(side, frame)).toThrow('The AsyncAPI document has no');
  });

  test('finds a literal of the wrong side', () => {
    expect(() => describedByAsyncApi('server', 'ping')).toThrow('The AsyncAPI document has no server.ping.');
    expect(() => describedByAsyncApi('client', 'pong')).toThrow('The AsyncAPI document has no client.pong.');
  });
});
