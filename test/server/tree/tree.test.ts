/** The tree as its users see it: reads over memtables and files, snapshots, flushes, dropped ranges, damage. */

import { describe, expect, test } from 'vitest';
import { RecoveryError } from '../../../server/errors.ts';
import { VALUE_SIZE_MAX, type Tree } from '../../../server/tree/api.ts';
import { SimFs, simEnv } from '../../support/sim_env.ts';
import { bytesOf, DIRECTORY, entriesOf, everything, openSmall, textOf, textOrNull } from './support.ts';

const name = (i: number) => `k${String(i).padStart(5, '0')}`;

function put(tree: Tree, lsn: number, values: Record<string, string | null>): void {
  for (const [key, value] of Object.entries(values)) {
    if (value === null) tree.delete(bytesOf(key), lsn);
    else tree.put(bytesOf(key), bytesOf(value), lsn);
  }
}

async function flush(tree: Tree, checkpoint: Record<string, unknown> = {}): Promise<void> {
  tree.rotate();
  await tree.flush(checkpoint);
}

/** Entries of many blocks, flushed. */
async function fill(tree: Tree, lsn: number, { from = 0, count = 3_000, step = 1 } = {}): Promise<void> {
  for (let i = 0; i < count; i++) tree.put(bytesOf(name(from + i * step)), bytesOf(`value ${from + i * step}`), lsn);
  await flush(tree, { lsn });
}

async function valuesOf(tree: Tree, keys: readonly string[], lsn?: number): Promise<(string | null)[]> {
  return (await tree.get(keys.map(bytesOf), lsn)).map(textOrNull);
}

describe('reads', () => {
  test('see the newest version, wherever it lies', async () => {
    const tree = await openSmall(simEnv());
    put(tree, 1, { a: 'file', b: 'file', c: 'file', d: 'file' });
    await flush(tree);
    put(tree, 2, { b: 'newer file', c: null });
    await flush(tree);
    put(tree, 3, { c: 'frozen', e: 'frozen' });
    tree.rotate();
    put(tree, 4, { d: null, e: 'active' });
    expect(await valuesOf(tree, ['e', 'a', 'b', 'c', 'd', 'f'])).toEqual([
      'active',
      'file',
      'newer file',
      'frozen',
      null,
      null,
    ]);
    expect(await entriesOf(tree)).toEqual(['a=file', 'b=newer file', 'c=frozen', 'e=active']);
    expect(await entriesOf(tree, { reverse: true, start: 'b', end: 'd' })).toEqual(['c=frozen', 'b=newer file']);
    await tree.close();
  });

  test('answer within the turn when memory and cache have all, and wait for blocks that are missing', async () => {
    const fs = new SimFs();
    let tree = await openSmall(simEnv(fs));
    await fill(tree, 1);
    await tree.close();
    tree = await openSmall(simEnv(fs));
    const keys = [name(7), name(2_999), name(1_500), 'nowhere'].map(bytesOf);
    expect(tree.get(keys)).toBeInstanceOf(Promise);
    await tree.get(keys);
    const values = tree.get(keys);
    expect(values).not.toBeInstanceOf(Promise);
    expect((await values).map(textOrNull)).toEqual(['value 7', 'value 2999', 'value 1500', null]);
    expect(tree.get([])).toEqual([]);
    await tree.close();
  });

  test('that wait see the state of the turn of the call', async () => {
    const fs = new SimFs();
    let tree = await openSmall(simEnv(fs));
    await fill(tree, 1);
    await tree.close();
    tree = await openSmall(simEnv(fs));
    put(tree, 2, { [name(1)]: 'before' });
    const early = valuesOf(tree, [name(1), name(2), name(3)]);
    put(tree, 3, { [name(1)]: 'after', [name(2)]: null });
    await flush(tree);
    await fill(tree, 4);
    await tree.compacted();
    expect(await early).toEqual(['before', 'value 2', 'value 3']);
    await tree.close();
  });

  test('of rows are those of their keys', async () => {
    const tree = await openSmall(simEnv());
    const prefix = Uint8Array.of(1, 0, 0, 0, 7);
    const ids = Float64Array.from([5, 2 ** 40, 0, 2 ** 53 - 1]);
    tree.putRows({ prefix, ids, batch: 300, ordinal: 2 }, 1);
    const keyOf = (id: number) => {
      const key = Buffer.alloc(13);
      key.set(prefix);
      key.writeBigUInt64BE(BigInt(id), 5);
      return key;
    };
    const byKey = await tree.get([...ids].map(keyOf));
    expect(byKey.map((value) => Buffer.from(value!).toString('hex'))).toEqual(['ac0202', 'ac0203', 'ac0204', 'ac0205']);
    await flush(tree);
    expect(await tree.getRows({ prefix, ids: Float64Array.from([...ids, 6]) })).toEqual([...byKey, null]);
    await tree.close();
  });

  test('of many keys are cut into parts', async () => {
    const tree = await openSmall(simEnv());
    const keys = Array.from({ length: 70_000 }, (_, i) => bytesOf(String(i)));
    tree.putMany(keys, keys, 1);
    await flush(tree);
    const values = await tree.get(keys);
    expect(values).toHaveLength(70_000);
    expect(values.every((value, i) => textOf(value!) === String(i))).toBe(true);
    await tree.close();
  });

  test('take keys and values up to their bounds', async () => {
    const tree = await openSmall(simEnv());
    const keys = [new Uint8Array(0), new Uint8Array(255).fill(254), new Uint8Array(255).fill(1)];
    const values = [new Uint8Array(0), new Uint8Array(VALUE_SIZE_MAX).fill(9), Uint8Array.of(1)];
    for (let round = 0; round < 3; round++) {
      for (const [i, key] of keys.entries()) tree.put(key, values[(i + round) % 3], round + 1);
      await flush(tree);
    }
    expect(await tree.get(keys)).toEqual(keys.map((_, i) => values[(i + 2) % 3]));
    expect(await entriesOf(tree)).toHaveLength(3);
    expect(await entriesOf(tree, { reverse: true })).toHaveLength(3);
    expect(() => tree.put(new Uint8Array(256), values[0], 9)).toThrow(RangeError);
    expect(() => tree.put(keys[0], new Uint8Array(VALUE_SIZE_MAX + 1), 9)).toThrow(RangeError);
    await tree.close();
  });
});

