import { expect, test } from 'vitest';
import { ignoreCrashErrors } from './crash_errors.ts';
import { explore } from './explore.ts';
ignoreCrashErrors();
test('S1', async () => {
  const first = Number(process.env.SEED ?? 1);
  const t0 = performance.now();
  for (let seed = first; seed < first + Number(process.env.RUNS ?? 5); seed++) {
    const { counters, violations } = await explore({ seed, stopsAtFirst: process.env.STOP === '1' });
    console.log(
      seed,
      JSON.stringify(counters),
      violations.slice(0, 4).join('\n'),
      ((performance.now() - t0) / 1000).toFixed(1),
    );
  }
}, 600_000);
