import type { MemberRow, MessageRow } from '../protocol/rows.ts';
import { jsonBytes } from '../protocol/text.ts';

/** Bytes that a row takes in a frame at most, without its texts: keys, ids and numbers. */
const ROW_BYTES = 450;
/** Bytes that one user's reaction takes: their id, quoted, and a comma. */
const REACTION_USER_BYTES = 39;
/** Bytes that one emoji takes at most, with its keys. */
const REACTION_KIND_BYTES = 100;

/** How large a message is in a frame, at most. */
export function bytesOfMessage({ rev, ref, text, reactions }: MessageRow): { rev: number; bytes: number } {
  let bytes = ROW_BYTES + jsonBytes(ref ?? '') + jsonBytes(text ?? '');
  for (const { user_ids } of reactions) bytes += REACTION_KIND_BYTES + user_ids.length * REACTION_USER_BYTES;
  return { rev, bytes };
}

/** How large a member is in a frame, at most. */
export function bytesOfMember({ rev, first_name, last_name }: MemberRow): { rev: number; bytes: number } {
  return { rev, bytes: ROW_BYTES + jsonBytes(first_name) + jsonBytes(last_name) };
}
