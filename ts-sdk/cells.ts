/**
 * What a caller may give as the cells of a field, made into a column of its layout.
 *
 *   layout     given as
 *   scalar     Float32Array(rows) | number[] | bigint[] | boolean[]
 *   dense      Float32Array(rows x elements) | one cell per row
 *   ragged     one cell per row
 *   text       string[]          bytes   Uint8Array[]          json   any JSON values
 *   blob       Uint8Array[], of which a put makes a column of digests (blobs.ts)
 *   any        a Column, such as one of a batch
 *
 *   one cell   a typed array, row-major | { data, shape } | nested arrays of numbers
 *
 * Invariants: typed arrays must be of the dtype's own type, since a silent conversion would hide a wrong declaration;
 * plain numbers are converted, and refused where they do not fit; a cell's shape is what the layout says it is.
 */
import { describeLayout, elementsOf, sameLayout, type Dtype, type FieldLayout } from '@transfer-queue/core/layout';
import { Column, arrayOf, strideOf, type Cell, type Matrix, type Values } from './column.ts';
import { catalogueError } from './errors.ts';
import { bfloat16Bits, float16Bits } from './halves.ts';

/** Numbers in arrays in arrays: the shape is that of the nesting. */
export type Nested = number | bigint | boolean | readonly Nested[];

/**
 * One cell: elements and shape; a typed array for one dimension; nested numbers; or the value of a scalar, text or
 * JSON.
 */
export type MatrixInput = Matrix | Nested | Cell;

/** What may stand for the cells of one field. */
export type ColumnInput = Column | Values | readonly unknown[];

/** The column of `rows` cells. Throws `field_mismatch` when `input` does not fit the layout. */
export function toColumn(
  name: string,
  input: ColumnInput,
  { layout, rows }: { layout: FieldLayout; rows: number },
): Column {
  const column = input instanceof Column ? columnAs(name, input, layout) : newColumn(name, input, layout);
  if (column.rows !== rows) mismatch(name, `has ${column.rows} rows where there are ${rows} ids`);
  return column;
}

/** The one layout that JavaScript's own type leaves for these cells; throws `field_mismatch` when it leaves several. */
export function inferLayout(name: string, input: ColumnInput): FieldLayout {
  if (input instanceof Column) return input.layout;
  const dtype = nativeDtype(input);
  if (dtype !== undefined) return { layout: 'scalar', dtype };
  const first = (input as readonly unknown[])[0];
  if (typeof first === 'string') return { layout: 'text' };
  if (typeof first === 'number') return { layout: 'scalar', dtype: 'float64' };
  if (typeof first === 'bigint') return { layout: 'scalar', dtype: 'int64' };
  if (typeof first === 'boolean') return { layout: 'scalar', dtype: 'bool' };
  const element = nativeDtype(first);
  if (element !== undefined && element !== 'uint8') return { layout: 'ragged', dtype: element };
  return mismatch(
    name,
    'could have several layouts: declare it, as in tq.partition(name, { fields }) or put(.., { layouts })',
  );
}

const native: readonly (readonly [new (...args: never[]) => Values, Dtype])[] = [
  [Float32Array, 'float32'],
  [Float64Array, 'float64'],
  [Int8Array, 'int8'],
  [Int16Array, 'int16'],
  [Int32Array, 'int32'],
  [BigInt64Array, 'int64'],
  [Uint8Array, 'uint8'],
  [Uint16Array, 'uint16'],
  [Uint32Array, 'uint32'],
  [BigUint64Array, 'uint64'],
];

function nativeDtype(value: unknown): Dtype | undefined {
  return native.find(([array]) => value instanceof array)?.[1];
}

function columnAs(name: string, column: Column, layout: FieldLayout): Column {
  if (sameLayout(column.layout, layout)) return column;
  return mismatch(name, `is ${describeLayout(layout)}, the column is ${describeLayout(column.layout)}`);
}

function newColumn(name: string, input: Values | readonly unknown[], layout: FieldLayout): Column {
  switch (layout.layout) {
    case 'text':
      return stringColumn(name, input, {
        layout,
        bytesOfCell: (cell) => (typeof cell === 'string' ? utf8.encode(cell) : undefined),
      });
    case 'json':
      return stringColumn(name, input, { layout, bytesOfCell: jsonBytes });
    case 'bytes':
      return stringColumn(name, input, {
        layout,
        bytesOfCell: (cell) => (cell instanceof Uint8Array ? cell : undefined),
      });
    case 'blob':
      return mismatch(name, 'is blob: give one Uint8Array per row, or a column of digests');
    case 'scalar':
      return scalarColumn(name, input, layout);
    case 'dense':
      return ArrayBuffer.isView(input) ? flatColumn(name, input, layout) : denseColumn(name, input, layout);
    case 'ragged':
      if (ArrayBuffer.isView(input)) return mismatch(name, `is ${describeLayout(layout)}: give one array per row`);
      return raggedColumn(name, input, layout);
  }
}

