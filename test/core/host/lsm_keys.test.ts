/** Batches of keys against a small tree: a memtable over files of blocks with indexes and filters. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import {
  BATCH_KEYS_MAX,
  BlockWriter,
  createLsmMemory,
  EntryKind,
  KeyBatch,
  LsmMemory,
  LsmMemoryFull,
  Memtable,
} from '../../../core/lsm.ts';
import { seeded } from '../assembly/raw.ts';
import type { Version } from '../../vectors/lsm.ts';
import {
  type Block,
  copyBlock,
  hex,
  oneOfFewKeys,
  seenBy,
  someKey,
  someValue,
  sorted,
  writeBlocks,
} from './lsm_model.ts';

const memory = createLsmMemory();
const writer = new BlockWriter(memory);

interface File {
  readonly blocks: readonly Block[];
  readonly index: Block;
  readonly filter: { readonly address: number; readonly size: number };
}

function writeFile(versions: readonly Version[], entriesMax: number): File {
  writer.reset();
  const blocks = writeBlocks(memory, writer, versions, entriesMax);
  const address = memory.slotAlloc();
  const filter = { address, size: writer.filterInto(address) };
  blocks.forEach(({ size, finished }, a) => {
    if (!writer.addIndex(finished.boundKey, finished.boundLsn, { a, b: size, c: 0 })) throw new Error('index is full');
  });
  const finished = writer.finish();
  if (!finished) throw new Error('a file without blocks');
  return { blocks, index: copyBlock(memory, finished), filter };
}

function freeFile({ blocks, index, filter }: File): void {
  for (const { address } of [...blocks, index, filter]) memory.slotFree(address);
}

/** Looks for what is pending in all blocks together, as a tree does, and settles. */
function findTogether(batch: KeyBatch, { index, filter, blocks }: File): void {
  const groups = batch.indexSearch(0, batch.pendingCount, index.address, index.size) ?? [];
  if (groups.length > 0) batch.filterProbe(groups[0].from, batch.pendingCount, filter.address, filter.size);
  const left = groups.filter(({ from, to }) => batch.areMaybe(from, to));
  const items = left.map(({ from, to, a, b }) => ({ from, to, address: blocks[a].address, size: b }));
  const before = batch.pendingCount;
  const found = batch.blocksSearch(items);
  expect(batch.settle()).toBe(before - (found as number));
}

/** The same block by block. */
function findInFile(batch: KeyBatch, file: File): void {
  const groups = batch.indexSearch(0, batch.pendingCount, file.index.address, file.index.size);
  for (const { from, to, a, b } of groups ?? []) {
    expect(b).toBe(file.blocks[a].size);
    const maybe = batch.filterProbe(from, to, file.filter.address, file.filter.size);
    const found = batch.blockSearch(from, to, file.blocks[a].address, b);
    expect(found).toBeLessThanOrEqual(maybe as number);
  }
  batch.settle();
}

/** Newest versions in a memtable, older ones in two files; asks for all keys there are and some others. */
function lookUp(some: readonly Version[], others: readonly Uint8Array[], lsn: number, entriesMax: number): void {
  const versions = sorted(some);
  const asked = [...some.map(({ key }) => key), ...others];
  const between = (from: number, to: number) => versions.filter((one) => one.lsn >= from && one.lsn < to);
  const table = new Memtable(memory);
  for (const one of between(20, Infinity)) table.putMany([one.key], [one.value], { lsn: one.lsn, keepLsn: 30 });
  const parts = [between(10, 20), between(0, 10)].filter((part) => part.length > 0);
  const files = parts.map((part) => writeFile(part, entriesMax));
  const expected = asked.map((key) => seenBy(versions, key, lsn));
  for (const find of [findInFile, findTogether]) {
    const batch = KeyBatch.of(memory, asked, lsn);
    expect(batch.pendingCount).toBe(asked.length);
    table.find(batch);
    for (const file of files) find(batch, file);
    expectFound(batch, expected);
    batch.free();
  }
  table.free();
  files.forEach(freeFile);
}

function expectFound(batch: KeyBatch, expected: readonly (Version | undefined)[]): void {
  expect(batch.values().map(hex)).toEqual(expected.map((one) => hex(one?.value ?? null)));
  expect(batch.pendingCount).toBe(expected.filter((one) => one === undefined).length);
  expected.forEach((one, i) => {
    const kind = one === undefined ? EntryKind.absent : one.value === null ? EntryKind.delete : EntryKind.put;
    expect([batch.kindOf(i), hex(batch.valueOf(i))]).toEqual([kind, hex(one?.value ?? null)]);
    if (one) expect(batch.lsnOf(i)).toBe(one.lsn);
  });
}

