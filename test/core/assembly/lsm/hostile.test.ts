/**
 * Mutated blocks, indexes and filters: every reader answers with a status, stays inside the bytes and writes nowhere
 * but into its own memory. The bytes end where the memory of the instance ends, so that a read behind them traps.
 *
 * SEED=n and RUNS=n choose other mutants.
 */
import { expect, test } from 'vitest';

import {
  BlockWriter,
  checkBlock,
  checkFilter,
  checkIndex,
  createLsmMemory,
  indexNumbers,
  indexSeek,
  KeyBatch,
  Merge,
  SLOT_SIZE,
  type MergedEntry,
} from '../../../../core/lsm.ts';
import { randomOf, type Random } from '../../../fuzz/http.ts';
import { runsOr, seedOr } from '../../../support/runs.ts';
import { blockOf, entriesOf, filterOf, numbersOf, rowKeyOf, type Version } from '../../../vectors/lsm.ts';
import { sorted } from '../../host/lsm_model.ts';

const mutantCount = runsOr(3000);
const seed = seedOr(1);

const memory = createLsmMemory();
const fence = () => {
  const address = memory.slotAlloc();
  memory.bytes.fill(0xab, address, address + SLOT_SIZE);
  return address;
};
const fences = [fence()];
const writer = new BlockWriter(memory);
fences.push(fence());

/** Copies bytes to the very end of memory, which has been grown for them. */
function placeAtEnd(bytes: Uint8Array): { address: number; size: number } {
  const address = memory.size - bytes.length;
  memory.write(address, bytes);
  return { address, size: bytes.length };
}

function mutantOf(good: Uint8Array, random: Random): Uint8Array {
  let bytes = Buffer.from(good);
  const below = (limit: number) => Math.floor(random() * limit);
  for (let changes = 1 + below(3); changes > 0; changes--) {
    const at = below(bytes.length);
    switch (below(6)) {
      case 0:
        bytes[at] ^= 1 << below(8);
        break;
      case 1:
        bytes[at] = [0, 1, 127, 128, 255][below(5)];
        break;
      case 2:
        bytes.fill(below(256), at, Math.min(bytes.length, at + below(12)));
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + below(5))]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(below(bytes.length))]);
        break;
      default:
        // The trailer and the restarts say where everything is.
        if (bytes.length > 20) bytes[bytes.length - 1 - below(20)] = below(256);
    }
  }
  return bytes.subarray(0, 60_000);
}

const text = (value: string) => Buffer.from(value);
const versions: Version[] = sorted(
  Array.from({ length: 150 }, (_, i) => {
    const key = i % 3 === 0 ? rowKeyOf([1, 2], i) : text(`key ${i % 40}`);
    const value = i % 5 === 0 ? null : text(`value ${i}`.repeat(i % 50 === 1 ? 40 : 1));
    return { key, lsn: 100 + ((i * 7919) % 90), value };
  }),
);
const blocks = [versions, versions.slice(0, 16), versions.slice(0, 1), versions.slice(60)].map(blockOf);
const indexes = [3, 40, 1].map((count) => {
  return blockOf(versions.slice(0, count).map((one, i) => ({ ...one, value: numbersOf([i, i * 100_000, 7]) })));
});
const filters = [100, 1, 0].map((count) => filterOf(versions.slice(0, count).map(({ key }) => key)));
const asked = [...versions.map(({ key }) => key), text(''), text('key'), text('zz'), new Uint8Array(255)];

function isBlock(bytes: Uint8Array): boolean {
  try {
    return entriesOf(bytes).length > 0;
  } catch {
    return false;
  }
}

