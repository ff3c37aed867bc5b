/** The block cache, the files behind it and the throttle of background work: what is bounded stays bounded. */

import { describe, expect, test } from 'vitest';
import { SLOT_SIZE } from '../../../core/lsm.ts';
import type { Tree } from '../../../server/tree/api.ts';
import { OpenFiles } from '../../../server/tree/open_files.ts';
import { Throttle } from '../../../server/tree/throttle.ts';
import { ReadBuffers } from '../../../server/tree/read_buffers.ts';
import { settle, SimFs, simEnv } from '../../support/sim_env.ts';
import { bytesOf, entriesOf, openSmall, textOf } from './support.ts';

const name = (i: number) => `k${String(i).padStart(5, '0')}`;
const COUNT = 40_000;

/** About 20 blocks of data. */
async function filled(cacheSize: number): Promise<{ tree: Tree; fs: SimFs }> {
  const fs = new SimFs();
  let tree = await openSmall(simEnv(fs));
  for (let i = 0; i < COUNT; i++) tree.put(bytesOf(name(i)), bytesOf(`value ${i}`), 1);
  tree.rotate();
  await tree.flush({});
  await tree.compacted();
  await tree.close();
  tree = await openSmall(simEnv(fs), { cacheSize });
  return { tree, fs };
}

describe('the cache', () => {
  test('counts what it had and what it had to read, by kind', async () => {
    const { tree } = await filled(4 << 20);
    await tree.get([bytesOf(name(5))]);
    const first = structuredClone(tree.stats.cache);
    expect([first.data.misses, first.index.misses, first.filter.misses]).toEqual([1, 1, 1]);
    await tree.get([bytesOf(name(6)), bytesOf(name(7))]);
    const second = tree.stats.cache;
    expect([second.data.misses, second.index.misses, second.filter.misses]).toEqual([1, 1, 1]);
    expect(second.data.hits).toBe(first.data.hits + 1);
    await tree.close();
  });

  test('keeps each kind within its budget, and a scan from pushing out indexes and filters', async () => {
    const cacheSize = 320 << 10;
    const { tree } = await filled(cacheSize);
    for (let i = 0; i < COUNT; i += 100) await tree.get([bytesOf(name(i))]);
    const before = structuredClone(tree.stats.cache);
    expect(await entriesOf(tree)).toHaveLength(COUNT);
    const after = tree.stats.cache;
    expect(after.filter.misses).toBe(before.filter.misses);
    expect(after.data.size).toBeLessThanOrEqual((cacheSize * 11) / 16);
    expect(after.filter.size + after.index.size).toBeLessThanOrEqual(9 * SLOT_SIZE);
    await tree.close();
  });

  test('lends slots beyond its budget while all are pinned, and takes them back', async () => {
    const { tree } = await filled(1 << 10);
    const keys = Array.from({ length: COUNT / 10 }, (_, i) => bytesOf(name(i * 10)));
    const batches = Array.from({ length: 20 }, async () => tree.get(keys));
    for (const values of await Promise.all(batches)) expect(textOf(values[399]!)).toBe('value 3990');
    const { data, index, filter } = tree.stats.cache;
    expect(data.size + index.size + filter.size).toBeLessThanOrEqual(12 * SLOT_SIZE);
    await tree.close();
  });

  test('reads a block once for all who miss it together', async () => {
    const { tree, fs } = await filled(4 << 20);
    let reads = 0;
    fs.gate = (action) => {
      if (action === 'read') reads++;
      return Promise.resolve();
    };
    await Promise.all(Array.from({ length: 10 }, async () => tree.get([bytesOf(name(5))])));
    expect(reads).toBe(3);
    await tree.close();
  });

  test.each([false, true])('reads ahead of a scan, reverse: %s, in ever larger pieces', async (reverse) => {
    const { tree, fs } = await filled(4 << 20);
    let reads = 0;
    fs.gate = (action) => {
      if (action === 'read') reads++;
      return Promise.resolve();
    };
    expect(await entriesOf(tree, { reverse })).toHaveLength(COUNT);
    const { data, index } = tree.stats.cache;
    expect(data.misses).toBeGreaterThan(20);
    expect(reads - index.misses).toBeLessThan(data.misses * 0.6);
    await tree.close();
  });
});

test('read buffers are used again, one by one', () => {
  const buffers = new ReadBuffers();
  const one = buffers.take(1_000);
  expect(one).toHaveLength(1_000);
  buffers.give(one);
  const two = buffers.take(16_000);
  expect(two.buffer).toBe(one.buffer);
  expect(buffers.take(10).buffer).not.toBe(two.buffer);
  expect(buffers.take(300_000)).toHaveLength(300_000);
});

describe('open files', () => {
  test('are as many as allowed; those in use stay open', async () => {
    const fs = new SimFs();
    for (let i = 0; i < 9; i++) fs.files.set(`/f${i}`, { current: Buffer.from([i]), durable: Buffer.from([i]) });
    const files = new OpenFiles(simEnv(fs), 3);
    const into = Array.from({ length: 9 }, () => Buffer.alloc(1));
    await Promise.all(into.map((bytes, i) => files.read(`/f${i}`, bytes, 0)));
    expect(into.map(([byte]) => byte)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(fs.openPaths.size).toBe(3);
    await files.read('/f0', into[0], 0);
    expect(fs.openPaths.has('/f0')).toBe(true);
    await expect(files.read('/none', into[0], 0)).rejects.toMatchObject({ code: 'ENOENT' });
    await files.closeAll();
    expect(fs.openPaths.size).toBe(0);
  });
});

describe('background work', () => {
  const options = (env: ReturnType<typeof simEnv>) => ({ env, point: 'tree.compaction.step', rate: 1_000 }) as const;

  /** Looks until the slice is over. */
  function untilWait(throttle: Throttle, size: number): Promise<void> {
    for (;;) {
      const wait = throttle.step(size);
      if (wait !== null) return wait;
    }
  }

  test('keeps to its rate', async () => {
    const env = simEnv();
    const throttle = new Throttle({ ...options(env), isReadWaiting: () => false });
    let isOver = false;
    void untilWait(throttle, 5_000).then(() => (isOver = true));
    await env.clock.advance(4_900);
    expect(isOver).toBe(false);
    await env.clock.advance(200);
    expect(isOver).toBe(true);
  });

  test('hurries when it is urgent', async () => {
    const throttle = new Throttle({ ...options(simEnv()), isUrgent: () => true, isReadWaiting: () => true });
    await untilWait(throttle, 1e9);
  });

  test('gives way to waiting reads, and not for ever', async () => {
    let looks = 0;
    const isReadWaiting = () => ++looks > 0;
    await untilWait(new Throttle({ ...options(simEnv()), rate: Infinity, isReadWaiting }), 0);
    expect(looks).toBeGreaterThan(4);
  });

  test('ends when it is told to', async () => {
    const check = () => {
      throw new Error('enough');
    };
    const throttle = new Throttle({ ...options(simEnv()), rate: Infinity, isReadWaiting: () => false, check });
    await expect(untilWait(throttle, 0)).rejects.toThrow('enough');
    await settle();
  });
});