// Few keys have so many versions that they are cut by the ends of groups and blocks.
test.each([
  ['many keys', someKey],
  ['few keys', oneOfFewKeys],
])('a batch of %s finds what an LSN sees, in memtables and files', (_name, key) => {
  const versions = fc.array(fc.record({ key, lsn: fc.nat(30), value: someValue }), {
    minLength: 1,
    maxLength: 120,
    size: 'max',
  });
  const others = fc.array(someKey, { maxLength: 20 });
  fc.assert(fc.property(versions, others, fc.nat(32), fc.integer({ min: 1, max: 40 }), lookUp), seeded(200));
});

test('groups cover the positions in order, with the entry that covers each key', () => {
  const bounds = ['b', 'd', 'f'].map((text) => ({ key: Buffer.from(text), lsn: 9, value: Buffer.of(0, 0, 0) }));
  writer.reset();
  bounds.forEach(({ key, lsn }, i) => writer.addIndex(key, lsn, { a: i, b: 10 * i, c: 100 * i }));
  const { address, size } = writer.finish() as { address: number; size: number };
  const keys = ['f1', 'a', 'c', 'b', 'zz', 'c', 'a'].map((text) => Buffer.from(text));
  const batch = KeyBatch.of(memory, keys, 9);
  expect(batch.indexSearch(0, 7, address, size)).toEqual([
    { from: 2, to: 5, a: 0, b: 0, c: 0 },
    { from: 5, to: 7, a: 2, b: 20, c: 200 },
  ]);
  expect(batch.indexSearch(0, 2, address, size)).toEqual([]);
  expect(batch.indexSearch(4, 6, address, size)).toEqual([
    { from: 4, to: 5, a: 0, b: 0, c: 0 },
    { from: 5, to: 6, a: 2, b: 20, c: 200 },
  ]);
  batch.free();
  // The bound itself covers only what its LSN sees.
  const older = KeyBatch.of(memory, [Buffer.from('b')], 8);
  expect(older.indexSearch(0, 1, address, size)).toHaveLength(1);
  const newer = KeyBatch.of(memory, [Buffer.from('b')], 10);
  expect(newer.indexSearch(0, 1, address, size)).toEqual([]);
  older.free();
  newer.free();
});

test('large batches are sorted once and answered in the order of the caller', () => {
  const count = BATCH_KEYS_MAX;
  const keys = Array.from({ length: count }, (_, i) => Buffer.from(`${'p'.repeat(i % 3)}${(i * 7919) % count}`));
  const table = new Memtable(memory);
  table.putMany(
    keys,
    keys.map((_, i) => Buffer.from(String(i))),
    { lsn: 1, keepLsn: 0 },
  );
  const batch = KeyBatch.of(memory, keys);
  expect(table.find(batch)).toBe(0);
  expect(batch.values().every((value, i) => value && Buffer.from(value).toString() === String(i))).toBe(true);
  batch.free();
  table.free();
  expect(() => KeyBatch.of(memory, [...keys, Buffer.of()])).toThrow(RangeError);
});

test('an empty batch, and positions that are none', () => {
  const batch = KeyBatch.of(memory, []);
  expect([batch.pendingCount, batch.values(), batch.settle()]).toEqual([0, [], 0]);
  const file = writeFile([{ key: Buffer.from('a'), lsn: 1, value: null }], 1);
  expect(batch.indexSearch(0, 0, file.index.address, file.index.size)).toEqual([]);
  expect(batch.indexSearch(0, 1, file.index.address, file.index.size)).toBeNull();
  expect(batch.filterProbe(0, 1, file.filter.address, file.filter.size)).toBeNull();
  expect(batch.blockSearch(0, 1, file.blocks[0].address, file.blocks[0].size)).toBeNull();
  batch.free();
  freeFile(file);
  expect(() => KeyBatch.of(memory, [new Uint8Array(256)])).toThrow(RangeError);
});

test('what a batch takes it gives back, also when memory ends', () => {
  const small = new LsmMemory(createLsmMemory().raw);
  const keys = Array.from({ length: 5000 }, (_, i) => Buffer.from(`key ${i}`));
  for (let i = 0; i < 3; i++) KeyBatch.of(small, keys).free();
  const { size } = small;
  for (let i = 0; i < 50; i++) KeyBatch.of(small, keys).free();
  expect(small.size).toBe(size);
  small.raw.memory.grow(16_384 - small.size / 65_536);
  const held: KeyBatch[] = [];
  expect(() => {
    for (;;) held.push(KeyBatch.of(small, keys));
  }).toThrow(LsmMemoryFull);
  for (const batch of held) batch.free();
  for (const _batch of held) KeyBatch.of(small, keys).free();
});

test('values that do not fit the window together come back whole', () => {
  const table = new Memtable(memory);
  const keys = Array.from({ length: 150 }, (_, i) => Buffer.from(`key ${i}`));
  const values = keys.map((_, i) => (i % 7 === 0 ? null : new Uint8Array(8_192 - i).fill(i)));
  table.putMany(keys, values, { lsn: 1, keepLsn: 1 });
  const batch = KeyBatch.of(memory, keys);
  table.find(batch);
  expect(batch.values()).toEqual(values);
  batch.free();
  table.free();
});
