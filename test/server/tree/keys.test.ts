/** Ranges of keys against sets of numbers. */

import { expect, test } from 'vitest';
import fc from 'fast-check';
import { compareEnds, joinRanges, subtractRanges, successor, type KeyRange } from '../../../server/tree/keys.ts';

const POINTS = 20;
const range = fc
  .tuple(fc.nat(POINTS), fc.option(fc.nat(POINTS)))
  .map(([start, end]) => ({ start: Uint8Array.of(start), end: end === null ? null : Uint8Array.of(end) }));

const holds = ({ start, end }: KeyRange, point: number) => start[0] <= point && (end === null || point < end[0]);
const pointsOf = (ranges: readonly KeyRange[]) =>
  Array.from({ length: POINTS + 2 }, (_, i) => i).filter((point) => ranges.some((one) => holds(one, point)));

test('joined ranges hold what they held, sorted and apart', () => {
  fc.assert(
    fc.property(fc.array(range), (ranges) => {
      const joined = joinRanges(ranges);
      expect(pointsOf(joined)).toEqual(pointsOf(ranges));
      for (let i = 1; i < joined.length; i++) expect(compareEnds(joined[i - 1].end, joined[i].start)).toBeLessThan(0);
    }),
  );
});

test('subtracted ranges leave the rest', () => {
  fc.assert(
    fc.property(range, fc.array(range), (whole, holes) => {
      const left = subtractRanges(whole, joinRanges(holes));
      const gone = new Set(pointsOf(holes));
      expect(pointsOf(left)).toEqual(pointsOf([whole]).filter((point) => !gone.has(point)));
      for (const one of left) expect(one.end === null || one.end[0] > one.start[0]).toBe(true);
    }),
  );
});

test('nothing lies between a key and its successor', () => {
  const key = Uint8Array.of(1, 2);
  expect(Buffer.compare(key, successor(key))).toBe(-1);
  expect(Buffer.compare(successor(key), Uint8Array.of(1, 2, 0))).toBe(0);
});