describe('scans', () => {
  test('cross files and levels in both directions, and may end early', async () => {
    const tree = await openSmall(simEnv());
    await fill(tree, 1, { count: 4_000, step: 2 });
    await fill(tree, 2, { from: 1, count: 4_000, step: 2 });
    await tree.compacted();
    const all = Array.from({ length: 8_000 }, (_, i) => `${name(i)}=value ${i}`);
    expect(await entriesOf(tree)).toEqual(all);
    expect(await entriesOf(tree, { reverse: true })).toEqual(all.toReversed());
    expect(await entriesOf(tree, { start: name(3_000), end: name(5_000) })).toEqual(all.slice(3_000, 5_000));
    for await (const batch of tree.scan(everything)) {
      expect(batch.length).toBeGreaterThan(0);
      break;
    }
    await tree.close();
  });

  test('show one LSN from the turn of the call to the end, whatever is written, flushed and compacted', async () => {
    const tree = await openSmall(simEnv());
    await fill(tree, 1, { count: 5_000 });
    const seen: string[] = [];
    const scan = tree.scan(everything);
    let lsn = 2;
    for await (const batch of scan) {
      for (const { key, value } of batch) seen.push(`${textOf(key)}=${textOf(value)}`);
      for (let i = 0; i < 5_000; i += 3) put(tree, lsn, { [name(i)]: lsn % 2 === 0 ? null : `later ${lsn}` });
      await flush(tree);
      await tree.compacted();
      lsn++;
    }
    expect(lsn).toBeGreaterThan(5);
    expect(seen).toEqual(Array.from({ length: 5_000 }, (_, i) => `${name(i)}=value ${i}`));
    await tree.close();
  });
});

