/**
 * Puts as bodies: whatever a caller gives, made into columns, cut to the limits and written as Arrow IPC streams.
 *
 *   given     Arrow IPC bytes | Table or RecordBatch of apache-arrow | { field: cells, ... } | Batch
 *   body      schema message | one record batch: index_id, fields ... | end of stream | tail
 *
 * Invariants: each body holds at most the rows and bytes of the limits, or a single row; rows keep their order;
 * values are sent from where they lie.
 */
import { encodeBatch } from '@transfer-queue/core/arrow';
import { ID_END, INDEX_COLUMN } from '@transfer-queue/core/protocol';
import type { FieldLayout } from '@transfer-queue/core/layout';
import type { RecordBatch, Table } from 'apache-arrow';
import { columnsOfTable, isArrowTable } from './arrow.ts';
import { arrowBody, type RequestBody } from './body.ts';
import { inferLayout, toColumn, type ColumnInput } from './cells.ts';
import type { Column } from './column.ts';
import { cellValues, sliceRows, takeRows } from './column.ts';
import { decodeInput, type Rows } from './decode.ts';
import { catalogueError } from './errors.ts';

/** Ids as a caller may give them. */
export type Ids = readonly number[] | Int32Array | Uint32Array | Float64Array | BigInt64Array;

/** Cells by field name, such as `{ reward: Float32Array.of(1, 0), prompt: ['a', 'b'] }`. */
export type Columns = Readonly<Record<string, ColumnInput>>;

/** What can be put. */
export type PutData = Uint8Array | Table | RecordBatch | Columns | Rows;

interface PutContext {
  /** The ids of the rows, when the data has no column `index_id`. */
  readonly ids: Ids | undefined;
  /** Layouts of plain columns by field, where they are known. */
  readonly layouts: Readonly<Record<string, FieldLayout>>;
}

/** The rows of a put. Throws FixRequestError when the data does not fit. */
export function toRows(data: PutData, context: PutContext): Rows {
  if (data instanceof Uint8Array) return toRows(decodeInput(data), context);
  if (isRows(data)) return withIds(data, context.ids);
  if (isArrowTable(data)) {
    const columns = columnsOfTable(data);
    const idColumn = columns.get(INDEX_COLUMN);
    columns.delete(INDEX_COLUMN);
    return checkedRows({ ids: idsOf(idColumn?.values as Ids | undefined, context.ids), columns });
  }
  const { [INDEX_COLUMN]: idColumn, ...fields } = data;
  const ids = idsOf(idColumn as Ids | undefined, context.ids);
  const columns = new Map<string, Column>();
  for (const [name, input] of Object.entries(fields)) {
    const layout = context.layouts[name] ?? inferLayout(name, input);
    columns.set(name, toColumn(name, input, { layout, rows: ids.length }));
  }
  return checkedRows({ ids, columns });
}

/** A batch of ours, or rows like one. */
export function isRows(data: object): data is Rows {
  const { ids, columns } = data as { ids?: unknown; columns?: unknown };
  return Array.isArray(ids) && columns instanceof Map;
}

function withIds(rows: Rows, ids: Ids | undefined): Rows {
  return ids === undefined ? rows : checkedRows({ ids: toIds(ids), columns: rows.columns });
}

function checkedRows(rows: Rows): Rows {
  for (const [name, column] of rows.columns) {
    if (column.rows === rows.ids.length) continue;
    throw catalogueError(
      'field_mismatch',
      `Field ${name} has ${column.rows} rows where there are ${rows.ids.length} ids.`,
    );
  }
  return rows;
}

function idsOf(column: Ids | undefined, given: Ids | undefined): readonly number[] {
  const ids = given ?? column;
  if (ids === undefined) {
    throw catalogueError('index_id_invalid', 'The rows have no ids: give { ids } or a column index_id.');
  }
  return toIds(ids);
}

/** Ids as numbers. Throws `index_id_invalid` unless each is an integer from 0 to 2^53 - 1. */
export function toIds(given: Ids): readonly number[] {
  const ids = Array.from(given as ArrayLike<number | bigint>, Number);
  const wrong = ids.find((id) => !Number.isSafeInteger(id) || id < 0 || id >= ID_END);
  if (wrong === undefined) return ids;
  throw catalogueError('index_id_invalid', `Ids are integers from 0 to 2^53 - 1, which ${wrong} is not.`);
}

/** The rows at these positions, in this order. All of them in their own order are the rows themselves, uncopied. */
export function pickRows(rows: Rows, positions: ArrayLike<number>): Rows {
  const isWhole = positions.length === rows.ids.length && Array.from(positions).every((at, i) => at === i);
  if (isWhole) return rows;
  const columns = new Map<string, Column>();
  for (const [name, column] of rows.columns) columns.set(name, takeRows(column, positions));
  return { ids: Array.from(positions, (at) => rows.ids[at]), columns };
}

/** The Arrow IPC stream of rows, in pieces. */
export function encodeRows(rows: Rows): Uint8Array[] {
  const columns = [...rows.columns].map(([name, column]) => ({
    name,
    layout: column.layout,
    values: cellValues(column),
    offsets: column.offsets === undefined ? undefined : fromZero(column.offsets),
    shapes: column.shapes,
  }));
  return encodeBatch(rows.ids, columns);
}

function fromZero(offsets: Int32Array): Int32Array {
  const first = offsets[0];
  return first === 0 ? offsets : offsets.map((offset) => offset - first);
}

export interface PutLimits {
  readonly rowsMax: number;
  readonly bytesMax: number;
}

/** The bodies of a put, in order; one when it is within the limits. */
export function* putBodies(rows: Rows, limits: PutLimits): Generator<RequestBody> {
  const count = rows.ids.length;
  if (count <= limits.rowsMax) {
    const body = arrowBody(encodeRows(rows), { tail: true });
    if (body.size <= limits.bytesMax) {
      yield body;
      return;
    }
    if (count <= 1) {
      const details = { bytes: body.size, limit: limits.bytesMax };
      throw catalogueError('body_too_large', 'One row alone is larger than a put may be.', details);
    }
  }
  const middle = Math.ceil(count / 2);
  yield* putBodies(rowRange(rows, 0, middle), limits);
  yield* putBodies(rowRange(rows, middle, count), limits);
}

function rowRange(rows: Rows, start: number, end: number): Rows {
  const columns = new Map<string, Column>();
  for (const [name, column] of rows.columns) columns.set(name, sliceRows(column, start, end));
  return { ids: rows.ids.slice(start, end), columns };
}
