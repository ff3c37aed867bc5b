/** Merges against a sorted list: what readers see, in both directions, and which versions a compaction keeps. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import {
  BlockWriter,
  checkBlock,
  createLsmMemory,
  Memtable,
  Merge,
  MERGE_RUNS_MAX,
  type MergedEntry,
  type MergeStep,
} from '../../../core/lsm.ts';
import { seeded } from '../assembly/raw.ts';
import { entriesOf, type Version } from '../../vectors/lsm.ts';
import {
  type Block,
  copyBlock,
  entriesAt,
  hex,
  namesOf,
  oneOfFewKeys,
  someKey,
  someValue,
  sorted,
  writeBlocks,
} from './lsm_model.ts';

const memory = createLsmMemory();

interface Sources {
  readonly tables: Memtable[];
  readonly runs: Block[][];
}

/** Each part of the versions in a source of its own, every other one in a memtable. */
function sourcesOf(parts: readonly (readonly Version[])[], entriesMax: number): Sources {
  const writer = new BlockWriter(memory);
  const sources: Sources = { tables: [], runs: [] };
  parts.forEach((part, i) => {
    if (i % 2 === 1) {
      writer.reset();
      sources.runs.push(writeBlocks(memory, writer, sorted(part), entriesMax));
      return;
    }
    const table = new Memtable(memory);
    for (const { key, value, lsn } of part) table.putMany([key], [value], { lsn, keepLsn: 1000 });
    sources.tables.push(table);
  });
  writer.free();
  return sources;
}

function freeSources({ tables, runs }: Sources): void {
  for (const table of tables) table.free();
  for (const { address } of runs.flat()) memory.slotFree(address);
}

/** Steps until the merge is done, feeding its runs; `full` is called when the writer is full. */
function drive(merge: Merge, { tables, runs }: Sources, reverse: boolean, step: () => MergeStep, full?: () => void) {
  const left = runs.map((run) => (reverse ? [...run].reverse() : [...run]));
  for (;;) {
    const one = step();
    if (one.kind === 'done') return;
    if (one.kind === 'full') full?.();
    if (one.kind === 'damaged') throw new Error('a good block is called damaged');
    if (one.kind !== 'needs') continue;
    const block = left[one.run - tables.length].shift();
    if (block) expect(merge.feed(one.run, block.address, block.size)).toBe(true);
    else merge.finish(one.run);
  }
}

function read(sources: Sources, lsn: number, range: { start?: Uint8Array; end?: Uint8Array }, reverse: boolean) {
  const merge = new Merge(memory, { tables: sources.tables, runCount: sources.runs.length, ...range, reverse });
  const entries: MergedEntry[] = [];
  drive(merge, sources, reverse, () => merge.read(entries, { lsn, budget: 5 }));
  merge.free();
  return namesOf(entries);
}

function write(sources: Sources, keep: { snapshots: number[]; bottom: boolean }, entriesMax: number): Version[] {
  const writer = new BlockWriter(memory);
  const merge = new Merge(memory, { tables: sources.tables, runCount: sources.runs.length });
  const blocks: Block[] = [];
  const finish = () => {
    const finished = writer.finish();
    if (finished) blocks.push(copyBlock(memory, finished));
  };
  merge.keep(keep);
  const step = () => {
    if (writer.entryCount >= entriesMax) finish();
    return merge.write(writer, 3);
  };
  drive(merge, sources, false, step, () => {
    const { entryCount } = writer;
    const cuts = merge.cutsKey;
    const last = writer.finish();
    if (!last) throw new Error('full without an entry');
    expect(last.entryCount).toBe(entryCount);
    blocks.push(copyBlock(memory, last));
    cutsSeen.push(cuts);
  });
  finish();
  const versions = readBlocks(blocks);
  expect(merge.writtenCount).toBe(versions.length);
  merge.free();
  writer.free();
  for (const { address } of blocks) memory.slotFree(address);
  return versions;
}

const cutsSeen: boolean[] = [];

function readBlocks(blocks: readonly Block[]): Version[] {
  return blocks.flatMap(({ address, size }) => {
    expect(checkBlock(memory, address, size)).toBe(true);
    return entriesOf(memory.read(address, size));
  });
}

/** Which versions a compaction must write, as merge_write.ts says. */
function neededOf(versions: readonly Version[], snapshots: readonly number[], bottom: boolean): Version[] {
  const all = sorted(versions);
  const needed = all.filter((one, i) => {
    const newer = i > 0 && hex(all[i - 1].key) === hex(one.key) ? all[i - 1].lsn : Infinity;
    return newer === Infinity || snapshots.some((snapshot) => snapshot >= one.lsn && snapshot < newer);
  });
  if (!bottom) return needed;
  return needed.filter(({ key, value }, i) => {
    return value !== null || needed.slice(i).some((one) => hex(one.key) === hex(key) && one.value !== null);
  });
}

