/** The same seed makes the same ops, the same images and the same answers; another seed makes others. */
import { expect, test } from 'vitest';
import { ignoreCrashErrors } from './crash_errors.ts';
import { explore } from './explore.ts';

ignoreCrashErrors();

const small = { lives: 2, steps: 20, imagesMax: 2, nestedChance: 0.01 };

test('a seed is a whole history', async () => {
  const first = await explore({ seed: 11, ...small });
  expect(first.counters.states).toBeGreaterThan(100);
  expect(await explore({ seed: 11, ...small })).toEqual(first);
  expect((await explore({ seed: 12, ...small })).digest).not.toBe(first.digest);
});
