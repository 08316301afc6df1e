const SPELLINGS = /^[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}$/i;

/**
 * The canonical spelling (lower case, dashes) of a UUID, or undefined if the text is none.
 * Upper case and the form without dashes name the same thing: two spellings must never mean two rooms.
 */
export function parseUuid(text: string): string | undefined {
  if (!SPELLINGS.test(text)) return undefined;
  const hex = text.replaceAll('-', '').toLowerCase();
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
