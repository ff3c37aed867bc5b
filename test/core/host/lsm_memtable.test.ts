/** Memtables against a sorted list: puts in any order of keys and LSNs, with and without snapshots. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import {
  createLsmMemory,
  EntryKind,
  KeyBatch,
  Memtable,
  Merge,
  Peeked,
  type LsmMemory,
  type MergedEntry,
} from '../../../core/lsm.ts';
import { seeded } from '../assembly/raw.ts';
import { rowKeyOf, varintOf, type Version } from '../../vectors/lsm.ts';
import { entriesAt, hex, namesOf, seenBy, someKey, someValue } from './lsm_model.ts';

const memory = createLsmMemory();

/** All entries that an LSN sees, read with a small budget. */
function readAll(of: LsmMemory, table: Memtable, lsn: number, reverse = false): MergedEntry[] {
  const merge = new Merge(of, { tables: [table], runCount: 0, reverse });
  const entries: MergedEntry[] = [];
  while (merge.read(entries, { lsn, budget: 7 }).kind === 'more');
  merge.free();
  return entries;
}

/** What a memtable holds after a put, as its invariant says. */
function putInto(versions: readonly Version[], put: Version, keepLsn: number): Version[] {
  const newest = seenBy(versions, put.key, Infinity);
  const others = versions.filter((one) => hex(one.key) !== hex(put.key) || one.lsn !== put.lsn);
  if (newest && put.lsn < newest.lsn && put.lsn > keepLsn && others.length === versions.length) return [...versions];
  if (newest && put.lsn > newest.lsn && newest.lsn > keepLsn) return [...others.filter((one) => one !== newest), put];
  return [...others, put];
}

const puts = (maxLength: number) =>
  fc.array(fc.record({ key: someKey, value: someValue, step: fc.nat(2), keepLsn: fc.nat(30) }), {
    maxLength,
    size: 'max',
  });

test('puts in order of LSNs: newest values, versions that snapshots hold, and order', () => {
  fc.assert(
    fc.property(puts(150), fc.nat(60), (some, lsnRead) => {
      const table = new Memtable(memory);
      let versions: Version[] = [];
      let lsn = 1;
      for (const { key, value, step, keepLsn } of some) {
        lsn += step;
        const held = Math.min(keepLsn, lsn - 1);
        if (value === null) table.delete(key, { lsn, keepLsn: held });
        else table.put(key, value, { lsn, keepLsn: held });
        versions = putInto(versions, { key, lsn, value }, held);
      }
      for (const { key } of some) {
        expect(hex(table.get(key))).toBe(hex(seenBy(versions, key, Infinity)?.value));
        expect(hex(table.get(key, lsnRead))).toBe(hex(seenBy(versions, key, lsnRead)?.value));
        expect(table.has(key)).toBe(true);
      }
      expect(table.get(Buffer.from('no such key'))).toBeUndefined();
      expect(table.has(Buffer.from('no such key'))).toBe(false);
      expect(table.keyCount).toBe(new Set(versions.map(({ key }) => hex(key))).size);
      expect(table.versionCount).toBe(versions.length);
      expect(namesOf(readAll(memory, table, lsnRead))).toEqual(entriesAt(versions, lsnRead));
      expect(namesOf(readAll(memory, table, lsnRead, true))).toEqual(entriesAt(versions, lsnRead).reverse());
      table.free();
    }),
    seeded(60),
  );
});

test('puts in any order of LSNs', () => {
  const versions = fc.array(fc.record({ key: someKey, value: someValue, lsn: fc.nat(20) }), {
    maxLength: 100,
    size: 'max',
  });
  fc.assert(
    fc.property(versions, fc.nat(20), (some, keepLsn) => {
      const table = new Memtable(memory);
      let model: Version[] = [];
      for (const put of some) {
        table.putMany([put.key], [put.value], { lsn: put.lsn, keepLsn });
        model = putInto(model, put, keepLsn);
      }
      for (let lsn = 0; lsn <= 20; lsn++) expect(namesOf(readAll(memory, table, lsn))).toEqual(entriesAt(model, lsn));
      table.free();
    }),
    seeded(150),
  );
});

