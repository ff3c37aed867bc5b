/**
 * Checks one record batch against its schema, and finds the parts of each column.
 *
 *   record batch   rows | field nodes {i64 length, i64 null count} | buffers {i64 offset, i64 length} | body
 *   order          columns as in the schema, each before its children; each with a validity buffer, which is skipped
 *
 * Invariants of what passes: all that pyarrow's `validate(full=True)` demands, no nulls, and buffers that lie in the
 * body in ascending order without overlap (as every writer writes them), so that the work done is bounded by the size
 * of the body. Buffer positions are taken relative to the body of the message and given out relative to the start of
 * the stream.
 */
import { BLOB_DIGEST_SIZE, INDEX_COLUMN } from '../protocol.ts';
import { ELEMENTS_MAX, elementSize, elementsOf } from '../layout.ts';
import type { DenseLayout, FieldLayout, RaggedLayout, ScalarLayout } from '../layout.ts';
import { readSize64 } from './flatbuffer.ts';
import type { Table, Vector } from './flatbuffer.ts';
import { NODE_SIZE, REGION_SIZE, RecordBatchSlot } from './format.ts';
import { malformed, refuse } from './refusal.ts';
import type { StreamSchema } from './schema.ts';
import { isUtf8 } from './utf8.ts';

/** Where the parts of a column lie, relative to the start of the stream: [offset, length] per part, without padding. */
export interface WalkedColumn {
  readonly regions: readonly number[];
}

export interface WalkedBatch {
  readonly rows: number;
  readonly ids: Float64Array;
  /** One per field of the stream, in its order. */
  readonly columns: readonly WalkedColumn[];
}

/** Where a record batch message stands in its stream. */
export interface BatchPlace {
  readonly stream: Uint8Array;
  readonly view: DataView;
  readonly bodyStart: number;
  readonly bodyLength: number;
}

export function readBatch(table: Table, schema: StreamSchema, place: BatchPlace): WalkedBatch {
  if (table.has(RecordBatchSlot.compression)) {
    refuse('compression_refused', 'the buffers are compressed; write the stream without compression');
  }
  const nodes = table.vector(RecordBatchSlot.nodes, NODE_SIZE);
  const buffers = table.vector(RecordBatchSlot.buffers, REGION_SIZE);
  const variadic = table.vector(RecordBatchSlot.variadicCounts, 8);
  if (nodes.count !== schema.size.nodes || buffers.count !== schema.size.buffers || variadic.count !== 0) {
    malformed('a record batch does not have the nodes and buffers of its schema');
  }
  const rows = table.size64(RecordBatchSlot.rows);
  if (rows > ELEMENTS_MAX) malformed('a record batch has 2^31 rows or more', { rows });
  const cursor = new Cursor(place, nodes, buffers);
  const columns: WalkedColumn[] = [];
  let ids: Float64Array | null = null;
  for (const column of schema.columns) {
    if (column === null) ids = readIds(cursor, rows);
    else columns.push({ regions: readColumn(cursor, { ...column, rows }) });
  }
  return { rows, ids: ids!, columns };
}

/** Goes through the nodes and buffers of a batch in order, checking each. */
class Cursor {
  readonly place: BatchPlace;
  column = '';
  /** The buffer taken last, relative to the start of the stream. */
  offset = 0;
  length = 0;
  #nodeAt: number;
  #bufferAt: number;
  /** End of the buffers taken so far, relative to the body. */
  #taken = 0;

  constructor(place: BatchPlace, nodes: Vector, buffers: Vector) {
    this.place = place;
    this.#nodeAt = nodes.at;
    this.#bufferAt = buffers.at;
  }

