import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { CONSUMER, WRONG_USES } from '../helpers/node/client-consumer.ts';
import { copyProject, run } from '../helpers/node/wrangler-dev.ts';

const root = join(import.meta.dirname, '../..');
const tsc = join(root, 'node_modules/typescript/bin/tsc');

/** Bytes after minifying and gzip of everything that a page must load to use the client. */
const SIZE_MAX = 18 * 1024;

/** Words of the parts of the server, and of the packages that only it uses. */
const SERVER_WORDS = [
  'hono',
  'drizzle',
  'argon2',
  'jose',
  'zxcvbn',
  'cloudflare:',
  'node:',
  'DurableObject',
  'SELECT ',
];

type Manifest = { exports: { './client': Record<string, string> } };

describe('the package', () => {
  let folder: string;
  let installed: string;

  /** Packs a copy of this project, and installs the result in an empty project that can reach no registry. */
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'edge-chat-consumer-'));
    installed = join(folder, 'node_modules/edge-chat');
    const project = copyProject();
    try {
      await succeed('npm', ['pack', '--pack-destination', folder], project);
    } finally {
      rmSync(project, { recursive: true, force: true });
    }
    const tarballs = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    const offline = ['--offline', '--no-audit', '--no-fund'];
    await succeed('npm', ['install', ...offline, ...tarballs.map((name) => `./${name}`)], folder);
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const read = (name: string) => readFileSync(join(installed, 'dist/client', name), 'utf8');

  /** Runs a command. @returns what it printed @throws Error with that, unless it ends well */
  async function succeed(command: string, args: readonly string[], where: string): Promise<string> {
    const { code, output } = await end(command, args, where);
    if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${output}`);
    return output;
  }

  /** Runs a command to its end, with a cache of npm's that has nothing yet. */
  async function end(command: string, args: readonly string[], where: string) {
    const env = { npm_config_cache: join(folder, 'npm-cache'), npm_config_update_notifier: 'false' };
    const running = run(command, args, { folder: where, env });
    return { code: await running.exited, output: running.output() };
  }

  /** Compiles one file of a consumer with nothing but what the package brings, and `types`. @returns the errors */
  async function compile(name: string, text: string, options: object): Promise<string[]> {
    const where = join(folder, 'compile');
    mkdirSync(where, { recursive: true });
    writeFileSync(join(where, name), text);
    const compilerOptions = { noEmit: true, strict: true, skipLibCheck: false, target: 'es2022', ...options };
    writeFileSync(join(where, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [name] }));
    const { output } = await end(process.execPath, [tsc, '-p', '.', '--pretty', 'false'], where);
    return output.trim().split('\n').filter(Boolean);
  }

  it('is the client, its types and its licenses, and brings no other package', () => {
    const files = readdirSync(installed, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const names = files.map(({ parentPath, name }) => relative(installed, join(parentPath, name)));
    expect(names.toSorted()).toEqual([
      'LICENSE',
      'README.md',
      'dist/client/chat.d.ts',
      'dist/client/environment.d.ts',
      'dist/client/error.d.ts',
      'dist/client/index.d.ts',
      'dist/client/index.js',
      'dist/client/indexed-db.d.ts',
      'dist/client/licenses.md',
      'dist/client/storage.d.ts',
      'dist/client/types.d.ts',
      'package.json',
    ]);
    expect(readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual(['edge-chat']);
  });

  it('resolves every path in it to a file that it has', () => {
    const { exports } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as Manifest;
    expect(Object.keys(exports)).toEqual(['./client']);
    for (const path of Object.values(exports['./client'])) expect(existsSync(join(installed, path))).toBe(true);
    const declarations = readdirSync(join(installed, 'dist/client')).filter((name) => name.endsWith('.d.ts'));
    const specifiers = declarations.flatMap((name) =>
      [...read(name).matchAll(/\bfrom '(.*)'/g)].map(([, path]) => path),
    );
    expect(specifiers).toContain('./types.js');
    const modules = declarations.map((name) => `./${name.replace('.d.ts', '.js')}`);
    expect(specifiers.filter((path = '') => !modules.includes(path))).toEqual([]);
  });

  it('tells the license of every package that is in it', () => {
    expect(read('licenses.md').match(/^## \S+/gm)).toEqual(['## valibot']);
  });

  it('has a module that imports nothing, and no code of the server', () => {
    const module = read('index.js');
    expect(module).not.toMatch(/^import\b|\bimport\(|\brequire\(|^export .* from /m);
    expect(SERVER_WORDS.filter((word) => module.includes(word))).toEqual([]);
  });

  describe.each([
    { moduleResolution: 'bundler', module: 'esnext' },
    { moduleResolution: 'nodenext', module: 'nodenext' },
  ])('under moduleResolution $moduleResolution', (resolution) => {
    const page = { ...resolution, types: [], lib: ['es2022', 'dom'] };
    const typeRoots = [join(root, 'node_modules/@types'), join(root, 'node_modules')];

    it.each([
      ['of a page', page],
      ['of a page, as strict as can be', { ...page, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true }],
      ['of a program for Node', { ...resolution, lib: ['es2022'], types: ['node'], typeRoots }],
      ['of a Worker', { ...resolution, lib: ['es2022'], types: ['@cloudflare/workers-types'], typeRoots }],
    ])('compiles in the code %s', async (_, options) => {
      expect(await compile('consumer.ts', CONSUMER, options)).toEqual([]);
    });

    it('does not let wrong code compile', async () => {
      const errors = await compile('wrong.ts', WRONG_USES.map(([line]) => line).join('\n'), page);
      // What the compiler indents explains the error above it.
      const found = errors
        .filter((line) => !line.startsWith(' '))
        .map((line) => /^\w+\.ts\((\d+),.* (TS\d+):/.exec(line));
      const wrong = WRONG_USES.flatMap(([, code], index) => (code ? [[String(index + 1), code]] : []));
      expect(found.map((match) => match?.slice(1))).toEqual(wrong);
    });
  });

  it('offers nothing that was not compiled here', () => {
    const named = [...read('index.d.ts').matchAll(/\{ (.*) \}/g)].flatMap(([, names = '']) => names.split(', '));
    const typed = [...read('types.d.ts').matchAll(/^export \w+ (\w+)/gm)].map(([, name = '']) => name);
    const offered = [...named.map((name) => name.replace('type ', '')), ...typed];
    expect(offered).toEqual(
      expect.arrayContaining(['createChat', 'ChatError', 'ChatStorage', 'Socket', 'PendingEdit']),
    );
    expect(offered.filter((name) => !new RegExp(`\\b${name}\\b`).test(CONSUMER))).toEqual([]);
  });

  it('runs in Node, and lets the program end once it is closed', async () => {
    const program = `
      const { createChat, ...others } = await import('edge-chat/client');
      const chat = createChat({ url: 'http://localhost:1' });
      const stop = chat.subscribe(() => {});
      console.log(typeof createChat, Object.keys(others).join(), chat.snapshot().status);
      stop();
      chat.close();`;
    writeFileSync(join(folder, 'program.js'), program);
    const running = run(process.execPath, ['program.js'], { folder });
    onTestFinished(() => running.kill());
    const code = await running.exited;
    const output = 'function ChatError,indexedDbStorage,memoryStorage restoring\n';
    expect({ code, output: running.output() }).toEqual({ code: 0, output });
  });

  /** Bundles a page's code as vite does by default. */
  async function bundle(code: string): Promise<string> {
    const entry = join(folder, 'page.js');
    writeFileSync(entry, code);
    const result = await build({
      root: folder,
      configFile: false,
      envDir: false,
      publicDir: false,
      logLevel: 'warn',
      build: { write: false, modulePreload: false, rolldownOptions: { input: entry } },
    });
    if (!('output' in result)) throw new Error('vite made something else than one bundle');
    const [chunk, ...more] = result.output;
    expect(more).toEqual([]);
    return chunk.code;
  }

  it(`costs a page less than ${SIZE_MAX / 1024} KiB`, async () => {
    const code = await bundle(`
      import { createChat } from 'edge-chat/client';
      const chat = createChat({ url: location.origin });
      chat.subscribe(() => console.log(chat.snapshot()));`);
    const size = gzipSync(code).length;
    process.stdout.write(`The client in a page: ${code.length} bytes, ${size} after gzip\n`);
    expect(size).toBeLessThan(SIZE_MAX);
    expect(code.includes('bearer.')).toBe(true);
    expect(SERVER_WORDS.filter((word) => code.includes(word))).toEqual([]);
  });

  it('costs a page only what it uses', async () => {
    const code = await bundle(`import { ChatError } from 'edge-chat/client'; throw new ChatError('closed', 'bye');`);
    expect(gzipSync(code).length).toBeLessThan(1024);
  });
});
