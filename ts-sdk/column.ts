/**
 * Columns: the cells of one field for the rows of a batch, in the parts that Arrow stores them in.
 *
 *   layout            values                         offsets          shapes
 *   scalar            rows elements
 *   dense [d0,d1..]   rows x d0 x d1 .. elements
 *   ragged            all cells in a row             rows + 1         n-D only: rows x ndim
 *   text bytes json   UTF-8 or bytes in a row        rows + 1
 *   blob              digests in a row               rows + 1
 *
 * Invariants: cell i is values[offsets[i] .. offsets[i + 1]) (offsets need not begin at 0); nothing here copies
 * values but `takeRows` and `joinColumns`, so a column of an answer stays a view of the answer.
 */
import { elementsOf, partCount, type Dtype, type FieldLayout } from '@transfer-queue/core/layout';
import { clientError } from './errors.ts';
import { bfloat16Number, float16Number } from './halves.ts';

/** Elements as they are stored: `float16` and `bfloat16` as bits in a Uint16Array, `bool` as 0 and 1. */
export type Values =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** A JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * One cell. Dense and ragged: a view of its elements, row-major. Scalar: a number, a bigint (64-bit integers) or a
 * boolean. text: a string; bytes: a view; json: the parsed value; blob: its SHA-256.
 */
export type Cell = Values | bigint | Json;

/** One matrix: its elements, row-major, and its shape. */
export interface Matrix {
  readonly data: Values;
  readonly shape: readonly number[];
}

const arrays = {
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const satisfies Record<Dtype, unknown>;

interface ValuesConstructor {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): Values;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Values;
}

/** The typed array that holds the elements of a layout. */
export function arrayOf(layout: FieldLayout): ValuesConstructor {
  return 'dtype' in layout ? arrays[layout.dtype] : Uint8Array;
}

/** The bytes of any typed array, in place. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

interface ColumnParts {
  readonly layout: FieldLayout;
  readonly rows: number;
  readonly values: Values;
  readonly offsets?: Int32Array;
  readonly shapes?: Int32Array;
}

const utf8 = new TextDecoder();

/**
 * The cells of one field, in the order of the batch's rows.
 *
 * @example
 * ```ts
 * const batch = await train.get([1, 2], { fields: ['response'] });
 * const response = batch.column('response'); // ragged int64: a column of views
 * response.row(1); // BigInt64Array [2n, 2n]
 * response.values; // BigInt64Array [1n, 2n, 2n]
 * response.offsets; // Int32Array [0, 1, 3]
 * ```
 */
export class Column {
  /** The layout that the partition declares for the field. */
  readonly layout: FieldLayout;
  /** The number of cells. */
  readonly rows: number;
  /** All elements in a row; see {@link Values} for how dtypes are stored. */
  readonly values: Values;
  /** Ragged, text, bytes and json: where each cell begins in `values`; one more than there are rows. */
  readonly offsets: Int32Array | undefined;
  /** Ragged with a shape: the shape of each cell, `ndim` numbers each. */
  readonly shapes: Int32Array | undefined;

  constructor({ layout, rows, values, offsets, shapes }: ColumnParts) {
    this.layout = layout;
    this.rows = rows;
    this.values = values;
    this.offsets = offsets;
    this.shapes = shapes;
  }

  /** Cell `index`; elements are views. Throws RangeError when there is no such row. */
  row(index: number): Cell {
    const { layout } = this;
    const elements = this.#elements(index);
    switch (layout.layout) {
      case 'text':
        return utf8.decode(elements);
      case 'json':
        return JSON.parse(utf8.decode(elements)) as Json;
      case 'scalar':
        return scalarOf(elements[0], layout.dtype);
      default:
        return elements;
    }
  }

  /** The shape of cell `index`: `[28, 28]`, `[k]`, `[k, 64]`; `[]` for a scalar, text, bytes or json. */
  shape(index: number): number[] {
    const { layout, shapes } = this;
    if (layout.layout === 'dense') return [...layout.shape];
    if (layout.layout !== 'ragged') return [];
    if (shapes === undefined) return [this.#elements(index).length];
    const ndim = layout.shape?.length ?? 1;
    return [...shapes.subarray(index * ndim, (index + 1) * ndim)];
  }

  /** Cell `index` as `readMatrix` gives it: elements and shape of dense and ragged fields, otherwise the value. */
  matrix(index: number): Matrix | Cell {
    const cell = this.row(index);
    const isMatrix = this.layout.layout === 'dense' || this.layout.layout === 'ragged';
    return isMatrix ? { data: cell as Values, shape: this.shape(index) } : cell;
  }

  /** All cells, one after the other. */
  *[Symbol.iterator](): Generator<Cell> {
    for (let index = 0; index < this.rows; index++) yield this.row(index);
  }

  #elements(index: number): Values {
    if (!(index >= 0 && index < this.rows)) throw new RangeError(`no row ${index} of ${this.rows}`);
    if (this.offsets !== undefined) return this.values.subarray(this.offsets[index], this.offsets[index + 1]);
    const stride = strideOf(this.layout);
    return this.values.subarray(index * stride, (index + 1) * stride);
  }
}

