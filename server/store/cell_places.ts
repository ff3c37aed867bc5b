/**
 * Where the cells of a batch lie in its extent. Puts of one client mostly look like the put before them: these share
 * one object, so that a million small puts take the memory of one.
 *
 *   columns   [ { field 3, regions } | { field 0, regions } ]        as the event says
 *   regions   [ of field 0 | - | - | of field 3 ]                    by field id
 */
import type { BatchColumns } from '../journal/events.ts';
import { sameColumns } from '../journal/columns.ts';

export interface CellPlaces {
  readonly columns: BatchColumns['columns'];
  /** Ids of the fields, in the order of the columns. */
  readonly fields: readonly number[];
  /** By field id: (offset, length) pairs relative to the extent; undefined for a field that the batch lacks. */
  readonly regions: readonly (readonly number[] | undefined)[];
  /** The fields as bits. */
  readonly fieldBits: Uint32Array;
}

const WORD_BITS = 32;

/** The places that were asked for last are kept, to be shared. */
export class SharedCellPlaces {
  #last = cellPlaces([]);

  of(columns: BatchColumns['columns']): CellPlaces {
    if (!sameColumns(columns, this.#last.columns)) this.#last = cellPlaces(columns);
    return this.#last;
  }
}

function cellPlaces(columns: BatchColumns['columns']): CellPlaces {
  const fields = columns.map(({ field }) => field);
  const regions = new Array<readonly number[] | undefined>(Math.max(-1, ...fields) + 1);
  for (const column of columns) regions[column.field] = column.regions;
  return { columns, fields, regions, fieldBits: bitsOf(fields) };
}

export function bitsOf(fieldIds: readonly number[]): Uint32Array {
  const bits = new Uint32Array(Math.floor(Math.max(0, ...fieldIds) / WORD_BITS) + 1);
  for (const id of fieldIds) bits[Math.floor(id / WORD_BITS)] |= 1 << (id % WORD_BITS);
  return bits;
}

/** Adds `bits` to `union`; returns whether that brought anything new. */
export function addBits(union: Uint32Array, bits: Uint32Array): boolean {
  let news = false;
  for (let word = 0; word < bits.length; word++) {
    const before = union[word];
    union[word] = before | bits[word];
    if (union[word] !== before) news = true;
  }
  return news;
}
