import { mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContext } from 'playwright-core';
import { Tab } from './tab.ts';

const OPTIONS = {
  executablePath: '/usr/bin/chromium',
  chromiumSandbox: false,
  // Browsers keep a page that was left, for a while, and close its sockets. Playwright turns that off.
  ignoreDefaultArgs: ['--disable-back-forward-cache'],
  // It shall look for nothing but the pages of the tests.
  args: [
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
};

/** Starts a browser in which every {@link Profile} lasts as long as itself. */
export function startChromium(): Promise<Browser> {
  return chromium.launch(OPTIONS);
}

/** What the tabs of one user share: storage, locks, whether there is a network. */
export class Profile {
  readonly context: BrowserContext;
  readonly #tabs = new Map<unknown, Tab>();

  private constructor(context: BrowserContext) {
    this.context = context;
  }

  /** Makes the pages of a context tell their tests how they stand. */
  static async of(context: BrowserContext): Promise<Profile> {
    const profile = new Profile(context);
    await context.exposeBinding('report', ({ page }, json: string) => profile.#tabs.get(page)?.receive(json));
    return profile;
  }

  /** Opens a tab. */
  async open(url: string): Promise<Tab> {
    const page = await this.context.newPage();
    const tab = new Tab(page);
    this.#tabs.set(page, tab);
    await page.goto(url);
    return tab;
  }
}

/** A browser of its own with a profile on the disk, which can be killed and started again. */
export class LastingBrowser {
  readonly #folder = mkdtempSync(join(tmpdir(), 'edge-chat-profile-'));
  #context: BrowserContext | null = null;

  /** Starts it, with what its profile has kept. */
  async start(): Promise<Profile> {
    this.#context = await chromium.launchPersistentContext(this.#folder, OPTIONS);
    return Profile.of(this.#context);
  }

  /** SIGKILL to all of its processes. */
  async kill(): Promise<void> {
    const context = this.#context;
    if (!context) return;
    const closed = new Promise((resolve) => context.once('close', resolve));
    // The lock of the profile names the process that holds it. Playwright makes it the leader of a group.
    const [pid] = /\d+$/.exec(readlinkSync(join(this.#folder, 'SingletonLock'))) ?? [];
    process.kill(-Number(pid), 'SIGKILL');
    await closed;
    this.#context = null;
  }

  /** Ends it, and removes its profile. */
  async remove(): Promise<void> {
    await this.#context?.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
