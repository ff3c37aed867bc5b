import { describe, expect, it } from 'vitest';
import { inferLayout, toColumn, type ColumnInput } from '../../ts-sdk/cells.ts';
import { bytes, dense, json, ragged, scalar, text } from '../../ts-sdk/layouts.ts';
import type { FieldLayout } from '@transfer-queue/core/layout';
import { thrown } from './support.ts';

const column = (input: ColumnInput, layout: FieldLayout, rows = 2): ReturnType<typeof toColumn> =>
  toColumn('x', input, { layout, rows });

describe('toColumn', () => {
  it('takes scalars as a typed array in place, or as numbers', () => {
    const values = Float32Array.of(1, 2);
    expect(column(values, scalar('float32')).values).toBe(values);
    expect(column([1, 2], scalar('float32')).values).toEqual(values);
    expect(column([1, 2n ** 60n], scalar('int64')).values).toEqual(BigInt64Array.of(1n, 2n ** 60n));
    expect(column([true, false], scalar('bool')).values).toEqual(Uint8Array.of(1, 0));
    expect([...column([0.5, -2], scalar('float16'))]).toEqual([0.5, -2]);
    expect([...column([0.5, -2], scalar('bfloat16'))]).toEqual([0.5, -2]);
  });

  it('takes dense cells flat, one by one, nested or with a shape', () => {
    const layout = dense('float32', [2, 2]);
    const flat = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    expect(column(flat, layout).values).toBe(flat);
    const others: ColumnInput[] = [
      [flat.subarray(0, 4), flat.subarray(4)],
      [
        [
          [1, 2],
          [3, 4],
        ],
        [
          [5, 6],
          [7, 8],
        ],
      ],
      [
        [flat.subarray(0, 2), flat.subarray(2, 4)],
        [[5, 6], Float32Array.of(7, 8)],
      ],
      [
        { data: flat.subarray(0, 4), shape: [2, 2] },
        { data: flat.subarray(4), shape: [2, 2] },
      ],
    ];
    for (const other of others) expect(column(other, layout).values).toEqual(flat);
    expect(column(flat, layout).shape(1)).toEqual([2, 2]);
  });

  it('takes ragged cells of any length', () => {
    const cells = column([[1, 2, 3], Int32Array.of(), [4]], ragged('int32'), 3);
    expect(cells.offsets).toEqual(Int32Array.of(0, 3, 3, 4));
    expect([...cells]).toEqual([Int32Array.of(1, 2, 3), Int32Array.of(), Int32Array.of(4)]);
    expect(cells.shape(0)).toEqual([3]);
  });

  it('takes ragged cells of several dimensions with their shapes', () => {
    const layout = ragged('float32', [null, 2]);
    const cells = column(
      [
        [
          [1, 2],
          [3, 4],
        ],
        new Float32Array(0),
        { data: Float32Array.of(5, 6), shape: [1, 2] },
      ],
      layout,
      3,
    );
    expect(cells.shapes).toEqual(Int32Array.of(2, 2, 0, 2, 1, 2));
    expect(cells.shape(2)).toEqual([1, 2]);
    expect(column([[]], layout, 1).shape(0)).toEqual([0, 2]);
  });

  it('takes text, bytes and JSON', () => {
    expect([...column(['grüß', ''], text())]).toEqual(['grüß', '']);
    expect([...column([Uint8Array.of(1, 2), Uint8Array.of()], bytes())]).toEqual([
      Uint8Array.of(1, 2),
      Uint8Array.of(),
    ]);
    expect([...column([{ a: [1, null] }, 'b'], json())]).toEqual([{ a: [1, null] }, 'b']);
  });

  it('takes columns of the same layout as they are', () => {
    const given = column(['a', 'b'], text());
    expect(column(given, text())).toBe(given);
    expect(thrown(() => column(given, json())).code).toBe('field_mismatch');
  });

  it.each<[string, ColumnInput, FieldLayout]>([
    ['another typed array', Float64Array.of(1, 2), scalar('float32')],
    ['another typed array in a cell', [Float64Array.of(1), Float64Array.of(2)], ragged('float32')],
    ['too few rows', [1], scalar('float32')],
    ['a number out of range', [1, 256], scalar('uint8')],
    ['a fraction for an integer', [1, 0.5], scalar('int32')],
    ['a bigint out of range', [1n, 2n ** 63n], scalar('int64')],
    ['an unsafe number for int64', [1, 2 ** 53], scalar('int64')],
    ['a string for a number', [1, '2'], scalar('float64')],
    ['a number for text', ['a', 2], text()],
    ['undefined for JSON', [1, undefined], json()],
    ['a string for bytes', ['a', 'b'], bytes()],
    ['a dense cell of another shape', [[1, 2], [3]], dense('int32', [2])],
    ['flat dense values with a rest', Int32Array.of(1, 2, 3), dense('int32', [2])],
    ['uneven nesting', [[[1, 2], [3]], []], ragged('float32', [null, 2])],
    ['a shape that does not multiply', [{ data: Int32Array.of(1), shape: [2, 1] }, []], ragged('int32', [null, 1])],
    ['a flat cell that several shapes fit', [Int32Array.of(1), Int32Array.of(2)], ragged('int32', [null, null])],
    ['one flat array for ragged', Int32Array.of(1, 2), ragged('int32')],
  ])('refuses %s', (_, input, layout) => {
    expect(thrown(() => column(input, layout)).code).toBe('field_mismatch');
  });
});

describe('inferLayout', () => {
  it.each<[ColumnInput, FieldLayout]>([
    [Float32Array.of(1), scalar('float32')],
    [BigUint64Array.of(1n), scalar('uint64')],
    [[1.5], scalar('float64')],
    [[1n], scalar('int64')],
    [[true], scalar('bool')],
    [['a'], text()],
    [[Int16Array.of(1)], ragged('int16')],
  ])('finds the layout of %o', (input, layout) => {
    expect(inferLayout('x', input)).toEqual(layout);
  });

  it.each<[string, ColumnInput]>([
    ['no cells', []],
    ['bytes, which may be bytes or ragged uint8', [Uint8Array.of(1)]],
    ['nested numbers, which may be dense or ragged', [[1, 2]]],
    ['objects', [{ a: 1 }]],
  ])('does not guess at %s', (_, input) => {
    expect(thrown(() => inferLayout('x', input)).message).toMatch(/declare it/);
  });
});
