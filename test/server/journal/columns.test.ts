/** Columns are read as they were written, and one list serves for all that are alike. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteReader, ByteWriter, FormatError } from '../../../server/journal/bytes.ts';
import { readColumns, sameColumns, writeColumns } from '../../../server/journal/columns.ts';

const columns = fc.array(
  fc.record({ field: fc.nat(3), regions: fc.array(fc.oneof(fc.nat(2), fc.maxSafeNat()), { maxLength: 3 }) }),
  { maxLength: 3 },
);

function written(...lists: (typeof columns extends fc.Arbitrary<infer Columns> ? Columns : never)[]): Buffer {
  const out = new ByteWriter();
  for (const list of lists) writeColumns(out, list);
  return Buffer.from(out.view());
}

test('whatever was read before, columns are what was written', () => {
  fc.assert(
    fc.property(fc.array(columns), (lists) => {
      const source = new ByteReader(written(...lists));
      for (const list of lists) expect(readColumns(source)).toEqual(list);
      expect(source.done).toBe(true);
    }),
  );
});

test('columns are the same when fields and regions are', () => {
  fc.assert(
    fc.property(columns, columns, (some, others) => {
      expect(sameColumns(some, others)).toBe(JSON.stringify(some) === JSON.stringify(others));
      expect(sameColumns(some, structuredClone(some))).toBe(true);
    }),
  );
});

describe('columns like those before', () => {
  const list = [
    { field: 0, regions: [64, 4] },
    { field: 7, regions: [128, 8, 192, 2 ** 40] },
  ];

  test('are the ones before', () => {
    const source = new ByteReader(written(list, list));
    expect(readColumns(source)).toBe(readColumns(source));
  });

  test('are refused where their bytes end early', () => {
    const bytes = written(list);
    readColumns(new ByteReader(bytes));
    for (let size = 0; size < bytes.length; size++) {
      expect(() => readColumns(new ByteReader(bytes.subarray(0, size))), `${size}`).toThrow(FormatError);
    }
  });
});