const utf8 = new TextEncoder();

function jsonBytes(cell: unknown): Uint8Array | undefined {
  const json = JSON.stringify(cell) as string | undefined;
  return json === undefined ? undefined : utf8.encode(json);
}

interface StringCells {
  readonly layout: FieldLayout;
  readonly bytesOfCell: (cell: unknown) => Uint8Array | undefined;
}

function stringColumn(name: string, input: Values | readonly unknown[], { layout, bytesOfCell }: StringCells): Column {
  if (ArrayBuffer.isView(input)) return mismatch(name, `is ${describeLayout(layout)}: give one value per row`);
  const cells = input.map((cell, row) => {
    return bytesOfCell(cell) ?? mismatch(name, `is ${describeLayout(layout)}, which row ${row} cannot be`);
  });
  return concatenated(name, cells, { layout });
}

function scalarColumn(
  name: string,
  input: Values | readonly unknown[],
  layout: FieldLayout & { dtype: Dtype },
): Column {
  if (ArrayBuffer.isView(input)) return flatColumn(name, input, layout);
  const values = new (arrayOf(layout))(input.length);
  for (let row = 0; row < input.length; row++) values[row] = element(name, input[row], layout.dtype);
  return new Column({ layout, rows: input.length, values });
}

/** All rows in one typed array. */
function flatColumn(name: string, input: Values, layout: FieldLayout & { dtype: Dtype }): Column {
  const values = sameType(name, input, layout);
  const stride = strideOf(layout);
  if (values.length % stride !== 0)
    mismatch(name, `has ${values.length} elements, not a multiple of the ${stride} of a row`);
  return new Column({ layout, rows: values.length / stride, values });
}

type DenseLayout = Extract<FieldLayout, { layout: 'dense' }>;
type RaggedLayout = Extract<FieldLayout, { layout: 'ragged' }>;

function denseColumn(name: string, input: readonly unknown[], layout: DenseLayout): Column {
  const stride = strideOf(layout);
  const values = new (arrayOf(layout))(input.length * stride);
  for (const [row, cell] of input.entries()) {
    const { data, shape } = matrixOf(name, cell, layout);
    const fits = ArrayBuffer.isView(cell) ? data.length === stride : shape.join() === layout.shape.join();
    if (!fits) mismatch(name, `is ${describeLayout(layout)}, row ${row} has shape [${shape.join()}]`);
    (values as Uint8Array).set(data as Uint8Array, row * stride);
  }
  return new Column({ layout, rows: input.length, values });
}

function raggedColumn(name: string, input: readonly unknown[], layout: RaggedLayout): Column {
  const matrices = input.map((cell) => matrixOf(name, cell, layout));
  const cells = matrices.map(({ data }) => data);
  if (layout.shape === undefined) return concatenated(name, cells, { layout });
  const ndim = layout.shape.length;
  const shapes = new Int32Array(ndim * matrices.length);
  for (const [row, { data, shape }] of matrices.entries()) {
    const declared = layout.shape;
    const fits =
      shape.length === ndim &&
      elementsOf(shape) === data.length &&
      shape.every((dimension, axis) => declared[axis] === null || declared[axis] === dimension);
    if (!fits) mismatch(name, `is ${describeLayout(layout)}, row ${row} has shape [${shape.join()}]`);
    shapes.set(shape, row * ndim);
  }
  return concatenated(name, cells, { layout, shapes });
}

/** A cell as elements and shape. */
function matrixOf(name: string, cell: unknown, layout: DenseLayout | RaggedLayout): Matrix {
  if (ArrayBuffer.isView(cell)) {
    const data = sameType(name, cell as Values, layout);
    return { data, shape: shapeOfFlat(name, data.length, layout) };
  }
  if (Array.isArray(cell)) return matrixOfNested(name, cell as readonly unknown[], layout);
  const { data: given, shape } = (cell ?? {}) as { data?: unknown; shape?: unknown };
  if (!ArrayBuffer.isView(given) || !Array.isArray(shape)) {
    return mismatch(name, `is ${describeLayout(layout)}: give typed arrays, { data, shape } or nested arrays`);
  }
  const data = sameType(name, given as Values, layout);
  const dimensions = shape as readonly number[];
  const isShape = dimensions.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0);
  if (!isShape || elementsOf(dimensions) !== data.length) {
    mismatch(name, `has ${data.length} elements for shape [${dimensions.join()}]`);
  }
  return { data, shape: dimensions };
}

