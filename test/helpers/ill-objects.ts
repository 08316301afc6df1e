import { vi } from 'vitest';
import { Conversation } from '../../src/conversation/conversation.ts';

type Notify = Conversation['notify'];

/**
 * Has conversations' objects fail at what they are told.
 * @param isIll whether the one of this id does, this time
 */
export function failAtNotices(isIll: (conversationId: string) => boolean) {
  return beforeNotices((conversationId) => {
    if (isIll(conversationId)) throw new Error('The object is not well.');
  });
}

/** Has the object of one conversation hear of nothing until `released`. */
export function hangAtNotices(conversationId: string, released: Promise<void>) {
  return beforeNotices((id) => (id === conversationId ? released : undefined));
}

function beforeNotices(work: (conversationId: string) => Promise<void> | void | undefined) {
  const notify = Object.getOwnPropertyDescriptor(Conversation.prototype, 'notify')?.value as Notify;
  return vi.spyOn(Conversation.prototype, 'notify').mockImplementation(async function first(
    this: Conversation,
    ...told: Parameters<Notify>
  ) {
    await work(this['ctx'].id.name ?? '');
    return notify.apply(this, told);
  });
}
