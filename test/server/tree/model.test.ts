/** Random histories of a tree against a plain map of versions; `TQ_LONG=1` runs more of them. */

import { expect, test } from 'vitest';
import { isLong, TIMEOUT_MS } from '../../support/runs.ts';
import { SimFs } from '../../support/sim_env.ts';
import { History, type Shape } from './history.ts';

const SEEDS = isLong ? 2_000 : 28;
const STEPS = 400;

/** Sizes that bring out different parts: many runs, deep levels, long files, a cache of a few blocks, zstd. */
const shapes: readonly Shape[] = [
  {},
  { level0Size: 8 << 10, fileSize: 8 << 10 },
  { level0Size: 4 << 10, level0RunsMax: 2, fileSize: 1 << 10, cacheSize: 1 << 10 },
  { level0Size: 256 << 10, level0RunsMax: 6, cacheSize: 64 << 10 },
  { level0Size: 8 << 10, fileSize: 4 << 10, compressed: true },
  { valueSize: 2_500, level0Size: 60 << 10, level0RunsMax: 3, fileSize: 16 << 10, pieceFilesMax: 2 },
  { valueSize: 1_500, level0Size: 30 << 10, level0RunsMax: 5, fileSize: 8 << 10, pieceFilesMax: 1 },
  { valueSize: 4_000, level0Size: 20 << 10, level0RunsMax: 6, fileSize: 16 << 10, cacheSize: 1 << 20 },
];

test.each(shapes.map((shape, i) => [JSON.stringify(shape), i] as const))(
  '%s',
  async (_, shape) => {
    for (let seed = shape; seed < SEEDS; seed += shapes.length) {
      const history = new History(new SimFs(), seed, shapes[shape]);
      await history.open();
      try {
        await history.run(STEPS);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  },
  TIMEOUT_MS,
);

test('the same seed leaves the same bytes', async () => {
  const bytesAfter = async () => {
    const fs = new SimFs();
    const history = new History(fs, 3);
    await history.open();
    await history.run(150);
    return [...fs.files].map(([path, { current }]) => `${path} ${current.toString('base64')}`).sort();
  };
  expect(await bytesAfter()).toEqual(await bytesAfter());
});
