/** Why a frame was refused, and what follows for its sender. An `error` changes nothing that is stored. */
export const ERROR_CODES = {
  /** Not JSON, not an object, or a field is missing or of the wrong kind. Sending it again will not help. */
  bad_frame: 'The frame is malformed; `message` says where.',
  unknown_type: 'This server knows no frame of this type.',
  invalid_text: 'The text is blank, too long, or not Unicode.',
  no_such_message: 'No message has this `n`.',
  unknown_reply_to: 'No message has the number in `reply_to`.',
  not_your_message: 'Only its sender may edit or delete a message.',
  message_deleted: 'The message was deleted: there is nothing to edit or to react to.',
  too_many_reactions: 'The message has as many reactions as one may have.',
  not_available: 'The other member does not take messages from you.',
  unknown_cursor: 'The cursor is ahead of the conversation. Connect again without one.',
  no_such_conversation: 'The inbox has no such conversation.',
  too_many_pins: 'As many conversations are pinned as may be. Unpin one first.',
  unavailable: 'It could not be done just now. The same frame may pass after `retry_after_ms`.',
  rate_limited: 'Too much at once. The same frame passes after `retry_after_ms`.',
  conversation_full: 'As many sockets are open as a conversation may have. Connect again after `retry_after_ms`.',
} as const;

/** One of {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;
