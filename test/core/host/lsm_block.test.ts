/** Blocks and filters: frozen bytes, what a writer says of them, and checks against all that is no block. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import {
  BlockWriter,
  checkBlock,
  checkFilter,
  checkIndex,
  createLsmMemory,
  FILTER_KEYS_MAX,
  indexNumbers,
  indexSeek,
  KeyBatch,
  SLOT_SIZE,
} from '../../../core/lsm.ts';
import { seeded } from '../assembly/raw.ts';
import vectors from '../../vectors/lsm.json' with { type: 'json' };
import { blockOf, filterOf, mayHold, numbersOf, rowKeyOf, type Version } from '../../vectors/lsm.ts';
import { hex, inOrder, oneOfFewKeys, someKey, someValue, sorted, writeBlocks } from './lsm_model.ts';

const memory = createLsmMemory();
const writer = new BlockWriter(memory);
const slot = memory.slotAlloc();

const place = (bytes: Uint8Array) => {
  memory.write(slot, bytes);
  return [slot, bytes.length] as const;
};
const key = fc.oneof(someKey, oneOfFewKeys);
const versions = (lsnMax: number) =>
  fc.array(fc.record({ key, lsn: fc.nat(lsnMax), value: someValue }), {
    minLength: 1,
    maxLength: 60,
    size: 'max',
  });

test('blocks have the frozen bytes', () => {
  for (const { name, entries, bytes } of vectors.blocks) {
    writer.reset();
    const decoded = entries.map(({ key, lsn, value }) => {
      return { key: Buffer.from(key, 'hex'), lsn, value: value === null ? null : Buffer.from(value, 'hex') };
    });
    const [block, ...more] = writeBlocks(memory, writer, decoded);
    expect(more).toEqual([]);
    expect(hex(memory.read(block.address, block.size)), name).toBe(bytes);
    expect(checkBlock(memory, block.address, block.size)).toBe(true);
    memory.slotFree(block.address);
  }
});

test('filters have the frozen bytes', () => {
  for (const { name, keys, bytes } of vectors.filters) {
    writer.reset();
    writeBlocks(
      memory,
      writer,
      keys.map((key) => ({ key: Buffer.from(key, 'hex'), lsn: 1, value: null })),
    ).forEach((block) => memory.slotFree(block.address));
    expect(writer.filterKeyCount).toBe(keys.length);
    const size = writer.filterInto(slot);
    expect(hex(memory.read(slot, size)), name).toBe(bytes);
    expect(checkFilter(memory, slot, size)).toBe(true);
    expect(writer.filterKeyCount).toBe(0);
  }
});

test('a block is what the grammar says, and says what is in it', () => {
  fc.assert(
    fc.property(versions(40), (some) => {
      const entries = sorted(some);
      writer.reset();
      const blocks = writeBlocks(memory, writer, entries);
      expect(new Set(entries.map(({ key }) => hex(key))).size).toBe(writer.filterKeyCount);
      let from = 0;
      for (const { address, size, finished } of blocks) {
        const inside = entries.slice(from, (from += finished.entryCount));
        const [first, last] = [inside[0], inside[inside.length - 1]];
        const lsns = inside.map(({ lsn }) => lsn);
        expect(hex(memory.read(address, size))).toBe(hex(blockOf(inside)));
        expect(checkBlock(memory, address, size)).toBe(true);
        expect([hex(finished.firstKey), finished.firstLsn]).toEqual([hex(first.key), first.lsn]);
        expect([hex(finished.lastKey), finished.lastLsn]).toEqual([hex(last.key), last.lsn]);
        expect([finished.lsnMin, finished.lsnMax]).toEqual([Math.min(...lsns), Math.max(...lsns)]);
        memory.slotFree(address);
      }
      expect(from).toBe(entries.length);
    }),
    seeded(200),
  );
});

test('bounds lie between blocks, and are short', () => {
  fc.assert(
    fc.property(versions(5), fc.integer({ min: 1, max: 9 }), (some, entriesMax) => {
      const entries = sorted(some);
      writer.reset();
      const blocks = writeBlocks(memory, writer, entries, entriesMax).map(({ address, finished }) => {
        memory.slotFree(address);
        return finished;
      });
      expect(hex(blocks[0].boundKey)).toBe('');
      blocks.forEach(({ boundKey, boundLsn, firstKey, firstLsn }, i) => {
        const bound = { key: boundKey, lsn: boundLsn, value: null };
        expect(inOrder(bound, { key: firstKey, lsn: firstLsn, value: null })).toBeLessThanOrEqual(0);
        if (i === 0) return;
        const before = blocks[i - 1];
        expect(inOrder({ key: before.lastKey, lsn: before.lastLsn, value: null }, bound)).toBeLessThan(0);
        if (hex(before.lastKey) === hex(firstKey)) return;
        const shorter = boundKey.subarray(0, boundKey.length - 1);
        expect(Buffer.compare(shorter, before.lastKey)).toBeLessThanOrEqual(0);
      });
    }),
    seeded(200),
  );
});

test('the largest entry fits into an empty block, and blocks fill their slot', () => {
  writer.reset();
  const large = { key: new Uint8Array(255).fill(9), lsn: Number.MAX_SAFE_INTEGER, value: new Uint8Array(8192).fill(1) };
  const small = Array.from({ length: 20_000 }, (_, i) => {
    return { key: rowKeyOf([1], i), lsn: 7, value: numbersOf([7168, i]) };
  });
  const blocks = writeBlocks(memory, writer, [...small.slice(0, 12_000), large]);
  for (const { address, size } of blocks) {
    expect(checkBlock(memory, address, size)).toBe(true);
    memory.slotFree(address);
  }
  for (const { size } of blocks.slice(0, -2)) expect(SLOT_SIZE - size).toBeLessThan(32);
  // Nine bytes of key and four of value in eight.
  expect(blocks[0].finished.entryCount).toBeGreaterThan(SLOT_SIZE / 9);
});

test('a writer is full when its filter is', () => {
  writer.reset();
  for (let i = 0; i < FILTER_KEYS_MAX; i++) {
    if (writer.add(rowKeyOf([1], i), null, 1)) continue;
    writer.finish();
    expect(writer.add(rowKeyOf([1], i), null, 1)).toBe(true);
  }
  writer.finish();
  expect(writer.add(rowKeyOf([2], 0), null, 1)).toBe(false);
  expect(writer.finish()).toBeNull();
  expect(writer.filterKeyCount).toBe(FILTER_KEYS_MAX);
  const size = writer.filterInto(slot);
  expect(size).toBeLessThanOrEqual(SLOT_SIZE);
  expect(writer.add(rowKeyOf([2], 0), null, 1)).toBe(true);
});

test('at most one in a hundred absent keys is taken for present', () => {
  const present = Array.from({ length: FILTER_KEYS_MAX }, (_, i) => rowKeyOf([1, 2], i * 2));
  const filter = filterOf(present);
  const [address, size] = place(filter);
  const index = memory.slotAlloc();
  const indexBytes = blockOf([{ key: Buffer.of(), lsn: 1, value: numbersOf([1, 2, 3]) }]);
  memory.write(index, indexBytes);
  const probe = (keys: Uint8Array[]) => {
    const batch = KeyBatch.of(memory, keys, 1);
    // It marks keys as maybe there, which a probe takes back.
    expect(batch.indexSearch(0, keys.length, index, indexBytes.length)).toHaveLength(1);
    const count = batch.filterProbe(0, keys.length, address, size);
    batch.free();
    return count;
  };
  expect(probe(present)).toBe(present.length);
  const absent = Array.from({ length: 50_000 }, (_, i) => rowKeyOf([1, 2], i * 2 + 1));
  const taken = probe(absent);
  expect(taken).toBeLessThan(absent.length / 100);
  expect(taken).toBe(absent.filter((key) => mayHold(filter, key)).length);
  memory.slotFree(index);
});

test('an index tells its numbers, and which entry covers a key', () => {
  const number = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
  const bound = fc.record({ key: someKey, lsn: fc.nat(3), numbers: fc.tuple(number, number, number) });
  fc.assert(
    fc.property(fc.array(bound, { minLength: 1, maxLength: 50, size: 'max' }), someKey, fc.nat(4), (some, key, lsn) => {
      const bounds = sorted(some.map((one) => ({ ...one, value: numbersOf(one.numbers) })));
      writer.reset();
      for (const entry of bounds) {
        const [a, b, c] = some.findLast((one) => inOrder({ ...one, value: null }, entry) === 0)?.numbers ?? [];
        expect(writer.addIndex(entry.key, entry.lsn, { a, b, c } as { a: number; b: number; c: number })).toBe(true);
      }
      const { address, size } = writer.finish() as { address: number; size: number };
      expect(hex(memory.read(address, size))).toBe(hex(blockOf(bounds)));
      expect(checkIndex(memory, address, size)).toBe(true);
      const numbers = indexNumbers(memory, address, size) as Uint32Array;
      const read = bounds.map((_, i) => hex(numbersOf([...numbers.subarray(3 * i, 3 * i + 3)])));
      expect(read).toEqual(bounds.map(({ value }) => hex(value)));
      const covering = bounds.findLastIndex((entry) => inOrder(entry, { key, lsn, value: null }) <= 0);
      expect(indexSeek(memory, { address, size }, key, lsn)).toBe(covering);
    }),
    seeded(200),
  );
});

test('what is no block is told from one', () => {
  const entry = (key: string, lsn: number, value: Uint8Array | null = null): Version => {
    return { key: Buffer.from(key), lsn, value };
  };
  const good = blockOf([entry('a', 1), entry('b', 2, Buffer.from('x'))]);
  const bad: Record<string, Uint8Array> = {
    empty: new Uint8Array(0),
    'only a trailer': blockOf([entry('', 1)]).subarray(-12),
    'keys out of order': blockOf([entry('b', 1), entry('a', 1)]),
    'a key before its prefix': blockOf([entry('ab', 1), entry('a', 1)]),
    'LSNs out of order': blockOf([entry('a', 1), entry('a', 2)]),
    'the same version twice': blockOf([entry('a', 1), entry('a', 1)]),
    'out of order between groups': blockOf(Array.from({ length: 17 }, (_, i) => entry(`${i % 16}`.padStart(2), 1))),
    'an LSN below 0': blockOf([entry('a', 1), entry('b', -1)]),
    'an LSN that is no safe integer': blockOf([entry('a', 1), entry('b', 2 ** 53)]),
    'a byte too many': Buffer.concat([good, Buffer.of(0)]),
    'a byte too few': good.subarray(1),
    'a key that is too long': blockOf([entry('x'.repeat(256), 1)]),
    'a value that is too long': blockOf([entry('x', 1, new Uint8Array(8193))]),
  };
  expect(checkBlock(memory, ...place(good))).toBe(true);
  for (const [name, bytes] of Object.entries(bad)) expect(checkBlock(memory, ...place(bytes)), name).toBe(false);
});

test('what is no index is told from one', () => {
  const index = (value: Uint8Array | null) => blockOf([{ key: Buffer.from('a'), lsn: 1, value }]);
  expect(checkIndex(memory, ...place(index(numbersOf([1, 2 ** 32 - 1, 0]))))).toBe(true);
  const bad = [null, numbersOf([1, 2]), numbersOf([1, 2, 3, 4]), numbersOf([1, 2, 2 ** 32]), Buffer.alloc(16, 0x80)];
  for (const value of bad) {
    expect(checkIndex(memory, ...place(index(value)))).toBe(false);
    expect(indexNumbers(memory, ...place(index(value)))).toBeNull();
  }
});

test('sizes of blocks have bounds', () => {
  for (const size of [SLOT_SIZE - 1, 65_536]) expect(() => new BlockWriter(memory, size)).toThrow(RangeError);
  const wide = new BlockWriter(memory, 65_535);
  let count = 0;
  while (wide.add(rowKeyOf([], count), new Uint8Array(20).fill(count), 1)) count++;
  const { address, size } = wide.finish() as { address: number; size: number };
  expect(size).toBeGreaterThan(65_500);
  expect(checkBlock(memory, address, size)).toBe(true);
  wide.free();
  expect(() => writer.add(new Uint8Array(256), null, 1)).toThrow(RangeError);
  expect(() => writer.add(new Uint8Array(1), new Uint8Array(8193), 1)).toThrow(RangeError);
});
