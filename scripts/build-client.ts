// `npm run build:client`: makes dist/client/, which is what the package ships: the typed client as one module without
// imports, its type declarations, and the licenses of the packages that are in it.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';

const root = join(import.meta.dirname, '..');
const source = join(root, 'src/client');
const target = join(root, 'dist/client');

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
declareTypes();
await bundle();

/** Writes the declarations that the public API needs. @throws Error if the client has a type error, or tells inner types */
function declareTypes(): void {
  const declared = mkdtempSync(join(tmpdir(), 'edge-chat-types-'));
  try {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const project = ['-p', 'tsconfig.client.json', '--rootDir', 'src'];
    const emit = ['--noEmit', 'false', '--declaration', '--emitDeclarationOnly', '--outDir', declared];
    execFileSync(process.execPath, [tsc, ...project, ...emit], { cwd: root, stdio: 'inherit' });
    for (const [name, text] of reachable(join(declared, 'client'))) writeFileSync(join(target, name), text);
  } finally {
    rmSync(declared, { recursive: true });
  }
}

/** The declarations that index.d.ts refers to, and these to others, by file name, as a package resolves them. */
function reachable(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (name: string) => {
    if (found.has(name)) return;
    const text = readFileSync(join(folder, name), 'utf8');
    const next: string[] = [];
    const rewritten = text.replace(/(\bfrom |\bimport\()'([^']*)'/g, (_, before: string, specifier: string) => {
      const stem = /^\.\/([\w-]+)\.ts$/.exec(specifier)?.[1];
      // The rest of the source is not shipped, and neither is any other package.
      if (stem === undefined) throw new Error(`The client's ${name} must not refer to types of ${specifier}`);
      next.push(`${stem}.d.ts`);
      return `${before}'./${stem}.js'`;
    });
    found.set(name, rewritten);
    next.forEach(visit);
  };
  visit('index.d.ts');
  return found;
}

/** Writes the module. */
async function bundle(): Promise<void> {
  await build({
    root,
    configFile: false,
    publicDir: false,
    envDir: false,
    logLevel: 'warn',
    build: {
      outDir: target,
      emptyOutDir: false,
      target: 'es2022',
      minify: false,
      license: { fileName: 'licenses.md' },
      lib: { entry: join(source, 'index.ts'), formats: ['es'], fileName: 'index' },
    },
  });
}
