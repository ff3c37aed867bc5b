/**
 * Tables and record batches of `apache-arrow`, made into columns in place.
 *
 * Only their data is looked at (types, buffers, metadata), never their classes, so that a table of another copy or
 * version of the library works. What Arrow allows beyond the layouts is brought to them where nothing is lost:
 * dictionaries are decoded, bits become bytes, large offsets become small ones; the rest is refused with what to send
 * instead.
 */
import { layoutOfArrowField, type ArrowField, type ArrowType } from '@transfer-queue/core/arrow';
import type { FieldLayout } from '@transfer-queue/core/layout';
import type { RecordBatch, Table } from 'apache-arrow';
import { Column, arrayOf, joinColumns, strideOf, takeRows, type Values } from './column.ts';
import { catalogueError } from './errors.ts';

/** A type of Arrow as apache-arrow holds it. */
interface TypeLike {
  readonly typeId: number;
  readonly bitWidth?: number;
  readonly isSigned?: boolean;
  readonly precision?: number;
  readonly listSize?: number;
  readonly children?: readonly FieldLike[] | null;
  readonly dictionary?: TypeLike;
}

interface FieldLike {
  readonly name: string;
  readonly type: TypeLike;
  readonly metadata: ReadonlyMap<string, string>;
}

interface DataLike {
  readonly type: TypeLike;
  readonly length: number;
  readonly offset: number;
  readonly nullCount: number;
  readonly values: ArrayBufferView;
  readonly valueOffsets: Int32Array | BigInt64Array | undefined;
  readonly children: readonly DataLike[];
  readonly dictionary?: { readonly data: readonly DataLike[] };
}

const TypeId = {
  int: 2,
  float: 3,
  binary: 4,
  utf8: 5,
  bool: 6,
  list: 12,
  struct: 13,
  fixedSizeList: 16,
  largeBinary: 19,
  largeUtf8: 20,
  dictionary: -1,
} as const;

/** True for a Table or RecordBatch of any copy of apache-arrow. */
export function isArrowTable(value: unknown): value is Table | RecordBatch {
  const { schema, getChildAt } = (value ?? {}) as { schema?: { fields?: unknown }; getChildAt?: unknown };
  return Array.isArray(schema?.fields) && typeof getChildAt === 'function';
}

/** All columns of a table by name, `index_id` among them. */
export function columnsOfTable(table: Table | RecordBatch): Map<string, Column> {
  const columns = new Map<string, Column>();
  for (const [index, field] of (table.schema.fields as readonly FieldLike[]).entries()) {
    const vector = table.getChildAt(index) as { readonly data: readonly DataLike[] } | null;
    if (columns.has(field.name)) throw catalogueError('name_invalid', `Column ${field.name} occurs twice.`);
    columns.set(field.name, columnOf(field, vector?.data ?? []));
  }
  return columns;
}

function columnOf(field: FieldLike, chunks: readonly DataLike[]): Column {
  if (chunks.some((chunk) => chunk.nullCount > 0)) {
    throw catalogueError('nulls_refused', `Column ${field.name} holds nulls; leave the cell out instead.`);
  }
  const layout = layoutOf(field);
  const parts = chunks.map((chunk) => columnOfChunk(field, layout, chunk));
  return parts.length === 1 ? parts[0] : joinColumns(parts, layout);
}

function columnOfChunk(field: FieldLike, layout: FieldLayout, chunk: DataLike): Column {
  if (chunk.type.typeId === TypeId.dictionary) {
    const dictionary = columnOf({ ...field, type: chunk.type.dictionary! }, chunk.dictionary?.data ?? []);
    return takeRows(dictionary, (chunk.values as Uint32Array).subarray(0, chunk.length));
  }
  const rows = chunk.length;
  switch (layout.layout) {
    case 'scalar':
      if (chunk.type.typeId === TypeId.bool) return new Column({ layout, rows, values: bitsToBytes(chunk) });
      return new Column({ layout, rows, values: elements(chunk, layout, rows) });
    case 'dense':
      return new Column({ layout, rows, values: elements(chunk.children[0], layout, rows * strideOf(layout)) });
    case 'ragged': {
      if (layout.shape === undefined) return listColumn(layout, chunk);
      const [data, shape] = chunk.children;
      const shapes = (shape.children[0].values as Int32Array).subarray(0, rows * layout.shape.length);
      const { values, offsets } = listColumn(layout, data);
      return new Column({ layout, rows, values, offsets, shapes });
    }
    default: {
      const offsets = smallOffsets(chunk);
      return new Column({ layout, rows, values: chunk.values as Uint8Array, offsets });
    }
  }
}

