/**
 * Finds the newest cell of each row and field asked for, and keeps the bytes of what it found until `close`.
 *
 *   ids x fields  ->  per field: batches[i], ordinals[i]      the place of row i's cell
 */
import { invariant } from '../errors.ts';
import type { Field, Partition, StoredBatch } from './partition.ts';
import type { Store } from './store.ts';

export interface LocatedColumn {
  readonly field: Field;
  /** By row: index into `Located.batches`. */
  readonly batches: Int32Array;
  readonly ordinals: Uint32Array;
}

export interface Located {
  readonly ids: Float64Array;
  readonly columns: readonly LocatedColumn[];
  readonly batches: readonly StoredBatch[];
  /** The highest LSN among the cells. */
  readonly lsn: number;
  /** Rows that lack a cell, as places in `ids`; when there are some, nothing is kept and no cell may be read. */
  readonly missing: readonly number[];
  /** The same cells, kept until a `close` of their own. Null after `close`. */
  share(): Located | null;
  /** Lets go of the bytes; called once. */
  close(): void;
}

export interface WantedCells {
  readonly ids: Float64Array;
  readonly fields: readonly Field[];
  /** The state of this LSN, which a snapshot holds. */
  readonly lsn?: number;
}

/** The state that is read is that of `wanted.lsn`, else that of the turn in which this is called. */
export function locate(store: Store, partition: Partition, wanted: WantedCells): Promise<Located> {
  const { ids, fields, lsn } = wanted;
  return store.reading(async () => {
    const puts = await partition.index.lookup(ids, lsn);
    const columns = fields.map((field) => ({
      field,
      batches: new Int32Array(ids.length),
      ordinals: new Uint32Array(ids.length),
    }));
    const numbers = new Map<number, number>();
    const batches: StoredBatch[] = [];
    const missing: number[] = [];
    for (let row = 0; row < ids.length; row++) {
      const first = puts.starts[row];
      const end = puts.starts[row + 1];
      let found = 0;
      for (const column of columns) {
        for (let entry = first; entry < end; entry++) {
          const handle = puts.batches[entry];
          if (store.batch(handle).regions[column.field.id] === undefined) continue;
          let number = numbers.get(handle);
          if (number === undefined) {
            number = batches.length;
            numbers.set(handle, number);
            batches.push(store.batch(handle));
          }
          column.batches[row] = number;
          column.ordinals[row] = puts.ordinals[entry]!;
          found++;
          break;
        }
      }
      if (first === end || found < columns.length) missing.push(row);
    }
    return finish(store, { ids, columns, batches, missing });
  });
}

/** What a saved claim granted, as a start finds it. */
export function relocated(store: Store, found: Omit<Found, 'missing'>): Located {
  return finish(store, { ...found, missing: [] });
}

type Found = Pick<Located, 'ids' | 'columns' | 'batches' | 'missing'>;

function finish(store: Store, found: Found): Located {
  const held = found.missing.length === 0 ? found.batches : [];
  for (const batch of held) store.pin(batch);
  let lsn = 0;
  for (const batch of held) lsn = Math.max(lsn, batch.lsn);
  let open = true;
  return {
    ...found,
    lsn,
    share: () => (open ? finish(store, found) : null),
    close: () => {
      invariant(open, 'what was located is let go of once');
      open = false;
      for (const batch of held) store.unpin(batch);
    },
  };
}
