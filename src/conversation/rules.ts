import { REACTION_KINDS_MAX, REACTIONS_MAX } from '../config.ts';
import type { ClientFrame, Operation } from '../protocol/client-frames.ts';
import type { MessageRow } from '../protocol/rows.ts';
import { errorFrame, type Answer, type ServerFrameOf } from '../protocol/server-frames.ts';
import type { Cursor } from '../objects/connection.ts';
import type { ConversationStore, NewMessage, StoredMessage, StoredOperation } from './store.ts';

/** A frame that is answered: it has a ref. */
export type Request = Extract<ClientFrame, { ref: string }>;
/** A frame that says how far someone has read and received. */
export type Mark = Extract<ClientFrame, { type: 'mark' }>;

type Outcome = ServerFrameOf<'ok' | 'error'>;
type Of<Type extends Operation['type']> = Extract<Operation, { type: Type }>;

/** Does what a member asks for, and says what came of it. Without waiting for anything, so nothing comes in between. */
export function answer(store: ConversationStore, userId: string, request: Request, now: number): Answer {
  const { ref } = request;
  switch (request.type) {
    case 'history':
      return { type: 'page', ref, epoch: store.epoch, rev: store.rev, ...store.page(request) };
    case 'sync':
      if (request.after > store.rev) {
        const message = `"after" is ahead of this conversation, whose last change is ${store.rev}.`;
        return errorFrame('unknown_cursor', `${message} Connect again without a cursor.`, { ref });
      }
      return { type: 'changes', ref, ...store.changesSince(request.after) };
    case 'send':
    case 'edit':
    case 'delete':
    case 'react':
      return operate(store, userId, request, now);
  }
}

/** Stores a message, and moves its sender's own marks to it if they have read all before it. Within a transaction. */
export function appendMessage(store: ConversationStore, message: NewMessage): StoredMessage {
  const stored = store.append(message);
  const { n } = stored;
  if (store.member(message.sender_id)?.read === n - 1) store.setMarks(message.sender_id, { read: n, delivered: n });
  return stored;
}

/** Moves a member's marks up, no further than the newest message. Marks that would move down, or not at all, stay. */
export function mark(store: ConversationStore, userId: string, { read = 0, delivered = 0 }: Mark): void {
  const member = store.member(userId);
  if (!member) return;
  const newRead = Math.max(member.read, Math.min(read, store.n));
  const newDelivered = Math.max(member.delivered, newRead, Math.min(delivered, store.n));
  if (newRead === member.read && newDelivered === member.delivered) return;
  store.setMarks(userId, { read: newRead, delivered: newDelivered });
}

/** Whether a client that has everything up to a cursor can go on from there, or must start from a snapshot. */
export function canResume(store: ConversationStore, cursor: Cursor | undefined, maxRows: number): boolean {
  if (cursor?.epoch !== store.epoch || cursor.after > store.rev) return false;
  return !store.hasMoreChanges(cursor.after, maxRows);
}

/** An operation takes place once for each ref of its sender: a repeat gets the first answer, whatever it says now. */
function operate(store: ConversationStore, userId: string, operation: Operation, now: number): Outcome {
  return store.transaction(() => {
    const known = store.operation(userId, operation.ref);
    if (known) return { ...okFrame(operation.ref, known, store.message(known.n)), duplicate: true };
    const outcome = perform(store, userId, operation, now);
    if (outcome.type === 'ok') store.remember(userId, operation.ref, { ...outcome, type: operation.type });
    return outcome;
  });
}

/** Why a member may not write in a direct conversation, in words for them; undefined if they may. */
export function whyNotAvailable(store: ConversationStore, userId: string): string | undefined {
  const others = store.allMembers().filter(({ user_id }) => user_id !== userId);
  if (others.length > 0 && others.every(({ left_at }) => left_at !== null)) return 'This user is not available.';
  if (!store.isBlocked) return undefined;
  // Who was blocked as well learns no more than otherwise.
  const isOwn = store.allMembers().every((it) => (it.user_id === userId ? it.has_blocked === 1 : it.has_blocked === 0));
  return isOwn ? 'You have blocked this user. Unblock them to write to them.' : 'This user is not available.';
}