test('many keys, in order, against it and at random, are found and stay in order', () => {
  const count = 20_000;
  const random = (i: number) => (i * 7919) % count;
  for (const numberOf of [(i: number) => i, (i: number) => count - 1 - i, random]) {
    const table = new Memtable(memory);
    const keys = Array.from({ length: count }, (_, i) => Buffer.from(`some prefix:${numberOf(i)}`));
    const values = keys.map((key) => key.subarray(5));
    for (let from = 0; from < count; from += 5000) {
      table.putMany(keys.slice(from, from + 5000), values.slice(from, from + 5000), { lsn: 3, keepLsn: 0 });
    }
    expect(table.keyCount).toBe(count);
    const batch = KeyBatch.of(memory, keys);
    expect(table.find(batch)).toBe(0);
    expect(batch.values().every((value, i) => value && Buffer.compare(value, values[i]) === 0)).toBe(true);
    batch.free();
    const read = readAll(memory, table, 3);
    const expected = [...keys].sort(Buffer.compare);
    expect(read.every(({ key }, i) => Buffer.compare(key, expected[i]) === 0)).toBe(true);
    expect(read).toHaveLength(count);
    const back = readAll(memory, table, 3, true).reverse();
    expect(back.every(({ key }, i) => Buffer.compare(key, expected[i]) === 0)).toBe(true);
    expect(back).toHaveLength(count);
    table.free();
  }
});

test('rows of puts are keys and values as one by one', () => {
  const table = new Memtable(memory);
  const prefix = Buffer.of(3, 0, 0, 0, 9);
  const ids = Float64Array.from({ length: 100_000 }, (_, i) => (i < 10 ? 2 ** 53 - 1 - i : i * 3));
  const batch = 2 ** 45 + 7;
  const puts = [
    { rows: 70_000, batch, ordinal: 100, lsn: 8 },
    { rows: 0, batch: 6, lsn: 8 },
    { rows: 30_000, batch: batch + 1, lsn: 9 },
  ];
  table.putRows({ prefix, ids, puts }, 0);
  expect(table.keyCount).toBe(ids.length);
  for (const i of [0, 9, 10, 127, 128, 69_999, 70_000, 99_999]) {
    const ordinal = i < 70_000 ? 100 + i : i - 70_000;
    const value = [...varintOf(i < 70_000 ? BigInt(batch) : BigInt(batch + 1)), ...varintOf(BigInt(ordinal))];
    expect(hex(table.get(rowKeyOf([...prefix], ids[i])))).toBe(hex(Buffer.from(value)));
  }
  const keys = KeyBatch.ofRows(memory, { prefix, ids: [5, ...ids.subarray(0, 60_000), ids[99_999]] });
  expect(table.find(keys)).toBe(1);
  expect([keys.kindOf(0), keys.kindOf(1), keys.lsnOf(1)]).toEqual([EntryKind.absent, EntryKind.put, 8]);
  expect(keys.lsnOf(60_001)).toBe(9);
  keys.free();
  table.free();
});

test('rows are peeked at in the newer of two memtables, else in the older, as many as fit', () => {
  const [newer, older] = [new Memtable(memory), new Memtable(memory)];
  const prefix = Buffer.of(3, 0, 0, 0, 9);
  const keyOf = (id: number) => rowKeyOf([...prefix], id);
  // Id by id: in neither, in one, in both; each third is deleted in the newer; large ones fill more than one answer.
  const ids = Float64Array.from({ length: 900 }, (_, i) => 899 - i);
  for (const id of ids) {
    if (id % 2 === 1) older.put(keyOf(id), Buffer.alloc(id % 7, 1), { lsn: 1, keepLsn: 0 });
    if (id % 4 >= 2) newer.put(keyOf(id), Buffer.alloc(id % 8 === 2 ? 8192 : id % 5, 2), { lsn: 2, keepLsn: 0 });
    if (id % 4 >= 2 && id % 3 === 0) newer.delete(keyOf(id), { lsn: 3, keepLsn: 0 });
  }
  for (const before of [older, null]) {
    let answers = 0;
    for (let from = 0; from < ids.length; answers++) {
      const { sizes, bytes } = newer.peekRows({ prefix, ids: ids.subarray(from) }, before);
      let at = 0;
      for (const [i, size] of sizes.entries()) {
        const key = keyOf(ids[from + i]);
        const value = newer.has(key) ? newer.get(key) : before?.get(key);
        if (value === undefined) expect(size).toBe(Peeked.unknown);
        else if (value === null) expect(size).toBe(Peeked.deleted);
        else expect(hex(bytes.subarray(at, (at += size)))).toBe(hex(value));
      }
      expect(at).toBe(bytes.length);
      from += sizes.length;
    }
    expect(answers).toBe(2);
  }
  newer.free();
  older.free();
});

