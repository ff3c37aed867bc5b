/** Batches: the rows of an answer, as Arrow IPC bytes, as typed columns and as a table of `apache-arrow`. */
import { ATTEMPT_COLUMN } from '@transfer-queue/core/protocol';
import { tableFromIPC, type Table } from 'apache-arrow';
import type { Column } from './column.ts';
import { joinColumns } from './column.ts';
import { decodeAnswer, type Rows } from './decode.ts';
import { encodeRows, pickRows } from './encode.ts';
import { catalogueError } from './errors.ts';

/**
 * Some rows with some of their fields. It can be put again as it is.
 *
 * @example
 * ```ts
 * const batch = await train.get([2, 1], { fields: ['reward'] });
 * batch.ids; // [2, 1]
 * batch.column('reward').values; // Float32Array [0.5, 0.25]
 * batch.table().numRows; // 2
 * ```
 */
export class Batch implements Rows {
  /** The ids of the rows, in the order asked for. */
  readonly ids: readonly number[];
  /** The fields by name, in the order asked for. */
  readonly columns: ReadonlyMap<string, Column>;
  /** The highest LSN among the cells of the batch. */
  readonly lsn: number;
  #bytes: Uint8Array | undefined;
  #table: Table | undefined;

  constructor(rows: Rows, { lsn, bytes }: { lsn: number; bytes?: Uint8Array }) {
    this.ids = rows.ids;
    this.columns = rows.columns;
    this.lsn = lsn;
    this.#bytes = bytes;
  }

  /** The number of rows. */
  get rows(): number {
    return this.ids.length;
  }

  /** The names of the fields. */
  get fields(): string[] {
    return [...this.columns.keys()];
  }

  /** The batch as one Arrow IPC stream: `index_id`, then the fields. What came over the wire, where it came as one. */
  get bytes(): Uint8Array {
    this.#bytes ??= joinedBytes(encodeRows(this));
    return this.#bytes;
  }

  /** The cells of one field, as views. Throws `field_unknown` when the batch does not hold the field. */
  column(field: string): Column {
    const column = this.columns.get(field);
    if (column === undefined)
      throw catalogueError('field_unknown', `The batch has no field ${field}; it has ${this.fields.join(', ')}.`);
    return column;
  }

  /** The batch as a table of `apache-arrow`, over the same bytes. */
  table(): Table {
    this.#table ??= tableFromIPC(this.bytes);
    return this.#table;
  }
}

function joinedBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

/** A part of a read: the rows at these positions of the call. */
export interface Part {
  readonly positions: ArrayLike<number>;
  readonly batch: Batch;
}

/** One batch of all parts, in the order of the call. A single part is the batch itself, uncopied. */
export function mergeParts(parts: readonly Part[], count: number): Batch {
  const [first] = parts;
  if (parts.length === 1) return first.batch;
  const lsn = Math.max(...parts.map((part) => part.batch.lsn));
  const columns = new Map<string, Column>();
  for (const [name, { layout }] of first.batch.columns) {
    columns.set(
      name,
      joinColumns(
        parts.map((part) => part.batch.column(name)),
        layout,
      ),
    );
  }
  const ids = parts.flatMap((part) => part.batch.ids);
  const order = new Uint32Array(count);
  let row = 0;
  for (const { positions } of parts) for (let i = 0; i < positions.length; i++) order[positions[i]] = row++;
  return new Batch(pickRows({ ids, columns }, order), { lsn });
}

/** The rows of an answer, and the attempts of a claim's rows, which are no field. */
export function readRows(bytes: Uint8Array): { rows: Rows; attempts: Int32Array } {
  const { ids, columns } = decodeAnswer(bytes);
  const attempts = columns.get(ATTEMPT_COLUMN)?.values as Int32Array | undefined;
  if (attempts === undefined) return { rows: { ids, columns }, attempts: new Int32Array(0) };
  const fields = new Map([...columns].filter(([name]) => name !== ATTEMPT_COLUMN));
  return { rows: { ids, columns: fields }, attempts };
}
