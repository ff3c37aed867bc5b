/** How space comes back: dropped ranges, deletions, moved files, compression. */

import { describe, expect, test } from 'vitest';
import { SimFs, simEnv } from '../../support/sim_env.ts';
import { bytesOf, DIRECTORY, entriesOf, fill, flush, nameOf, openSmall } from './support.ts';

describe('dropped ranges', () => {
  const range = { start: bytesOf('k01'), end: bytesOf('k02') };

  test('are gone from scans at once, and from the disk after a flush and compaction', async () => {
    const tree = await openSmall(simEnv());
    await fill(tree, 1, { count: 12_000 });
    await tree.compacted();
    const size = () => tree.stats.levels.reduce((sum, level) => sum + level.size, 0);
    const before = size();
    tree.dropRange({ start: bytesOf('k01'), end: bytesOf('k10') });
    expect(await entriesOf(tree)).toHaveLength(3_000);
    expect(await entriesOf(tree, { start: nameOf(1_500), end: nameOf(10_001), reverse: true })).toEqual([
      `${nameOf(10_000)}=value 10000`,
    ]);
    await flush(tree, { lsn: 2 });
    await tree.compacted();
    expect(size()).toBeLessThan(before * 0.8);
    for (let lsn = 3; lsn < 9; lsn++) await fill(tree, lsn, { from: 10_000, count: 2_000 });
    await tree.compacted();
    expect(await entriesOf(tree)).toHaveLength(3_000);
    await tree.close();
  });

  test('last with the flush of the memtable during which they were dropped, no earlier', async () => {
    const fs = new SimFs();
    let tree = await openSmall(simEnv(fs));
    await fill(tree, 1, { count: 3_000 });
    tree.rotate();
    tree.dropRange(range);
    await tree.flush({ lsn: 2 });
    await tree.compacted();
    await tree.close();
    tree = await openSmall(simEnv(fs));
    expect(await entriesOf(tree)).toHaveLength(3_000);
    tree.dropRange(range);
    await flush(tree, { lsn: 3 });
    await tree.close();
    tree = await openSmall(simEnv(fs));
    expect(await entriesOf(tree)).toHaveLength(2_000);
    await tree.close();
  });

  test('that are many make files be written anew, until none is left of them', async () => {
    const fs = new SimFs();
    const tree = await openSmall(simEnv(fs));
    await fill(tree, 1, { count: 4_000 });
    for (let i = 0; i < 40; i++) tree.dropRange({ start: bytesOf(nameOf(i * 90)), end: bytesOf(nameOf(i * 90 + 45)) });
    await flush(tree, { lsn: 2 });
    await tree.compacted();
    const kept = Array.from({ length: 4_000 }, (_, i) => i).filter((i) => i >= 3_600 || i % 90 >= 45);
    expect(await entriesOf(tree)).toEqual(kept.map((i) => `${nameOf(i)}=value ${i}`));
    const manifest = fs.files.get(`${DIRECTORY}/manifest`)!.current.toString();
    expect(
      (JSON.parse(manifest.slice(0, manifest.lastIndexOf('xxh64'))) as { dropped: [] }).dropped.length,
    ).toBeLessThan(33);
    await tree.close();
  });
});

describe('space', () => {
  test('of deleted and overwritten entries comes back', async () => {
    const fs = new SimFs();
    const tree = await openSmall(simEnv(fs));
    for (let lsn = 1; lsn <= 12; lsn++) await fill(tree, lsn, { count: 2_000 });
    for (let i = 0; i < 2_000; i++) tree.delete(bytesOf(nameOf(i)), 13);
    await flush(tree);
    for (let lsn = 14; lsn < 18; lsn++) {
      for (let i = 0; i < 2_000; i++) tree.delete(bytesOf(nameOf(i)), lsn);
      await flush(tree);
      await tree.compacted();
    }
    expect(await entriesOf(tree)).toEqual([]);
    const size = tree.stats.levels.reduce((sum, level) => sum + level.size, 0);
    expect(size).toBeLessThan(40 << 10);
    const onDisk = [...fs.files.keys()].filter((path) => path.endsWith('.sst'));
    expect(onDisk).toHaveLength(tree.stats.levels.reduce((sum, { files }) => sum + files, 0));
    await tree.close();
    expect(fs.openPaths.size).toBe(0);
  });

  test('of sorted entries is written once: their files are moved, not merged', async () => {
    const tree = await openSmall(simEnv());
    for (let round = 0; round < 20; round++) await fill(tree, round + 1, { from: round * 3_000 });
    await tree.compacted();
    expect(tree.stats.levels.length).toBeGreaterThan(1);
    expect(tree.stats.compactedSize).toBeLessThan(tree.stats.flushedSize / 2);
    await tree.close();
  });

  test('of compressed files is less, and they read the same', async () => {
    const sizes: number[] = [];
    for (const compressed of [false, true]) {
      const fs = new SimFs();
      let tree = await openSmall(simEnv(fs), { compressed });
      await fill(tree, 1, { count: 6_000 });
      await fill(tree, 2, { count: 3_000, step: 2 });
      await tree.compacted();
      await tree.close();
      // A tree of one kind reads files of the other.
      tree = await openSmall(simEnv(fs), { compressed: !compressed });
      expect(await entriesOf(tree)).toEqual(Array.from({ length: 6_000 }, (_, i) => `${nameOf(i)}=value ${i}`));
      sizes.push(tree.stats.levels.reduce((sum, level) => sum + level.size, 0));
      await tree.close();
    }
    expect(sizes[1]).toBeLessThan(sizes[0]);
  });
});