function listColumn(layout: FieldLayout, chunk: DataLike): Column {
  const offsets = smallOffsets(chunk);
  return new Column({
    layout,
    rows: chunk.length,
    values: elements(chunk.children[0], layout, offsets[chunk.length]),
    offsets,
  });
}

/** The first `count` elements. apache-arrow gives bytes for nothing and pads its buffers. */
function elements(chunk: DataLike, layout: FieldLayout, count: number): Values {
  if (chunk.nullCount > 0) throw catalogueError('nulls_refused', 'A list holds nulls; leave the cell out instead.');
  const array = arrayOf(layout);
  return count === 0 ? new array(0) : new array(chunk.values.buffer, chunk.values.byteOffset, count);
}

function smallOffsets({ valueOffsets, length }: DataLike): Int32Array {
  if (length === 0 || valueOffsets === undefined) return new Int32Array(1);
  if (valueOffsets instanceof Int32Array) return valueOffsets.subarray(0, length + 1);
  if (valueOffsets[length] >= 2n ** 31n)
    throw catalogueError('type_unsupported', 'A column has 2^31 bytes or more; split the table.');
  return Int32Array.from(valueOffsets.subarray(0, length + 1), Number);
}

function bitsToBytes(chunk: DataLike): Uint8Array {
  const bits = chunk.values as Uint8Array;
  return Uint8Array.from({ length: chunk.length }, (_, row) => {
    const at = chunk.offset + row;
    return (bits[Math.floor(at / 8)] >> (at % 8)) & 1;
  });
}

/** The layout of a column; text that is stored large, bits and dictionaries are what they stand for. */
function layoutOf(field: FieldLike): FieldLayout {
  const type = field.type.typeId === TypeId.dictionary ? field.type.dictionary! : field.type;
  if (type.typeId === TypeId.bool) return { layout: 'scalar', dtype: 'bool' };
  try {
    return layoutOfArrowField(arrowField({ ...field, type }));
  } catch (error) {
    throw catalogueError('type_unsupported', `The table cannot be put: ${(error as Error).message}.`);
  }
}

function arrowField({ name, type, metadata }: FieldLike): ArrowField {
  return { name, type: arrowType(type), metadata, children: (type.children ?? []).map(arrowField) };
}

function arrowType(type: TypeLike): ArrowType {
  switch (type.typeId) {
    case TypeId.int:
      return { kind: 'int', bits: type.bitWidth as 8 | 16 | 32 | 64, signed: type.isSigned ?? true };
    case TypeId.float:
      return { kind: 'float', bits: ([16, 32, 64] as const)[type.precision ?? 2] };
    case TypeId.binary:
    case TypeId.largeBinary:
      return { kind: 'binary' };
    case TypeId.utf8:
    case TypeId.largeUtf8:
      return { kind: 'utf8' };
    case TypeId.list:
      return { kind: 'list' };
    case TypeId.struct:
      return { kind: 'struct' };
    case TypeId.fixedSizeList:
      return { kind: 'fixed_size_list', size: type.listSize ?? 0 };
    default:
      return { kind: 'other', name: describe(type), instead: 'send numbers, lists of numbers, text or binary' };
  }
}

/** What apache-arrow calls the type, such as `Timestamp<MICROSECOND>`. */
function describe(type: TypeLike & { toString(): string }): string {
  return type.toString();
}
