/** S1: many crash states, from many seeds, with their counters printed. Two test files share the work. */
import { isLong, seedOr } from '../support/runs.ts';
import { addCounters, explore, newCounters, type Counters } from './explore.ts';

/** Of each file. In a tenth of those of the short runs all planted bugs are found (mutations.test.ts). */
const STATES = isLong ? 500_000 : 12_500;
const ROOT_SEED = seedOr(1);
/** Between the seeds of the two files: no run takes so many. */
const SEEDS_APART = 1_000_000;
const PROGRESS_MS = 10_000;

export interface Explored {
  readonly counters: Counters;
  readonly violations: readonly string[];
}

export async function exploreMany(part: number): Promise<Explored> {
  const first = ROOT_SEED + part * SEEDS_APART;
  const counters = newCounters();
  const violations: string[] = [];
  const startMs = performance.now();
  let toldMs = startMs;
  console.log(`S1, part ${part}: seeds from ${first}, ${STATES} states`);
  for (let seed = first; counters.states < STATES; seed++) {
    const explored = await explore({ seed, statesMax: STATES - counters.states });
    addCounters(counters, explored.counters);
    violations.push(...explored.violations);
    for (const violation of explored.violations) console.log(violation);
    if (performance.now() - toldMs < PROGRESS_MS) continue;
    toldMs = performance.now();
    tell(part, counters, startMs);
  }
  tell(part, counters, startMs);
  return { counters, violations };
}

function tell(part: number, counters: Counters, startMs: number): void {
  const rate = Math.round((1_000 * counters.states) / (performance.now() - startMs));
  const texts = Object.entries(counters).map(([name, count]) => `${name} ${count}`);
  console.log(`S1, part ${part}: ${texts.join(', ')}; ${rate} states/s`);
}