const key = fc.oneof(someKey, oneOfFewKeys);
const someVersions = fc.array(fc.record({ key, lsn: fc.nat(20), value: someValue }), { maxLength: 40, size: 'max' });
const someParts = fc.array(someVersions, { minLength: 1, maxLength: 5, size: 'max' });
/** The same (key, LSN) in two sources is the same version. */
const agreeing = (parts: readonly (readonly Version[])[]): Version[][] => {
  const all = sorted(parts.flat());
  return parts.map((part) =>
    part.map((one) => all.find((other) => hex(other.key) === hex(one.key) && other.lsn === one.lsn) as Version),
  );
};
const name = ({ key, lsn, value }: Version) => `${hex(key)}@${lsn}=${hex(value)}`;

test('readers see one version of each key, forward and backward', () => {
  const bound = fc.option(someKey, { nil: undefined });
  fc.assert(
    fc.property(someParts, fc.nat(21), bound, bound, fc.integer({ min: 1, max: 30 }), (some, lsn, start, end, size) => {
      const parts = agreeing(some);
      const sources = sourcesOf(parts, size);
      const expected = entriesAt(parts.flat(), lsn, { start, end });
      expect(read(sources, lsn, { start, end }, false)).toEqual(expected);
      expect(read(sources, lsn, { start, end }, true)).toEqual(expected.reverse());
      freeSources(sources);
    }),
    seeded(300),
  );
});

test('a compaction writes the versions that somebody sees, and deletions that hide something', () => {
  const snapshots = fc.uniqueArray(fc.nat(21), { maxLength: 5 }).map((some) => some.sort((a, b) => a - b));
  fc.assert(
    fc.property(someParts, snapshots, fc.boolean(), fc.integer({ min: 1, max: 30 }), (some, held, bottom, size) => {
      const parts = agreeing(some);
      const sources = sourcesOf(parts, size);
      const written = write(sources, { snapshots: held, bottom }, size);
      expect(written.map(name)).toEqual(neededOf(parts.flat(), held, bottom).map(name));
      for (const lsn of [...held, 22]) expect(entriesAt(written, lsn)).toEqual(entriesAt(parts.flat(), lsn));
      freeSources(sources);
    }),
    seeded(300),
  );
});

test('large values stop the merge at full blocks, and a key that is cut is told', () => {
  const keys = ['a', 'b', 'c', 'd'].map((text) => Buffer.from(text.repeat(100)));
  const version = (key: Uint8Array, lsn: number) => ({ key, lsn, value: new Uint8Array(6000).fill(lsn) });
  const versions = keys.flatMap((key) => [9, 8, 7, 6].map((lsn) => version(key, lsn)));
  const deletions = keys.map((key) => ({ key, lsn: 10, value: null }));
  const sources = sourcesOf([deletions, versions], Infinity);
  cutsSeen.length = 0;
  const written = write(sources, { snapshots: [6, 7, 8, 9], bottom: true }, Infinity);
  expect(written.map(name)).toEqual(sorted([...versions, ...deletions]).map(name));
  // Two versions fit into a block, and each key has four and a deletion.
  expect(cutsSeen).toEqual([true, true, true, true, true, true, true]);
  freeSources(sources);
});

test('a merge of nothing is done', () => {
  const sources = sourcesOf([[]], 1);
  expect(read(sources, 5, {}, false)).toEqual([]);
  expect(read(sources, 5, {}, true)).toEqual([]);
  expect(write(sources, { snapshots: [], bottom: false }, 1)).toEqual([]);
  freeSources(sources);
  expect(() => new Merge(memory, { tables: [], runCount: MERGE_RUNS_MAX + 1 })).toThrow(RangeError);
});

test('as many runs as a merge takes', () => {
  const versions = Array.from({ length: 2000 }, (_, i) => {
    return { key: Buffer.from(`key ${(i * 37) % 500}`), lsn: i, value: Buffer.from(String(i)) };
  });
  const parts = Array.from({ length: MERGE_RUNS_MAX }, (_, i) => versions.slice(i * 8, i * 8 + 8));
  const sources = sourcesOf(parts, 3);
  expect(read(sources, 1500, {}, false)).toEqual(entriesAt(versions, 1500));
  expect(write(sources, { snapshots: [700], bottom: true }, 100).map(name)).toEqual(
    neededOf(versions, [700], true).map(name),
  );
  freeSources(sources);
});

test('more entries than a crossing takes', () => {
  const versions = Array.from({ length: 300 }, (_, i) => {
    return { key: Buffer.from(`key ${String(i).padStart(4, '0')}`), lsn: 1, value: new Uint8Array(8000).fill(i) };
  });
  const sources = sourcesOf([versions], 1);
  for (const reverse of [false, true]) {
    const merge = new Merge(memory, { tables: sources.tables, runCount: 0, reverse });
    const entries: MergedEntry[] = [];
    drive(merge, sources, reverse, () => merge.read(entries, { lsn: 1, budget: 1e6 }));
    merge.free();
    const expected = entriesAt(versions, 1);
    expect(namesOf(entries)).toEqual(reverse ? expected.reverse() : expected);
  }
  freeSources(sources);
});
