/**
 * What a put must not be, whatever its partition says: too long an event, rows twice, rows of too many puts.
 */
import { BLOB_DIGEST_SIZE, limits } from '@transfer-queue/core/protocol';
import { StoreError } from '../errors.ts';
import type { BatchColumns, BlobColumn } from '../journal/events.ts';
import { PAYLOAD_SIZE_MAX } from '../journal/format.ts';
import type { PartitionQueue } from '../queue/machine.ts';
import { presentRows } from '../queue/presence.ts';
import type { Partition } from '../store/partition.ts';

/** Only a partition of many fields can have rows of many puts, since each of these shows a cell. */
export function checkScatter(partition: Partition, queue: PartitionQueue, ids: Float64Array): void {
  if (partition.fields.length < limits.putsPerRowMax) return;
  for (const id of presentRows(queue, ids)) {
    if (partition.index.putsOf(id) < limits.putsPerRowMax) continue;
    throw new StoreError('row_too_scattered', { id, limit: limits.putsPerRowMax });
  }
}

/**
 * Bytes that a batch, a column of it, and a text take in the event beside ids, regions and letters; see the codec of
 * inserts.
 */
const EVENT_SIZE_PER_BATCH = 16;
const EVENT_SIZE_PER_COLUMN = 8;
const EVENT_SIZE_PER_TEXT = 4;
const EVENT_SIZE_FIXED = 64 << 10;

/** An event that recovery would not read must not be written: many batches of many columns make a long one. */
export function checkEventSize(
  batches: readonly BatchColumns[],
  tags: readonly string[] = [],
  blobs: readonly BlobColumn[] = [],
): void {
  let size = EVENT_SIZE_FIXED;
  for (const { ids, columns } of batches) {
    size += EVENT_SIZE_PER_BATCH + 8 * ids.length;
    for (const { regions } of columns) size += EVENT_SIZE_PER_COLUMN + 8 * regions.length;
  }
  for (const { digests, places } of blobs) size += BLOB_DIGEST_SIZE * digests.length + 4 * places.length;
  let letters = 0;
  for (const text of tags) letters += text.length;
  size += EVENT_SIZE_PER_TEXT * tags.length;
  // A letter takes three bytes at most.
  if (size + 3 * letters <= PAYLOAD_SIZE_MAX) return;
  for (const text of tags) size += Buffer.byteLength(text);
  if (size <= PAYLOAD_SIZE_MAX) return;
  if (batches.length === 1 && tags.length > 0) {
    throw new StoreError('too_many_rows', { rows: tags.length, reason: 'too many bytes of tags in all' });
  }
  const columns = batches.reduce((sum, batch) => sum + batch.columns.length, 0);
  throw new StoreError('too_many_batches', { batches: batches.length, columns, reason: 'too many columns in all' });
}

/** Rising ids, the common case, need no table. */
export function checkDistinct(batches: readonly Float64Array[]): void {
  let last = -1;
  let rising = true;
  for (const ids of batches) {
    for (const id of ids) {
      if (id <= last) rising = false;
      last = id;
    }
  }
  if (rising) return;
  const seen = new Set<number>();
  for (const ids of batches) {
    for (const id of ids) {
      if (seen.has(id)) throw new StoreError('ids_duplicate', { id });
      seen.add(id);
    }
  }
}
