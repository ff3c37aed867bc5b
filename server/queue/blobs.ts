/**
 * Which blobs the cells of rows name: what a put says of it, applied to the pages.
 *
 * Invariant: a cell of a field of layout blob names what the last put of the cell said, live and after a replay.
 */
import type { BlobColumn } from '../journal/events.ts';
import { setBlob } from './page_values.ts';
import { eachPageOfIds } from './slots.ts';
import type { PartitionQueue } from './state.ts';

/** The rows are there. `from`: place of the first of them among all rows of the put. */
export function applyBlobs(
  { slots }: PartitionQueue,
  ids: Float64Array,
  { field, digests, places }: BlobColumn,
  from: number,
): void {
  eachPageOfIds(slots, ids, (page, offsets, rows) => {
    for (let i = 0; i < rows.length; i += 1) setBlob(slots, page, field, offsets[i], digests[places[from + rows[i]]]);
  });
}
