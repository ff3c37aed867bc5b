/** D4: every planted bug is found within so many states. */
import { afterEach, expect, test, vi } from 'vitest';
import { ignoreCrashErrors } from './crash_errors.ts';
import { explore } from './explore.ts';
import { mutations } from './mutations.ts';

ignoreCrashErrors();
afterEach(() => vi.restoreAllMocks());

/** Few images of many moments find more than the other way round. */
const IMAGES_MAX = 8;
const SEEDS_MAX = 40;
const STATES_MAX = 20_000;
/** A deadline, not a figure: machines differ. */
const DEADLINE_MS = 300_000;

const each = mutations.map((one) => [one.bug, one] as const);

test.each(each)('finds: %s', { timeout: DEADLINE_MS }, async (bug, { plant, plantIn, options }) => {
  plant?.();
  let states = 0;
  for (let seed = 1; seed <= SEEDS_MAX && states < STATES_MAX; seed++) {
    const { counters, violations } = await explore({
      seed,
      stopsAtFirst: true,
      imagesMax: IMAGES_MAX,
      plant: (env) => {
        plantIn?.(env);
        return env;
      },
      ...options,
    });
    states += counters.states;
    if (violations.length === 0) continue;
    console.log(`${bug}: found in ${states} states of ${seed} seeds: ${violations[0]}`);
    return;
  }
  expect.unreachable(`not found in ${states} states`);
});
