/** Keys of the tree: they sort as the numbers in them do, come back as they were, and partitions are ranges. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  idOfRowKey,
  numberKey,
  partitionOf,
  rangesOf,
  readNumber,
  recordPrefix,
  recordRange,
  rowKey,
} from '../../../server/index/keys.ts';

const partition = fc.oneof(fc.nat(3), fc.nat(2 ** 32 - 2));
const id = fc.oneof(fc.nat(300), fc.maxSafeNat(), fc.constantFrom(2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1));
const row = fc.tuple(partition, id);

/** Whether a key lies in a range, as bytes. */
function isIn(key: Uint8Array, { start, end }: { start: Uint8Array; end: Uint8Array }): boolean {
  return Buffer.compare(key, start) >= 0 && Buffer.compare(key, end) < 0;
}

test('keys of rows sort by partition and id, and say both', () => {
  fc.assert(
    fc.property(row, row, (a, b) => {
      const keys = [rowKey(...a), rowKey(...b)];
      expect(Buffer.compare(keys[0], keys[1])).toBe(Math.sign(a[0] - b[0] || a[1] - b[1]));
      expect([partitionOf(keys[0]), idOfRowKey(keys[0])]).toEqual(a);
    }),
  );
});

test('the ranges of a partition have its rows and records, and nothing of another', () => {
  fc.assert(
    fc.property(row, partition, ([owner, number], other) => {
      const keys = [rowKey(owner, number), Buffer.concat([recordPrefix(owner), numberKey(number)])];
      expect(keys.map((key) => rangesOf(owner).map((range) => isIn(key, range)))).toEqual([
        [true, false],
        [false, true],
      ]);
      const isForeign = rangesOf(other).some((range) => keys.some((key) => isIn(key, range)));
      expect(isForeign).toBe(other === owner);
      expect(keys.map((key) => isIn(key, recordRange()))).toEqual([false, true]);
    }),
  );
});

test('the range of a row includes it and ends before the next', () => {
  const range = { start: rowKey(1, 5), end: rowKey(1, 7) };
  expect([4, 5, 6, 7].map((number) => isIn(rowKey(1, number), range))).toEqual([false, true, true, false]);
  expect(isIn(rowKey(1, 2 ** 53 - 1), { start: rowKey(1, 0), end: rowKey(1, 2 ** 53) })).toBe(true);
});

test('numbers sort in bytes as they do, alone and one after another', () => {
  fc.assert(
    fc.property(fc.tuple(id, id), fc.tuple(id, id), (a, b) => {
      expect(Buffer.compare(numberKey(...a), numberKey(...b))).toBe(Math.sign(a[0] - b[0] || a[1] - b[1]));
      expect([readNumber(numberKey(...a), 0), readNumber(numberKey(...a), 8)]).toEqual(a);
    }),
  );
});

test('what is stored stays as it is', () => {
  const hex = (key: Uint8Array): string => Buffer.from(key).toString('hex');
  expect(hex(rowKey(2, 2 ** 40 + 3))).toBe('01000000020000010000000003');
  expect(hex(recordPrefix(2 ** 32 - 1))).toBe('02ffffffff');
  expect(hex(numberKey(1, 2 ** 53 - 1))).toBe('0000000000000001001fffffffffffff');
});
