/**
 * The store's share in checkpoints: what changed is written as records, and a start builds the store from them.
 *
 *   partition   key -             num LSN of the last change | text settings as JSON
 *               of partition 0    num the next partition number
 *   extent      key u64 LSN       u32 segment | num offset | num length | u8 ack level | bytes block checksums
 *                                 u32 batches, for each: u32 rows, 0 for none | num LSN of the put
 *                                                        u32 columns, for each: u16 field | nums
 *   rowsLive    key u64 batch     num rows that still show a cell of it; without a record all do
 *
 * Primitives as in the journal: see journal/bytes.ts. A row's puts are in the tree already, see index/row_value.ts.
 */
import { ackLevels } from '@transfer-queue/core/protocol';
import { invariant } from '../errors.ts';
import { numberKey, readNumber } from '../index/keys.ts';
import type { Records, SavedRecord } from '../index/records.ts';
import { ByteReader, ByteWriter } from '../journal/bytes.ts';
import { readColumns, writeColumns } from '../journal/columns.ts';
import type { PartitionSettings } from '../journal/events.ts';
import { spaceOf } from '../segment/segment.ts';
import { isSaved, lsnOfBatch, type LiveExtent, type Partition, type StoredBatch } from './partition.ts';
import type { Store } from './store.ts';

const NO_KEY = new Uint8Array(0);
const out = new ByteWriter();

export function dirtyCount({ dirty }: Store): number {
  return dirty.partitions.size + dirty.extents.size + dirty.batches.size;
}

/** Writes up to `unitsMax` of what changed as it is now; returns how many it wrote. */
export function saveDirty(
  store: Store,
  records: Records,
  { unitsMax, lsn }: { unitsMax: number; lsn: number },
): number {
  const { partitions, extents, batches } = store.dirty;
  let left = unitsMax;
  left -= take(partitions, left, (partition) => savePartition(store, records, partition, lsn));
  for (; left > 0 && extents.size > 0; left--) saveExtent(records, extents.take()!, lsn);
  left -= take(batches, left, (batch) => saveRowsLive(records, batch, lsn));
  return unitsMax - left;
}

function take<Unit>(dirty: Set<Unit>, unitsMax: number, save: (unit: Unit) => void): number {
  let count = 0;
  for (const unit of dirty) {
    if (count === unitsMax) break;
    dirty.delete(unit);
    save(unit);
    count++;
  }
  return count;
}

/** The number of one that came and went since the last save must not be given again either. */
function savePartition(store: Store, records: Records, partition: Partition, lsn: number): void {
  if (!partition.dropped) {
    const value = encoded(() => {
      out.number(partition.lsn);
      out.text(JSON.stringify(partition.settings));
    });
    records.write({ partition: partition.id, kind: 'partition', key: NO_KEY, value }, lsn);
  }
  const next = encoded(() => out.number(store.partitionNext));
  records.write({ partition: 0, kind: 'partition', key: NO_KEY, value: next }, lsn);
}

/** A dropped partition's records are gone as a range already. */
function isWritten({ partition }: LiveExtent): boolean {
  return isSaved(partition) && !partition.dropped;
}

function saveExtent(records: Records, extent: LiveExtent, lsn: number): void {
  if (!isWritten(extent)) return;
  const partition = extent.partition.id;
  const key = numberKey(extent.key);
  if (extent.refs > 0) {
    records.write({ partition, kind: 'extent', key, value: encodeExtent(extent) }, lsn);
    extent.saved = true;
    return;
  }
  if (!extent.saved) return;
  records.write({ partition, kind: 'extent', key, value: null }, lsn);
  for (const batch of extent.savedCounts ?? []) {
    records.write({ partition, kind: 'rowsLive', key: numberKey(batch), value: null }, lsn);
  }
}

function encodeExtent({ place, length, level, blocks, batches }: LiveExtent): Uint8Array {
  return encoded(() => {
    out.u32(place.segment.id);
    out.number(place.offset);
    out.number(length);
    out.u8(ackLevels.indexOf(level));
    out.bytes(blocks);
    out.u32(batches.length);
    for (const batch of batches) {
      out.u32(batch?.rows ?? 0);
      out.number(batch?.lsn ?? 0);
      writeColumns(out, batch?.cells.columns ?? []);
    }
  });
}

/** A batch may die before its extent does: its count says so. */
function saveRowsLive(records: Records, { number, extent, rowsLive }: StoredBatch, lsn: number): void {
  if (!isWritten(extent) || extent.refs === 0) return;
  const value = encoded(() => out.number(rowsLive));
  records.write({ partition: extent.partition.id, kind: 'rowsLive', key: numberKey(number), value }, lsn);
  (extent.savedCounts ??= new Set()).add(number);
}

/** What the record of a partition says. */
export function readDeclaration(value: Uint8Array): { readonly lsn: number; readonly settings: PartitionSettings } {
  const source = new ByteReader(Buffer.from(value));
  return { lsn: source.number(), settings: JSON.parse(source.text()) as PartitionSettings };
}

/** Takes in one record; they come in the order of their keys. */
export function loadRecord(store: Store, record: SavedRecord): void {
  const source = new ByteReader(Buffer.from(record.value));
  if (record.partition === 0) return store.raisePartitionNext(source.number());
  if (record.kind === 'partition') {
    const { lsn, settings } = readDeclaration(record.value);
    store.addPartition({ partition: record.partition, settings }, lsn);
    return;
  }
  const number = readNumber(record.key, 0);
  if (record.kind === 'extent') return loadExtent(store, record.partition, number, source);
  const extent = store.extent(lsnOfBatch(number));
  invariant(extent !== undefined, `extent of batch ${number} is there`);
  (extent.savedCounts ??= new Set()).add(number);
  const batch = store.knownBatch(number);
  // Otherwise the extent was saved again after the batch had died.
  if (batch !== undefined) batch.rowsLive = source.number();
}

function loadExtent(store: Store, partitionId: number, key: number, source: ByteReader): void {
  const partition = store.partitionById(partitionId);
  invariant(partition !== undefined, `partition ${partitionId} of extent ${key} is there`);
  const id = source.u32();
  const offset = source.number();
  const length = source.number();
  const level = ackLevels[source.u8()];
  const blocks = source.bytes();
  const segment = store.segments.adopt(spaceOf({ segment: id, offset, length }), level);
  const batchCount = source.u32();
  const extent = store.addExtent(partition, { key, place: { segment, offset }, length, blocks, level, batchCount });
  extent.saved = true;
  for (let place = 0; place < batchCount; place++) {
    const rows = source.u32();
    const lsn = source.number();
    const cells = store.cellPlaces.of(readColumns(source));
    if (rows > 0) extent.addBatch(place, { lsn, rows, rowsLive: rows, cells });
  }
}

function encoded(write: () => void): Uint8Array {
  out.reset();
  write();
  return out.view().slice();
}