describe('snapshots', () => {
  test('keep what they see through memtables, flushes and compactions, and let go of it afterwards', async () => {
    const tree = await openSmall(simEnv());
    const snapshots = [1, 2, 3].map((lsn) => {
      put(tree, lsn, lsn === 2 ? { a: null, b: 'b2' } : { a: `a${lsn}`, b: `b${lsn}` });
      return tree.snapshot(lsn);
    });
    put(tree, 4, { a: 'a4', b: null });
    const check = async () => {
      expect(await valuesOf(tree, ['a', 'b'], 1)).toEqual(['a1', 'b1']);
      expect(await valuesOf(tree, ['a', 'b'], 2)).toEqual([null, 'b2']);
      expect(await entriesOf(tree, { lsn: 2 })).toEqual(['b=b2']);
      expect(await entriesOf(tree, { lsn: 3 })).toEqual(['a=a3', 'b=b3']);
      expect(await valuesOf(tree, ['a', 'b'])).toEqual(['a4', null]);
    };
    await check();
    for (let lsn = 5; lsn < 12; lsn++) {
      await fill(tree, lsn);
      await tree.compacted();
      await check();
    }
    for (const snapshot of snapshots) snapshot.release();
    snapshots[0].release();
    for (let lsn = 12; lsn < 20; lsn++) await fill(tree, lsn);
    await tree.compacted();
    expect(await valuesOf(tree, ['a', 'b'])).toEqual(['a4', null]);
    await tree.close();
  });
});

describe('loaded keys', () => {
  test('can be peeked at, keep their LSN, and do not hide what comes later', async () => {
    const fs = new SimFs();
    let tree = await openSmall(simEnv(fs));
    put(tree, 3, { a: 'a3', b: null });
    await flush(tree);
    await tree.close();
    tree = await openSmall(simEnv(fs));
    expect(tree.inMemory(bytesOf('a'))).toBe(false);
    expect(tree.peek(bytesOf('a'))).toBeUndefined();
    await tree.load(['a', 'b', 'c'].map(bytesOf));
    expect(textOf(tree.peek(bytesOf('a'))!)).toBe('a3');
    expect(tree.peek(bytesOf('b'))).toBeNull();
    expect(tree.peek(bytesOf('c'))).toBeNull();
    expect(await valuesOf(tree, ['a'], 2)).toEqual([null]);
    expect(await valuesOf(tree, ['a', 'c'], 3)).toEqual(['a3', null]);
    put(tree, 4, { c: 'c4' });
    await flush(tree);
    expect(await entriesOf(tree)).toEqual(['a=a3', 'c=c4']);
    await tree.close();
  });

  test('are the newest ones, also when a flush takes a newer version away meanwhile', async () => {
    const fs = new SimFs();
    let tree = await openSmall(simEnv(fs));
    await fill(tree, 1);
    await tree.close();
    tree = await openSmall(simEnv(fs));
    let letGo = (): void => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    fs.gate = (action, path) => (action === 'read' && path.endsWith('1.sst') ? held : Promise.resolve());
    const loading = tree.load([bytesOf(name(1))]);
    put(tree, 2, { [name(1)]: 'newer' });
    await flush(tree);
    letGo();
    await loading;
    expect(textOf(tree.peek(bytesOf(name(1)))!)).toBe('newer');
    await tree.close();
  });

  test('do not hide what is written into the frozen memtable', async () => {
    const fs = new SimFs();
    const tree = await openSmall(simEnv(fs));
    await fill(tree, 1);
    tree.rotate();
    await tree.load([bytesOf(name(1))]);
    tree.putFrozen(bytesOf(name(1)), bytesOf('of the rotation'), 2);
    expect(await valuesOf(tree, [name(1)])).toEqual(['of the rotation']);
    await tree.flush({});
    expect(await valuesOf(tree, [name(1)])).toEqual(['of the rotation']);
    await tree.close();
  });
});

