import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');

/** What a clone has, and what is about to be added: the files that git does not ignore. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '--deduplicate'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter(Boolean);

const sources = files.filter((path) => /^src\/.*\.tsx?$/.test(path) && path !== 'src/bindings.d.ts');
const textOf = (path: string) => readFileSync(join(root, path), 'utf8');
/** Code without its comments, which may speak of what they explain. */
const codeOf = (path: string) => textOf(path).replace(/\/\*[\s\S]*?\*\/|(?<![:'"])\/\/.*$/gm, '');
const having = (paths: string[], pattern: RegExp) => paths.filter((path) => pattern.test(codeOf(path)));

describe('the repository', () => {
  it('holds no secret: no key of a deployment or of a provider, no private key', () => {
    // What scripts/deploy.ts makes, what providers give out, and PEM.
    const secret =
      /\blive_[\w-]{64}\b|\bre_[A-Za-z0-9]{16,}|-----BEGIN [A-Z ]*PRIVATE KEY|CLOUDFLARE_API_TOKEN\s*=\s*\w/;
    expect(files.filter((path) => path !== 'package-lock.json' && secret.test(textOf(path)))).toEqual([]);
  });

  it("ignores this machine's secrets and the file of a deployment", () => {
    const ignored = execFileSync('git', ['check-ignore', '.dev.vars', 'wrangler.deploy.toml'], { cwd: root });
    expect(ignored.toString().trim().split('\n')).toEqual(['.dev.vars', 'wrangler.deploy.toml']);
  });
});

describe('the source', () => {
  it('asks no other server for anything, but a mail provider for a mail', () => {
    const outside = sources.filter((path) => !path.startsWith('src/client/'));
    expect(having(outside, /(?<![.\w]|override async )fetch\(/)).toEqual(['src/mail/mail.ts']);
  });

  it('makes no code from text', () => {
    expect(having(sources, /\beval\(|new Function\(|setTimeout\(\s*['"`]|import\(\s*(?!['"])/)).toEqual([]);
  });

  it('makes no HTML from text but by templates that escape, and a style sheet of its own', () => {
    expect(having(sources, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySet/)).toEqual([]);
    const unescaped = sources.flatMap((path) =>
      [...codeOf(path).matchAll(/\braw\(([^)]*)\)/g)].map(([, text]) => text),
    );
    expect(new Set(unescaped)).toEqual(new Set(['`<style>${STYLE}</style>`']));
  });

  it('makes no SQL from text: values are parameters', () => {
    // Drizzle's sql`…${value}` makes parameters. A template in exec() or prepare(), or sql.raw(), would not.
    expect(having(sources, /\.(?:exec|prepare)(?:<[^(]*>)?\(\s*`[^`]*\$\{|sql\.raw\(/)).toEqual([]);
  });

  it('reads the address of a client from the one header that Cloudflare answers for', () => {
    expect(having(sources, /x-forwarded-for|x-real-ip|true-client-ip/i)).toEqual([]);
    expect(having(sources, /CF-Connecting-IP/i)).toEqual(['src/http/source.ts']);
  });
});
