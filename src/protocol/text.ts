import { MESSAGE_MAX_LENGTH, REF_MAX_LENGTH } from '../config.ts';

const encoder = new TextEncoder();

/** How many characters a text has, as people and Django count them: code points. */
export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** A text's first code points, at most `limit`. */
export function beginningOf(text: string, limit: number): string {
  if (text.length <= limit) return text;
  // As many units hold so many characters whatever they are.
  return Array.from(text.slice(0, 2 * limit))
    .slice(0, limit)
    .join('');
}

/** How many bytes a text has in UTF-8. */
export function utf8Bytes(text: string): number {
  return encoder.encode(text).length;
}

/** Whether a text has more than `limit` bytes of UTF-8, without encoding what is clearly below or above. */
export function exceedsBytes(text: string, limit: number): boolean {
  if (text.length > limit) return true;
  return text.length * 3 > limit && utf8Bytes(text) > limit;
}

/** Bytes that a text takes as a JSON string, at most: without making that string. */
export function jsonBytes(text: string): number {
  let bytes = 2;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    // A control character is escaped, and so is half a surrogate pair; each half of a whole pair takes two bytes.
    if (unit < 0x20) bytes += 6;
    else if (unit === 0x22 || unit === 0x5c) bytes += 2;
    else if (unit < 0x80) bytes += 1;
    else if (unit < 0x800) bytes += 2;
    else if (unit < 0xd800 || unit > 0xdfff) bytes += 3;
    else if (isPairAt(text, i)) {
      bytes += 4;
      i += 1;
    } else bytes += 6;
  }
  return bytes;
}

/** The value of a JSON text; undefined if it is none. */
export function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** Why a text cannot be a message; undefined if it can. Continues a sentence that begins with the field's name. */
export function messageProblem(text: string): string | undefined {
  if (text.trim() === '') return 'is blank.';
  if (!text.isWellFormed()) return 'contains half of a surrogate pair.';
  if (text.length > MESSAGE_MAX_LENGTH && codePoints(text) > MESSAGE_MAX_LENGTH) {
    return `is longer than ${MESSAGE_MAX_LENGTH} characters.`;
  }
  return undefined;
}

/** Whether a text may be a client's own id for an operation. */
export function isRef(text: string): boolean {
  return text !== '' && text.isWellFormed() && text.length <= 2 * REF_MAX_LENGTH && codePoints(text) <= REF_MAX_LENGTH;
}

function isPairAt(text: string, i: number): boolean {
  return (text.codePointAt(i) ?? 0) > 0xffff;
}
