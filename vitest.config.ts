/** How Vitest finds and runs the tests. Each test file gets a process of its own, so that a crash names its file. */

import { defineConfig } from 'vitest/config';

if (Number(process.versions.node.split('.')[0]) < 24) {
  throw new Error('Tests run on Node 24: `npm test`, or `node_modules/.bin/node node_modules/.bin/vitest run`.');
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 180_000,
    teardownTimeout: 10_000,
  },
});
