/**
 * S1: whatever a crash leaves of the disk, at any of its changes, the node opens, has lost nothing that it acknowledged
 * and shows nothing that nobody put there.
 *
 * SEED=n replays; TQ_LONG=1 runs 500,000 states in each of two files.
 */
import { expect, test } from 'vitest';
import { TIMEOUT_MS } from '../support/runs.ts';
import { ignoreCrashErrors } from './crash_errors.ts';
import { exploreMany } from './many_states.ts';

ignoreCrashErrors();

test(
  'no crash loses what was acknowledged, part 2',
  async () => {
    const { counters, violations } = await exploreMany(1);
    expect(violations).toEqual([]);
    expect(counters.recovered).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);
