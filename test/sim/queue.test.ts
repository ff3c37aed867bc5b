/**
 * D3: the queue on one node, simulated: whatever the clients do and however often the node falls, the claim invariants
 * I1 to I7 hold, and after the last fault everything drains.
 *
 * SEED=n is the first seed and RUNS=n their number: RUNS=1 replays one. TQ_LONG=1 runs 50,000.
 */
import { expect, test } from 'vitest';
import { isLong, runsOr, seedOr, TIMEOUT_MS } from '../support/runs.ts';
import { ignoreCrashErrors } from './crash_errors.ts';
import { simulate } from './queue/simulate.ts';

ignoreCrashErrors();

const first = seedOr(1);
const SEEDS = runsOr(isLong ? 50_000 : 500);
/** In so many all that is counted happens. */
const SEEDS_SURE = 500;
/** One of so many seeds runs twice. */
const TWICE_EVERY = 100;
/** A long run goes on after the first seed that fails: they may fail for different reasons. */
const FOUND_MAX = 10;
const PROGRESS_MS = 10_000;

test(`${SEEDS} seeds keep the invariants`, { timeout: TIMEOUT_MS }, async () => {
  const sums: Record<string, number> = {};
  const found: { seed: number; violations: readonly string[] }[] = [];
  let toldMs = performance.now();
  for (let seed = first; seed < first + SEEDS && found.length < FOUND_MAX; seed++) {
    const { counters, violations, digest } = await simulate(seed);
    if (violations.length > 0) found.push({ seed, violations });
    for (const [name, count] of Object.entries(counters)) sums[name] = (sums[name] ?? 0) + count;
    if (seed % TWICE_EVERY === 0) expect((await simulate(seed)).digest, `SEED=${seed} RUNS=1 again`).toBe(digest);
    if (performance.now() - toldMs < PROGRESS_MS) continue;
    toldMs = performance.now();
    console.log(`D3: ${seed - first + 1} of ${SEEDS} seeds, ${found.length} failed`);
  }
  console.log(`D3: ${SEEDS} seeds from ${first}: ${JSON.stringify(sums)}`);
  expect(found).toEqual([]);
  if (SEEDS >= SEEDS_SURE) {
    for (const name of ['unknown', 'redelivered', 'acks_stale', 'skipped']) expect(sums[name], name).toBeGreaterThan(0);
  }
});
