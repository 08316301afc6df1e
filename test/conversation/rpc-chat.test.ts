import { env } from 'cloudflare:workers';
import { expect, expectTypeOf, test } from 'vitest';
import type { CatchUp } from '../../src/conversation/chat.ts';
import type { Conversation } from '../../src/conversation/conversation.ts';
import type { MemberRow, MessageRow } from '../../src/protocol/rows.ts';
import type { Answer, ServerFrameOf } from '../../src/protocol/server-frames.ts';

type Stub = DurableObjectStub<Conversation>;
type Result<Method extends keyof Stub> = Stub[Method] extends (...args: never[]) => infer R ? Awaited<R> : never;
type Arguments<Method extends keyof Stub> = Stub[Method] extends (...args: infer A) => unknown ? A : never;

/** The member of a union that has a value under a key, without the `Disposable` that every result of a call is. */
type Where<Union, Key extends PropertyKey, Value> = Union extends Record<Key, Value> ? Omit<Union, symbol> : never;

// A method whose result holds something that can't be sent has the type `never` at its caller, and then everything
// compiles. These are checked by the compiler; what runs only shows that the methods are there.

test('request answers its caller what a socket would be answered, null for nothing, undefined to no member', () => {
  type Reply = NonNullable<Result<'request'>>;
  expectTypeOf<Reply>().not.toBeNever();
  expectTypeOf<null>().toExtend<Result<'request'>>();
  expectTypeOf<undefined>().toExtend<Result<'request'>>();
  expectTypeOf<Reply>().toExtend<Answer>();
  expectTypeOf<Reply['type']>().toEqualTypeOf<Answer['type']>();
  expect(env.CONVERSATIONS.getByName('any').request).toBeTypeOf('function');
});

test('each answer to request keeps its keys and their types', () => {
  type Reply = NonNullable<Result<'request'>>;
  type Ok = Where<Reply, 'type', 'ok'>;
  expectTypeOf<Ok>().not.toBeNever();
  expectTypeOf<keyof Ok>().toEqualTypeOf<keyof ServerFrameOf<'ok'>>();
  expectTypeOf<Ok['n']>().toEqualTypeOf<number>();
  expectTypeOf<Ok['id']>().toEqualTypeOf<string | undefined>();
  expectTypeOf<Ok['duplicate']>().toEqualTypeOf<true | undefined>();

  type Refused = Where<Reply, 'type', 'error'>;
  expectTypeOf<Refused>().not.toBeNever();
  expectTypeOf<keyof Refused>().toEqualTypeOf<keyof ServerFrameOf<'error'>>();
  expectTypeOf<Refused['code']>().toEqualTypeOf<string>();
  expectTypeOf<Refused['retry_after_ms']>().toEqualTypeOf<number | undefined>();

  type Page = Where<Reply, 'type', 'page'>;
  expectTypeOf<Page>().not.toBeNever();
  expectTypeOf<keyof Page>().toEqualTypeOf<keyof ServerFrameOf<'page'>>();
  expectTypeOf<Page['messages'][number]>().not.toBeNever();
  expectTypeOf<Page['messages'][number]>().toExtend<MessageRow>();
  expectTypeOf<Page['messages'][number]['reactions'][number]['user_ids'][number]>().toEqualTypeOf<string>();

  type Changes = Where<Reply, 'type', 'changes'>;
  expectTypeOf<Changes>().not.toBeNever();
  expectTypeOf<keyof Changes>().toEqualTypeOf<keyof ServerFrameOf<'changes'>>();
  expectTypeOf<Changes['members'][number]>().not.toBeNever();
  expectTypeOf<Changes['members'][number]>().toExtend<MemberRow>();
  expect(env.CONVERSATIONS.getByName('any').request).toBeTypeOf('function');
});

test('catchUp answers its caller changes, a snapshot or a refusal, and nothing to someone who is no member', () => {
  type Reply = NonNullable<Result<'catchUp'>>;
  expectTypeOf<Reply>().not.toBeNever();
  expectTypeOf<undefined>().toExtend<Result<'catchUp'>>();
  expectTypeOf<Reply>().toExtend<CatchUp | ServerFrameOf<'error'>>();

  type Resumed = Where<Reply, 'resumed', true>;
  expectTypeOf<Resumed>().not.toBeNever();
  expectTypeOf<keyof Resumed>().toEqualTypeOf<keyof Extract<CatchUp, { resumed: true }>>();
  expectTypeOf<Resumed['more']>().toEqualTypeOf<boolean>();
  expectTypeOf<Resumed['messages'][number]>().not.toBeNever();
  expectTypeOf<Resumed['messages'][number]>().toExtend<MessageRow>();

  type Snapshot = Where<Reply, 'resumed', false>;
  expectTypeOf<Snapshot>().not.toBeNever();
  expectTypeOf<keyof Snapshot>().toEqualTypeOf<keyof Extract<CatchUp, { resumed: false }>>();
  expectTypeOf<Snapshot['rev']>().toEqualTypeOf<number>();
  expectTypeOf<Snapshot['members'][number]>().toExtend<MemberRow>();

  type Refused = Where<Reply, 'type', 'error'>;
  expectTypeOf<Refused>().not.toBeNever();
  expectTypeOf<Refused['message']>().toEqualTypeOf<string>();
  expect(env.CONVERSATIONS.getByName('any').catchUp).toBeTypeOf('function');
});

test('both methods take at their caller what they are declared to take', () => {
  expectTypeOf<Arguments<'request'>>().toEqualTypeOf<Parameters<Conversation['request']>>();
  expectTypeOf<Arguments<'catchUp'>>().toEqualTypeOf<Parameters<Conversation['catchUp']>>();
  expect(env.CONVERSATIONS.getByName('any')).toBeDefined();
});
