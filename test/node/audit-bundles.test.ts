import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Bundled, packagesIn, readAnswer, verdict } from '../../scripts/audit-report.ts';
import { copyProject, run } from '../helpers/node/wrangler-dev.ts';

const HIGH = {
  source: 1,
  name: 'valibot',
  dependency: 'valibot',
  title: 'An expression that never ends',
  url: 'https://example.org/advisories/1',
  severity: 'high',
  cwe: ['CWE-1333'],
  cvss: { score: 7.5, vectorString: null },
  range: '<=1.5.0',
};
const MODERATE = {
  source: 2,
  name: 'esbuild',
  dependency: 'esbuild',
  title: 'Its server answers any page',
  url: 'https://example.org/advisories/2',
  severity: 'moderate',
  cwe: [],
  cvss: { score: 5.3, vectorString: null },
  range: '<=0.19.0',
};

/** An entry as npm writes it. */
const entry = (name: string, via: (object | string)[], nodes: string[]) => ({
  [name]: { name, severity: 'high', isDirect: false, via, effects: [], range: '', nodes, fixAvailable: false },
});

/** A report as npm prints it. */
const report = (...entries: Record<string, object>[]) =>
  JSON.stringify({ auditReportVersion: 2, vulnerabilities: Object.assign({}, ...entries), metadata: {} });

const both = ['the Worker', 'the client'];
const BUNDLED: Bundled[] = [
  { name: 'hono-openapi', version: '1.3.3', place: 'node_modules/hono-openapi', bundles: ['the Worker'] },
  { name: 'valibot', version: '1.5.0', place: 'node_modules/valibot', bundles: both },
];
const CLEAN = 'No advisory concerns the 2 packages in the bundles.';

const check = (printed: string, strict = false) => verdict(readAnswer(printed), BUNDLED, { strict });

describe('the check of a report', () => {
  it('passes where there is no advisory', () => {
    expect(check(report())).toEqual({ code: 0, lines: [CLEAN] });
    expect(check(report(), true).code).toBe(0);
  });

  it('fails on an advisory of a package in a bundle, and names package, advisory and severity', () => {
    const valibot = entry('valibot', [HIGH], ['node_modules/valibot']);
    expect(check(report(valibot))).toEqual({
      code: 1,
      lines: [
        'In a bundle:',
        '  valibot 1.5.0, in the Worker and the client: high, An expression that never ends ' +
          '(https://example.org/advisories/1), affects <=1.5.0',
      ],
    });
  });

  it('names every advisory of it', () => {
    const valibot = entry('valibot', [HIGH, { ...HIGH, title: 'Another', severity: 'low' }], ['node_modules/valibot']);
    const { code, lines } = check(report(valibot));
    expect(code).toBe(1);
    expect(lines.slice(1)).toEqual([expect.stringContaining(': high, '), expect.stringContaining(': low, Another')]);
  });

  it('only tells one of a package that builds or tests', () => {
    const { code, lines } = check(report(entry('esbuild', [MODERATE], ['node_modules/esbuild'])));
    expect(code).toBe(0);
    expect(lines).toEqual([
      'In no bundle, for information:',
      '  esbuild: moderate, Its server answers any page (https://example.org/advisories/2), affects <=0.19.0',
      CLEAN,
    ]);
  });

  it('only tells one of another installed version than the one in a bundle', () => {
    const { code, lines } = check(report(entry('valibot', [HIGH], ['node_modules/other/node_modules/valibot'])));
    expect(code).toBe(0);
    expect(lines[1]).toContain('valibot: high');
  });

  it('does not hold a package to what only its dependencies have', () => {
    const printed = report(
      entry('hono-openapi', ['esbuild'], ['node_modules/hono-openapi']),
      entry('esbuild', [MODERATE], ['node_modules/hono-openapi/node_modules/esbuild']),
    );
    expect(check(printed).code).toBe(0);
    expect(check(printed).lines.join('\n')).not.toContain('hono-openapi');
  });

  it.each([
    [
      'the registry has no such thing',
      { message: '405 Method Not Allowed - POST https://registry.example.org/audit', statusCode: 405, error: {} },
      '405 Method Not Allowed - POST https://registry.example.org/audit',
    ],
    [
      'there is no lock file',
      { error: { code: 'ENOLOCK', summary: 'This command requires an existing lockfile.', detail: '' } },
      'This command requires an existing lockfile',
    ],
    ['the report has a form that is not known', { auditReportVersion: 3 }, 'npm printed a report of an unknown form'],
  ])('says that it checked nothing when %s, and fails only if strict', (_, printed, reason) => {
    const lines = [`npm audit could not be asked: ${reason}. Checked nothing.`];
    expect(check(JSON.stringify(printed))).toEqual({ code: 0, lines });
    expect(check(JSON.stringify(printed), true)).toEqual({ code: 1, lines });
  });

  it.each(['', 'npm error', 'null', '[]', '{"auditReportVersion":2,"vulnerabilities":null}'])(
    'takes no other output for a clean report: %j',
    (printed) => {
      expect(check(printed)).toEqual({ code: 0, lines: [expect.stringMatching(/Checked nothing\.$/)] });
      expect(check(printed, true).code).toBe(1);
    },
  );
});

