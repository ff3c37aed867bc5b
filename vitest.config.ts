/**
 * How Vitest finds and runs the tests. Those of a part take turns in one process, which loads its modules once, as long
 * as they leave nothing behind in it; the others, and those that look at or change their whole process, have their own.
 */

import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

if (Number(process.versions.node.split('.')[0]) < 24) {
  throw new Error('Tests run on Node 24: `npm test`, or `node_modules/.bin/node node_modules/.bin/vitest run`.');
}

/** The last looks at the sockets of its process, the others replace modules by `vi.mock`. */
const alone = 'extent_rewrite|segment_compaction|space_cuts|checkpoint_files|faults';
const tidy = [`test/{compat,core,queue_checker,server,ts-sdk}/**/!(${alone}).test.ts`];

/** Simulations and kills take minutes, whatever the sizes of their files: one that began last would run alone. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => (/\/test\/(sim|crash)\//.test(moduleId) ? 0 : 1);
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    maxWorkers: 2,
    sequence: { sequencer: LongFirst },
    teardownTimeout: 10_000,
    projects: [
      { extends: true, test: { name: 'own', include: ['test/**/*.test.ts'], exclude: tidy } },
      { extends: true, test: { name: 'shared', include: tidy, isolate: false } },
    ],
    pool: 'forks',
    // Simulations make and drop thousands of small nodes, whose buffers would ask for a collection each few of them.
    execArgv: ['--initial-heap-size=512'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