test('a value that shrinks and grows takes no new room each time', () => {
  const table = new Memtable(memory);
  const key = Buffer.from('key');
  for (let i = 0; i < 20_000; i++) {
    table.put(key, new Uint8Array(i % 2 === 0 ? 3000 : 10).fill(i), { lsn: i + 1, keepLsn: 0 });
  }
  expect(table.size).toBe(64 * 1024);
  expect(table.versionCount).toBe(1);
  expect(table.get(key)).toEqual(new Uint8Array(10).fill(19_999));
  table.free();
});

test('a reader goes on while others put', () => {
  const table = new Memtable(memory);
  const keyOf = (i: number) => Buffer.from(`k${String(i).padStart(6, '0')}`);
  for (let i = 0; i < 1000; i++) table.put(keyOf(i * 10), Buffer.from('old'), { lsn: 5, keepLsn: 0 });
  for (const reverse of [false, true]) {
    const merge = new Merge(memory, { tables: [table], runCount: 0, reverse });
    const entries: MergedEntry[] = [];
    for (let i = 0; merge.read(entries, { lsn: 5, budget: 3 }).kind === 'more'; i++) {
      // Splits leaves, and replaces what the reader's snapshot does not hold.
      table.put(keyOf((i * 7919) % 10_000), Buffer.from('new'), { lsn: 6 + i, keepLsn: 5 });
      table.delete(keyOf(((i * 31) % 1000) * 10), { lsn: 6 + i, keepLsn: 5 });
    }
    expect(entries).toHaveLength(1000);
    expect(entries.every(({ value }) => Buffer.from(value).toString() === 'old')).toBe(true);
    merge.free();
  }
  table.free();
});

test('memory that a table took is used again', () => {
  const small = createLsmMemory();
  const fill = () => {
    const table = new Memtable(small);
    for (let i = 0; i < 3000; i++) table.put(Buffer.from(`key ${i}`), new Uint8Array(500), { lsn: 1, keepLsn: 0 });
    expect(table.size).toBeGreaterThan(1.5e6);
    table.free();
  };
  fill();
  const { size } = small;
  for (let i = 0; i < 5; i++) fill();
  for (let i = 0; i < 100; i++) new Memtable(small).free();
  expect(small.size).toBe(size);
});

test('memory that ends is an error, and a table that was full is whole', () => {
  const small = createLsmMemory();
  const table = new Memtable(small);
  const value = new Uint8Array(100).fill(1);
  const reserve = Array.from({ length: 8 }, () => small.slotAlloc());
  small.raw.memory.grow(16_384 - small.size / 65_536);
  const keys: Uint8Array[] = [];
  const fill = () => {
    for (let i = 0; ; i++) {
      const key = Buffer.from(`key ${(i * 7919) % 1_000_003}`);
      table.put(key, value, { lsn: 1, keepLsn: 0 });
      keys.push(key);
    }
  };
  expect(fill).toThrow('maximum');
  expect(keys.length).toBeGreaterThan(1000);
  expect(table.keyCount).toBe(keys.length);
  for (const key of keys) expect(table.has(key)).toBe(true);
  for (const slot of reserve) small.slotFree(slot);
  expect(namesOf(readAll(small, table, 1))).toEqual(
    keys.sort(Buffer.compare).map((key) => `${hex(key)}=${hex(value)}`),
  );
  table.free();
});