describe('the packages of a bundle', () => {
  const lock = {
    packages: {
      '': { version: '0.1.0' },
      'node_modules/@noble/hashes': { version: '2.4.0' },
      'node_modules/a': { version: '1.0.0' },
      'node_modules/a/node_modules/@b/c': { version: '3.0.0' },
      'node_modules/@b/c': { version: '2.0.0' },
    },
  };

  it('are found by where their modules are, wherever the project is', () => {
    const worker = ['src/worker.ts', 'node_modules/@noble/hashes/sha2.js', 'node_modules/a/node_modules/@b/c/index.js'];
    const client = ['/home/node_modules/me/node_modules/a/b.js', '../node_modules/@b/c/x.js', 'node_modules/a/c.js'];
    expect(packagesIn({ worker, client }, lock)).toEqual([
      { name: '@b/c', version: '2.0.0', place: 'node_modules/@b/c', bundles: ['client'] },
      { name: '@noble/hashes', version: '2.4.0', place: 'node_modules/@noble/hashes', bundles: ['worker'] },
      { name: 'a', version: '1.0.0', place: 'node_modules/a', bundles: ['client'] },
      { name: '@b/c', version: '3.0.0', place: 'node_modules/a/node_modules/@b/c', bundles: ['worker'] },
    ]);
  });

  it('are in the lock file, or nobody could ask about them', () => {
    expect(() => packagesIn({ worker: ['node_modules/stray/index.js'] }, lock)).toThrow(
      'node_modules/stray/index.js is of no package in package-lock.json.',
    );
  });
});

describe('npm run check:audit', () => {
  it('asks npm about what is really in the bundles', async () => {
    const advisory = { id: 1, ...HIGH, vulnerable_versions: '*' };
    const esbuild = { id: 2, ...MODERATE, vulnerable_versions: '*' };
    const registry = createServer((request, response) => {
      const isAudit = request.method === 'POST' && request.url?.endsWith('/advisories/bulk');
      request.resume();
      response.statusCode = isAudit ? 200 : 404;
      response.end(JSON.stringify(isAudit ? { valibot: [advisory], esbuild: [esbuild] } : {}));
    }).listen(0, '127.0.0.1');
    await once(registry, 'listening');
    const project = copyProject();
    onTestFinished(() => {
      registry.closeAllConnections();
      registry.close();
      rmSync(project, { recursive: true, force: true });
    });

    const env = {
      npm_config_registry: `http://127.0.0.1:${(registry.address() as AddressInfo).port}/`,
      npm_config_cache: `${project}/npm-cache`,
      npm_config_update_notifier: 'false',
      // Neither may make npm leave out what it must ask about.
      npm_config_omit: 'dev',
      npm_config_offline: 'true',
    };
    const running = run('npm', ['run', '--silent', 'check:audit'], { folder: project, env });
    const code = await running.exited;
    const output = running.output();
    expect(output).toMatch(/^valibot \S+: in the Worker and the client$/m);
    expect(output).toMatch(/^hono \S+: in the Worker$/m);
    expect(output).not.toMatch(/^(wrangler|vite|esbuild|drizzle-kit|fast-check) /m);
    const [, others = '', shipped = ''] =
      /^In no bundle, for information:\n([^]*)^In a bundle:\n([^]*)/m.exec(output) ?? [];
    expect(others).toMatch(/^ {2}esbuild: moderate, /m);
    expect(shipped).toMatch(/^ {2}valibot \S+, in the Worker and the client: high, .*, affects \*\n$/);
    expect(code).toBe(1);
  });
});