function perform(store: ConversationStore, userId: string, operation: Operation, now: number): Outcome {
  // Taking back what one has said is always possible. Everything else reaches the other member.
  const reason = operation.type === 'delete' ? undefined : whyNotAvailable(store, userId);
  if (reason !== undefined) return errorFrame('not_available', reason, { ref: operation.ref });
  if (operation.type === 'send') return send(store, userId, operation, now);
  const message = store.message(operation.n);
  const { ref } = operation;
  if (!message) return errorFrame('no_such_message', `There is no message ${operation.n}.`, { ref });
  switch (operation.type) {
    case 'edit':
      return edit(store, userId, operation, message, now);
    case 'delete':
      return remove(store, userId, operation, message, now);
    case 'react':
      return react(store, userId, operation, message);
  }
}

function send(store: ConversationStore, userId: string, operation: Of<'send'>, now: number): Outcome {
  const { ref, text, reply_to = null } = operation;
  // Messages are numbered without gaps and none goes, so a number up to the newest is a message.
  if (reply_to !== null && reply_to > store.n) {
    return errorFrame('unknown_reply_to', `There is no message ${reply_to} to reply to.`, { ref });
  }
  const message = appendMessage(store, { sender_id: userId, ref, text, reply_to, now });
  return okFrame(ref, { type: 'send', n: message.n, rev: message.rev }, message);
}

function edit(
  store: ConversationStore,
  userId: string,
  { ref, n, text }: Of<'edit'>,
  message: StoredMessage,
  now: number,
): Outcome {
  if (message.sender_id !== userId) return notYours(ref, n);
  if (message.deleted_at !== null) return deleted(ref, n);
  const rev = message.text === text ? message.rev : store.setText(n, text, notBefore(message, now));
  return okFrame(ref, { type: 'edit', n, rev });
}

function remove(
  store: ConversationStore,
  userId: string,
  { ref, n }: Of<'delete'>,
  message: StoredMessage,
  now: number,
): Outcome {
  if (message.sender_id !== userId) return notYours(ref, n);
  const rev = message.deleted_at === null ? store.setDeleted(n, notBefore(message, now)) : message.rev;
  return okFrame(ref, { type: 'delete', n, rev });
}

function react(
  store: ConversationStore,
  userId: string,
  { ref, n, emoji, on }: Of<'react'>,
  message: StoredMessage,
): Outcome {
  if (message.deleted_at !== null) return deleted(ref, n);
  const reactions = store.reactions(n);
  const same = reactions.find((reaction) => reaction.emoji === emoji);
  const isOn = same?.user_ids.includes(userId) ?? false;
  if (isOn === on) return okFrame(ref, { type: 'react', n, rev: message.rev });
  if (!on) return okFrame(ref, { type: 'react', n, rev: store.removeReaction(n, emoji, userId) });
  const problem = reactionProblem(reactions, same !== undefined);
  if (problem !== undefined) return errorFrame('too_many_reactions', problem, { ref });
  return okFrame(ref, { type: 'react', n, rev: store.addReaction(n, emoji, userId) });
}

function reactionProblem(reactions: MessageRow['reactions'], isKnownKind: boolean): string | undefined {
  if (!isKnownKind && reactions.length >= REACTION_KINDS_MAX) {
    return `A message can have ${REACTION_KINDS_MAX} different emoji. Use one that is there.`;
  }
  const count = reactions.reduce((sum, { user_ids }) => sum + user_ids.length, 0);
  return count >= REACTIONS_MAX ? `A message can have ${REACTIONS_MAX} reactions.` : undefined;
}

/** @param message the message itself, if the operation was to send it */
function okFrame(ref: string, { type, n, rev }: StoredOperation, message?: StoredMessage): ServerFrameOf<'ok'> {
  const sent = type === 'send' && message ? { id: message.id, created_at: message.created_at } : {};
  return { type: 'ok', ref, n, rev, ...sent };
}

/** The clock may have gone back since a message was made, or the message's time forward to keep the order. */
function notBefore({ created_at, edited_at }: StoredMessage, now: number): number {
  return Math.max(now, created_at, edited_at ?? 0);
}

function notYours(ref: string, n: number): Outcome {
  return errorFrame('not_your_message', `Message ${n} is not yours.`, { ref });
}

function deleted(ref: string, n: number): Outcome {
  return errorFrame('message_deleted', `Message ${n} was deleted.`, { ref });
}
