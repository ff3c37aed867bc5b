/**
 * The queue end to end: 4 producers and 6 consumers in 3 tasks, all of them and the server killed by chance. The
 * histories are checked by a checker that shares no code with the server.
 *
 * SEED=n replays the choices of the driver; TQ_LONG=1 runs two minutes.
 */
import { expect, test } from 'vitest';
import { check } from '../queue_checker/checker.ts';
import { isLong, seedOr, TIMEOUT_MS } from '../support/runs.ts';
import { runKills } from './queue_kills/driver.ts';

const RUN_MS = isLong ? 120_000 : 10_000;
const BUG_RUN_MS = 6_000;
/** What was acked comes back to be trained on only if the server is killed before it is too old. */
const BUG_RUNS_MAX = 10;
const seed = seedOr(1);

test('kills lose nothing, duplicate nothing, and explain every redelivery', { timeout: TIMEOUT_MS }, async () => {
  const { history, failures } = await runKills({ seed, runMs: RUN_MS });
  const { counters, violations, voids } = check(history, { final: true, kills: ['server', 'producer', 'consumer'] });
  const kills = history.notes.filter(({ note }) => note === 'kill');
  console.log(`queue kills, seed ${seed}: ${kills.length} kills, ${JSON.stringify(counters)}`);
  expect({ failures, violations, voids }).toEqual({ failures: [], violations: [], voids: [] });
  expect(counters.redelivered).toBeGreaterThan(0);
});

test('acks that do not reach the journal are found', { timeout: TIMEOUT_MS }, async () => {
  const preload = new URL('bugs/acks_not_journaled.ts', import.meta.url);
  for (let run = 0; run < BUG_RUNS_MAX; run++) {
    const { history } = await runKills({ seed: seed + run, runMs: BUG_RUN_MS, preload });
    const { counters, violations } = check(history, { final: true });
    console.log(`planted bug, seed ${seed + run}: ${violations[0]}, ${JSON.stringify(counters)}`);
    if (violations.length > 0) return;
  }
  expect.unreachable(`not found in ${BUG_RUNS_MAX} runs`);
});
