import { env } from 'cloudflare:workers';
import { expect, expectTypeOf, test } from 'vitest';
import type { Conversation, HistoryMessage, HistoryPage } from '../../src/conversation/conversation.ts';

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
  expectTypeOf<Page['more']>().toEqualTypeOf<boolean>();
  expect(env.CONVERSATIONS.getByName('any').history).toBeTypeOf('function');
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
  expectTypeOf<Arguments<'notify'>>().toEqualTypeOf<Parameters<Conversation['notify']>>();
  expectTypeOf<Arguments<'ping'>>().toEqualTypeOf<[]>();
  expect(env.CONVERSATIONS.getByName('any')).toBeDefined();
});
