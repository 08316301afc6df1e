// What a report of `npm audit --json` says about the packages whose code is shipped. scripts/audit-bundles.ts asks npm.

/** An installed package whose code is in a bundle. */
export type Bundled = {
  name: string;
  version: string;
  /** Where it is installed, as npm writes it: `node_modules/a`, or `node_modules/b/node_modules/a` for a second version. */
  place: string;
  /** The bundles that have code of it. */
  bundles: readonly string[];
};

/** The part of package-lock.json that tells packages. */
export type Lock = { packages: Readonly<Record<string, { version?: string }>> };

type Advisory = { title: string; url: string; severity: string; range: string };

/** The part of the report, version 2, that is read. What stands in `via` as a name is told under that name. */
type Report = {
  vulnerabilities: Readonly<Record<string, { name: string; via: readonly (Advisory | string)[]; nodes: string[] }>>;
};

/** What came of asking npm: a report, or why there is none. */
export type Answer = { report: Report } | { reason: string };

export type Verdict = { code: 0 | 1; lines: string[] };

const MODULES = 'node_modules/';

/**
 * The packages that these modules are of. Modules outside of node_modules are the project's own.
 * @param modules the paths of the modules in each bundle
 * @throws Error if a module is of no package in the lock file: then nobody could ask about it
 */
export function packagesIn(modules: Readonly<Record<string, readonly string[]>>, lock: Lock): Bundled[] {
  const found = new Map<string, { name: string; version: string; bundles: Set<string> }>();
  for (const [bundle, paths] of Object.entries(modules)) {
    for (const path of paths) {
      if (!path.includes(MODULES)) continue;
      const place = placesOf(path).find((candidate) => candidate in lock.packages);
      if (place === undefined) throw new Error(`${path} is of no package in package-lock.json.`);
      const name = place.slice(place.lastIndexOf(MODULES) + MODULES.length);
      const version = lock.packages[place]?.version ?? '';
      const known = found.get(place) ?? { name, version, bundles: new Set() };
      found.set(place, known);
      known.bundles.add(bundle);
    }
  }
  const packages = [...found].map(([place, { bundles, ...rest }]) => ({ ...rest, place, bundles: [...bundles] }));
  return packages.toSorted((a, b) => a.place.localeCompare(b.place));
}

/** Where the package of a module may be installed. Folders above the project may be called node_modules too. */
function placesOf(path: string): string[] {
  const end = path.lastIndexOf(MODULES);
  const name = /^(?:@[^/]+\/)?[^/]+/.exec(path.slice(end + MODULES.length))?.[0] ?? '';
  const whole = path.slice(0, end + MODULES.length) + name;
  return [...whole.matchAll(/node_modules\//g)].map(({ index }) => whole.slice(index));
}

/** Reads what `npm audit --json` printed. Its exit code does not tell an advisory from a registry that has no answer. */
export function readAnswer(stdout: string): Answer {
  let printed: unknown;
  try {
    printed = JSON.parse(stdout);
  } catch {
    return { reason: 'npm printed no report' };
  }
  const { auditReportVersion, vulnerabilities, message, error } = Object(printed) as {
    auditReportVersion?: unknown;
    vulnerabilities?: unknown;
    message?: string;
    error?: { summary?: string };
  };
  if (auditReportVersion === 2 && typeof vulnerabilities === 'object' && vulnerabilities !== null) {
    return { report: { vulnerabilities } as Report };
  }
  return { reason: message || error?.summary || 'npm printed a report of an unknown form' };
}

/**
 * What to print and how to end. An advisory fails the check if it concerns an installed package whose code is shipped;
 * those of other packages, which build and test the project, are told. Without an answer only a strict check fails.
 */
export function verdict(answer: Answer, bundled: readonly Bundled[], { strict }: { strict: boolean }): Verdict {
  if ('reason' in answer) {
    return {
      code: strict ? 1 : 0,
      lines: [`npm audit could not be asked: ${answer.reason.replace(/\.$/, '')}. Checked nothing.`],
    };
  }
  const shipped: string[] = [];
  const others: string[] = [];
  for (const { name, via, nodes } of Object.values(answer.report.vulnerabilities)) {
    const advisories = via.filter((cause) => typeof cause !== 'string').map(describe);
    const concerned = bundled.filter(({ place }) => nodes.includes(place));
    for (const { version, bundles } of concerned) {
      shipped.push(...advisories.map((advisory) => `${name} ${version}, in ${bundles.join(' and ')}: ${advisory}`));
    }
    if (concerned.length === 0) others.push(...advisories.map((advisory) => `${name}: ${advisory}`));
  }
  const lines = others.length === 0 ? [] : ['In no bundle, for information:', ...others.map((line) => `  ${line}`)];
  if (shipped.length > 0) return { code: 1, lines: [...lines, 'In a bundle:', ...shipped.map((line) => `  ${line}`)] };
  return { code: 0, lines: [...lines, `No advisory concerns the ${bundled.length} packages in the bundles.`] };
}

const describe = ({ severity, title, url, range }: Advisory) => `${severity}, ${title} (${url}), affects ${range}`;
