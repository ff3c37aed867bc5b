/** The claim scan against the definition of readiness, on pages of ranges. */

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { groupsOf, readyOf, type Ranges, type ScanCase } from '../../vectors/bitmaps.ts';
import vectors from '../../vectors/bitmaps.json' with { type: 'json' };
import { instantiate, seeded } from './raw.ts';

const PAGE_BITS = 65536;
const raw = instantiate();
const { core } = raw;

/** Allocates the pages of a scan, runs it, frees them. */
function withPages<T>(
  scan: ScanCase,
  run: (...args: [ands: number, nAnd: number, nots: number, nNot: number, from: number, bits: number]) => T,
): T {
  raw.reset();
  const pageOf = (ranges: Ranges | null): number => {
    if (ranges === null) return 0;
    const page = core.page_alloc();
    for (const [start, count] of ranges) core.range_set(page, start, count);
    return page;
  };
  const ands = scan.and.map(pageOf);
  const nots = scan.not.map(pageOf);
  const [andsAt, notsAt] = [ands, nots].map((pages) => raw.place(Uint32Array.from(pages)));
  const answer = run(andsAt, ands.length, notsAt, nots.length, scan.from, scan.bits);
  for (const page of [...ands, ...nots]) if (page !== 0) core.page_free(page);
  return answer;
}

function readyIn(scan: ScanCase, limit: number): number[] {
  return withPages(scan, (...pages) => {
    const out = raw.room(4 * Math.min(limit, PAGE_BITS));
    return raw.u32(out, core.scan_ready(...pages, limit, out));
  });
}

function groupsIn(scan: ScanCase, groupSize: number, limit: number): number[] {
  return withPages(scan, (...pages) => {
    const out = raw.room(4 * Math.min(limit, PAGE_BITS));
    return raw.u32(out, core.scan_groups(...pages, groupSize, limit, out));
  });
}

test('vectors', () => {
  for (const { groupSize, limit, count, ready, groups, ...scan } of vectors.scans as unknown as (ScanCase & {
    groupSize: number;
    limit: number;
    count: number;
    ready: number[];
    groups: number[];
  })[]) {
    const name = JSON.stringify(scan);
    expect(readyIn(scan, limit), name).toEqual(ready);
    expect(groupsIn(scan, groupSize, limit), name).toEqual(groups);
    expect(
      withPages(scan, (...pages) => core.count_ready(...pages)),
      name,
    ).toBe(count);
  }
});

/** Many short ranges within a few thousand slots, so that holes and runs meet the edges of words. */
const someRanges = fc
  .array(fc.tuple(fc.nat(3000), fc.integer({ min: 1, max: 200 })), { maxLength: 25 })
  .map((ranges): Ranges => ranges);
const somePages = fc.array(
  fc.oneof({ weight: 9, arbitrary: someRanges }, { weight: 1, arbitrary: fc.constant(null) }),
  {
    maxLength: 3,
  },
);
const someScan = fc.record({ and: somePages, not: somePages, from: fc.nat(3300), bits: fc.nat(3300) });

test('the first ready slots, their count, and the first ready groups', () => {
  fc.assert(
    fc.property(someScan, fc.nat(400), fc.integer({ min: 1, max: 150 }), (scan, limit, groupSize) => {
      const ready = readyOf(scan);
      expect(readyIn(scan, limit)).toEqual(ready.slice(0, limit));
      expect(withPages(scan, (...pages) => core.count_ready(...pages))).toBe(ready.length);
      const groups = groupsOf(scan, groupSize).filter((start) => start >= scan.from);
      expect(groupsIn(scan, groupSize, limit)).toEqual(groups.slice(0, limit));
    }),
    seeded(300),
  );
});

test('a whole page fits into the results', () => {
  const scan = { and: [[[0, PAGE_BITS]]] as Ranges[], not: [], from: 0, bits: PAGE_BITS };
  expect(readyIn(scan, 4294967295)).toHaveLength(PAGE_BITS);
  expect(groupsIn(scan, 1, 4294967295)).toHaveLength(PAGE_BITS);
});

test('bounds outside the page and groups of nothing are refused', () => {
  for (const [from, bits] of [
    [0, PAGE_BITS + 1],
    [PAGE_BITS + 1, PAGE_BITS],
    [4294967295, 0],
  ]) {
    expect(core.scan_ready(0, 0, 0, 0, from, bits, 1, 0)).toBe(-1);
    expect(core.scan_groups(0, 0, 0, 0, from, bits, 1, 1, 0)).toBe(-1);
    expect(core.count_ready(0, 0, 0, 0, from, bits)).toBe(-1);
  }
  expect(core.scan_groups(0, 0, 0, 0, 0, PAGE_BITS, 0, 1, 0)).toBe(-1);
  expect(core.scan_groups(0, 0, 0, 0, 0, PAGE_BITS, PAGE_BITS + 1, 1, 0)).toBe(-1);
});