/** The shape of a flat cell, where only one dimension varies. */
function shapeOfFlat(name: string, count: number, layout: DenseLayout | RaggedLayout): number[] {
  if (layout.layout === 'dense' || layout.shape === undefined) return [count];
  const { shape } = layout;
  if (shape.filter((dimension) => dimension === null).length > 1) {
    return mismatch(name, `is ${describeLayout(layout)}, where several dimensions vary: give { data, shape }`);
  }
  return shape.map((dimension) => dimension ?? count / elementsOf(shape));
}

function matrixOfNested(name: string, cell: readonly unknown[], layout: DenseLayout | RaggedLayout): Matrix {
  const ndim = layout.layout === 'dense' ? layout.shape.length : (layout.shape?.length ?? 1);
  const shape: number[] = [];
  for (let level: unknown = cell; shape.length < ndim; level = (level as ArrayLike<unknown> | undefined)?.[0]) {
    shape.push(isList(level) ? level.length : (layout.shape?.[shape.length] ?? 0));
  }
  const values = new (arrayOf(layout))(elementsOf(shape));
  let at = 0;
  const fill = (level: unknown, axis: number): void => {
    if (axis === ndim) {
      values[at++] = element(name, level, layout.dtype);
      return;
    }
    if (!isList(level) || level.length !== shape[axis])
      mismatch(name, `has a cell whose nested arrays are not ${ndim}-dimensional or differ in length`);
    for (let i = 0; i < level.length; i++) fill(level[i], axis + 1);
  };
  fill(cell, 0);
  return { data: values, shape };
}

function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

/** Checks that a typed array is of the dtype's own type, or of one whose bytes are the same. */
function sameType(name: string, values: Values, layout: FieldLayout & { dtype: Dtype }): Values {
  const array = arrayOf(layout);
  if (values instanceof array) return values;
  const given = (values as object).constructor.name;
  const isBits = given === 'Float16Array' && layout.dtype === 'float16';
  const isClamped = given === 'Uint8ClampedArray' && layout.dtype === 'uint8';
  const { buffer, byteOffset, byteLength } = values as ArrayBufferView;
  if (isBits || isClamped) return new array(buffer, byteOffset, byteLength / array.BYTES_PER_ELEMENT);
  return mismatch(name, `is ${describeLayout(layout)}: give a ${array.name}, not a ${given}`);
}

const integerRanges: Partial<Record<Dtype, readonly [number, number]>> = {
  int8: [-(2 ** 7), 2 ** 7 - 1],
  int16: [-(2 ** 15), 2 ** 15 - 1],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint8: [0, 2 ** 8 - 1],
  uint16: [0, 2 ** 16 - 1],
  uint32: [0, 2 ** 32 - 1],
};

/** One number in the form in which the dtype's array holds it. */
function element(name: string, value: unknown, dtype: Dtype): never {
  const stored = storedElement(value, dtype);
  if (stored === undefined) return mismatch(name, `is ${dtype}, which ${String(value)} cannot be`);
  return stored as never; // Arrays of numbers and of bigints take different types: which one, the dtype says.
}

function storedElement(value: unknown, dtype: Dtype): number | bigint | undefined {
  if (dtype === 'bool') return typeof value === 'boolean' || value === 0 || value === 1 ? Number(value) : undefined;
  if (dtype === 'int64' || dtype === 'uint64') return storedBigint(value, dtype);
  if (typeof value !== 'number') return undefined;
  if (dtype === 'float16') return float16Bits(value);
  if (dtype === 'bfloat16') return bfloat16Bits(value);
  const range = integerRanges[dtype];
  if (range === undefined) return value;
  return Number.isInteger(value) && value >= range[0] && value <= range[1] ? value : undefined;
}

function storedBigint(value: unknown, dtype: 'int64' | 'uint64'): bigint | undefined {
  if (typeof value !== 'bigint' && !Number.isSafeInteger(value)) return undefined;
  const big = BigInt(value as number | bigint);
  return (dtype === 'int64' ? BigInt.asIntN(64, big) : BigInt.asUintN(64, big)) === big ? big : undefined;
}

/** Cells of different lengths in a row, copied. */
function concatenated(
  name: string,
  cells: readonly Values[],
  parts: { layout: FieldLayout; shapes?: Int32Array },
): Column {
  const offsets = new Int32Array(cells.length + 1);
  let count = 0;
  for (const [row, cell] of cells.entries()) {
    count += cell.length;
    if (count > OFFSET_MAX) mismatch(name, `has more than ${OFFSET_MAX} elements in one put; put fewer rows at a time`);
    offsets[row + 1] = count;
  }
  const values = new (arrayOf(parts.layout))(count);
  for (const [row, cell] of cells.entries()) (values as Uint8Array).set(cell as Uint8Array, offsets[row]);
  return new Column({ ...parts, rows: cells.length, values, offsets });
}

/** Arrow's offsets are int32. */
const OFFSET_MAX = 2 ** 31 - 1;

function mismatch(name: string, what: string): never {
  throw catalogueError('field_mismatch', `Field ${name} ${what}.`);
}
