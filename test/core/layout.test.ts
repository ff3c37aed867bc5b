import { describe, expect, it } from 'vitest';
import { arrowFieldOfLayout, layoutOfArrowField } from '../../core/arrow/index.ts';
import {
  describeLayout,
  dtypes,
  elementSize,
  parseLayout,
  partCount,
  rowStride,
  sameLayout,
} from '../../core/layout.ts';
import type { FieldLayout } from '../../core/layout.ts';
import { everyLayout } from './arrow/fixtures.ts';

const valid: [FieldLayout, string][] = [
  [{ layout: 'dense', dtype: 'float32', shape: [28, 28] }, 'dense float32[28,28]'],
  [{ layout: 'dense', dtype: 'int8', shape: [2 ** 31 - 1] }, 'dense int8[2147483647]'],
  [{ layout: 'scalar', dtype: 'bool' }, 'scalar bool'],
  [{ layout: 'ragged', dtype: 'int64' }, 'ragged int64'],
  [{ layout: 'ragged', dtype: 'bfloat16', shape: [null, 64] }, 'ragged bfloat16[*,64]'],
  [{ layout: 'text' }, 'text'],
  [{ layout: 'bytes' }, 'bytes'],
  [{ layout: 'json' }, 'json'],
];

const invalid: unknown[] = [
  null,
  [],
  'text',
  {},
  { layout: 'matrix' },
  { layout: 'text', dtype: 'int8' },
  { layout: 'json', shape: [1] },
  { layout: 'text', extra: 1 },
  { layout: 'scalar' },
  { layout: 'scalar', dtype: 'float8' },
  { layout: 'scalar', dtype: 'toString' },
  { layout: 'scalar', dtype: 'int8', shape: [1] },
  { layout: 'dense', dtype: 'int8' },
  { layout: 'dense', dtype: 'int8', shape: [] },
  { layout: 'dense', dtype: 'int8', shape: [0] },
  { layout: 'dense', dtype: 'int8', shape: [1.5] },
  { layout: 'dense', dtype: 'int8', shape: ['2'] },
  { layout: 'dense', dtype: 'int8', shape: [null] },
  { layout: 'dense', dtype: 'int8', shape: new Array(17).fill(1) },
  { layout: 'dense', dtype: 'int8', shape: [2 ** 16, 2 ** 15] },
  { layout: 'ragged', dtype: 'int8', shape: [null] },
  { layout: 'ragged', dtype: 'int8', shape: [2, 3] },
  { layout: 'ragged', dtype: 'int8', shape: [null, -1] },
];

describe('layouts', () => {
  it.each(valid)('takes %j as %s', (layout, text) => {
    const parsed = parseLayout(JSON.parse(JSON.stringify(layout)));
    expect(parsed).toEqual(layout);
    expect(describeLayout(layout)).toBe(text);
  });

  it.each(invalid.map((json) => [json]))('refuses %j', (json) => {
    expect(parseLayout(json)).toBeTypeOf('string');
  });

  it('are the same when their words are', () => {
    for (const a of everyLayout) {
      for (const b of everyLayout) expect(sameLayout(a, b)).toBe(a === b);
      expect(sameLayout(a, JSON.parse(JSON.stringify(a)) as FieldLayout)).toBe(true);
    }
  });

  it('come back from the Arrow field that they are written as', () => {
    for (const layout of everyLayout) expect(layoutOfArrowField(arrowFieldOfLayout('x', layout))).toEqual(layout);
  });

  it('have the sizes that the format says', () => {
    expect(Object.entries(dtypes).map(([dtype, { size, npy }]) => `${dtype} ${size} ${npy}`)).toMatchSnapshot();
    const dense: FieldLayout = { layout: 'dense', dtype: 'float64', shape: [2 ** 20, 2 ** 10] };
    expect([rowStride(dense), elementSize(dense), partCount(dense)]).toEqual([2 ** 33, 8, 1]);
    const tensors: FieldLayout = { layout: 'ragged', dtype: 'int16', shape: [null, 2] };
    expect([rowStride(tensors), elementSize(tensors), partCount(tensors)]).toEqual([0, 2, 3]);
    expect([rowStride({ layout: 'text' }), elementSize({ layout: 'text' }), partCount({ layout: 'text' })]).toEqual([
      0, 1, 2,
    ]);
  });
});
