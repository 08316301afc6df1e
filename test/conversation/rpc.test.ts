import { env } from 'cloudflare:workers';
import { expect, expectTypeOf, test } from 'vitest';
import type { CatchUp } from '../../src/conversation/chat.ts';
import type { Conversation, HistoryMessage, HistoryPage } from '../../src/conversation/conversation.ts';
import type { MemberRow, MessageRow } from '../../src/protocol/rows.ts';
import type { Answer, ServerFrameOf } from '../../src/protocol/server-frames.ts';

type Stub = DurableObjectStub<Conversation>;
type Result<Method extends keyof Stub> = Stub[Method] extends (...args: never[]) => infer R ? Awaited<R> : never;
type Arguments<Method extends keyof Stub> = Stub[Method] extends (...args: infer A) => unknown ? A : never;

// A method whose result holds something that can't be sent has the type `never` at its caller, and then everything
// compiles. These are checked by the compiler; what runs only shows that the methods are there.

test('history answers its caller a page, or nothing to someone who is no member', () => {
  type Page = NonNullable<Result<'history'>>;
  expectTypeOf<undefined>().toExtend<Result<'history'>>();
  expectTypeOf<Page>().not.toBeNever();
  expectTypeOf<Page>().toExtend<HistoryPage>();
  expectTypeOf<Page['messages'][number]>().not.toBeNever();
  expectTypeOf<Page['messages'][number]>().toExtend<HistoryMessage>();
  expectTypeOf<Page['messages'][number]['n']>().toEqualTypeOf<number>();
  expectTypeOf<Page['messages'][number]['sender']['first_name']>().toEqualTypeOf<string>();
  expectTypeOf<Page['next']>().toEqualTypeOf<number | undefined>();
  expect(env.CONVERSATIONS.getByName('any').history).toBeTypeOf('function');
});

test('request answers its caller what a socket would be answered: null if nothing, nothing to someone who is no member', () => {
  type Answered = NonNullable<Result<'request'>>;
  expectTypeOf<null | undefined>().toExtend<Result<'request'>>();
  expectTypeOf<Answered>().not.toBeNever();
  expectTypeOf<Answered>().toExtend<Answer>();
  expectTypeOf<Answered['type']>().toEqualTypeOf<Answer['type']>();
  expectTypeOf<Extract<Answered, { type: 'ok' }>['n']>().toEqualTypeOf<number>();
  expectTypeOf<Extract<Answered, { type: 'page' }>['messages'][number]>().not.toBeNever();
  expectTypeOf<Extract<Answered, { type: 'page' }>['messages'][number]>().toExtend<MessageRow>();
  expect(env.CONVERSATIONS.getByName('any').request).toBeTypeOf('function');
});

test('catchUp answers its caller what they lack, or why not, or nothing to someone who is no member', () => {
  type Answered = NonNullable<Result<'catchUp'>>;
  expectTypeOf<undefined>().toExtend<Result<'catchUp'>>();
  expectTypeOf<Answered>().not.toBeNever();
  expectTypeOf<Answered>().toExtend<CatchUp | ServerFrameOf<'error'>>();
  expectTypeOf<Extract<Answered, { resumed: true }>['more']>().toEqualTypeOf<boolean>();
  expectTypeOf<Extract<Answered, { resumed: boolean }>['messages'][number]>().not.toBeNever();
  expectTypeOf<Extract<Answered, { resumed: boolean }>['messages'][number]>().toExtend<MessageRow>();
  expectTypeOf<Extract<Answered, { resumed: boolean }>['members'][number]>().not.toBeNever();
  expectTypeOf<Extract<Answered, { resumed: boolean }>['members'][number]>().toExtend<MemberRow>();
  expect(env.CONVERSATIONS.getByName('any').catchUp).toBeTypeOf('function');
});

test('notify answers its caller nothing', () => {
  expectTypeOf<Result<'notify'>>().not.toBeNever();
  expectTypeOf<Result<'notify'>>().toEqualTypeOf<void>();
  expect(env.CONVERSATIONS.getByName('any').notify).toBeTypeOf('function');
});

test('ping answers its caller pong', () => {
  expectTypeOf<Result<'ping'>>().toEqualTypeOf<'pong'>();
  expect(env.CONVERSATIONS.getByName('any').ping).toBeTypeOf('function');
});

test('the methods take at their caller what they are declared to take', () => {
  expectTypeOf<Arguments<'history'>>().toEqualTypeOf<Parameters<Conversation['history']>>();
  expectTypeOf<Arguments<'request'>>().toEqualTypeOf<Parameters<Conversation['request']>>();
  expectTypeOf<Arguments<'catchUp'>>().toEqualTypeOf<Parameters<Conversation['catchUp']>>();
  expectTypeOf<Arguments<'notify'>>().toEqualTypeOf<Parameters<Conversation['notify']>>();
  expectTypeOf<Arguments<'ping'>>().toEqualTypeOf<[]>();
  expect(env.CONVERSATIONS.getByName('any')).toBeDefined();
});
