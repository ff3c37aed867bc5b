/**
 * Which blobs the cells of rows name: what a put says of it, applied to the pages.
 *
 * Invariant: a cell of a field of layout blob names what the last put of the cell said, live and after a replay.
 */
import type { BlobColumn } from '../journal/events.ts';
import { setBlob } from './page_values.ts';
import { offsetOf, pageOf, slotOf } from './slots.ts';
import type { PartitionQueue } from './state.ts';

/** The rows are there. `from`: place of the first of them among all rows of the put. */
export function applyBlobs(
  { slots }: PartitionQueue,
  ids: Float64Array,
  { field, digests, places }: BlobColumn,
  from: number,
): void {
  for (let row = 0; row < ids.length; row += 1) {
    const slot = slotOf(slots, ids[row]);
    setBlob(slots, pageOf(slots, slot)!, field, offsetOf(slots, slot), digests[places[from + row]]);
  }
}
