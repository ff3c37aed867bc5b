import { describe, expect, it } from 'vitest';
import { encodeBatch } from '../../../core/arrow/index.ts';
import type { EncodedColumn } from '../../../core/arrow/index.ts';
import { askPyarrow } from './oracle.ts';
import { cellsOf, columnName, everyLayout, hex, joined, randomColumn, seeded, walked } from './fixtures.ts';

describe('encoded batches', () => {
  it('are what pyarrow and the walker read', async () => {
    const streams = [0, 1, 2, 17].map((rows) => {
      const random = seeded(rows + 1);
      const columns = everyLayout.map((layout, i) => randomColumn(columnName(layout, i), layout, { rows, random }));
      return joined(
        encodeBatch(
          Array.from({ length: rows }, (_, row) => row),
          columns,
        ),
      );
    });
    const answers = await askPyarrow(streams);
    streams.forEach((stream, i) => {
      const { index_id: ids, ...columns } = answers[i].columns!;
      expect(ids).toBeDefined();
      expect(cellsOf(stream, walked(stream))).toEqual({ ids: answers[i].ids, columns });
    });
  });

  it('copy no values', () => {
    const values = Float32Array.of(1, 2, 3, 4);
    const parts = encodeBatch(
      [5, 6],
      [{ name: 'x', layout: { layout: 'dense', dtype: 'float32', shape: [2] }, values }],
    );
    expect(parts.filter(({ buffer }) => buffer === values.buffer).map(hex)).toEqual([
      hex(new Uint8Array(values.buffer)),
    ]);
  });

  const ragged: EncodedColumn = {
    name: 'x',
    layout: { layout: 'ragged', dtype: 'int8', shape: [null, 1] },
    values: new Int8Array(3),
    offsets: Int32Array.of(0, 1, 3),
    shapes: Int32Array.of(1, 1, 2, 1),
  };
  const wrong: Record<string, EncodedColumn> = {
    'dense values of another size': {
      name: 'x',
      layout: { layout: 'dense', dtype: 'int16', shape: [3] },
      values: new Int16Array(5),
    },
    'scalar values with offsets': { ...ragged, layout: { layout: 'scalar', dtype: 'int8' } },
    'ragged values without offsets': { ...ragged, offsets: undefined },
    'tensors without shapes': { ...ragged, shapes: undefined },
    'text with shapes': { ...ragged, layout: { layout: 'text' } },
    'too few offsets': { ...ragged, offsets: Int32Array.of(0, 3) },
    'offsets that do not begin at 0': { ...ragged, offsets: Int32Array.of(1, 1, 3) },
    'offsets that end elsewhere': { ...ragged, offsets: Int32Array.of(0, 1, 2) },
    'too few shapes': { ...ragged, shapes: Int32Array.of(1, 1) },
  };
  it.each(Object.keys(wrong))('refuse %s', (what) => {
    expect(() => encodeBatch([1, 2], [wrong[what]])).toThrow(/^column x: /);
  });

  it('take the column whose parts fit', () => {
    expect(encodeBatch([1, 2], [ragged]).length).toBeGreaterThan(1);
  });
});
