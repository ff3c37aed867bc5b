/** D4: every planted bug of the queue is found within so many seeds. */
import { afterEach, expect, test, vi } from 'vitest';
import { ignoreCrashErrors } from './crash_errors.ts';
import { mutations } from './queue/mutations.ts';
import { simulate } from './queue/simulate.ts';

ignoreCrashErrors();
afterEach(() => vi.restoreAllMocks());

const SEEDS_MAX = 500;
/** A deadline, not a figure: machines differ. */
const DEADLINE_MS = 300_000;

const each = mutations.map((one) => [one.bug, one] as const);

test.each(each)('finds: %s', { timeout: DEADLINE_MS }, async (bug, { plant, plantIn }) => {
  plant?.();
  for (let seed = 1; seed <= SEEDS_MAX; seed++) {
    const { violations } = await simulate(seed, (env) => {
      plantIn?.(env);
      return env;
    });
    if (violations.length === 0) continue;
    console.log(`${bug}: found at seed ${seed}: ${violations[0]}`);
    return;
  }
  expect.unreachable(`not found in ${SEEDS_MAX} seeds`);
});