  /** Takes a node and returns its length. */
  node(): number {
    const { view } = this.place;
    const length = readSize64(view, this.#nodeAt);
    const nullCount = readSize64(view, this.#nodeAt + 8);
    this.#nodeAt += NODE_SIZE;
    if (nullCount !== 0) {
      const code = this.column === INDEX_COLUMN ? 'index_id_invalid' : 'nulls_refused';
      refuse(code, `column ${this.column} holds nulls`, { column: this.column, nulls: nullCount });
    }
    return length;
  }

  /** Takes a node that must have this length. */
  nodeOf(length: number): void {
    const actual = this.node();
    if (actual !== length) this.fail(`has a node of length ${actual} where ${length} is needed`);
  }

  /** Takes a buffer, which must have at least `sizeMin` bytes; its position is then in `offset` and `length`. */
  buffer(sizeMin: number): void {
    const { view, bodyStart, bodyLength } = this.place;
    const offset = readSize64(view, this.#bufferAt);
    const length = readSize64(view, this.#bufferAt + 8);
    this.#bufferAt += REGION_SIZE;
    if (offset % 8 !== 0) this.fail('has a buffer that does not start at a multiple of 8');
    if (offset + length > bodyLength) this.fail('has a buffer outside the body');
    if (length > 0) {
      if (offset < this.#taken) this.fail('has buffers that overlap or are out of order');
      this.#taken = offset + length;
    }
    this.offset = bodyStart + offset;
    this.length = length;
    this.demand(sizeMin);
  }

  /** Checks that the buffer taken last has at least so many bytes. */
  demand(sizeMin: number): void {
    if (this.length < sizeMin) this.fail(`has a buffer of ${this.length} bytes where ${sizeMin} are needed`);
  }

  /** Takes a validity buffer: nothing is null, so its bytes mean nothing. */
  validity(): void {
    this.buffer(0);
  }

  /** The first `count` int32s of the buffer taken last. */
  int32s(count: number): Int32Array {
    const { stream } = this.place;
    return new Int32Array(stream.buffer, stream.byteOffset + this.offset, count);
  }

  fail(problem: string): never {
    return malformed(`column ${this.column} ${problem}`, { column: this.column });
  }
}

function readIds(cursor: Cursor, rows: number): Float64Array {
  cursor.column = INDEX_COLUMN;
  cursor.nodeOf(rows);
  cursor.validity();
  cursor.buffer(rows * 8);
  const words = cursor.int32s(rows * 2);
  const ids = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const high = words[2 * row + 1];
    if (high < 0 || high > 0x1fffff)
      refuse('index_id_invalid', `row ${row}: an id is an integer from 0 to 2^53 - 1`, { row });
    ids[row] = high * 0x100000000 + (words[2 * row] >>> 0);
  }
  return ids;
}

function readColumn(cursor: Cursor, column: { name: string; layout: FieldLayout; rows: number }): number[] {
  const { layout, rows } = column;
  cursor.column = column.name;
  cursor.nodeOf(rows);
  cursor.validity();
  switch (layout.layout) {
    case 'scalar':
      return readValues(cursor, layout, rows);
    case 'dense': {
      const count = rows * elementsOf(layout.shape);
      cursor.nodeOf(count);
      cursor.validity();
      return readValues(cursor, layout, count);
    }
    case 'ragged':
      return layout.shape === undefined ? readList(cursor, layout, rows).regions : readTensors(cursor, layout, rows);
    case 'bytes':
      return readBytes(cursor, rows).regions;
    case 'blob':
      return readDigests(cursor, rows);
    default:
      return readText(cursor, rows);
  }
}

function readValues(cursor: Cursor, layout: DenseLayout | ScalarLayout | RaggedLayout, count: number): number[] {
  const size = count * elementSize(layout);
  cursor.buffer(size);
  return [cursor.offset, size];
}

interface Offsets {
  readonly offsets: Int32Array;
  /** The last one, which the values must reach. */
  readonly used: number;
  readonly region: readonly [offset: number, length: number];
}

/** Takes an offsets buffer: one more than rows, or an empty one where there are no rows. */
function readOffsets(cursor: Cursor, rows: number): Offsets {
  cursor.buffer(0);
  const count = rows === 0 && cursor.length === 0 ? 0 : rows + 1;
  cursor.demand(count * 4);
  const offsets = cursor.int32s(count);
  let last = 0;
  for (let i = 0; i < offsets.length; i++) {
    const offset = offsets[i];
    if (offset < last) cursor.fail(`has offsets that are negative or fall, at row ${i}`);
    last = offset;
  }
  return { offsets, used: last, region: [cursor.offset, offsets.byteLength] };
}

/** The validity buffer of the list is taken already. */
function readList(cursor: Cursor, layout: RaggedLayout, rows: number): { regions: number[]; offsets: Int32Array } {
  const { offsets, used, region } = readOffsets(cursor, rows);
  const count = cursor.node();
  if (count < used) cursor.fail(`has offsets up to ${used} over ${count} values`);
  if (count > ELEMENTS_MAX) cursor.fail(`has ${count} values, more than offsets can reach`);
  cursor.validity();
  const values = readValues(cursor, layout, count);
  return { regions: [...region, values[0], used * elementSize(layout)], offsets };
}

function readTensors(cursor: Cursor, layout: RaggedLayout, rows: number): number[] {
  const uniform = layout.shape!;
  const ndim = uniform.length;
  cursor.nodeOf(rows);
  cursor.validity();
  const { regions, offsets } = readList(cursor, layout, rows);
  cursor.nodeOf(rows);
  cursor.validity();
  cursor.nodeOf(rows * ndim);
  cursor.validity();
  const size = rows * ndim * 4;
  cursor.buffer(size);
  const shapes = cursor.int32s(rows * ndim);
  for (let row = 0; row < rows; row++) {
    let product = 1;
    for (let d = 0; d < ndim; d++) {
      const dimension = shapes[row * ndim + d];
      if (dimension < 0) cursor.fail(`has a negative dimension at row ${row}`);
      const named = uniform[d];
      if (named !== null && named !== dimension)
        cursor.fail(`has dimension ${dimension} instead of ${named} at row ${row}`);
      product *= dimension;
    }
    const count = offsets[row + 1] - offsets[row];
    if (product !== count) cursor.fail(`has ${count} values for a shape of ${product} at row ${row}`);
  }
  return [...regions, cursor.offset, size];
}

interface VaryingBytes {
  readonly offsets: Int32Array;
  readonly regions: number[];
}

function readBytes(cursor: Cursor, rows: number): VaryingBytes {
  const { offsets, used, region } = readOffsets(cursor, rows);
  cursor.buffer(used);
  return { offsets, regions: [...region, cursor.offset, used] };
}

function readText(cursor: Cursor, rows: number): number[] {
  const { offsets, regions } = readBytes(cursor, rows);
  if (rows === 0) return regions;
  const [, , at, used] = regions;
  const bytes = cursor.place.stream.subarray(at, at + used);
  if (!isUtf8(bytes.subarray(offsets[0]))) cursor.fail('holds text that is not UTF-8');
  // The whole is valid, so each row is, unless a boundary stands within a character.
  for (let row = 0; row < rows; row++) {
    if ((bytes[offsets[row]] & 0xc0) === 0x80) cursor.fail(`holds text that is not UTF-8, at row ${row}`);
  }
  return regions;
}

function readDigests(cursor: Cursor, rows: number): number[] {
  const { offsets, regions } = readBytes(cursor, rows);
  for (let row = 0; row < rows; row++) {
    const size = offsets[row + 1] - offsets[row];
    if (size === BLOB_DIGEST_SIZE) continue;
    const { column } = cursor;
    refuse('blob_invalid', `column ${column} has a cell of ${size} bytes at row ${row}`, { column, row, size });
  }
  return regions;
}
