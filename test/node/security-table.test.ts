import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const text = readFileSync(join(root, 'docs/security.md'), 'utf8');

/** The rows of the table of checks: number, files that enforce it, and the test by file and title. */
const rows = [...text.matchAll(/^\| (\d+) +\| .*? \| ([^|]*?) +\| `([^`]+)` “(.+)” +\|$/gm)].map(
  ([, number, places = '', file = '', title = '']) => ({
    number: Number(number),
    places: [...places.matchAll(/`([^`]+)`/g)].map(([, path = '']) => path),
    file,
    title,
  }),
);

describe('the checks in docs/security.md', () => {
  it('are all there, in order', () => {
    expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 44 }, (_, index) => index + 1));
  });

  it.each(rows)('$number is enforced in files that exist, and has a test of this title', ({ places, file, title }) => {
    expect(places.length).toBeGreaterThan(0);
    const missing = places.filter((path) => !existsSync(join(root, 'src', path)) && !existsSync(join(root, path)));
    expect(missing).toEqual([]);
    // As it is written in the file: quotes escaped.
    const source = readFileSync(join(root, 'test', file), 'utf8').replaceAll("\\'", "'");
    expect(source.includes(`'${title}'`) || source.includes(`"${title}"`) || source.includes(`\`${title}\``)).toBe(
      true,
    );
  });
});
