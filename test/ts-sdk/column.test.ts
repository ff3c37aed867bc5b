import { describe, expect, it } from 'vitest';
import { toColumn } from '../../ts-sdk/cells.ts';
import { joinColumns, sliceRows, takeRows, toNumbers } from '../../ts-sdk/column.ts';
import { dense, ragged, scalar, text } from '../../ts-sdk/layouts.ts';

const words = toColumn('x', ['zero', 'one', '', 'three'], { layout: text(), rows: 4 });
const matrices = toColumn(
  'x',
  [
    [[1, 2]],
    [],
    [
      [3, 4],
      [5, 6],
    ],
  ],
  { layout: ragged('int32', [null, 2]), rows: 3 },
);

describe('Column', () => {
  it('slices rows as views', () => {
    const slice = sliceRows(words, 1, 3);
    expect([...slice]).toEqual(['one', '']);
    expect(slice.values).toBe(words.values);
    expect([...sliceRows(slice, 0, 1)]).toEqual(['one']);
    expect(sliceRows(matrices, 2, 3).shape(0)).toEqual([2, 2]);
    expect(sliceRows(matrices, 1, 1).rows).toBe(0);
  });

  it('takes rows in any order', () => {
    expect([...takeRows(words, [3, 0, 3])]).toEqual(['three', 'zero', 'three']);
    const taken = takeRows(matrices, [2, 0]);
    expect([taken.shape(0), taken.shape(1)]).toEqual([
      [2, 2],
      [1, 2],
    ]);
    expect(taken.row(1)).toEqual(Int32Array.of(1, 2));
  });

  it('joins columns, slices of larger ones among them', () => {
    expect([...joinColumns([sliceRows(words, 2, 4), words], text())]).toEqual([
      '',
      'three',
      'zero',
      'one',
      '',
      'three',
    ]);
    const points = toColumn('x', Float32Array.of(1, 2, 3, 4), { layout: dense('float32', [2]), rows: 2 });
    expect(joinColumns([points, sliceRows(points, 1, 2)], points.layout).values).toEqual(
      Float32Array.of(1, 2, 3, 4, 3, 4),
    );
    expect(joinColumns([], text()).rows).toBe(0);
  });

  it('gives 0 and 1 rows as the same types as many', () => {
    const none = takeRows(words, []);
    expect([none.rows, none.values, [...none]]).toEqual([0, new Uint8Array(0), []]);
    const one = takeRows(matrices, [1]);
    expect([one.row(0), one.shape(0)]).toEqual([new Int32Array(0), [0, 2]]);
  });

  it('has no row beyond its own', () => {
    for (const index of [-1, 4, NaN]) expect(() => words.row(index)).toThrow(RangeError);
  });

  it('turns elements into numbers', () => {
    const halves = toColumn('x', [0.5, 1.5], { layout: scalar('bfloat16'), rows: 2 });
    expect(toNumbers(halves.values, 'bfloat16')).toEqual(Float64Array.of(0.5, 1.5));
    expect(toNumbers(BigInt64Array.of(-7n), 'int64')).toEqual(Float64Array.of(-7));
  });
});
