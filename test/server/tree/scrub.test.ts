/** A scrub reads every file of the tree and names those that the disk changed, whatever lies in the cache. */
import { expect, test } from 'vitest';
import { simEnv, SimFs } from '../../support/sim_env.ts';
import { fill, openSmall } from './support.ts';

const always = (): Promise<boolean> => Promise.resolve(true);

test('every flipped byte is found in one pass, and nothing else', async () => {
  const fs = new SimFs();
  const tree = await openSmall(simEnv(fs));
  await fill(tree, 1);
  await tree.compacted();
  const damaged: string[] = [];
  await tree.scrub(always, (file) => damaged.push(file));
  expect(damaged).toEqual([]);
  const paths = [...fs.files.keys()].filter((path) => path.endsWith('.sst'));
  for (const path of paths) {
    const { current } = fs.files.get(path)!;
    for (const at of [0, Math.floor(current.length / 2), current.length - 1]) {
      current[at] ^= 1;
      const found: string[] = [];
      await tree.scrub(always, (file) => found.push(file));
      current[at] ^= 1;
      expect(found).toEqual([path.split('/').at(-1)]);
    }
  }
  await tree.close();
});

test('a file that cannot be read counts as damaged, and whoever says no ends the pass', async () => {
  const fs = new SimFs();
  const tree = await openSmall(simEnv(fs));
  await fill(tree, 1);
  await tree.compacted();
  const found: string[] = [];
  fs.faults.push({ action: 'read', path: /sst$/, code: 'EIO', times: 1 });
  await tree.scrub(always, (file) => found.push(file));
  expect(found).toHaveLength(1);
  let asked = 0;
  await tree.scrub(
    () => Promise.resolve(++asked < 1),
    (file) => found.push(file),
  );
  expect([asked, found.length]).toEqual([1, 1]);
  await tree.close();
});
