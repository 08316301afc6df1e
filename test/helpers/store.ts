import { runInDurableObject } from 'cloudflare:test';
import { ConversationStore } from '../../src/conversation/store.ts';
import type { DirectoryMember } from '../../src/directory/conversations.ts';
import { objectOf } from './conversation.ts';

export const [JOHN, RAY] = [crypto.randomUUID(), crypto.randomUUID()];

/** A member as the directory has them. */
export const directoryMember = (user_id: string, first_name: string): DirectoryMember => ({
  user_id,
  first_name,
  last_name: 'Doe',
  role: 'member',
  left_at: null,
  has_blocked: false,
  hides_presence: false,
});

/** The members of the store of {@link onStore}. */
export const MEMBERS = {
  version: 1,
  epoch: 1,
  members: [directoryMember(JOHN, 'John'), directoryMember(RAY, 'Ray')],
};

/** Runs `work` on a new store with two members, and its storage. */
export async function onStore(work: (store: ConversationStore, storage: DurableObjectStorage) => void): Promise<void> {
  await runInDurableObject(objectOf(crypto.randomUUID()), (_, { storage }) => {
    const store = new ConversationStore(storage);
    store.applyMembers(MEMBERS);
    work(store, storage);
  });
}

/** A message of john's. */
export const message = (text: string, now = Date.now()) => ({ sender_id: JOHN, ref: crypto.randomUUID(), text, now });

/** Stores so many messages. */
export function fill(store: ConversationStore, count: number): void {
  for (let i = 1; i <= count; i += 1) store.append(message(`message ${i}`));
}