function scalarOf(value: number | bigint, dtype: Dtype): number | bigint | boolean {
  if (dtype === 'bool') return value !== 0;
  if (dtype === 'float16') return float16Number(value as number);
  return dtype === 'bfloat16' ? bfloat16Number(value as number) : value;
}

/** Elements of a cell where all cells have as many. */
export function strideOf(layout: FieldLayout): number {
  return layout.layout === 'dense' ? elementsOf(layout.shape) : 1;
}

/** Rows [start, end) of a column, as views. */
export function sliceRows(column: Column, start: number, end: number): Column {
  const { layout, values, offsets, shapes } = column;
  const rows = end - start;
  if (offsets === undefined) {
    const stride = strideOf(layout);
    return new Column({ layout, rows, values: values.subarray(start * stride, end * stride) });
  }
  const ndim = shapes === undefined || column.rows === 0 ? 0 : shapes.length / column.rows;
  return new Column({
    layout,
    rows,
    values,
    offsets: offsets.subarray(start, end + 1),
    shapes: shapes?.subarray(start * ndim, end * ndim),
  });
}

/** The rows at these positions, in this order, copied. */
export function takeRows(column: Column, positions: ArrayLike<number>): Column {
  const rows = Array.from(positions, (position) => sliceRows(column, position, position + 1));
  return joinColumns(rows, column.layout);
}

/** The rows of several columns of one layout, one after the other, copied. */
export function joinColumns(columns: readonly Column[], layout: FieldLayout): Column {
  const rows = columns.reduce((sum, column) => sum + column.rows, 0);
  const parts = partCount(layout);
  const cells = columns.map(cellValues);
  const count = cells.reduce((sum, values) => sum + values.length, 0);
  const values = new (arrayOf(layout))(count);
  const offsets = parts > 1 ? new Int32Array(rows + 1) : undefined;
  let at = 0;
  let row = 0;
  for (const [index, column] of columns.entries()) {
    setValues(values, cells[index], at);
    if (offsets !== undefined && column.offsets !== undefined) {
      const shift = at - column.offsets[0];
      for (let i = 0; i < column.rows; i++) offsets[row + i + 1] = column.offsets[i + 1] + shift;
    }
    at += cells[index].length;
    row += column.rows;
  }
  if (offsets !== undefined && count > INT32_MAX) {
    throw clientError(
      'input_invalid',
      `The rows have ${count} elements in one field, more than 2^31 - 1; ask for fewer.`,
    );
  }
  return new Column({ layout, rows, values, offsets, shapes: parts > 2 ? joinShapes(columns) : undefined });
}

const INT32_MAX = 2 ** 31 - 1;

function joinShapes(columns: readonly Column[]): Int32Array {
  const shapes = columns.flatMap((column) => (column.shapes === undefined ? [] : [column.shapes]));
  const joined = new Int32Array(shapes.reduce((sum, shape) => sum + shape.length, 0));
  let at = 0;
  for (const shape of shapes) {
    joined.set(shape, at);
    at += shape.length;
  }
  return joined;
}

/** The values that belong to the column's own rows: a slice still carries those of its neighbours. */
export function cellValues(column: Column): Values {
  const { offsets, values, rows } = column;
  return offsets === undefined ? values : values.subarray(offsets[0], offsets[rows]);
}

/** Both are of one type, since they are of one layout; TypeScript cannot see that. */
function setValues(target: Values, source: Values, at: number): void {
  (target as Uint8Array).set(source as Uint8Array, at);
}

/**
 * Elements as numbers: `float16` and `bfloat16` decoded, 64-bit integers rounded to the nearest number. Always a
 * copy.
 */
export function toNumbers(values: Values, dtype: Dtype): Float64Array {
  const decode = dtype === 'float16' ? float16Number : dtype === 'bfloat16' ? bfloat16Number : Number;
  return Float64Array.from(values as ArrayLike<number | bigint> as ArrayLike<number>, decode);
}
