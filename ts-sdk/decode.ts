/**
 * Answers as columns: an Arrow IPC stream from outside, checked by the walker of core, then looked at in place.
 *
 *   stream   index_id | [tq_attempt] | fields ...     one record batch in an answer; a put of the user's may have more
 *
 * Invariants: all columns have as many rows as there are ids; values are views of the stream unless it holds several
 * record batches, which are joined.
 */
import { SchemaCache, walkStream, type ArrowRefusalCode, type WalkedBatch } from '@transfer-queue/core/arrow';
import { tableFromIPC, type Table } from 'apache-arrow';
import { partCount, type FieldLayout } from '@transfer-queue/core/layout';
import { Column, arrayOf, joinColumns } from './column.ts';
import { catalogueError, clientError } from './errors.ts';

/** The rows of a put or an answer, column by column. */
export interface Rows {
  readonly ids: readonly number[];
  readonly columns: ReadonlyMap<string, Column>;
}

/** Schemas of answers, which repeat from call to call. */
const answerSchemas = new SchemaCache();

/** The rows of an answer. Throws `answer_invalid` when it is not a valid Arrow stream. */
export function decodeAnswer(bytes: Uint8Array): Rows {
  const walked = walkStream(bytes, { schemas: answerSchemas, allowReserved: true });
  if (!walked.ok)
    throw clientError('answer_invalid', `The answer is not valid: ${walked.message}.`, { details: walked.details });
  return joinBatches(bytes, walked);
}

/**
 * The rows of an Arrow IPC stream that a caller wants to put. What apache-arrow writes of strings and booleans is not
 * what is stored, so a stream with such columns is read by apache-arrow itself. Throws FixRequestError when it cannot
 * be put.
 */
export function decodeInput(bytes: Uint8Array): Rows | Table {
  const stream = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  const walked = walkStream(stream);
  if (walked.ok) return joinBatches(stream, walked);
  if (CONVERTIBLE.has(walked.code)) return tableFromIPC(stream);
  throw catalogueError(walked.code, `The Arrow stream cannot be put: ${walked.message}.`, walked.details);
}

const CONVERTIBLE: ReadonlySet<ArrowRefusalCode> = new Set([
  'dictionary_refused',
  'type_unsupported',
  'index_id_invalid',
]);

interface Walked {
  readonly fields: readonly { readonly name: string; readonly layout: FieldLayout }[];
  readonly batches: readonly WalkedBatch[];
}

function joinBatches(stream: Uint8Array, { fields, batches }: Walked): Rows {
  const columns = new Map<string, Column>();
  for (const [index, { name, layout }] of fields.entries()) {
    const parts = batches.map((batch) =>
      viewColumn(stream, layout, { rows: batch.rows, regions: batch.columns[index].regions }),
    );
    columns.set(name, parts.length === 1 ? parts[0] : joinColumns(parts, layout));
  }
  return { ids: joinIds(batches), columns };
}

/** `Array.from` of a typed array takes thirty times as long. */
function joinIds(batches: readonly WalkedBatch[]): number[] {
  const all: number[] = [];
  for (const { ids } of batches) for (let row = 0; row < ids.length; row++) all.push(ids[row]);
  return all;
}

/** `regions` are [offset, size] of each part: values, or offsets, values and shapes. */
function viewColumn(stream: Uint8Array, layout: FieldLayout, at: { rows: number; regions: readonly number[] }): Column {
  const { rows, regions } = at;
  const part = <T extends ArrayBufferView>(index: number, array: ArrayConstructor<T>): T =>
    new array(stream.buffer, stream.byteOffset + regions[2 * index], regions[2 * index + 1] / array.BYTES_PER_ELEMENT);
  const parts = partCount(layout);
  if (parts === 1) return new Column({ layout, rows, values: part(0, arrayOf(layout)) });
  // A stream of 0 rows may leave the offsets out altogether.
  const offsets = rows === 0 ? new Int32Array(1) : part(0, Int32Array);
  const shapes = parts === 3 ? part(2, Int32Array) : undefined;
  return new Column({ layout, rows, values: part(1, arrayOf(layout)), offsets, shapes });
}

interface ArrayConstructor<T> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): T;
}
