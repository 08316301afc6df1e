import { onTestFinished } from 'vitest';
import { LastingBrowser, type Profile } from './chromium.ts';
import type { Tab } from './tab.ts';

/** How a page can end without being asked. `live` makes a profile; `die` ends a tab, and gives the profile after that. */
export const DEATHS: readonly {
  readonly name: string;
  readonly live: (
    newProfile: () => Promise<Profile>,
  ) => Promise<{ profile: Profile; die: (tab: Tab) => Promise<Profile> }>;
}[] = [
  {
    name: 'the tab is closed',
    live: async (newProfile) => {
      const profile = await newProfile();
      return {
        profile,
        die: async ({ page }) => {
          await page.close({ runBeforeUnload: false });
          return profile;
        },
      };
    },
  },
  {
    name: 'the process of the tab crashes',
    live: async (newProfile) => {
      const profile = await newProfile();
      return {
        profile,
        die: async ({ page }) => {
          const devtools = await profile.context.newCDPSession(page);
          const crashed = page.waitForEvent('crash');
          // It is not answered.
          devtools.send('Page.crash').catch(() => {});
          await crashed;
          return profile;
        },
      };
    },
  },
  {
    name: 'the browser is killed',
    live: async () => {
      const lasting = new LastingBrowser();
      onTestFinished(() => lasting.remove());
      return {
        profile: await lasting.start(),
        die: async () => {
          await lasting.kill();
          return lasting.start();
        },
      };
    },
  },
];
