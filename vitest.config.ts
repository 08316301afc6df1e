import { availableParallelism } from 'node:os';
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-pool-workers';
import { defineConfig } from 'vitest/config';

const { DELIVERY_MINUTES, DELIVERY_RUNS, DELIVERY_SEED, DELIVERY_PATH } = process.env;
// For test/delivery: how long it goes on, in how many runs at a time, and the seed and path of a run to be repeated.
const delivery = {
  minutes: Number(DELIVERY_MINUTES ?? 0),
  runs: Number(DELIVERY_RUNS ?? 40),
  ...(DELIVERY_SEED !== undefined && { seed: Number(DELIVERY_SEED) }),
  ...(DELIVERY_PATH !== undefined && { path: DELIVERY_PATH }),
};

// Three kinds of tests: `workers` run inside workerd on real D1 and Durable Objects; `node` run in Node and drive the
// commands of package.json and a real `wrangler dev`; `browser` drive pages in Chromium, which must be installed.
export default defineConfig({
  test: {
    // The Worker logs a line for each request; only those of failed tests are worth reading.
    silent: DELIVERY_MINUTES === undefined && 'passed-only',
    // Vitest leaves one core idle. Files wait as much as they compute, so two at a time suit a machine of two cores.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      {
        plugins: [
          cloudflareTest(async () => ({
            wrangler: { configPath: './wrangler.toml' },
            miniflare: {
              bindings: {
                ENVIRONMENT: 'development',
                ALLOWED_ORIGINS: 'https://chat.example.org',
                JWT_SECRET: 'dev_only_for_the_test_suite_0123456789abcdefghijk',
                JWT_SECRET_PREVIOUS: '',
                TEST_MIGRATIONS: await readD1Migrations('migrations'),
              },
            },
          })),
        ],
        test: {
          name: 'workers',
          include: ['test/**/*.test.ts'],
          exclude: ['test/browser/**', 'test/e2e/**', 'test/node/**'],
          setupFiles: ['test/helpers/apply-migrations.ts'],
          provide: { delivery },
        },
      },
      {
        test: {
          name: 'node',
          include: ['test/e2e/**/*.test.ts', 'test/node/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
