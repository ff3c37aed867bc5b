/** The component, through its generated module: the same vectors as the raw exports, and refusals as errors. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { bitmaps, hash, routing, slices } from '../../../core/component/core.js';
import type { Ranges } from '../../vectors/bitmaps.ts';
import bitmapVectors from '../../vectors/bitmaps.json' with { type: 'json' };
import { bodyOf, nodesOf, pattern, sanity } from '../../vectors/core.ts';
import hashVectors from '../../vectors/hash.json' with { type: 'json' };
import offsetVectors from '../../vectors/offsets.json' with { type: 'json' };
import routingVectors from '../../vectors/routing.json' with { type: 'json' };
import sliceVectors from '../../vectors/slices.json' with { type: 'json' };
import { h64Raw, instantiate, seeded } from './raw.ts';

const bigHex = (text: string): bigint => BigInt(`0x${text}`);
const u32 = (values: readonly number[]) => Uint32Array.from(values);

test('hash vectors', () => {
  for (const { length, seed, xxh64 } of hashVectors.published) {
    expect(hash.xxh64(sanity(length), bigHex(seed))).toBe(bigHex(xxh64));
  }
  for (const { length, seed, xxh64 } of hashVectors.own) {
    const state = hash.xxh64Update(hash.xxh64Init(bigHex(seed)), pattern(length));
    expect(hash.xxh64Digest(state)).toBe(bigHex(xxh64));
  }
  for (const { length, blocks, checksum } of hashVectors.bodies) {
    const progress = hash.bodyUpdate(hash.bodyInit(), pattern(length));
    const end = hash.bodyFinish(progress.state);
    expect([...progress.blocks, ...end.blocks]).toEqual(blocks.map(bigHex));
    expect(end.checksum).toBe(bigHex(checksum));
  }
});

test('routing vectors', () => {
  for (const { ids, groupSize, shards, expected } of routingVectors.ids) {
    const wide = BigUint64Array.from(ids, BigInt);
    expect([...routing.shardsOfIds(wide, BigInt(groupSize), shards)]).toEqual(expected);
  }
  for (const { key, shards, expected } of routingVectors.keys) {
    expect(routing.shardOfBytes(new TextEncoder().encode(key), shards)).toBe(expected);
  }
  for (const { shards, nodes, count, expected } of routingVectors.nodes) {
    const hashes = BigUint64Array.from(nodes, (node) => h64Raw(new TextEncoder().encode(node)));
    expect([...routing.rendezvous(u32(shards), hashes, count)]).toEqual(expected.flat());
    expect(expected).toEqual(shards.map((shard) => nodesOf(shard, nodes, count)));
  }
});

test('bitmap vectors', () => {
  const pageOf = (ranges: Ranges | null): number => {
    if (ranges === null) return 0;
    const page = bitmaps.pageAlloc();
    for (const [start, count] of ranges) bitmaps.rangeSet(page, start, count);
    return page;
  };
  for (const { and, not, from, bits, groupSize, limit, count, ready, groups } of bitmapVectors.scans) {
    const [ands, nots] = [and, not].map((pages) => u32((pages as (Ranges | null)[]).map(pageOf)));
    const scan = { ands, nots, firstBit: from, bits };
    expect([...bitmaps.scanReady(scan, limit)]).toEqual(ready);
    expect([...bitmaps.scanGroups(scan, groupSize, limit)]).toEqual(groups);
    expect(bitmaps.countReady(scan)).toBe(count);
    for (const page of [...ands, ...nots]) if (page !== 0) bitmaps.pageFree(page);
  }
  expect(bitmaps.pagesUsed()).toBe(0);
  for (const { set, clear, added, removed, left } of bitmapVectors.changes) {
    const page = bitmaps.pageAlloc();
    expect(bitmaps.bitsSet(page, u32(set))).toBe(added);
    expect(bitmaps.bitsClear(page, u32(clear))).toBe(removed);
    expect([...bitmaps.bitsTest(page, u32(left))]).toEqual(left.map(() => 1));
    expect(bitmaps.rangeCount(page, 0, 65536)).toBe(left.length);
    expect(bitmaps.rangeClear(page, 0, 65536)).toBe(left.length);
    bitmaps.pageFree(page);
  }
});

test('slice and offset vectors', () => {
  for (const { source, starts, lens, out } of sliceVectors.gathers) {
    const gather = () => Buffer.from(slices.gather(Buffer.from(source, 'hex'), u32(starts), u32(lens))).toString('hex');
    if (out === null) expect(gather).toThrow();
    else expect(gather()).toBe(out);
  }
  for (const { offsets, rows, out } of sliceVectors.rebases) {
    const rebase = () => slices.rebaseOffsets(Int32Array.from(offsets), u32(rows));
    if (typeof out === 'number') {
      expect(rebase).toThrow(out === -1 ? 'row-out-of-range' : 'too-large');
    } else {
      const answer = rebase();
      expect({ offsets: [...answer.offsets], starts: [...answer.starts], lens: [...answer.lens] }).toEqual(out);
    }
  }
  const none = (bad: number) => (bad < 0 ? undefined : bad);
  for (const { offsets, limit, bad } of offsetVectors.int32) {
    expect(slices.checkOffsetsS32(Int32Array.from(offsets, Number), limit)).toBe(none(bad));
  }
  for (const { offsets, limit, bad } of offsetVectors.int64) {
    expect(slices.checkOffsetsS64(BigInt64Array.from(offsets, BigInt), BigInt(limit))).toBe(none(bad));
  }
});

test('what can not be is an error, never a trap', () => {
  const page = bitmaps.pageAlloc();
  expect(() => hash.xxh64Many(new Uint8Array(4), u32([1]), u32([4]), 0n)).toThrow();
  expect(() => hash.xxh64Many(new Uint8Array(4), u32([1]), u32([]), 0n)).toThrow();
  expect(() => hash.xxh64Update(new Uint8Array(71), new Uint8Array(1))).toThrow();
  expect(() => hash.bodyFinish(new Uint8Array(72))).toThrow();
  expect(() => routing.shardsOfIds(new BigUint64Array(1), 1n, 0)).toThrow();
  expect(() => routing.rendezvous(u32([0]), new BigUint64Array(1), 2)).toThrow();
  expect(() => bitmaps.bitsSet(page, u32([65536]))).toThrow();
  for (const number of [0, 8, 8192, page + 1, 4294959104]) {
    expect(() => bitmaps.bitsSet(number, u32([1]))).toThrow();
    expect(() => bitmaps.pageFree(number)).toThrow();
  }
  const scan = { ands: u32([page + 8]), nots: u32([]), firstBit: 0, bits: 65536 };
  expect(() => bitmaps.scanReady(scan, 1)).toThrow();
  expect(() => bitmaps.countReady({ ...scan, ands: u32([page]), bits: 65537 })).toThrow();
  expect(() => bitmaps.scanGroups({ ...scan, ands: u32([page]) }, 0, 1)).toThrow();
  bitmaps.pageFree(page);
  expect(hash.xxh64(new Uint8Array(), 0n)).toBe(0xef46db3751d8e999n);
});

test('the component and the raw exports agree on any slices', () => {
  const raw = instantiate();
  const cuts = fc.array(fc.tuple(fc.nat(100), fc.nat(100)), { maxLength: 10 });
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 200, maxLength: 300 }), cuts, (bytes, pairs) => {
      raw.reset();
      const [starts, lens] = [0, 1].map((side) => Uint32Array.from(pairs, (pair) => pair[side]));
      const out = raw.room(8 * pairs.length);
      raw.core.xxh64_many(raw.place(bytes), raw.place(starts), raw.place(lens), pairs.length, 9n, out);
      expect([...hash.xxh64Many(bytes, starts, lens, 9n)]).toEqual(raw.u64(out, pairs.length));
    }),
    seeded(100),
  );
});

test('lists of many sizes, again and again, do not mix', () => {
  const sizes = [0, 1, 100_000, 5_000_000, 7, 1_048_577];
  for (let turn = 0; turn < 30; turn++) {
    const body = pattern(sizes[turn % sizes.length]);
    const { state, blocks } = hash.bodyUpdate(hash.bodyInit(), body);
    const end = hash.bodyFinish(state);
    expect({ blocks: [...blocks, ...end.blocks], checksum: end.checksum }).toEqual(bodyOf(body));
  }
});

/** The canonical ABI as a host uses it, on an instance whose memory the test can see. */
function canonical() {
  const { core } = instantiate();
  const functions = core as unknown as Record<string, (...args: (number | bigint)[]) => number>;
  const space = 'transfer-queue:core/hash@0.1.0#';
  return {
    core,
    realloc: functions.cabi_realloc,
    bodyUpdate: functions[`${space}body-update`],
    postBodyUpdate: functions[`cabi_post_${space}body-update`],
    xxh64: functions[`${space}xxh64`],
  };
}

test('room that is asked to grow keeps its bytes', () => {
  const { core, realloc } = canonical();
  const bytes = pattern(100);
  const at = realloc(0, 0, 8, 100);
  new Uint8Array(core.memory.buffer).set(bytes, at);
  const grown = realloc(at, 100, 8, 300_000);
  expect(new Uint8Array(core.memory.buffer, grown, 100)).toEqual(bytes);
});

test.each(['xxh64', 'bodyUpdate'] as const)('%s frees what it took', (name) => {
  const { core, realloc, bodyUpdate, postBodyUpdate, xxh64 } = canonical();
  const sizes: number[] = [];
  for (let turn = 0; turn < 50; turn++) {
    const state = realloc(0, 0, 1, 144);
    const data = realloc(0, 0, 1, 1_000_000);
    if (name === 'xxh64') xxh64(data, 1_000_000, 0n);
    else postBodyUpdate(bodyUpdate(state, 144, data, 1_000_000));
    sizes.push(core.memory.buffer.byteLength);
  }
  expect(new Set(sizes).size).toBe(1);
});