describe('a flush', () => {
  test('lasts with its checkpoint; what came later does not', async () => {
    const fs = new SimFs();
    let tree = await openSmall(simEnv(fs));
    expect(tree.checkpoint).toBeNull();
    put(tree, 1, { a: 'a1' });
    tree.rotate();
    put(tree, 2, { b: 'b2' });
    tree.putFrozen(bytesOf('c'), bytesOf('c1'), 1);
    expect([tree.activeSize > 0, tree.frozenSize > 0]).toEqual([true, true]);
    await tree.flush({ lsn: 1, note: 'first' });
    expect(tree.frozenSize).toBe(0);
    expect(tree.checkpoint).toEqual({ lsn: 1, note: 'first' });
    expect(await entriesOf(tree)).toEqual(['a=a1', 'b=b2', 'c=c1']);
    await tree.close();
    tree = await openSmall(simEnv(fs));
    expect(tree.checkpoint).toEqual({ lsn: 1, note: 'first' });
    expect(await entriesOf(tree)).toEqual(['a=a1', 'c=c1']);
    put(tree, 3, { a: null });
    tree.discard();
    expect(await entriesOf(tree)).toEqual(['a=a1', 'c=c1']);
    await flush(tree, { lsn: 4 });
    expect(tree.checkpoint).toEqual({ lsn: 4 });
    await tree.close();
  });

  test('that the disk refuses changes nothing and can be tried again', async () => {
    const fs = new SimFs();
    const tree = await openSmall(simEnv(fs));
    await fill(tree, 1);
    const files = () => [...fs.files.keys()].sort().join();
    const before = files();
    put(tree, 2, { a: 'a2' });
    tree.rotate();
    for (const path of [/\.sst$/, /manifest/]) {
      fs.faults = [{ action: 'write', path, code: 'ENOSPC', times: 1, partial: 10 }];
      await expect(tree.flush({ lsn: 2 })).rejects.toMatchObject({ code: 'ENOSPC' });
      expect(files().replace(`${DIRECTORY}/manifest.new,`, '').replace(`,${DIRECTORY}/manifest.new`, '')).toBe(before);
      expect(tree.checkpoint).toEqual({ lsn: 1 });
      expect(await valuesOf(tree, ['a'])).toEqual(['a2']);
    }
    await tree.flush({ lsn: 2 });
    expect(await valuesOf(tree, ['a', name(5)])).toEqual(['a2', 'value 5']);
    await tree.close();
    expect(await valuesOf(await openSmall(simEnv(fs)), ['a', name(5)])).toEqual(['a2', 'value 5']);
  });

  test.each([/\.sst$/, /manifest/])('ends the process when a sync of %s fails', async (path) => {
    const env = simEnv();
    const tree = await openSmall(env);
    put(tree, 1, { a: 'a1' });
    tree.rotate();
    env.fs.faults = [{ action: 'datasync', path, code: 'EIO', times: 1 }];
    await expect(tree.flush({})).rejects.toThrow();
    expect(env.crashes).toHaveLength(1);
  });

  test('waits while level 0 is too full, until compaction has made room', async () => {
    const env = simEnv({ arm: { 'tree.compaction.begin': { action: 'pause', pass: 1 } } });
    const tree = await openSmall(env);
    let lsn = 1;
    for (; !tree.stats.stalled && lsn < 40; lsn++) {
      for (let i = 0; i < 300; i++) tree.put(bytesOf(name(i)), bytesOf(`value ${lsn}`), lsn);
      tree.rotate();
      const flushing = tree.flush({ lsn });
      await Promise.race([flushing, new Promise((resolve) => setTimeout(resolve, 50))]);
      if (!tree.stats.stalled) continue;
      env.failpoints.release('tree.compaction.begin');
      await flushing;
      break;
    }
    expect(lsn).toBeGreaterThan(8);
    await tree.compacted();
    expect(tree.stats.runs).toBeLessThanOrEqual(4);
    expect(await valuesOf(tree, [name(0)])).toEqual([`value ${lsn}`]);
    await tree.close();
  });
});

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
    expect(await entriesOf(tree, { start: name(1_500), end: name(10_001), reverse: true })).toEqual([
      `${name(10_000)}=value 10000`,
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
    for (let i = 0; i < 40; i++) tree.dropRange({ start: bytesOf(name(i * 90)), end: bytesOf(name(i * 90 + 45)) });
    await flush(tree, { lsn: 2 });
    await tree.compacted();
    const kept = Array.from({ length: 4_000 }, (_, i) => i).filter((i) => i >= 3_600 || i % 90 >= 45);
    expect(await entriesOf(tree)).toEqual(kept.map((i) => `${name(i)}=value ${i}`));
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
    for (let i = 0; i < 2_000; i++) tree.delete(bytesOf(name(i)), 13);
    await flush(tree);
    for (let lsn = 14; lsn < 18; lsn++) {
      for (let i = 0; i < 2_000; i++) tree.delete(bytesOf(name(i)), lsn);
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
      expect(await entriesOf(tree)).toEqual(Array.from({ length: 6_000 }, (_, i) => `${name(i)}=value ${i}`));
      sizes.push(tree.stats.levels.reduce((sum, level) => sum + level.size, 0));
      await tree.close();
    }
    expect(sizes[1]).toBeLessThan(sizes[0]);
  });
});

