/**
 * Inserts of one partition that are applied at once: a live put alone, puts that a start replays by the hundred, since
 * one pass over many rows costs a part of what as many passes over one row do.
 *
 *   inserts   | LSN 7: row 1 | LSN 8: row 2 | LSN 9: rows 5, 6 |
 *   batches   { puts: [ of 7, of 8, of 9 ], ids: [ 1, 2, 5, 6 ], columns }
 *
 * Invariant: of several inserts each has one batch, all with the same columns and level, and no row is there or comes
 * twice.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { BatchOfPut } from '../index/row_index.ts';
import type { BatchColumns, InsertEvent } from '../journal/events.ts';
import { batchNumber } from './partition.ts';

export interface PlacedInsert {
  readonly event: InsertEvent;
  readonly lsn: number;
}

/** Batches of the same columns, and their rows: those of the first, those of the second... */
export interface RunBatch {
  readonly puts: readonly BatchOfPut[];
  readonly ids: Float64Array;
  readonly columns: BatchColumns['columns'];
}

export interface InsertRun {
  readonly inserts: readonly PlacedInsert[];
  readonly batches: readonly RunBatch[];
  readonly level: AckLevel;
}

export function runOfOne(insert: PlacedInsert, level: AckLevel): InsertRun {
  const { event, lsn } = insert;
  const batches = event.batches.map(({ rows, ids, columns }, place) => {
    return { puts: [{ batch: batchNumber(lsn, place), lsn, rows }], ids, columns };
  });
  return { inserts: [insert], batches, level };
}

/** Whoever joins them sees to the invariant. */
export function runOfMany(inserts: readonly PlacedInsert[], ids: Float64Array, level: AckLevel): InsertRun {
  const puts = inserts.map(({ event, lsn }) => ({ batch: batchNumber(lsn, 0), lsn, rows: event.batches[0].rows }));
  return { inserts, batches: [{ puts, ids, columns: inserts[0].event.batches[0].columns }], level };
}

/** The rows of inserts of one batch each. */
export function idsOfInserts(inserts: readonly PlacedInsert[]): Float64Array {
  let count = 0;
  for (const { event } of inserts) count += event.batches[0].rows;
  const all = new Float64Array(count);
  let at = 0;
  for (const { event } of inserts) {
    const { ids } = event.batches[0];
    for (let i = 0; i < ids.length; i++) all[at++] = ids[i];
  }
  return all;
}