/** Everything that reads a block; returns whether it is one. */
function readBlock(bytes: Uint8Array, everything: { address: number; size: number }): boolean {
  const batch = KeyBatch.of(memory, asked, 150);
  expect(batch.indexSearch(0, asked.length, everything.address, everything.size)).toHaveLength(1);
  const merges = [false, true, false].map((reverse) => new Merge(memory, { tables: [], runCount: 1, reverse }));
  merges[2].keep({ snapshots: [120, 150], bottom: true });
  const { address, size } = placeAtEnd(bytes);
  const good = checkBlock(memory, address, size);
  expect(good).toBe(isBlock(bytes));
  const together = KeyBatch.of(memory, asked, 150);
  together.indexSearch(0, asked.length, everything.address, everything.size);
  const foundTogether = together.blocksSearch(asked.map((_, i) => ({ from: i, to: i + 1, address, size })));
  together.free();
  const found = batch.blockSearch(0, asked.length, address, size);
  if (good) expect(found).not.toBeNull();
  if (good) expect(foundTogether).toBe(found);
  const entries: MergedEntry[] = [];
  merges.forEach((merge, i) => {
    const fed = merge.feed(0, address, size);
    if (good) expect(fed).toBe(true);
    for (let steps = 0; fed; steps++) {
      const step = i < 2 ? merge.read(entries, { lsn: 150, budget: 50 }) : merge.write(writer, 50);
      if (good) expect(step.kind).not.toBe('damaged');
      if (step.kind === 'full') writer.finish();
      if (step.kind === 'needs') merge.finish(0);
      if (step.kind === 'done' || step.kind === 'damaged') break;
      expect(steps).toBeLessThan(2000);
    }
    merge.free();
  });
  writer.reset();
  batch.free();
  return good;
}

/** Everything that reads an index; returns whether it is one. */
function readIndex(bytes: Uint8Array): boolean {
  const batch = KeyBatch.of(memory, asked, 150);
  const { address, size } = placeAtEnd(bytes);
  const good = checkIndex(memory, address, size);
  const groups = batch.indexSearch(0, asked.length, address, size);
  const numbers = indexNumbers(memory, address, size);
  for (const key of asked.slice(0, 5)) {
    const ordinal = indexSeek(memory, { address, size }, key);
    if (good) expect(ordinal).toBeLessThan((numbers as Uint32Array).length / 3);
  }
  if (good) expect(groups).not.toBeNull();
  batch.free();
  return good;
}

function readFilter(bytes: Uint8Array, everything: { address: number; size: number }): boolean {
  const batch = KeyBatch.of(memory, asked, 150);
  batch.indexSearch(0, asked.length, everything.address, everything.size);
  const { address, size } = placeAtEnd(bytes);
  const good = checkFilter(memory, address, size);
  expect(batch.filterProbe(0, asked.length, address, size) === null).toBe(!good);
  batch.free();
  return good;
}

test('mutants are told, or harmless', () => {
  const random = randomOf(seed);
  const everything = { address: memory.slotAlloc(), size: 0 };
  const index = blockOf([{ key: text(''), lsn: 1000, value: numbersOf([0, 0, 0]) }]);
  memory.write(everything.address, index);
  everything.size = index.length;
  // The first round takes all the memory that is needed; then its end is free for the bytes.
  memory.raw.memory.grow(1);
  for (const block of blocks) expect(readBlock(block, everything)).toBe(true);
  memory.raw.memory.grow(1);
  const readers = [
    { goods: blocks, read: (bytes: Uint8Array) => readBlock(bytes, everything) },
    { goods: indexes, read: readIndex },
    { goods: filters, read: (bytes: Uint8Array) => readFilter(bytes, everything) },
  ];
  const { size } = memory;
  for (const { goods, read } of readers) {
    for (const good of goods) expect(read(good)).toBe(true);
    let goodCount = 0;
    for (let i = 0; i < mutantCount; i++) {
      goodCount += Number(read(mutantOf(goods[i % goods.length], random)));
    }
    // A fuzz in which nearly everything is one, or nothing, proves nothing.
    expect(goodCount).toBeGreaterThan(mutantCount / 200);
    expect(goodCount).toBeLessThan(mutantCount * 0.9);
  }
  expect(memory.size).toBe(size);
  for (const address of fences) expect(memory.read(address, SLOT_SIZE).every((byte) => byte === 0xab)).toBe(true);
});

test('the end of memory is where the bytes end: a read behind them would trap', () => {
  const { address, size } = placeAtEnd(blocks[0]);
  expect(() => memory.raw.block_check(address + size - 4, 12)).toThrow(WebAssembly.RuntimeError);
});
