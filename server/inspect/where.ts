/** Puts damage into the words of users: the partition, its rows and its fields. */
import { segmentName } from '../segment/files.ts';
import { touchedRows } from '../store/damage.ts';
import type { StoredBatch } from '../store/partition.ts';
import type { Damage } from './check_extents.ts';
import type { RowPut } from './check_index.ts';
import type { Problem } from './report.ts';

const ROWS_NAMED_MAX = 20;

/** The batches that have a part in the damaged range. */
export function batchesHit(damage: Damage): StoredBatch[] {
  return damage.extent.batches.filter(
    (batch) => batch !== undefined && cellsHit(batch, damage).length > 0,
  ) as StoredBatch[];
}

interface Cells {
  readonly field: string;
  /** By ordinal in the batch. */
  readonly first: number;
  readonly end: number;
}

function cellsHit({ regions, rows }: StoredBatch, { extent, from, to }: Damage): Cells[] {
  return extent.partition.fields.flatMap(({ id, name, layout }) => {
    const parts = regions[id];
    const hit = parts === undefined ? null : touchedRows({ layout, regions: parts, rows }, from, to);
    return hit === null ? [] : [{ field: name, ...hit }];
  });
}

/** `shown` says which rows show the batches; null when the index could not be read. */
export function damageProblem(damage: Damage, shown: ReadonlyMap<StoredBatch, readonly RowPut[]> | null): Problem {
  const { extent, from, to, what } = damage;
  const { partition, place } = extent;
  const fields = new Set<string>();
  const ids = new Set<number>();
  for (const batch of batchesHit(damage)) {
    for (const { field, first, end } of cellsHit(batch, damage)) {
      fields.add(field);
      for (const { id, ordinal } of shown?.get(batch) ?? []) if (ordinal >= first && ordinal < end) ids.add(id);
    }
  }
  const rows = [...ids].sort((a, b) => a - b);
  const isDead = shown !== null && rows.length === 0;
  return {
    what: `${what}; reads of these cells fail with data_corrupt`,
    file: `segments/${segmentName(place.segment.id)}`,
    offset: place.offset + from,
    length: to - from,
    lsn: extent.key,
    partition: partition.settings.name,
    ...(shown === null ? {} : { rows: rows.slice(0, ROWS_NAMED_MAX), rowCount: rows.length }),
    fields: [...fields],
    advice: isDead
      ? 'No row shows these bytes any more; at most the retry of a claim needs them. Look for disk errors.'
      : 'Put these cells anew or delete the rows, or restore the directory from a copy. Look for disk errors.',
  };
}
