/** The tree as its users see it: reads over memtables and files, snapshots, loaded keys, flushes. */

import { describe, expect, test } from 'vitest';
import { Peeked } from '../../../core/lsm.ts';
import { VALUE_SIZE_MAX } from '../../../server/tree/api.ts';
import { SimFs, simEnv } from '../../support/sim_env.ts';
import {
  bytesOf,
  DIRECTORY,
  entriesOf,
  everything,
  fill,
  flush,
  nameOf,
  openSmall,
  putAll,
  textOf,
  textOrNull,
  valuesOf,
} from './support.ts';

describe('reads', () => {
  test('see the newest version, wherever it lies', async () => {
    const tree = await openSmall(simEnv());
    putAll(tree, 1, { a: 'file', b: 'file', c: 'file', d: 'file' });
    await flush(tree);
    putAll(tree, 2, { b: 'newer file', c: null });
    await flush(tree);
    putAll(tree, 3, { c: 'frozen', e: 'frozen' });
    tree.rotate();
    putAll(tree, 4, { d: null, e: 'active' });
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
    const keys = [nameOf(7), nameOf(2_999), nameOf(1_500), 'nowhere'].map(bytesOf);
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
    putAll(tree, 2, { [nameOf(1)]: 'before' });
    const early = valuesOf(tree, [nameOf(1), nameOf(2), nameOf(3)]);
    putAll(tree, 3, { [nameOf(1)]: 'after', [nameOf(2)]: null });
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
    tree.putRows({ prefix, ids, puts: [{ rows: 4, batch: 300, ordinal: 2, lsn: 1 }] });
    const keyOf = (id: number) => {
      const key = Buffer.alloc(13);
      key.set(prefix);
      key.writeBigUInt64BE(BigInt(id), 5);
      return key;
    };
    const byKey = await tree.get([...ids].map(keyOf));
    expect(byKey.map((value) => Buffer.from(value!).toString('hex'))).toEqual(['ac0202', 'ac0203', 'ac0204', 'ac0205']);
    const peeked = Buffer.from('ac0202ac0203ac0204ac0205', 'hex');
    expect(tree.peekRows({ prefix, ids })).toEqual({
      sizes: Uint32Array.of(3, 3, 3, 3),
      bytes: new Uint8Array(peeked),
    });
    tree.rotate();
    expect(new Uint8Array(tree.peekRows({ prefix, ids }).bytes)).toEqual(new Uint8Array(peeked));
    await tree.flush({});
    expect(tree.peekRows({ prefix, ids }).sizes).toEqual(new Uint32Array(4).fill(Peeked.unknown));
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
    const all = Array.from({ length: 8_000 }, (_, i) => `${nameOf(i)}=value ${i}`);
    expect(await entriesOf(tree)).toEqual(all);
    expect(await entriesOf(tree, { reverse: true })).toEqual(all.toReversed());
    expect(await entriesOf(tree, { start: nameOf(3_000), end: nameOf(5_000) })).toEqual(all.slice(3_000, 5_000));
    for await (const batch of tree.scan(everything)) {
      expect(batch.length).toBeGreaterThan(0);
      break;
    }
    await tree.close();
  });

  test('come in batches of bounded size, with turns of the event loop in between', async () => {
    const tree = await openSmall(simEnv(), { cacheSize: 8 << 20 });
    // Blocks with fewer entries than a step takes: a batch must not go on from block to block.
    const value = new Uint8Array(60);
    for (let i = 0; i < 30_000; i++) tree.put(bytesOf(nameOf(i)), value.fill(i), 1);
    await flush(tree);
    await entriesOf(tree);
    let turns = 0;
    let isOver = false;
    const turn = (): void => {
      turns++;
      if (!isOver) setImmediate(turn);
    };
    turn();
    const sizes: number[] = [];
    for await (const batch of tree.scan(everything)) sizes.push(batch.length);
    isOver = true;
    expect(sizes.reduce((a, b) => a + b)).toBe(30_000);
    expect(sizes[0]).toBeLessThan(3_000);
    expect(Math.max(...sizes)).toBeLessThan(12_000);
    expect(turns).toBeGreaterThan(sizes.length / 2);
    await tree.close();
  });

  test('show one LSN from the turn of the call to the end, whatever is written, flushed and compacted', async () => {
    const tree = await openSmall(simEnv());
    await fill(tree, 1, { count: 20_000 });
    const seen: string[] = [];
    const scan = tree.scan(everything);
    let lsn = 2;
    for await (const batch of scan) {
      for (const { key, value } of batch) seen.push(`${textOf(key)}=${textOf(value)}`);
      for (let i = 0; i < 20_000; i += 9) putAll(tree, lsn, { [nameOf(i)]: lsn % 2 === 0 ? null : `later ${lsn}` });
      await flush(tree);
      await tree.compacted();
      lsn++;
    }
    expect(lsn).toBeGreaterThan(4);
    expect(seen).toEqual(Array.from({ length: 20_000 }, (_, i) => `${nameOf(i)}=value ${i}`));
    await tree.close();
  });
});

