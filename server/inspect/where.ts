/** Puts damage into the words of users: the partition, its rows and its fields. */
import type { FieldLayout } from '@transfer-queue/core/layout';
import { segmentName } from '../segment/files.ts';
import type { StoredBatch } from '../store/partition.ts';
import type { Damage } from './check_extents.ts';
import type { RowPut } from './check_index.ts';
import type { Problem } from './report.ts';

const ROWS_NAMED_MAX = 20;

/** The batches that have a part in the damaged range. */
export function batchesHit({ extent, from, to }: Damage): StoredBatch[] {
  return extent.batches.filter(
    (batch) => batch !== undefined && fieldsHit(batch, { from, to }).length > 0,
  ) as StoredBatch[];
}

/** Field ids whose parts the range touches. */
function fieldsHit(batch: StoredBatch, range: { from: number; to: number }): number[] {
  return [...batch.regions.keys()].filter((field) => touches(batch.regions[field] ?? [], range));
}

function touches(regions: readonly number[], { from, to }: { from: number; to: number }): boolean {
  for (let i = 0; i < regions.length; i += 2) {
    if (regions[i] < to && regions[i] + regions[i + 1] > from) return true;
  }
  return false;
}

export function damageProblem(damage: Damage, shown: ReadonlyMap<StoredBatch, readonly RowPut[]>): Problem {
  const { extent, from, to, what } = damage;
  const { partition, place } = extent;
  const hit = batchesHit(damage);
  const fieldIds = new Set(hit.flatMap((batch) => fieldsHit(batch, damage)));
  const rows = hit.flatMap((batch) => rowsHit(batch, partition.fields, damage, shown.get(batch) ?? []));
  const ids = [...new Set(rows)].sort((a, b) => a - b);
  return {
    what: `${what}; reads of these cells fail with data_corrupt`,
    file: `segments/${segmentName(place.segment.id)}`,
    offset: place.offset + from,
    length: to - from,
    lsn: extent.key,
    partition: partition.settings.name,
    rows: ids.slice(0, ROWS_NAMED_MAX),
    rowCount: ids.length,
    fields: [...fieldIds].map((id) => partition.fields[id].name),
    advice:
      ids.length === 0
        ? 'No row shows it any more: nothing is lost. Look for disk errors.'
        : 'Put these cells anew or delete the rows, or restore the directory from a copy. Look for disk errors.',
  };
}

/** Values of equal size show which rows are hit; else all rows of the batch may be. */
function rowsHit(
  batch: StoredBatch,
  fields: readonly { readonly id: number; readonly layout: FieldLayout }[],
  { from, to }: Damage,
  puts: readonly RowPut[],
): number[] {
  const touched = fieldsHit(batch, { from, to });
  return puts
    .filter(({ ordinal }) => touched.some((field) => isCellHit(batch, fields[field], ordinal, { from, to })))
    .map(({ id }) => id);
}

function isCellHit(
  batch: StoredBatch,
  { id, layout }: { readonly id: number; readonly layout: FieldLayout },
  ordinal: number,
  { from, to }: { from: number; to: number },
): boolean {
  if (layout.layout !== 'dense' && layout.layout !== 'scalar') return true;
  const [offset, length] = batch.regions[id]!;
  const size = length / batch.rows;
  return offset + ordinal * size < to && offset + (ordinal + 1) * size > from;
}
