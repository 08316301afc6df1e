/**
 * A text as a search compares it: compatibility characters are the plain ones (NFKC), case and the amount of white space
 * do not matter.
 */
export function searchKey(text: string): string {
  const lowerCase = text.normalize('NFKC').toLowerCase();
  // A sigma at the end of a word has another form, but what was typed so far may go on.
  return lowerCase.replaceAll('ς', 'σ').normalize('NFKC').replace(/\s+/g, ' ').trim();
}

/** The columns by which a search finds somebody of this name. */
export function searchKeys({ first_name, last_name }: { first_name: string; last_name: string }) {
  return { name_key: searchKey(`${first_name} ${last_name}`), last_name_key: searchKey(last_name) };
}

/**
 * Beginnings of the stored keys that a search looks for. Keys that the migration made for the users of before are in lower
 * case as far as SQLite knows it: ASCII. They are found by words that begin with a capital.
 */
export function searchPrefixes(text: string): string[] {
  const key = searchKey(text);
  const migrated = key.replace(/(?<=^| )\P{ASCII}/gu, (letter) => letter.toUpperCase());
  return migrated === key ? [key] : [key, migrated];
}