describe('snapshots', () => {
  test('keep what they see through memtables, flushes and compactions, and let go of it afterwards', async () => {
    const tree = await openSmall(simEnv());
    const snapshots = [1, 2, 3].map((lsn) => {
      putAll(tree, lsn, lsn === 2 ? { a: null, b: 'b2' } : { a: `a${lsn}`, b: `b${lsn}` });
      return tree.snapshot(lsn);
    });
    putAll(tree, 4, { a: 'a4', b: null });
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
    putAll(tree, 3, { a: 'a3', b: null });
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
    putAll(tree, 4, { c: 'c4' });
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
    const loading = tree.load([bytesOf(nameOf(1))]);
    putAll(tree, 2, { [nameOf(1)]: 'newer' });
    await flush(tree);
    letGo();
    await loading;
    expect(textOf(tree.peek(bytesOf(nameOf(1)))!)).toBe('newer');
    await tree.close();
  });

  test('do not hide what is written into the frozen memtable', async () => {
    const fs = new SimFs();
    const tree = await openSmall(simEnv(fs));
    await fill(tree, 1);
    tree.rotate();
    await tree.load([bytesOf(nameOf(1))]);
    tree.putFrozen(bytesOf(nameOf(1)), bytesOf('of the rotation'), 2);
    expect(await valuesOf(tree, [nameOf(1)])).toEqual(['of the rotation']);
    await tree.flush({});
    expect(await valuesOf(tree, [nameOf(1)])).toEqual(['of the rotation']);
    await tree.close();
  });
});

describe('a flush', () => {
  test('lasts with its checkpoint; what came later does not', async () => {
    const fs = new SimFs();
    let tree = await openSmall(simEnv(fs));
    expect(tree.checkpoint).toBeNull();
    putAll(tree, 1, { a: 'a1' });
    tree.rotate();
    putAll(tree, 2, { b: 'b2' });
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
    putAll(tree, 3, { a: null });
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
    putAll(tree, 2, { a: 'a2' });
    tree.rotate();
    for (const path of [/\.sst$/, /manifest/]) {
      fs.faults = [{ action: 'write', path, code: 'ENOSPC', times: 1, partial: 10 }];
      await expect(tree.flush({ lsn: 2 })).rejects.toMatchObject({ code: 'ENOSPC' });
      expect(files().replace(`${DIRECTORY}/manifest.new,`, '').replace(`,${DIRECTORY}/manifest.new`, '')).toBe(before);
      expect(tree.checkpoint).toEqual({ lsn: 1 });
      expect(await valuesOf(tree, ['a'])).toEqual(['a2']);
    }
    await tree.flush({ lsn: 2 });
    expect(await valuesOf(tree, ['a', nameOf(5)])).toEqual(['a2', 'value 5']);
    await tree.close();
    expect(await valuesOf(await openSmall(simEnv(fs)), ['a', nameOf(5)])).toEqual(['a2', 'value 5']);
  });

  test.each([/\.sst$/, /manifest/])('ends the process when a sync of %s fails', async (path) => {
    const env = simEnv();
    const tree = await openSmall(env);
    putAll(tree, 1, { a: 'a1' });
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
      for (let i = 0; i < 300; i++) tree.put(bytesOf(nameOf(i)), bytesOf(`value ${lsn}`), lsn);
      tree.rotate();
      const flushing = tree.flush({ lsn });
      let isOver = false;
      void flushing.finally(() => (isOver = true));
      while (!isOver && !tree.stats.stalled) await new Promise(setImmediate);
      if (isOver) continue;
      env.failpoints.release('tree.compaction.begin');
      await flushing;
      break;
    }
    expect(lsn).toBeGreaterThan(8);
    await tree.compacted();
    expect(tree.stats.runs).toBeLessThanOrEqual(4);
    expect(await valuesOf(tree, [nameOf(0)])).toEqual([`value ${lsn}`]);
    await tree.close();
  });
});