describe('damage', () => {
  async function filled(): Promise<SimFs> {
    const fs = new SimFs();
    const tree = await openSmall(simEnv(fs));
    await fill(tree, 1, { count: 4_000 });
    await tree.compacted();
    await tree.close();
    return fs;
  }

  const firstSst = (fs: SimFs) => [...fs.files.keys()].filter((path) => path.endsWith('.sst')).sort()[0];

  test('of a block fails the reads that need it, with its place, and no other', async () => {
    const fs = await filled();
    const path = firstSst(fs);
    fs.files.get(path)!.current[100] ^= 1;
    const tree = await openSmall(simEnv(fs));
    const refusal = { code: 'data_corrupt', details: { file: path, offset: 32 } };
    await expect(tree.get([bytesOf(name(3))])).rejects.toMatchObject(refusal);
    await expect(entriesOf(tree)).rejects.toMatchObject(refusal);
    await expect(tree.load([bytesOf(name(3))])).rejects.toMatchObject(refusal);
    expect(await valuesOf(tree, [name(3_999)])).toEqual(['value 3999']);
    expect((await entriesOf(tree, { start: name(3_000) })).length).toBe(1_000);
    await tree.close();
  });

  test('that an EIO hides fails the read only', async () => {
    const fs = await filled();
    const tree = await openSmall(simEnv(fs));
    fs.faults = [{ action: 'read', path: /\.sst$/, code: 'EIO', times: 1 }];
    await expect(tree.get([bytesOf(name(3))])).rejects.toMatchObject({ code: 'data_corrupt' });
    expect(await valuesOf(tree, [name(3)])).toEqual(['value 3']);
    await tree.close();
  });

  test('stops compaction of its level and neither reads nor flushes', async () => {
    const fs = await filled();
    fs.files.get(firstSst(fs))!.current[100] ^= 1;
    const tree = await openSmall(simEnv(fs));
    for (let lsn = 2; lsn < 30; lsn++) await fill(tree, lsn, { count: 400, step: 10 });
    await tree.compacted();
    expect(await valuesOf(tree, [name(3_990), name(3_999)])).toEqual(['value 3990', 'value 3999']);
    await tree.close();
  });

  test.each([
    ['a file is missing', (fs: SimFs) => void fs.files.delete(firstSst(fs))],
    ['a file is too short', (fs: SimFs) => cut(fs, firstSst(fs), 20)],
    ['a footer is damaged', (fs: SimFs) => flip(fs, firstSst(fs), -10)],
    ['a block table is damaged', (fs: SimFs) => flip(fs, firstSst(fs), -85)],
    ['the manifest is missing', (fs: SimFs) => void fs.files.delete(`${DIRECTORY}/manifest`)],
    ['the manifest is empty', (fs: SimFs) => cut(fs, `${DIRECTORY}/manifest`, 1e6)],
    ['the manifest is cut', (fs: SimFs) => cut(fs, `${DIRECTORY}/manifest`, 5)],
    ['the manifest is damaged', (fs: SimFs) => flip(fs, `${DIRECTORY}/manifest`, 30)],
  ])('is refused at the start when %s', async (_, harm) => {
    const fs = await filled();
    harm(fs);
    await expect(openSmall(simEnv(fs))).rejects.toThrow(RecoveryError);
  });

  function cut(fs: SimFs, path: string, count: number): void {
    const file = fs.files.get(path)!;
    file.current = Buffer.from(file.current.subarray(0, Math.max(0, file.current.length - count)));
  }

  function flip(fs: SimFs, path: string, at: number): void {
    const { current } = fs.files.get(path)!;
    current[at < 0 ? current.length + at : at] ^= 4;
  }
});

test('what a crash left behind goes at the start; what nobody knows stays', async () => {
  const fs = new SimFs();
  let tree = await openSmall(simEnv(fs));
  await fill(tree, 1);
  await tree.close();
  const names = [...fs.files.keys()].sort();
  const scrap = { current: Buffer.from('scrap'), durable: Buffer.from('scrap') };
  for (const name of ['0000000099.sst', 'manifest.new', 'notes']) fs.files.set(`${DIRECTORY}/${name}`, { ...scrap });
  tree = await openSmall(simEnv(fs));
  expect([...fs.files.keys()].sort()).toEqual([...names, `${DIRECTORY}/notes`].sort());
  await fill(tree, 2);
  await tree.compacted();
  expect([...fs.files.keys()].filter((path) => path.endsWith('99.sst'))).toEqual([]);
  await tree.close();
});
