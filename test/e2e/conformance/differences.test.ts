import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readDifferences } from './differences.ts';

/** What the tables and tests of this folder cite. */
function citations(): string[] {
  return readdirSync(import.meta.dirname)
    .filter((name) => name !== 'differences.test.ts')
    .flatMap((name) => {
      const source = readFileSync(new URL(name, import.meta.url), 'utf8');
      return Array.from(
        source.matchAll(/\b(?:differs|because)\(\s*'([^']+)'|\bbecause: '([^']+)'/g),
        (found) => found[1] ?? found[2] ?? '',
      );
    });
}

test('no two rows of docs/differences.md have the same id', () => {
  const ids = readDifferences();
  expect(ids.length).toBeGreaterThan(0);
  expect(new Set(ids).size).toBe(ids.length);
});

test('every difference that is cited is listed in docs/differences.md, and every one that is listed is tested', () => {
  expect(new Set(citations())).toEqual(new Set(readDifferences()));
});
