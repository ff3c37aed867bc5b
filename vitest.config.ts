/**
 * How Vitest finds and runs the tests. Test files get a process of their own; those of parts that are pure, and leave
 * nothing behind in their process, take turns in one and load its modules once.
 */

import { defineConfig } from 'vitest/config';

if (Number(process.versions.node.split('.')[0]) < 24) {
  throw new Error('Tests run on Node 24: `npm test`, or `node_modules/.bin/node node_modules/.bin/vitest run`.');
}

const pure = [
  'test/{core,queue_checker}/**/*.test.ts',
  'test/server/{index,journal,queue,sampler,segment,store,tier,tree}/**/*.test.ts',
];

export default defineConfig({
  test: {
    maxWorkers: 2,
    teardownTimeout: 10_000,
    projects: [
      { extends: true, test: { name: 'own', include: ['test/**/*.test.ts'], exclude: pure } },
      { extends: true, test: { name: 'shared', include: pure, isolate: false } },
    ],
    pool: 'forks',
    // Simulations make and drop thousands of small nodes, whose buffers would ask for a collection each few of them.
    execArgv: ['--initial-heap-size=512'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
