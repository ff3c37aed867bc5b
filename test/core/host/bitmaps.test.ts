/** Bitmap pages in the host: vectors, views that survive growth, whole pages of slots, and bugs that throw. */

import { expect, test } from 'vitest';

import { loadCore, PAGE_BITS } from '../../../core/wasm.ts';
import type { Ranges } from '../../vectors/bitmaps.ts';
import vectors from '../../vectors/bitmaps.json' with { type: 'json' };

const { bitmaps } = loadCore();

function pageOf(ranges: Ranges | null): number {
  if (ranges === null) return 0;
  const page = bitmaps.alloc();
  for (const [start, count] of ranges) bitmaps.setRange(page, start, count);
  return page;
}

test('vectors', () => {
  for (const { and, not, from, bits, groupSize, limit, count, ready, groups } of vectors.scans) {
    const [ands, nots] = [and, not].map((pages) => (pages as (Ranges | null)[]).map(pageOf));
    const scan = { and: ands, not: nots, from, bits };
    expect([...bitmaps.scanReady(scan, limit)]).toEqual(ready);
    expect([...bitmaps.scanGroups(scan, { groupSize, limit })]).toEqual(groups);
    expect(bitmaps.countReady(scan)).toBe(count);
    for (const page of [...ands, ...nots]) if (page !== 0) bitmaps.free(page);
  }
  for (const { set, clear, added, removed, left } of vectors.changes) {
    const page = bitmaps.alloc();
    expect(bitmaps.set(page, set)).toBe(added);
    expect(bitmaps.clear(page, clear)).toBe(removed);
    expect([...bitmaps.test(page, left)]).toEqual(left.map(() => 1));
    expect(bitmaps.count(page)).toBe(left.length);
    bitmaps.free(page);
  }
  expect(bitmaps.pagesUsed).toBe(0);
});

test('a scan takes the whole page unless told', () => {
  const page = pageOf([[0, PAGE_BITS]]);
  expect(bitmaps.scanReady({ and: [page], not: [] }, Infinity)).toHaveLength(PAGE_BITS);
  expect(bitmaps.scanGroups({ and: [page], not: [] }, { groupSize: 8, limit: 3 })).toEqual(Uint32Array.of(0, 8, 16));
  expect(bitmaps.countReady({ and: [], not: [] })).toBe(PAGE_BITS);
  bitmaps.free(page);
});

test('more slots than a page has, since they may repeat', () => {
  const page = bitmaps.alloc();
  const slots = Uint32Array.from({ length: 150_000 }, (_, i) => i % 1000);
  expect(bitmaps.set(page, slots)).toBe(1000);
  expect(bitmaps.test(page, slots).every((bit) => bit === 1)).toBe(true);
  expect(bitmaps.test(page, [999, 1000])).toEqual(Uint8Array.of(1, 0));
  expect(bitmaps.clear(page, slots)).toBe(1000);
  bitmaps.free(page);
});

test('one slot, and ranges', () => {
  const page = bitmaps.alloc();
  expect(bitmaps.has(page, 70)).toBe(false);
  expect(bitmaps.setRange(page, 60, 20)).toBe(20);
  expect(bitmaps.has(page, 70)).toBe(true);
  expect(bitmaps.clearRange(page, 70, 1)).toBe(1);
  expect(bitmaps.countRange(page, 65, 10)).toBe(9);
  expect(bitmaps.bytesOf(page)[8]).toBe(0b1011_1111);
  bitmaps.free(page);
});

test('pages keep their bits while memory grows', () => {
  const first = pageOf([[5, 3]]);
  const others = Array.from({ length: 300 }, () => pageOf([[0, PAGE_BITS]]));
  expect(new Set([first, ...others]).size).toBe(301);
  expect([...bitmaps.scanReady({ and: [first, ...others], not: [] }, 10)]).toEqual([5, 6, 7]);
  expect(bitmaps.bytesOf(first)[0]).toBe(0b1110_0000);
  for (const page of [first, ...others]) bitmaps.free(page);
});

test('slots outside a page, and too many pages, are bugs', () => {
  const page = bitmaps.alloc();
  expect(() => bitmaps.set(page, [PAGE_BITS])).toThrow(RangeError);
  expect(() => bitmaps.clear(page, [-1])).toThrow(RangeError);
  expect(() => bitmaps.test(page, [PAGE_BITS])).toThrow(RangeError);
  expect(() => bitmaps.setRange(page, 65_530, 7)).toThrow(RangeError);
  expect(() => bitmaps.has(page, PAGE_BITS)).toThrow(RangeError);
  expect(() => bitmaps.scanReady({ and: [page], not: [], bits: PAGE_BITS + 1 }, 1)).toThrow(RangeError);
  expect(() => bitmaps.scanGroups({ and: [page], not: [] }, { groupSize: 0, limit: 1 })).toThrow(RangeError);
  expect(() => bitmaps.countReady({ and: new Array<number>(5000).fill(page), not: [] })).toThrow(RangeError);
  expect(bitmaps.count(page)).toBe(0);
  bitmaps.free(page);
});
